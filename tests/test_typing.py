"""What somebody's type checker says of code that uses the installed package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[1]
RIGHT, WRONG = (REPOSITORY / "tests" / "typing" / name for name in ("right.py", "wrong.py"))
# What an expectation looks like: `# E: arg-type`.
EXPECTED = re.compile(r"# E: ([\w-]+)$")


class Error(NamedTuple):
    """An error of mypy's, or one that is expected."""

    file: Path
    line: int
    code: str


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> set[Error]:
    """Give the errors in both modules, as `mypy --strict` finds them without any settings of ours.

    From a folder where nothing lies, as people do: the package's types count only because of its `py.typed`.
    """
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output=json"]
    cache = f"--cache-dir={REPOSITORY / '.mypy_cache' / 'typing'}"
    done = subprocess.run(
        [*command, cache, RIGHT, WRONG],
        cwd=tmp_path_factory.mktemp("empty"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {Error(Path(one["file"]), one["line"], one["code"]) for one in found if one["severity"] == "error"}


def expected(path: Path) -> set[Error]:
    """Return what a module's comments say."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {Error(path, number, found[1]) for number, line in lines if (found := EXPECTED.search(line))}


def test_right_uses_are_right(errors: set[Error]) -> None:
    """Whoever uses hook, operators, errors, schemas and simulator as documented sees no error, and no `Any`."""
    assert {error for error in errors if error.file == RIGHT} == set()


def test_wrong_uses_are_found(errors: set[Error]) -> None:
    """Each wrong use is an error on its own line, of the expected kind, and nothing else is."""
    assert {error for error in errors if error.file == WRONG} == expected(WRONG)


def test_only_our_modules_are_blamed(errors: set[Error]) -> None:
    """Nobody sees an error inside of the package or of Airflow."""
    assert {error.file for error in errors} == {WRONG}
