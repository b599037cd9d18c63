"""From a warehouse to ASAPP and nothing between: real SQLite, real Airflow, a simulator over HTTP."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_asapp.errors import AsappQueryError
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator
from tests.airflow_runs import run, tables_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

Connect = Callable[..., None]
SQL = "SELECT chat_id AS external_conversation_id, campaign FROM chats ORDER BY row"


@pytest.fixture
def warehouse(connect: Connect, tmp_path: Path) -> Path:
    """Give an SQLite database with 1500 good conversations; the connection `warehouse` leads to it."""
    path = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE chats (row INTEGER PRIMARY KEY, chat_id, campaign TEXT)")
        db.executemany("INSERT INTO chats VALUES (?, ?, ?)", [(n, n, "spring") for n in range(1, 1501)])
    connect("warehouse", conn_type="sqlite", host=str(path))
    return path


def change(path: Path, sql: str, *parameters: Any) -> None:
    """Change the warehouse."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, parameters)


def operator(**arguments: Any) -> SqlToAsappMetadataOperator:
    """Return a transfer of all conversations of the warehouse, if nothing else is said."""
    given = {"task_id": "push", "entity": "conversation", "sql": SQL, "sql_conn_id": "warehouse", "retries": 2}
    return SqlToAsappMetadataOperator(**(given | arguments))


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the counts that matter here."""
    return report["read"], report["accepted"], report["invalid"], report["requests"]


def test_every_row_arrives(asapp: Simulator, warehouse: Path, dag: DAG) -> None:
    """Each row of the result is a record at ASAPP, with its columns' values; the report goes to XCom."""
    with dag:
        operator()
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 1)}
    assert counts(ended.xcom("push")) == (1500, 1500, 0, 2)
    held = asapp.ledger.held("conversation")
    assert set(held) == {str(n) for n in range(1, 1501)}
    assert {item["campaign"] for item in held.values()} == {"spring"}


def test_without_an_engine(asapp: Simulator, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook without a SQLAlchemy engine serves as well."""

    def no_engine(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", no_engine)
    report = operator(sql=f"{SQL} LIMIT ?", parameters=[1200]).execute({})
    assert counts(report) == (1200, 1200, 0, 2)


def test_templated_file(asapp: Simulator, warehouse: Path, dag: DAG) -> None:
    """A `.sql` file is rendered by Airflow, and so are parameters, connection ids and the folder of the rejects."""
    (warehouse.parent / "chats.sql").write_text(f"{SQL.replace('chats', '{{ params.table }}')} LIMIT :most;\n-- end\n")
    dag.template_searchpath = [str(warehouse.parent)]
    with dag:
        operator(
            sql="chats.sql",
            parameters={"most": "{{ params.most }}"},
            sql_conn_id="{{ params.source }}",
            params={"table": "chats", "most": 7, "source": "warehouse"},
        )
    assert counts(run(dag).xcom("push")) == (7, 7, 0, 1)


def test_mapped_over_partitions(asapp: Simulator, warehouse: Path, dag: DAG) -> None:
    """Mapped over parameters, each task sends its part."""
    with dag:
        SqlToAsappMetadataOperator.partial(
            task_id="push",
            entity="conversation",
            sql_conn_id="warehouse",
            sql=SQL.replace("ORDER", "WHERE row % 3 = ? ORDER"),
        ).expand(parameters=[[0], [1], [2]])
    ended = run(dag)
    assert [counts(ended.xcom("push", index)) for index in range(3)] == [(500, 500, 0, 1)] * 3
    assert len(asapp.ledger.held("conversation")) == 1500


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "", "-- nothing", ["SELECT 1"], "DELETE FROM chats"])
def test_wrong_sql_is_not_retried(asapp: Simulator, warehouse: Path, sql: Any) -> None:
    """Two statements, none, a list or no query fail at once, and nothing is sent."""
    with pytest.raises(AirflowFailException, match=r"^sql "):
        operator(sql=sql).execute({})
    assert not asapp.ledger.requests


def test_query_errors_are_retried(asapp: Simulator, warehouse: Path, dag: DAG) -> None:
    """A statement that the database refuses leaves `execute` as a retryable error: the table may come back."""
    with dag:
        operator(sql=SQL.replace("chats", "chats_of_today"), retries=1, retry_delay=timedelta(0))
    assert run(dag).tasks == {("push", -1): ("failed", 2)}
    with pytest.raises(AsappQueryError, match="no such table: chats_of_today"):
        operator(sql=SQL.replace("chats", "chats_of_today")).execute({})


def test_logs_of_a_query_error(
    asapp: Simulator,
    warehouse: Path,
    dag: DAG,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """When reading breaks off, neither message nor traceback hold a row's value, and what was sent stays accounted."""
    caplog.set_level(logging.DEBUG)
    mark = uuid4().hex
    change(warehouse, "UPDATE chats SET campaign = CAST(? AS TEXT) WHERE row = 1400", f"{mark}é".encode("latin-1"))
    with dag:
        operator(retries=0)
    assert run(dag).state == "failed"
    logged = caplog.text + "".join(capfd.readouterr())
    assert "Could not decode to UTF-8 column 'campaign'" in logged
    assert mark not in logged
    assert tables_with(mark) == set()


def test_other_connections(asapp: Simulator, connect: Connect) -> None:
    """A source that is no SQL database, has no provider, or is not defined: one clear sentence, nothing sent."""
    connect("oracle", conn_type="oracle", host="db", password="hidden-word")
    with pytest.raises(AirflowFailException, match="connection asapp_default of type asapp is not one of a SQL"):
        operator(sql_conn_id="asapp_default").execute({})
    with pytest.raises(AirflowFailException, match="provider of this database installed") as caught:
        operator(sql_conn_id="oracle").execute({})
    assert "hidden-word" not in str(caught.value)
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        operator(sql_conn_id="nowhere").execute({})
    assert not asapp.ledger.requests


@pytest.mark.parametrize("where", ["1", "0"])
def test_misspelt_column(asapp: Simulator, warehouse: Path, where: str) -> None:
    """A column that is no field fails before anything is sent, on an empty day too, and says what it may mean."""
    sql = f"SELECT chat_id AS externl_conversation_id FROM chats WHERE {where}"
    with pytest.raises(AirflowFailException, match=r"externl_conversation_id.*did you mean externalConversationId"):
        operator(sql=sql).execute({})
    assert not asapp.ledger.requests


def test_field_map(asapp: Simulator, warehouse: Path) -> None:
    """`field_map` gives the query's own names, in any case, their meaning."""
    mapped = operator(sql="SELECT chat_id FROM chats LIMIT 3", field_map={"CHAT_ID": "externalConversationId"})
    assert counts(mapped.execute({})) == (3, 3, 0, 1)


def test_field_map_names_what_is_not_there(asapp: Simulator, warehouse: Path) -> None:
    """A name in `field_map` that the query has no column for is refused before anything is sent."""
    with pytest.raises(AirflowFailException, match="field_map names what the query has no column for: chat_number"):
        operator(field_map={"chat_number": "externalConversationId"}).execute({})
    assert not asapp.ledger.requests


@pytest.mark.parametrize(
    ("unknown", "attributes"), [("exclude", None), ("attributes", [{"name": "row", "value": "1"}])]
)
def test_unknown_columns(asapp: Simulator, warehouse: Path, unknown: Any, attributes: Any) -> None:
    """A column that is no field is left out, or sent as a name/value pair, where that is asked for."""
    sql = "SELECT row, chat_id AS externalConversationId FROM chats ORDER BY row LIMIT 1"
    operator(sql=sql, unknown=unknown).execute({})
    assert asapp.ledger.held("conversation")["1"].get("attributes") == attributes
    with pytest.raises(AirflowFailException, match="column 'row' is no field"):
        operator(sql=sql).execute({})


def test_column_given_twice(asapp: Simulator, warehouse: Path) -> None:
    """Two columns that mean the same field are refused before anything is sent."""
    with pytest.raises(AirflowFailException, match="more than one column"):
        operator(sql="SELECT chat_id AS external_conversation_id, row AS externalConversationId FROM chats").execute({})
    with pytest.raises(AirflowFailException, match="more than one column"):
        operator(sql="SELECT chat_id AS externalConversationId, row AS externalConversationId FROM chats").execute({})
    assert not asapp.ledger.requests


def test_no_rows(asapp: Simulator, warehouse: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A result without rows is a success that says so, without a request."""
    caplog.set_level(logging.INFO, "airflow_provider_asapp")
    assert counts(operator(sql=SQL.replace("ORDER", "WHERE 0 ORDER")).execute({})) == (0, 0, 0, 0)
    assert "The source holds no conversation: nothing to send." in caplog.messages


def test_positions_are_row_numbers(asapp: Simulator, warehouse: Path) -> None:
    """A rejected record's position is the number of its row in the result, across pages."""
    change(warehouse, "UPDATE chats SET campaign = 'not so' WHERE row IN (3, 1000, 1001, 1499)")
    rejects = warehouse.parent / "rejects"
    report = operator(max_rejected=4, rejects_path=str(rejects)).execute({})
    assert counts(report) == (1500, 1496, 4, 2)
    lines = [json.loads(line) for path in sorted(rejects.iterdir()) for line in path.read_text().splitlines()]
    assert [(line["position"], line["key"]) for line in lines] == [(n, str(n)) for n in (3, 1000, 1001, 1499)]


def test_rows_are_not_loaded_at_once(asapp: Simulator, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the result, the database is never much further ahead of ASAPP than the window in flight."""
    ahead: list[int] = []
    connect = sqlite3.connect

    def produced(number: int) -> int:
        if number % 500 == 0:
            ahead.append(number - asapp.ledger.counts()["accepted"])
        return number

    def counting(*arguments: Any, **named: Any) -> sqlite3.Connection:
        db = connect(*arguments, **named)
        db.create_function("produced", 1, produced)
        return db

    monkeypatch.setattr(sqlite3.dbapi2, "connect", counting)
    series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 12000)"
    sql = f"{series} SELECT produced(n) AS externalConversationId FROM s"
    report = operator(sql=sql, batch_size=500, max_in_flight=2).execute({})
    assert counts(report)[:3] == (12000, 12000, 0)
    assert len(ahead) == 24
    # Two batches in flight, one that is ready, one page that is being read, and one that the driver may hold.
    assert max(ahead) <= 3 * 500 + 2 * 1000
