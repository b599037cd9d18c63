"""What the documents say must be so: their examples, parameters, names, links and commands are those of the code."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import Any
from unicodedata import category

import pytest

from airflow_provider_asapp import errors
from airflow_provider_asapp.policy import HOPELESS_AFTER, MAX_ITEMS, Options
from airflow_provider_asapp.seen import COUNTED
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.simulator.__main__ import _parser
from dags_examples.demo import warehouse
from tests.documents import (
    ARCHITECTURE,
    CONTRIBUTING,
    DOCS,
    DOCUMENTS,
    FENCE,
    GUARANTEES,
    OPERATORS_PAGE,
    PACKAGE,
    README,
    REPOSITORY,
    SIMULATOR,
    blocks,
    marked,
    plain,
    table_behind,
)

ERRORS = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.AsappError)]
# A link, and where it leads: `[text](target)`.
LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def tracked() -> list[Path]:
    """Return all files that git has or would take, except ignored ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # an unpacked source archive
        found = [REPOSITORY / name for name in ("airflow_provider_asapp", "dags_examples", "docs", "tests")]
        return [*DOCUMENTS, *(path for folder in found for path in folder.rglob("*.*") if path.suffix != ".pyc")]
    return [path for name in done.stdout.splitlines() if (path := REPOSITORY / name).is_file()]


def anchors(document: Path) -> set[str]:
    """Return the names under which a document's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link of a document is a file of the repository, and its anchor a heading there."""
    for target in LINK.findall(document.read_text()):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            assert path.is_file(), target
            assert not anchor or anchor in anchors(path), target


def test_all_pages_are_found_from_the_readme() -> None:
    """The README leads to each page."""
    targets = {(REPOSITORY / target).resolve() for target in LINK.findall(README.read_text())}
    assert set(DOCS.glob("*.md")) <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_code_marks_exist(document: Path) -> None:
    """Each `tests/...`, `docs/...`, `dags_examples/...` or module that a document names is there."""
    folders = "airflow_provider_asapp|tests|docs|dags_examples|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./]*)`", document.read_text())
    for name in named:
        # Of the installed package, which may lie elsewhere.
        place = PACKAGE.parent if name.startswith("airflow_provider_asapp/") else REPOSITORY
        assert (place / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_tests_exist(document: Path) -> None:
    """Each test that a document calls its proof is a test of that file."""
    for name, test in TEST.findall(document.read_text()):
        tree = ast.parse((REPOSITORY / name).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{name}::{test}"


def test_every_guarantee_names_its_test() -> None:
    """Down to what is not promised, each bullet names a test; the one exception is a promise to do nothing."""
    promises = GUARANTEES.read_text().partition("## What is not promised")[0]
    without = [text for text in re.split(r"\n(?=- |\n)", promises) if text.startswith("- ") and not TEST.search(text)]
    assert [text.split(".")[0] for text in without] == ["- The rejects hold whole records"]


def test_the_samples_of_the_readme_are_the_tested_ones() -> None:
    """Each line of a sample in the README stands in its file, in that order; dots stand for the others."""
    shown = marked("excerpt")
    assert [Path(name).suffix for name, _ in shown] == [".py", ".sql"]
    for name, text in shown:
        theirs = iter((REPOSITORY / name).read_text().splitlines())
        for line in text.splitlines():
            assert line.strip() == "..." or line in theirs, line


def test_every_example_is_in_the_readme() -> None:
    """The table of what to copy names each sample DAG once, and each query."""
    found = sorted((REPOSITORY / "dags_examples").glob("*.py")) + sorted((REPOSITORY / "dags_examples/sql").iterdir())
    named = [target for row in table_behind("## Examples") for cell in row for target in LINK.findall(cell)]
    assert sorted(named) == sorted(str(path.relative_to(REPOSITORY)) for path in found)


def test_every_metric_is_documented() -> None:
    """Exactly the counters that a task sends."""
    table = table_behind("## Metrics", REPOSITORY / "docs" / "airflow.md")
    assert [plain(name) for name, _ in table] == [f"asapp.ENTITY.{name}" for name in COUNTED]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_is_python(document: Path) -> None:
    """Each example can be read by Python, and what it imports from this package is there."""
    for text in blocks(document, "python"):
        for node in ast.walk(ast.parse(dedent(text))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_asapp"):
                module = __import__(node.module or "", fromlist=["*"])
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_demo_in_the_readme_has_the_warehouses_numbers(tmp_path: Path) -> None:
    """Rows, bad rows and requests that the README shows are those of the demo's warehouse."""
    warehouse.build(tmp_path / "warehouse.db")
    ended, bad = warehouse.count_ended(tmp_path / "warehouse.db", warehouse.DAYS[1]), len(warehouse.FLAWS)
    good = ended - bad
    text = README.read_text()
    assert f"({ended:,} on {warehouse.DAYS[1]})" in text
    assert f"Records accounted for: {ended} ({good} accepted, 0 already persisted, {bad} invalid, 0 refused)" in text
    assert f"Requests: {-(-good // MAX_ITEMS)}." in text


def test_the_words_of_the_policy_are_the_codes() -> None:
    """The choices and numbers that the documents give for what may be rejected are those of the code."""
    for choice in ("raise", "exclude", "attributes", "succeed", "skip", "fail"):
        assert f"`{choice}`" in OPERATORS_PAGE.read_text()
    text = README.read_text()
    assert (Options().max_rejected, HOPELESS_AFTER, MAX_ITEMS) == (0, 1000, 1000)
    assert "`max_rejected=0` is the default" in text
    assert "1,000 records without one valid" in text
    assert Options().window == 3 * Options().max_in_flight * MAX_ITEMS == 12_000
    assert "12,000" in ARCHITECTURE.read_text()


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: one.__name__)
def test_every_error_is_explained(error: type[Exception]) -> None:
    """Each error class has its row in the guarantees, which says rightly whether Airflow's retries apply."""
    row = {plain(name): retried for name, _, retried in table_behind("## How a task ends", GUARANTEES)}[error.__name__]
    if error is not errors.AsappBatchRefused:
        fails_at_once = issubclass(error, errors.AsappFatalError | errors.AsappRejectedError)
        assert row.startswith("no" if fails_at_once else "yes")


def test_every_module_has_its_room() -> None:
    """The picture of the house names each module, those of the simulator too."""
    text = ARCHITECTURE.read_text()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            assert re.search(rf"[`\s/]{re.escape(path.name)}[`\s]", text), path.name


def test_the_rooms_are_in_the_order_of_the_house() -> None:
    """What the architecture says of the order is what `test_house` holds."""
    from tests import test_house

    named = re.findall(r"^\| `(\w+)\.py` \|", ARCHITECTURE.read_text(), re.MULTILINE)
    assert named == [*test_house.CORE, *test_house.EDGE]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    """Each `make` target that a document names is one, and each `python -m` a module with a command."""
    text = document.read_text()
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"(?:`|^\$ )make ([\w-]+)", text, re.MULTILINE)
    assert set(commands) <= targets
    for module in re.findall(r"python -m ([\w.]+)", text):
        # The package itself may be an installed one.
        path = (PACKAGE.parent if module.startswith(PACKAGE.name) else REPOSITORY) / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_every_command_is_explained_to_contributors() -> None:
    """The table of commands names each target of the Makefile."""
    targets = re.findall(r"^([\w-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert [plain(command) for command, _ in table_behind("## Set up", CONTRIBUTING)] == [
        f"make {one}" for one in targets
    ]


def test_the_options_of_the_simulator_are_the_commands() -> None:
    """Exactly those of the command, with their defaults; and each fault that is shown is taken."""
    options = {action.option_strings[0]: action for action in _parser()._actions[1:]}
    table = table_behind("<!-- options -->", SIMULATOR)
    assert [plain(name) for name, *_ in table] == list(options)
    for name, default, _ in table:
        action = options[plain(name)]
        real = "required" if action.required else action.default or ("0" if action.default == 0 else "none")
        assert plain(default) == (f"{real:g}" if isinstance(real, float) else str(real)), name
    faults = [plain(fault) for fault, _ in table_behind("A fault is", SIMULATOR)]
    taken = _parser().parse_args(["--port", "0", *(word for fault in faults for word in ("--fault", fault))]).fault
    assert len(taken) == len(faults) > 3


def test_the_simulator_says_what_its_page_shows() -> None:
    """The connection that it prints is the one that the page shows for its default keys."""
    with Simulator() as simulator:
        keys = f'"login": "{simulator.api_id}", "password": "{simulator.api_secret}"'
    assert keys in SIMULATOR.read_text()


def test_the_test_with_the_simulator_passes(monkeypatch: pytest.MonkeyPatch, instant: None) -> None:
    """The example of a test does what it asserts."""
    monkeypatch.setenv("AIRFLOW_CONN_ASAPP_DEFAULT", "")
    (code,) = blocks(SIMULATOR, "python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    assert names["report"]["accepted"] == 1


def test_the_changelog_knows_this_version() -> None:
    """The newest entry is the version of the package."""
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == version("airflow-provider-asapp")


def test_no_file_names_a_machine() -> None:
    """No file of the repository holds the path of somebody's machine, nor names what lies beside a clone."""
    beside = "../" + "shared"
    machine = re.compile(r"(?<![\w.:-])/(?:home|Users|root|work|mnt)/[\w.-]+|file:///opt|[\w.]+/simple/")
    for path in tracked():
        text = path.read_text(errors="replace")
        assert beside not in text, path
        assert path == Path(__file__) or not (found := machine.search(text)), (path, found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_are_plain_text(document: Path) -> None:
    """No control or invisible characters, no line end blanks, and every table row has as many cells as its head."""
    text = document.read_text()
    assert not [char for char in text if category(char) in {"Cc", "Cf"} and char != "\n"]
    assert not re.search(r"[ \t]$", FENCE.sub("", text), re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\|$\n)+", text, re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table.splitlines()[0]
