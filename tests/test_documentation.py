"""What the documents say must be so: their examples, parameters, names, links and commands are those of the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest

import airflow_provider_asapp
from airflow_provider_asapp import errors, hooks, operators, provider_info, transfers
from airflow_provider_asapp.accounting import Counts
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.policy import HOPELESS_AFTER, MAX_ITEMS, Options
from airflow_provider_asapp.seen import COUNTED
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.simulator.__main__ import _parser
from dags_examples.demo import warehouse

REPOSITORY = Path(__file__).parents[1]
PACKAGE = Path(airflow_provider_asapp.__file__).parent
README = REPOSITORY / "README.md"
GUARANTEES = REPOSITORY / "docs" / "guarantees.md"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
DOCUMENTS = [README, REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

OPERATORS = [
    operators.AsappSubmitOperator,
    operators.AsappMetadataOperator,
    transfers.SqlToAsappMetadataOperator,
    transfers.FileToAsappMetadataOperator,
]
ERRORS = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.AsappError)]
# A link, and where it leads: `[text](target)`.
LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(document: Path, kind: str) -> list[str]:
    """Return the code blocks of a kind, such as ``python``."""
    return [text for found, text in FENCE.findall(document.read_text()) if found == kind]


def marked(marker: str) -> list[tuple[str, str]]:
    """Return name and code of the README's blocks that stand behind ``<!-- marker: name -->``."""
    return re.findall(rf"<!-- {marker}: (.+?) -->\n```\w+\n(.*?)```", README.read_text(), re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def table_behind(heading: str, document: Path = README) -> list[list[str]]:
    """Return the rows of the first table that comes after a text."""
    lines = document.read_text().partition(heading)[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| "))
    last = next((number for number in range(first, len(lines)) if not lines[number].startswith("|")), len(lines))
    return rows("\n".join(lines[first:last]))


def plain(cell: str) -> str:
    """Return a cell without its code marks and its dagger."""
    return cell.replace("†", "").strip().strip("`")


def own_parameters(operator: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters that an operator adds to those of its base."""
    found = inspect.signature(inspect.unwrap(operator.__init__)).parameters
    return {name: found[name] for name in found if name not in ("self", "kwargs")}


def shown_default(name: str, parameter: inspect.Parameter) -> str:
    """Return a default as the README must show it."""
    if name == "deferrable":
        return "Airflow's `default_deferrable`"
    return "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"


def tracked() -> list[Path]:
    """Return all files that git has or would take, except ignored ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # an unpacked source archive
        found = [REPOSITORY / name for name in ("airflow_provider_asapp", "dags_examples", "docs", "tests")]
        return [*DOCUMENTS, *(path for folder in found for path in folder.rglob("*.*") if path.suffix != ".pyc")]
    return [path for name in done.stdout.splitlines() if (path := REPOSITORY / name).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link of a document is a file of the repository."""
    for target in LINK.findall(document.read_text()):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_code_marks_exist(document: Path) -> None:
    """Each `tests/...`, `docs/...` or `dags_examples/...` that a document names is there."""
    named = re.findall(r"`((?:tests|docs|dags_examples|benchmarks)/[\w./]*)", document.read_text())
    for name in named:
        assert (REPOSITORY / name).exists(), name


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


def test_the_dag_of_the_readme_is_the_tested_one() -> None:
    """The README shows the sample DAG's very text."""
    shown = marked("file")
    assert [name for name, _ in shown] == ["dags_examples/conversation_metadata.py"]
    for name, text in shown:
        assert text == (REPOSITORY / name).read_text()


def test_the_sql_of_the_readme_is_the_tested_one() -> None:
    """Each line of the SQL in the README stands in the sample's file, in that order; dots stand for the others."""
    for name, text in marked("excerpt"):
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
        for node in ast.walk(ast.parse(text)):
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


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda one: one.__name__)
def test_the_parameters_of_the_readme_are_the_operators(operator: type[Any]) -> None:
    """Exactly the parameters that an operator has, in its order, with their real defaults and daggers."""
    table = table_behind(f"<!-- parameters: {operator.__name__} -->")
    expected = [(name, shown_default(name, found)) for name, found in own_parameters(operator).items()]
    assert [(plain(name), default) for name, default, _ in table] == expected
    if operator is not operators.AsappSubmitOperator:
        base = operators.AsappSubmitOperator.template_fields
        templated = {plain(name) for name, *_ in table if "†" in name}
        assert templated == set(operator.template_fields) - set(base)


def test_all_operators_are_in_the_readme() -> None:
    """No operator of the package is missing among those whose parameters are listed."""
    found = {
        one
        for module in (operators, transfers)
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, operators.AsappSubmitOperator)
    }
    assert found == set(OPERATORS)


def test_the_hook_takes_the_same_parameters() -> None:
    """As the README says: those of the operators, but for two, with the same defaults."""
    submit = inspect.signature(hooks.AsappHook.submit).parameters
    shared = own_parameters(operators.AsappSubmitOperator)
    assert set(shared) - set(submit) == {"asapp_conn_id", "on_empty", "deferrable"}
    assert all(submit[name].default == shared[name].default for name in shared if name in submit)


def test_the_extras_of_the_readme_are_the_forms() -> None:
    """Exactly the extras of the connection form, with the defaults of the client."""
    table = table_behind("The extras are all optional")
    assert [plain(name) for name, *_ in table] == list(provider_info.CONN_FIELDS)
    defaults = {name: found.default for name, found in inspect.signature(AsappClient).parameters.items()}
    shown = {None: "none", False: "false"}
    for name, _, default, _ in table:
        real = defaults[plain(name)]
        assert default == shown.get(real, f"{real:g}" if isinstance(real, float) else str(real))


def test_the_form_of_the_readme_is_the_real_one() -> None:
    """The labels are those that people see."""
    labels = {cells[0]: plain(cells[1]) for cells in table_behind("The default id is `asapp_default`.")}
    expected = {label: name for name, label in provider_info.UI_FIELD_BEHAVIOUR["relabeling"].items()}
    assert labels == {**expected, "Port": "port"}


def test_the_report_of_the_readme_is_the_real_one(asapp: Simulator) -> None:
    """Exactly its keys, in its order, and the outcomes among them; those of a rehearsal are named too."""
    hook = hooks.AsappHook()
    table = [plain(name) for name, _ in table_behind("## The report")]
    assert list(hook.submit([{"externalAgentId": "a"}], entity="agent")) == table
    assert [field.name for field in dataclasses.fields(Counts)] == table[2:6]
    rehearsed = hook.submit([], entity="agent", validate_only=True)
    text = README.read_text().partition("With `validate_only=True` nothing is sent")[2].partition("\n## ")[0]
    assert set(rehearsed) - {"entity"} <= set(re.findall(r"`(\w+)`", text))


def test_the_words_of_the_policy_are_the_codes() -> None:
    """The choices and numbers that the README gives for what may be rejected are those of the code."""
    text = README.read_text()
    for choice in ("raise", "exclude", "attributes", "succeed", "skip", "fail"):
        assert f"`{choice}`" in text
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
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_the_options_of_the_simulator_exist() -> None:
    """Each option that the README names is one of the command's, and its example of a fault is taken."""
    text = README.read_text()
    section = text.partition("## Without ASAPP")[2].partition("\n## ")[0]
    known = {option for action in _parser()._actions for option in action.option_strings}
    assert set(re.findall(r"--[a-z][\w-]+", section)) <= known
    fault = re.search(r"--fault '(.+?)'", section)
    assert fault
    assert _parser().parse_args(["--port", "0", "--fault", fault[1]]).fault[0].status == 503


def test_the_simulator_says_what_the_readme_shows() -> None:
    """The connection that it prints is the one that the README shows for its default keys."""
    with Simulator() as simulator:
        keys = f'"login": "{simulator.api_id}", "password": "{simulator.api_secret}"'
    assert keys in README.read_text()


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
