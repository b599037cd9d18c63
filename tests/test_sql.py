"""Reading a query's result a page at a time: real SQLite, by SQLAlchemy's engine and by the driver's cursor."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from sqlalchemy.exc import ArgumentError

from airflow_provider_asapp.errors import AsappConfigurationError, AsappQueryError, AsappSourceError
from airflow_provider_asapp.sql import PAGE_ROWS, engine_of, hook_of, one_statement, stream, told

Connect = Callable[..., None]


@pytest.fixture
def warehouse(connect: Connect, tmp_path: Path, way: str) -> Path:
    """Give an SQLite database with 2500 conversations; the connection `warehouse` leads to it."""
    path = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE chats (id INTEGER, campaign TEXT)")
        db.executemany("INSERT INTO chats VALUES (?, ?)", [(n, f"spring-{n % 3}") for n in range(1, 2501)])
    connect("warehouse", conn_type="sqlite", host=str(path))
    return path


@pytest.fixture(params=["engine", "cursor"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read in both ways: `cursor` is that of a hook which has no SQLAlchemy engine."""

    def no_engine(*_: Any) -> None:
        raise NotImplementedError

    if request.param == "cursor":
        monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", no_engine)
    return str(request.param)


def rows(statement: str, parameters: Any = None, **arguments: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a statement in the warehouse."""
    with closing(stream(hook_of("warehouse"), statement, parameters, **arguments)) as pages:
        return [tuple(row) for page in pages for row in page.rows]


def test_way(warehouse: Path, way: str) -> None:
    """These tests read in the way that they say."""
    engine = engine_of(hook_of("warehouse"))
    assert (engine is not None) == (way == "engine")
    if engine:
        engine.dispose()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'psycopg'"), "No module named 'psycopg'"),
        (ArgumentError("Could not parse URL from string 'x://me:hidden-word@db'"), "ArgumentError"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_without_an_engine_the_log_says_why(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    """Who wonders why a task takes so much memory finds that its rows come by the driver's cursor, and why."""

    def no_engine(*_: Any) -> None:
        raise error

    caplog.set_level(logging.INFO, "airflow_provider_asapp")
    connect("warehouse", conn_type="sqlite", host=":memory:")
    monkeypatch.setattr(SqliteHook, "get_sqlalchemy_engine", no_engine)
    assert rows("SELECT 1") == [(1,)]
    assert caplog.messages[0].startswith(f"SqliteHook has no SQLAlchemy engine ({reason}): reading with the driver's")
    assert "hidden-word" not in caplog.text


def test_pages(warehouse: Path) -> None:
    """Rows come in order, in pages of at most 1000, each with the query's own column names."""
    with closing(stream(hook_of("warehouse"), "SELECT id, campaign AS Kampagne FROM chats ORDER BY id", None)) as pages:
        got = list(pages)
    assert {page.columns for page in got} == {("id", "Kampagne")}
    assert [len(page.rows) for page in got if page.rows] == [PAGE_ROWS, PAGE_ROWS, 500]
    assert [row[0] for page in got for row in page.rows] == list(range(1, 2501))


def test_no_rows(warehouse: Path) -> None:
    """A result without rows still says its columns, so that a wrong query shows on an empty day."""
    with closing(stream(hook_of("warehouse"), "SELECT id FROM chats WHERE 0", None)) as pages:
        assert [(page.columns, list(page.rows)) for page in pages] == [(("id",), [])]


@pytest.mark.parametrize(
    ("statement", "parameters", "count"),
    [
        ("SELECT id FROM chats WHERE campaign LIKE 'spring%'", None, 2500),
        ("SELECT id FROM chats WHERE campaign LIKE 'spring%'", {}, 2500),
        ("SELECT id FROM chats WHERE campaign LIKE 'spring%' AND id > ?", [2490], 10),
        ("SELECT id FROM chats WHERE id > ? AND campaign LIKE ?", (2490, "%-1"), 4),
        ("SELECT id FROM chats WHERE id > :least AND campaign LIKE :like", {"least": 2490, "like": "%-1"}, 4),
        ("SELECT id FROM chats WHERE campaign = 'a:b' OR id = 1 -- ? %s :x", None, 1),
    ],
)
def test_parameters(warehouse: Path, statement: str, parameters: Any, count: int) -> None:
    """Parameters by position and by name reach the driver; percent and colon in the statement are its own."""
    assert len(rows(statement, parameters)) == count


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch, warehouse: Path) -> list[int]:
    """Let SQL call `produced(n)`, and list what it was called with."""
    called: list[int] = []
    connect = sqlite3.connect

    def counting(*arguments: Any, **named: Any) -> sqlite3.Connection:
        db = connect(*arguments, **named)
        db.create_function("produced", 1, lambda n: called.append(n) or n)
        return db

    monkeypatch.setattr(sqlite3, "connect", counting)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", counting)
    return called


SERIES = (
    "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 50000) SELECT produced(n) AS n FROM s"
)


def test_rows_come_as_they_are_asked_for(produced: list[int]) -> None:
    """The database has never produced more than a page ahead, and nothing more once the reader stops."""
    with closing(stream(hook_of("warehouse"), SERIES, None)) as pages:
        for page in pages:
            ahead = len(produced) - (page.rows[-1][0] if page.rows else 0)
            assert ahead <= PAGE_ROWS
            if len(produced) > 5000:
                break
    assert len(produced) <= 5000 + 2 * PAGE_ROWS


def test_connection_is_given_back(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the reader ends or breaks off, no connection stays open."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noting(*arguments: Any, **named: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noting)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", noting)
    rows("SELECT id FROM chats")
    with closing(stream(hook_of("warehouse"), "SELECT id FROM chats", None)) as pages:
        next(pages)
    with pytest.raises(AsappQueryError):
        rows("SELECT nothing FROM chats")
    assert len(opened) == 3
    for db in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            db.execute("SELECT 1")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT chat_nr FROM chats", "OperationalError: no such column: chat_nr"),
        ("SELECT id FROM chat", "OperationalError: no such table: chat"),
        ("SELECT id FORM chats", 'near "chats": syntax error'),
        ("SELECT id FROM chats WHERE id = ?", "Error"),
    ],
)
def test_refused_statement(warehouse: Path, statement: str, says: str) -> None:
    """A statement that the database refuses gives one line with the database's own words."""
    with pytest.raises(AsappQueryError) as caught:
        rows(statement)
    assert str(caught.value).startswith("The warehouse's query failed: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_unreachable_database(connect: Connect, way: str) -> None:
    """A database that can't be reached gives one line, which Airflow's retries apply to."""
    connect("warehouse", conn_type="sqlite", host="/no/such/folder/warehouse.db")
    with pytest.raises(AsappQueryError, match="OperationalError: unable to open database file"):
        rows("SELECT 1")


def test_error_in_the_middle_quotes_no_row(warehouse: Path) -> None:
    """When reading breaks off at a row, the message leaves out what the database quotes of it."""
    with closing(sqlite3.connect(warehouse)) as db, db:
        db.execute("UPDATE chats SET campaign = CAST(x'4a6f73e92d4d61727961' AS TEXT) WHERE id = 1500")
    with pytest.raises(AsappQueryError, match="Could not decode") as caught:
        rows("SELECT id, campaign FROM chats ORDER BY id")
    assert "'campaign'" in str(caught.value)
    assert "Jos" not in str(caught.value)
    assert "Marya" not in str(caught.value)


@pytest.mark.parametrize("statement", ["UPDATE chats SET id = 0", "DELETE FROM chats", "CREATE TABLE other (id)"])
def test_no_query(warehouse: Path, statement: str) -> None:
    """A statement that is no query is refused, not taken for an empty result; what it changed is not kept."""
    with pytest.raises(AsappConfigurationError, match="sql must be a query"):
        rows(statement)
    assert len(rows("SELECT id FROM chats WHERE id > 0")) == 2500


def test_needed_columns(warehouse: Path) -> None:
    """Columns that a `field_map` names are there in whatever case, or missing ones are named, also without rows."""
    assert rows("SELECT id FROM chats WHERE id = 1", needed=["ID"]) == [(1,)]
    with pytest.raises(AsappSourceError, match="no column for: chat_id, team"):
        rows("SELECT id FROM chats WHERE 0", needed=["chat_id", "id", "team"])


def test_hook_of_another_kind(connect: Connect) -> None:
    """A connection that is not one of a SQL database is refused by name and type."""
    connect("warehouse", conn_type="asapp", login="id", password="secret")
    with pytest.raises(AsappConfigurationError, match="connection warehouse of type asapp is not one of a SQL"):
        hook_of("warehouse")


@pytest.mark.parametrize("conn_type", ["oracle", "generic", "no_such_thing", ""])
def test_provider_not_installed(connect: Connect, conn_type: str) -> None:
    """Without the database's provider the message says what is missing, and no secret."""
    connect("warehouse", conn_type=conn_type, host="db.example", login="me", password="hidden-word")
    with pytest.raises(AsappConfigurationError, match="is the provider of this database installed") as caught:
        hook_of("warehouse")
    assert "hidden-word" not in str(caught.value)


def test_missing_connection() -> None:
    """A connection that is not defined is named."""
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        hook_of("nowhere")


def test_hook_params(warehouse: Path) -> None:
    """`sql_hook_params` are arguments of the hook."""
    assert hook_of("warehouse", {"log_sql": False}).log_sql is False
    assert hook_of("warehouse").log_sql is True


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        ("SELECT 1", "SELECT 1"),
        (" SELECT 1 ; \r\n", "SELECT 1"),
        ("SELECT 1;;", "SELECT 1"),
        ("SELECT 1; -- the day's", "SELECT 1"),
        ("SELECT 1;\n-- the day's; all\n/* of them */\n", "SELECT 1"),
        ("-- the day's; all\nSELECT 1;", "-- the day's; all\nSELECT 1"),
        ("SELECT ';' AS a; ", "SELECT ';' AS a"),
        ("SELECT a # b", "SELECT a # b"),
        (
            "WITH a AS (SELECT 1) SELECT CASE WHEN 1 THEN 2 END FROM a;",
            "WITH a AS (SELECT 1) SELECT CASE WHEN 1 THEN 2 END FROM a",
        ),
    ],
)
def test_one_statement(sql: str, statement: str) -> None:
    """A statement comes without its semicolon and what comments follow it, and is otherwise left as it is."""
    assert one_statement(sql) == statement


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("", "it holds none"),
        (" \n;;", "it holds none"),
        ("-- nothing", "it holds none"),
        ("SELECT 1; SELECT 2", "it holds 2"),
        ("BEGIN; SELECT 1; END", "it holds 3"),
        (["SELECT 1"], "sql is a list: it must be one statement"),
        (None, "sql is a NoneType"),
    ],
)
def test_not_one_statement(sql: Any, says: str) -> None:
    """None, two, or something else than a text is refused and counted."""
    with pytest.raises(AsappConfigurationError, match=says):
        one_statement(sql)


def wrapped(*arguments: Any) -> Exception:
    """Return a driver's error as SQLAlchemy hands it on."""
    error = Exception("SELECT ... [parameters: ('Jane',)]")
    error.orig = type("DataError", (Exception,), {})(*arguments)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (['invalid input syntax for type integer: "Jane"\nLINE 1: SELECT'], "invalid input syntax for type integer: …"),
        (['column "nope" does not exist\nDETAIL: (Jane)'], 'column "nope" does not exist'),
        (["Bad int64 value: Jane"], "Bad int64 value: …"),
        (["Bad int64 value: New York"], "Bad int64 value: …"),
        ([1054, "Unknown column 'nope' in 'field list'"], "1054 Unknown column 'nope' in …"),
        ([1292, "Truncated incorrect DOUBLE value: 'Jane'"], "1292 Truncated incorrect DOUBLE value: …"),
        (["1054 (42S22): Unknown column 'nope' in 'field list'"], "1054 (42S22): Unknown column 'nope' in …"),
        (
            ["000904 (42000): SQL compilation error: error line 1 at position 7\ninvalid identifier 'NOPE'"],
            "000904 (42000): SQL compilation error: error line 1 at position 7 invalid identifier 'NOPE'",
        ),
        (
            ["002003 (42S02): SQL compilation error:\nObject 'T' does not exist."],
            "002003 (42S02): SQL compilation error: Object 'T' does not exist.",
        ),
        (["Could not decode to UTF-8 column 'nope' with text 'O'Brien 5550100'"], "Could not decode to UTF-8 column …"),
        (['invalid input syntax for type integer: "5" pipe for Jane Doe"'], "invalid input syntax for type integer: …"),
        (["Numeric value 'O'Brien' is not recognized"], "Numeric value …"),
        (
            ["Invalid Input Error: Required module 'pytz' failed to import:\nNo module named 'pytz'"],
            "Invalid Input Error: Required module 'pytz' failed to import: No module named 'pytz'",
        ),
        (['ORA-00904: "NOPE": invalid identifier'], 'ORA-00904: "NOPE": …'),
        ([], ""),
    ],
)
def test_told(arguments: list[Any], text: str) -> None:
    """Of a database's message all is shown but what could be a row's; what the statement says itself is none."""
    assert told(wrapped(*arguments), "SELECT nope FROM t") == f"DataError: {text}"


def test_told_before_any_statement() -> None:
    """Why a database can't be reached is shown: there is no row yet that it could quote. Names stay hidden."""
    text = 'connection to server at "10.0.0.7", port 5432 failed: Connection refused\n\tIs the server running there?'
    assert told(wrapped(text)) == (
        "DataError: connection to server at …, port 5432 failed: Connection refused Is the server running there?"
    )
