"""The house's own rules: which room may know which, and what importing one costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_asapp

PACKAGE = Path(airflow_provider_asapp.__file__).parent
REPOSITORY = Path(__file__).parents[1]
# From the bottom up: a module may import those that stand before it.
CORE = (
    *("errors", "coercion", "fields", "list_fields", "schemas"),
    *("rejects", "pages", "mapping", "columns", "event_ids", "validation", "files"),
    *("policy", "pacing", "transport", "answers", "client"),
    *("accounting", "checkpoint", "isolation", "resume", "window", "outcomes", "rehearsal", "submission"),
)
EDGE = (
    *("provider_info", "compat", "stores", "connections", "hooks"),
    *("assets", "seen", "lineage", "operators", "sql", "transfers"),
)
ALONE = ("__init__",)
# Seconds of import time that no DAG file should pay.
HEAVY = ("requests", "marshmallow", "jsonschema", "sqlparse", "pandas", "openlineage", "statsd")


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports anywhere, also inside functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join([*([relative(path, node.level)] if node.level else []), *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


def relative(path: Path, level: int) -> str:
    """Return the package that a relative import starts from."""
    return ".".join(path.relative_to(PACKAGE.parent).parts[:-level])


def loaded_by(statement: str, *, on_top_of: str = "") -> set[str]:
    """Return what a statement adds to `sys.modules` of a new process, beyond what another one has put there."""
    code = f"import sys\n{on_top_of}\nbefore = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def modules_of(names: set[str], *packages: str) -> set[str]:
    """Return those that are one of the packages, or in one."""
    return {name for name in names if name.partition(".")[0] in packages or name in packages}


def test_every_module_has_its_place() -> None:
    """No module is outside of the picture, and each has a docstring."""
    files = {path.stem: path for path in PACKAGE.glob("*.py")}
    assert set(files) == {*CORE, *EDGE, *ALONE}
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("name", [*CORE, *EDGE, *ALONE])
def test_arrows_point_one_way(name: str) -> None:
    """A module imports only what stands before it."""
    order = [*CORE, *EDGE]
    before = set(order[: order.index(name)] if name in order else [])
    own = {
        known.split(".")[1] for known in imports(PACKAGE / f"{name}.py") if known.startswith("airflow_provider_asapp.")
    }
    assert own <= before


def test_core_names_no_airflow() -> None:
    """No module of the core, nor of the simulator, imports Airflow, not even inside a function or for types."""
    for path in [*(PACKAGE / f"{name}.py" for name in CORE), *(PACKAGE / "simulator").rglob("*.py")]:
        assert not modules_of(imports(path), "airflow"), path


def test_core_loads_no_airflow() -> None:
    """Importing the whole core and the simulator really loads no Airflow."""
    names = [*CORE, "simulator", "simulator.__main__"]
    assert not modules_of(loaded_by("\n".join(f"import airflow_provider_asapp.{name}" for name in names)), "airflow")


def test_simulator_stands_apart() -> None:
    """The simulator judges by the contract: it shares no code with what it judges, nor the reverse."""
    for path in (PACKAGE / "simulator").rglob("*.py"):
        own = {known for known in imports(path) if known.startswith("airflow_provider_asapp.")}
        assert all(known.startswith("airflow_provider_asapp.simulator") for known in own), path
        assert not modules_of(imports(path), "marshmallow"), path
    for name in (*CORE, *EDGE, *ALONE):
        assert not any("simulator" in known for known in imports(PACKAGE / f"{name}.py")), name


def test_provider_info_loads_nothing() -> None:
    """What Airflow loads in each of its processes imports nothing but the standard library."""
    loaded = loaded_by("from airflow_provider_asapp.provider_info import get_provider_info\nget_provider_info()")
    ours = {"airflow_provider_asapp", "airflow_provider_asapp.provider_info"}
    assert {name.partition(".")[0] for name in loaded - ours} <= set(sys.stdlib_module_names)


def test_parsing_a_dag_is_cheap() -> None:
    """On top of Airflow's `BaseOperator`, importing all operators loads a handful of small modules, none heavy."""
    base = "from airflow.providers.common.compat.sdk import BaseOperator"
    added = loaded_by("import airflow_provider_asapp.operators, airflow_provider_asapp.transfers", on_top_of=base)
    # Airflow itself has loaded the package by then, for the provider info.
    expected = {f"airflow_provider_asapp.{name}" for name in ("errors", "operators", "policy", "transfers")}
    assert modules_of(added, "airflow_provider_asapp") <= {"airflow_provider_asapp", *expected}
    assert not modules_of(added, *HEAVY, "sqlalchemy")
    of_providers = ("airflow.providers.common.sql", "airflow.providers.openlineage")
    assert not {name for name in modules_of(added, "airflow") if name.startswith(of_providers)}


def test_an_asset_is_cheap() -> None:
    """What Airflow imports for the first asset of a DAG file is one small module."""
    base = "from airflow.providers.common.compat.sdk import Asset"
    added = loaded_by("import airflow_provider_asapp.assets", on_top_of=base)
    assert {name for name in added if name not in sys.stdlib_module_names} <= {
        "airflow_provider_asapp",
        "airflow_provider_asapp.assets",
    }


def test_edge_needs_no_airflow_of_today() -> None:
    """What is imported from Airflow at the head of a module comes from where both Airflow 2.11 and 3 have it."""
    allowed = ("airflow.providers.common.compat.", "airflow.providers.common.sql", "airflow.providers.standard")
    allowed += ("airflow.providers.openlineage",)
    for name in set(EDGE) - {"compat"}:
        known = modules_of(imports(PACKAGE / f"{name}.py"), "airflow")
        assert all(module.startswith(allowed) for module in known), name


def test_nothing_beside_the_repository() -> None:
    """No file of ours reads or names what lies beside the repository: a clone is all that anyone has."""
    beside = "../" + "shared"
    for folder in (PACKAGE, *(REPOSITORY / name for name in ("dags_examples", "tests", "benchmarks", "docs"))):
        for path in folder.rglob("*"):
            if path.suffix in {".py", ".md", ".sql", ".json", ".html"}:
                text = path.read_text()
                assert beside not in text, path
                assert "/work" + "/" not in text, path
