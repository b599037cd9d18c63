"""Runs the tests against each Airflow that is supported, each with a Python and dependencies of its own.

`make test-all` runs all pairs and prints what they covered; `.venv/bin/nox -s "tests(3.1)"` runs one, and takes names
of tests behind `--`. A Python that is missing fails its pair: nox lets uv fetch it, where uv can.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True

REPOSITORY = Path(__file__).parent
RESULTS = REPOSITORY / "build" / "versions"
# What the tests need beside the installed package.
TESTED = ("benchmarks", "dags_examples", "docs", "tests")
SHOWN = ("marshmallow", "apache-airflow-providers-common-sql", "apache-airflow-providers-common-compat")
LOWER_BOUND = re.compile(r"^([\w-]+)>=([\d.]+)")


class Pair(NamedTuple):
    """An Airflow, and what it is tested with.

    :param held: requirements that make it so, or that this Airflow lacks; otherwise everything is the newest.
    :param lowest: of what the package itself asks for, the oldest that it takes, and these must be those it names.
    """

    airflow: str
    python: str
    held: tuple[str, ...] = ()
    lowest: bool = False


PAIRS = {
    # Of its own accord it has marshmallow 3: its Flask-AppBuilder takes no later one.
    "2.11": Pair("2.11", "3.11"),
    "3.1": Pair("3.1", "3.12"),
    # Airflow 3.2 runs with no later ones, but does not say so: 3.3 does of the first, and has mended the second.
    "3.2": Pair("3.2", "3.12", held=("fastapi<0.137", "svcs<26")),
    "3.3": Pair("3.3", "3.13"),
    "3.3-lowest": Pair("3.3", "3.11", lowest=True),
}


def switch_on_pyenv() -> None:
    """Let pyenv's Pythons run: it has a `python3.12` on the path that fails until its version is switched on."""
    if (pyenv := shutil.which("pyenv")) and "PYENV_VERSION" not in os.environ:
        command = [pyenv, "versions", "--bare"]
        there = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - what which found
        wanted = tuple(f"{pair.python}." for pair in PAIRS.values())
        os.environ["PYENV_VERSION"] = ":".join(name for name in there.stdout.split() if name.startswith(wanted))


switch_on_pyenv()


@nox.session
@nox.parametrize(
    ["python", "name"], [nox.param(pair.python, name, id=name, tags=["all"]) for name, pair in PAIRS.items()]
)
def tests(session: nox.Session, name: str) -> None:
    """Run the tests against the wheel, where no source of the package is."""
    result = RESULTS / f"{name}.xml"
    result.unlink(missing_ok=True)
    # Outside of the clone: a test that asks git there must not find it.
    with tempfile.TemporaryDirectory(prefix="asapp-versions-") as folder:
        install(session, PAIRS[name], Path(folder))
        result.with_suffix(".json").write_text(json.dumps(installed(session)))
        copy_tests(Path(folder) / "source")
        with session.chdir(Path(folder) / "source"):
            session.run("python", "-m", "pytest", "-rfEs", f"--junitxml={result}", *session.posargs)


def install(session: nox.Session, pair: Pair, folder: Path) -> None:
    """Install the wheel, its Airflow and what the tests need, and see that all of it goes together."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    session.run("uv", "build", "--quiet", "--wheel", f"--out-dir={folder / 'dist'}")
    (wheel,) = (folder / "dist").glob("*.whl")
    resolution = "--resolution=lowest-direct" if pair.lowest else "--resolution=highest"
    # Of what a wheel asks for, uv takes the newest all the same: only what is asked for here counts as direct.
    asked = dependencies() if pair.lowest else []
    session.install(resolution, str(wheel), "--group=test", f"apache-airflow~={pair.airflow}.0", *asked, *pair.held)
    session.run("uv", "pip", "check", "--quiet")
    if pair.lowest:
        check_bounds(session)


def dependencies() -> list[str]:
    """Return what the package asks for."""
    found: list[str] = nox.project.load_toml(REPOSITORY / "pyproject.toml")["project"]["dependencies"]
    return found


def installed(session: nox.Session) -> dict[str, str]:
    """Return the version of each package of the session, and of its Python."""
    # What uv tells its user beside the list would be taken for part of it.
    listed = session.run("uv", "pip", "list", "--format=json", silent=True, stderr=None)
    found = {one["name"]: one["version"] for one in json.loads(str(listed))}
    python = session.run("python", "-c", "import platform; print(platform.python_version())", silent=True)
    return found | {"python": str(python).strip()}


def check_bounds(session: nox.Session) -> None:
    """Fail where something else keeps the tests from the oldest dependency that the package takes."""
    found = installed(session)
    bounds = dict(match.groups() for one in dependencies() if (match := LOWER_BOUND.match(one)))
    bounds.pop("apache-airflow")
    wrong = [f"{name}>={bound}, but {found[name]} is tested" for name, bound in bounds.items() if found[name] != bound]
    if wrong:
        session.error(f"Lower bounds that no test holds: {'; '.join(wrong)}.")


def copy_tests(folder: Path) -> None:
    """Copy what the tests need, without the package."""
    folder.mkdir()
    for name in TESTED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in REPOSITORY.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)


@nox.session(python=False)
def summary(session: nox.Session) -> None:
    """Print what the pairs covered, as far as they ran, and what they left out and why."""
    head = ("pair", "Airflow", "Python", *(name.removeprefix("apache-airflow-providers-") for name in SHOWN))
    table = [(*head, "passed", "failed", "skipped", "minutes"), *(covered(name) for name in PAIRS)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        session.log("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    for name in PAIRS:
        for reason, count in Counter(one.attrib["message"] for one in outcome(name).iter("skipped")).items():
            session.log(f"skipped on {name}: {count} of {reason}")
    if any(outcome(name).find("testsuite") is None for name in PAIRS):
        session.error("Not every pair has run.")


def outcome(name: str) -> Element:
    """Return what pytest wrote of a pair, nothing if it has not run."""
    path = RESULTS / f"{name}.xml"
    return ElementTree.parse(path).getroot() if path.exists() else Element("testsuites")  # noqa: S314 - ours


def covered(name: str) -> tuple[str, ...]:
    """Return the row of a pair."""
    suite = outcome(name).find("testsuite")
    if suite is None:
        return (name, *"-" * (len(SHOWN) + 6))
    found = json.loads((RESULTS / f"{name}.json").read_text())
    total, failed, skipped = (
        sum(int(suite.attrib[key]) for key in keys) for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return (
        *(name, found["apache-airflow"], found["python"], *(found[package] for package in SHOWN)),
        *map(str, (total - failed - skipped, failed, skipped)),
        f"{float(suite.attrib['time']) / 60:.1f}",
    )
