"""What is said of the versions that are tested: the README, the package's metadata and `noxfile.py` agree."""

from __future__ import annotations

import ast
import tomllib

from tests.documents import README, REPOSITORY, table_behind
from tests.versions import NEWEST


def pairs() -> list[tuple[str, str]]:
    """Return Airflow and Python of each pair, in the order in which they run."""
    calls = [
        node for node in ast.walk(ast.parse((REPOSITORY / "noxfile.py").read_text())) if isinstance(node, ast.Call)
    ]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Pair"]
    return [tuple(ast.literal_eval(argument) for argument in call.args) for call in made]


def test_the_readme_lists_what_is_tested() -> None:
    """The README's table has each pair, and no other."""
    told = table_behind("`make test-all` runs the tests on these:", README)
    assert [(airflow, python) for airflow, python, _ in told] == pairs()
    assert len(told) == 5


def test_each_python_that_the_metadata_names_is_tested() -> None:
    """The classifiers name the Pythons of the pairs, and the oldest of them is the one that is required."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    start = "Programming Language :: Python :: 3."
    named = {one.rpartition(" ")[2] for one in project["classifiers"] if one.startswith(start)}
    assert named == {python for _, python in pairs()}
    assert project["requires-python"] == f">={min(named)}"


def test_the_oldest_airflow_is_tested() -> None:
    """The lower bound on Airflow is the first of the pairs, and the newest is the one on which warnings are errors."""
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"apache-airflow>={pairs()[0][0]}.0" in dependencies
    assert ".".join(map(str, NEWEST)) == pairs()[-1][0]
