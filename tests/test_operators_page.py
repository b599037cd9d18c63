"""`docs/operators.md` must be so: its parameters are those of the code, and its examples run."""

from __future__ import annotations

import dataclasses
import inspect
import re
import runpy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_asapp import hooks, operators, transfers
from airflow_provider_asapp.accounting import Counts
from airflow_provider_asapp.simulator import Simulator
from tests.airflow_runs import run
from tests.documents import OPERATORS_PAGE, README, blocks, plain, section, table_behind
from tests.versions import WITH_SDK

if TYPE_CHECKING:
    from airflow.sdk import DAG

BASE = operators.AsappSubmitOperator
OPERATORS = [
    BASE,
    transfers.SqlToAsappMetadataOperator,
    transfers.FileToAsappMetadataOperator,
    operators.AsappMetadataOperator,
]


def own_parameters(operator: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters that an operator adds to those of its base; `entity` it names for type checkers only."""
    found = inspect.signature(inspect.unwrap(operator.__init__)).parameters
    others = {"self", "kwargs"} if operator is BASE else {"self", "kwargs", "entity"}
    return {name: found[name] for name in found if name not in others}


def shown_default(name: str, parameter: inspect.Parameter) -> str:
    """Return a default as the page must show it."""
    if name == "deferrable":
        return "Airflow's `default_deferrable`"
    return "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda one: one.__name__)
def test_the_parameters_are_the_operators(operator: type[Any]) -> None:
    """Exactly the parameters that an operator has, in its order, with their real defaults and daggers."""
    table = table_behind(f"<!-- parameters: {operator.__name__} -->", OPERATORS_PAGE)
    expected = [(name, shown_default(name, found)) for name, found in own_parameters(operator).items()]
    assert [(plain(name), default) for name, default, _, _ in table] == expected
    inherited = set() if operator is BASE else set(BASE.template_fields)
    templated = {plain(name) for name, *_ in table if "†" in name}
    assert templated == set(operator.template_fields) - inherited


def test_all_operators_are_on_the_page() -> None:
    """No operator of the package is missing among those whose parameters are listed, nor in the tables of choice."""
    found = {
        one
        for module in (operators, transfers)
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, BASE)
    }
    assert found == set(OPERATORS)
    names = [one.__name__ for one in OPERATORS[1:]] + ["AsappHook"]
    for document in (OPERATORS_PAGE, README):
        table = table_behind("<!-- operators -->", document)
        assert [re.search(r"`(\w+)`", use)[1] for _, use, _ in table] == names  # type: ignore[index]
        for _, use, module in table:
            assert hasattr(
                {"hooks": hooks, "operators": operators, "transfers": transfers}[plain(module).split(".")[1]],
                re.search(r"`(\w+)`", use)[1],
            )  # type: ignore[index]


def test_the_hook_takes_the_same_parameters() -> None:
    """Those of the operators, but for two, with the same defaults; and those of its own table."""
    submit = inspect.signature(hooks.AsappHook.submit).parameters
    shared = own_parameters(BASE)
    assert set(shared) - set(submit) == {"asapp_conn_id", "on_empty", "deferrable"}
    assert all(submit[name].default == shared[name].default for name in shared if name in submit)
    own = [(name, f"`{submit[name].default!r}`") for name in submit if name not in {"self", "records", *shared}]
    table = table_behind("<!-- parameters: submit -->", OPERATORS_PAGE)
    assert [(plain(name), default) for name, default, _, _ in table] == own


def test_the_methods_of_the_hook_are_listed() -> None:
    """Exactly the public methods that the hook itself defines."""
    methods = {name for name, found in vars(hooks.AsappHook).items() if inspect.isfunction(found) and name[0] != "_"}
    assert {plain(name) for name, _ in table_behind("<!-- methods -->", OPERATORS_PAGE)} == methods


def test_the_report_is_the_real_one(asapp: Simulator) -> None:
    """Exactly its keys, in its order, and the outcomes among them; those of a rehearsal are named too."""
    hook = hooks.AsappHook()
    table = [plain(name) for name, _ in table_behind("## The report", OPERATORS_PAGE)]
    assert list(hook.submit([{"externalAgentId": "a"}], entity="agent")) == table
    assert [field.name for field in dataclasses.fields(Counts)] == table[2:6]
    rehearsed = hook.submit([], entity="agent", validate_only=True)
    named = re.findall(r"`(\w+)`", section("## A rehearsal", OPERATORS_PAGE).partition("```")[0])
    assert set(rehearsed) - {"entity"} <= set(named)


@pytest.fixture
def surroundings(tmp_path: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what the examples take for granted: the table `agents`, and a folder with CSV files."""
    database = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE agents (id INTEGER, name TEXT, office TEXT)")
        db.executemany(
            "INSERT INTO agents VALUES (?, ?, ?)", [(1, "Ada", "Austin"), (2, "Léo", "Lyon"), (3, "Bo", "Lyon")]
        )
        db.commit()
    connect("warehouse", conn_type="sqlite", host=str(database))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "today.csv").write_text("chat;platform;mood\nc-1;ios;good\nc-2;web;\n")
    monkeypatch.setenv("AIRFLOW_VAR_INBOX", (tmp_path / "inbox").as_uri())


@WITH_SDK
def test_the_examples_run(asapp: Simulator, dag: DAG, surroundings: None, tmp_path: Path) -> None:
    """All blocks of the page, one after the other in one DAG: each task delivers what it should, mapped ones too."""
    page = tmp_path / "examples.py"
    page.write_text("\n".join(blocks(OPERATORS_PAGE, "python")))
    with dag:
        runpy.run_path(str(page))
    ended = run(dag)

    assert {state for state, _ in ended.tasks.values()} == {"success"}
    read = {(task_id, at): ended.xcom(task_id, at)["read"] for task_id, at in ended.tasks if task_id != "customers"}
    assert read == {
        ("push_agents", -1): 3,
        ("push_offices", 0): 1,
        ("push_offices", 1): 2,
        ("push_files", -1): 2,
        ("push_customers", -1): 1,
        ("push_roster", -1): 2500,
        ("rehearse_agents", -1): 3,
    }
    assert len(asapp.ledger.held("agent")) == 2500
    assert asapp.ledger.held("conversation")["c-1"]["attributes"] == [{"name": "mood", "value": "good"}]
    assert len(asapp.ledger.held("customer")) == 1
