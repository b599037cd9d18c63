"""From real warehouses to ASAPP: a PostgreSQL server with both of its drivers, and DuckDB; types as they come."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook

from airflow_provider_asapp.errors import AsappQueryError, AsappStopped
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.sql import PAGE_ROWS, engine_of, hook_of, stream
from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator
from tests.airflow_runs import run
from tests.postgres import Server, postgres_server

if TYPE_CHECKING:
    from airflow.sdk import DAG

Connect = Callable[..., None]

# What the provider reads with: psycopg 3, also psycopg2 if the connection asks for it (provider 7.1 and later).
# Airflow 2.11 comes with SQLAlchemy 1.4, which knows psycopg2 alone.
DRIVERS = ["psycopg", "psycopg2"] if hasattr(PostgresHook, "sqlalchemy_scheme") else ["psycopg"]
if version("sqlalchemy").startswith("1."):
    DRIVERS = ["psycopg2"]
SCHEMA = """
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('vip', 'new');
CREATE TYPE pair AS (name text, value text);
CREATE TABLE chats AS SELECT n AS id, 'spring-' || n % 3 AS campaign FROM generate_series(1, 2500) n;
CREATE TABLE salaries (name text);
REVOKE ALL ON salaries FROM reader;
CREATE SEQUENCE losses;
GRANT USAGE ON losses TO reader;
CREATE FUNCTION lose_connection(n integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    -- A sequence remembers, also what happened in a session that broke off.
    IF nextval('losses') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN n;
END $$;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a PostgreSQL server with 2500 conversations."""
    with postgres_server() as running:
        running.run(SCHEMA)
        yield running


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Read with each of the drivers that the provider may choose."""
    return str(request.param)


@pytest.fixture
def postgres(server: Server, driver: str, connect: Connect) -> Iterator[Server]:
    """Let the connection `warehouse` lead to the server; in the end none may be open, whatever happened."""
    connect("warehouse", **postgres_connection(server, driver))
    yield server
    assert server.sees_all_closed()


def postgres_connection(server: Server, driver: str) -> dict[str, Any]:
    """Return the parts of a connection."""
    scheme = {"sqlalchemy_scheme": f"postgresql+{driver}"}
    return {
        "conn_type": "postgres",
        "host": str(server.socket),
        "login": "reader",
        "schema": "warehouse",
        "extra": scheme,
    }


@pytest.fixture
def duck(tmp_path: Path, connect: Connect) -> Path:
    """Give a DuckDB database with 2500 conversations; the connection `warehouse` leads to it."""
    path = tmp_path / "warehouse.duckdb"
    with closing(duckdb.connect(str(path))) as db:
        db.execute("CREATE TABLE chats AS SELECT n AS id, 'spring-' || n % 3 AS campaign FROM range(1, 2501) r(n)")
    connect("warehouse", conn_type="duckdb", host=str(path))
    return path


def rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Return all rows of a statement in the warehouse."""
    with closing(stream(hook_of("warehouse"), statement, parameters)) as pages:
        return [tuple(row) for page in pages for row in page.rows]


def operator(**arguments: Any) -> SqlToAsappMetadataOperator:
    """Return a transfer of conversations of the warehouse."""
    given = {"task_id": "push", "entity": "conversation", "sql_conn_id": "warehouse"}
    return SqlToAsappMetadataOperator(**(given | arguments))


# --- PostgreSQL: where the result is


def test_driver(postgres: Server, driver: str) -> None:
    """These tests read with the driver that they say."""
    engine = engine_of(hook_of("warehouse"))
    assert engine is not None
    assert engine.driver == driver
    engine.dispose()


def test_cursor_is_on_the_server(postgres: Server) -> None:
    """The server gives a page of rows at a time and waits with the rest, and is left when the reader breaks off."""
    with closing(stream(hook_of("warehouse"), "SELECT generate_series(1, 1000000) AS n", None)) as pages:
        got = [next(pages) for _ in range(3)]
        ((state, statement),) = postgres.sessions()
    assert [len(page.rows) for page in got] == [0, PAGE_ROWS, PAGE_ROWS]
    assert state == "idle in transaction"
    assert statement.startswith("FETCH FORWARD")
    assert postgres.sees_all_closed()


def test_memory_does_not_grow_with_the_result(server: Server, connect: Connect) -> None:
    """A result of 300 MB takes next to no more memory than one of 20 MB, with each driver."""
    wide = "SELECT n, repeat('x', 1000) || n AS text FROM"
    queries = ["duckdb", f"{wide} range({{rows}}) r(n)"]
    connect("duckdb", conn_type="duckdb")
    for driver in DRIVERS:
        queries += [driver, f"{wide} generate_series(1, {{rows}}) n"]
        connect(driver, **postgres_connection(server, driver))
    command = (sys.executable, "-m", "tests.appetite", "300000", *queries)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    growth = json.loads(done.stdout.splitlines()[-1])
    assert set(growth) == {"duckdb", *DRIVERS}
    assert max(growth.values()) < 50e6


# --- PostgreSQL: the transfer


@pytest.mark.parametrize(
    ("sql", "parameters", "count"),
    [
        ("WHERE campaign LIKE 'spring%'", None, 2500),
        ("WHERE campaign LIKE 'spring%%' AND id > %s", [2000], 500),
        ("WHERE campaign LIKE %s AND id > %s", ("%-1", 2400), 34),
        ("WHERE campaign LIKE %(like)s AND id = ANY(%(ids)s)", {"like": "spring%", "ids": [7, 8, 9]}, 3),
        ("WHERE campaign = ':a' OR id = 1 -- %s %(name)s", None, 1),
    ],
)
def test_parameters(postgres: Server, sql: str, parameters: Any, count: int) -> None:
    """A percent sign is doubled only beside parameters, which are the driver's: `%s`, `%(name)s`."""
    assert len(rows(f"SELECT id FROM chats {sql}", parameters)) == count


def test_every_row_arrives(asapp: Simulator, postgres: Server, dag: DAG) -> None:
    """Airflow's task streams the day's rows from the server to ASAPP, and leaves no connection open."""
    with dag:
        operator(
            sql="SELECT id AS external_conversation_id, campaign FROM chats WHERE campaign LIKE %(like)s ORDER BY id",
            parameters={"like": "{{ params.season }}%"},
            params={"season": "spring"},
        )
    report = run(dag).xcom("push")
    assert (report["read"], report["accepted"], report["requests"]) == (2500, 2500, 3)
    held = asapp.ledger.held("conversation")
    assert [held[str(n)]["campaign"] for n in range(1, 2501)] == [f"spring-{n % 3}" for n in range(1, 2501)]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT chat_nr FROM chats", 'UndefinedColumn: column "chat_nr" does not exist'),
        ("SELECT id FROM chat", 'UndefinedTable: relation "chat" does not exist'),
        ("SELECT id FORM chats", 'SyntaxError: syntax error at or near "chats"'),
        ("SELECT name FROM salaries", "InsufficientPrivilege: permission denied for table salaries"),
        ("SELECT campaign::integer FROM chats", "InvalidTextRepresentation: invalid input syntax for type integer: …"),
        ("SELECT 1 / (id - 1500) FROM chats", "DivisionByZero: division by zero"),
        ("DELETE FROM chats", 'SyntaxError: syntax error at or near "DELETE"'),
    ],
)
def test_refused_statement(postgres: Server, statement: str, says: str) -> None:
    """The server's own words reach the log, without the value of a row."""
    with pytest.raises(AsappQueryError) as caught:
        rows(statement)
    assert str(caught.value) == f"The warehouse's query failed: {says}"


def test_unreachable_server(driver: str, server: Server, connect: Connect, tmp_path: Path) -> None:
    """A server that is not there, or that knows no such role, is a warehouse's error, which Airflow retries."""
    there = postgres_connection(server, driver)
    connect("warehouse", **(there | {"host": str(tmp_path)}))
    with pytest.raises(AsappQueryError, match=r"OperationalError: .*No such file"):
        rows("SELECT 1")
    connect("warehouse", **(there | {"login": "stranger"}))
    with pytest.raises(AsappQueryError, match=r"OperationalError: .*does not exist"):
        rows("SELECT 1")


def test_connection_lost(postgres: Server) -> None:
    """A server that ends the session between two pages is a warehouse's error, not the end of the result."""
    with closing(stream(hook_of("warehouse"), "SELECT generate_series(1, 1000000) AS n", None)) as pages:
        assert [len(next(pages).rows) for _ in range(2)] == [0, PAGE_ROWS]
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
        with pytest.raises(AsappQueryError, match="terminat"):
            next(pages)


def test_nothing_is_lost_with_the_connection(asapp: Simulator, postgres: Server, dag: DAG) -> None:
    """When the connection breaks in the middle of a task, Airflow's retry delivers the rest."""
    postgres.run("ALTER SEQUENCE losses RESTART")
    with dag:
        operator(
            sql="SELECT CASE n WHEN 1700 THEN lose_connection(n) ELSE n END AS external_conversation_id "
            "FROM generate_series(1, 2500) n",
            batch_size=100,
            retries=1,
            retry_delay=timedelta(0),
        )
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 2)}
    assert ended.xcom("push")["accepted"] == 2500
    assert set(asapp.ledger.held("conversation")) == {str(n) for n in range(1, 2501)}


def test_a_stop_closes_the_cursor(asapp: Simulator, postgres: Server) -> None:
    """A task that is stopped leaves a result that has not come to its end, and the server's session ends."""
    endless = operator(sql="SELECT generate_series(1, 100000000) AS external_conversation_id")

    def stop() -> None:
        while not asapp.ledger.requests:
            time.sleep(0.01)
        endless.on_kill()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    with pytest.raises(AsappStopped):
        endless.execute({})
    thread.join()
    assert postgres.sees_all_closed()


# --- DuckDB: no engine of SQLAlchemy, a cursor of its own


@pytest.mark.parametrize(
    ("sql", "parameters", "count"),
    [
        ("WHERE campaign LIKE 'spring%'", None, 2500),
        ("WHERE campaign LIKE 'spring%' AND id > ?", [2000], 500),
        ("WHERE campaign LIKE $like AND id > $least", {"like": "%-1", "least": 2400}, 34),
    ],
)
def test_parameters_of_duckdb(duck: Path, sql: str, parameters: Any, count: int) -> None:
    """A percent sign is a percent sign; parameters are DuckDB's: `?`, `$name`."""
    assert engine_of(hook_of("warehouse")) is None
    assert len(rows(f"SELECT id FROM chats {sql}", parameters)) == count


def test_every_row_of_duckdb_arrives(asapp: Simulator, duck: Path) -> None:
    """The transfer reads DuckDB too, a page at a time."""
    report = operator(sql="SELECT id AS external_conversation_id, campaign FROM chats ORDER BY id").execute({})
    assert (report["read"], report["accepted"], report["requests"]) == (2500, 2500, 3)
    held = asapp.ledger.held("conversation")
    assert [held[str(n)]["campaign"] for n in range(1, 2501)] == [f"spring-{n % 3}" for n in range(1, 2501)]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT chat_nr FROM chats", 'BinderException: Binder Error: Referenced column "chat_nr" not found'),
        ("SELECT id FROM chat", "CatalogException: Catalog Error: Table with name chat does not exist!"),
        ("SELECT campaign::INTEGER FROM chats", "ConversionException: Conversion Error: Could not convert string …"),
        ("SELECT error(campaign) FROM chats WHERE id = 2000", "InvalidInputException: Invalid Input Error: …"),
    ],
)
def test_refused_statement_of_duckdb(duck: Path, statement: str, says: str) -> None:
    """DuckDB's own words reach the log, without the value of a row."""
    with pytest.raises(AsappQueryError) as caught:
        rows(statement)
    assert str(caught.value).startswith(f"The warehouse's query failed: {says}")
    assert "spring" not in str(caught.value)


def test_duckdb_is_left_when_the_reader_breaks_off(duck: Path) -> None:
    """The file is free again: while one connection holds it, DuckDB refuses one that only reads."""
    with closing(stream(hook_of("warehouse"), "SELECT n FROM range(1000000) r(n)", None)) as pages:
        assert [len(next(pages).rows) for _ in range(2)] == [0, PAGE_ROWS]
        with pytest.raises(duckdb.ConnectionException):
            duckdb.connect(str(duck), read_only=True)
    duckdb.connect(str(duck), read_only=True).close()


# --- Types: what comes of them at ASAPP. What is no field of ASAPP's, such as `note`, is sent as an attribute here.


class Breaks(str):
    """How the message of the rule begins that a value breaks."""


class By(NamedTuple):
    """What differs between PostgreSQL's drivers."""

    psycopg: Any
    psycopg2: Any


NO_TEXT = Breaks("must be text, a whole number or a UUID (CAST(col AS VARCHAR))")
NO_ITEM = Breaks("item: must be text, a whole number or a UUID")
NO_VALUE = Breaks("attribute value: must be text, a number, a bool")
NO_WHOLE = Breaks("must be a whole number")
NO_ZONE = Breaks("has no time zone (CAST(col AS TIMESTAMP WITH TIME ZONE), or col AT TIME ZONE 'UTC')")
ARRAY = Breaks("is not valid JSON (an array? CAST(col AS TEXT[]))")
UUID = "6b1f0e0c-6a38-4d4f-9a6e-3a5f0b5e9f10"

POSTGRES_TYPES = [
    # Numbers: an id is its digits, a fraction is none.
    ("1038::bigint", "lobId", "1038"),
    ("1038.00::numeric(10, 2)", "lobId", "1038"),
    ("1038::float8", "lobId", "1038"),
    ("12.50::numeric(10, 2)", "lobId", NO_TEXT),
    ("12.50::numeric(10, 2)", "note", "12.50"),
    ("4.2::real", "note", "4.2"),
    ("9007199254740993::bigint", "lobId", "9007199254740993"),
    ("9007199254740993::float8", "lobId", NO_TEXT),  # a float of this size may be another number
    ("12.00::numeric", "concurrency", 12),
    ("2.5::numeric", "concurrency", NO_WHOLE),
    ("15550100199::numeric", "phoneNumber", "15550100199"),
    ("12.5::money", "note", "$12.50"),
    # Nothing
    ("NULL::text", "lobId", None),
    ("NULL::jsonb", "attributes", None),
    ("NULL::text[]", "companySegment", None),
    ("'NaN'::numeric", "lobId", None),
    ("'NaN'::float8", "note", None),
    ("'Infinity'::float8", "note", NO_VALUE),
    ("''::text", "lobId", Breaks("empty text is not allowed (to send nothing: NULLIF(col, ''))")),
    # Text, and what is like it
    ("'web'::citext", "platform", "WEB"),
    ("'vip'::mood", "campaign", "vip"),
    ("'EU1'::char(5)", "lobId", Breaks("only letters, digits and - _ (spaces?")),  # padded: TRIM(col)
    (f"'{UUID}'::uuid", "lobId", UUID),
    ("true", "note", "true"),
    ("true", "lobId", NO_TEXT),
    ("true", "concurrency", NO_WHOLE),
    ("'\\x00ff'::bytea", "lobId", NO_TEXT),
    ("'10.0.0.1'::inet", "lobName", By(psycopg=NO_TEXT, psycopg2="10.0.0.1")),
    # Moments; the server's time zone is Berlin's
    ("timestamptz '2026-03-03 10:15:30.25+02'", "startTs", "2026-03-03T08:15:30.250000Z"),
    ("timestamptz '2026-03-03 10:15:30+02'::text", "startTs", "2026-03-03T08:15:30Z"),
    ("timestamp '2026-03-03 10:15:30'", "startTs", NO_ZONE),
    ("CAST(timestamp '2026-03-03 10:15:30' AS TIMESTAMP WITH TIME ZONE)", "startTs", "2026-03-03T09:15:30Z"),
    ("timestamp '2026-03-03 10:15:30' AT TIME ZONE 'UTC'", "startTs", "2026-03-03T10:15:30Z"),
    ("date '2026-03-03'", "startTs", "2026-03-03T00:00:00Z"),
    ("timestamptz '2026-03-03 10:15:30+02'", "note", "2026-03-03T09:15:30+01:00"),
    ("timestamp '2026-03-03 10:15:30'", "note", "2026-03-03T10:15:30"),
    ("date '2026-03-03'", "note", "2026-03-03"),
    ("time '10:15'", "note", "10:15:00"),
    ("interval '90 minutes'", "note", NO_VALUE),
    # Lists
    ("ARRAY['Consumer', NULL, 'Prepaid']", "companySegment", ["Consumer", "Prepaid"]),
    ("ARRAY['en', 'de-DE']::varchar(20)[]", "languages", ["en", "de-DE"]),
    ("ARRAY[1, 2]", "companySegment", ["1", "2"]),
    (f"ARRAY['{UUID}']::uuid[]", "companySegment", [UUID]),
    ("'{}'::text[]", "companySegment", []),
    ("ARRAY[ARRAY['a'], ARRAY['b']]", "companySegment", NO_ITEM),
    ("ARRAY['vip', 'new']::mood[]", "companySegment", ARRAY),
    ("ARRAY['vip', 'new']::mood[]::text[]", "companySegment", ["vip", "new"]),
    ("ARRAY['Consumer']::citext[]", "companySegment", ARRAY),
    ('\'["Consumer", "Prepaid"]\'::jsonb', "companySegment", ["Consumer", "Prepaid"]),
    ("'\"Consumer\"'::jsonb", "companySegment", ["Consumer"]),
    ("'null'::jsonb", "companySegment", None),
    # Pairs
    ('\'{"csat": 4, "vip": true, "team": null}\'::json', "attributes", {"csat": "4", "vip": "true"}),
    ("'{\"ratio\": 1.10}'::jsonb", "attributes", {"ratio": "1.1"}),  # the drivers make a float of it
    ("'{\"ratio\": 1.10}'::jsonb::text", "attributes", {"ratio": "1.10"}),
    ('\'[{"name": "csat", "value": 4}]\'::jsonb', "attributes", {"csat": "4"}),
    ('\'{"address": {"city": "Berlin"}}\'::jsonb', "attributes", NO_VALUE),
    ("'csat=>4, team=>NULL'::hstore", "attributes", {"csat": "4"}),
    ("ROW('csat', '4')::pair", "attributes", Breaks("must be a list of name/value pairs or a mapping")),
    ("ARRAY[ROW('csat', '4')::pair]", "attributes", Breaks("is not valid JSON")),
    ("to_jsonb(ARRAY[ROW('csat', '4')::pair])", "attributes", {"csat": "4"}),
    # JSON in a field that holds one value
    ("'\"Consumer\"'::jsonb", "lobName", "Consumer"),
    ("'1038'::jsonb", "lobId", "1038"),
    ("'{\"id\": 1038}'::jsonb", "lobId", NO_TEXT),
    ("'{\"id\": 1038}'::jsonb", "note", NO_VALUE),
]
DUCKDB_TYPES = [
    ("170141183460469231731687303715884105727::HUGEINT", "lobId", "170141183460469231731687303715884105727"),
    ("1038.00::DECIMAL(10, 2)", "lobId", "1038"),
    ("12.50::DECIMAL(10, 2)", "lobId", NO_TEXT),
    ("12.50::DECIMAL(10, 2)", "note", "12.50"),
    ("4.2::DOUBLE", "note", "4.2"),
    ("4.2::FLOAT", "note", "4.199999809265137"),  # DuckDB widens it: CAST(col AS VARCHAR)
    ("'NaN'::DOUBLE", "note", None),
    ("NULL::VARCHAR[]", "companySegment", None),
    ("true", "note", "true"),
    ("'vip'::ENUM ('vip', 'new')", "campaign", "vip"),
    (f"'{UUID}'::UUID", "lobId", UUID),
    ("'\\xAA'::BLOB", "lobId", NO_TEXT),
    ("TIMESTAMPTZ '2026-03-03 10:15:30.25+02'", "startTs", "2026-03-03T08:15:30.250000Z"),
    ("TIMESTAMP '2026-03-03 10:15:30'", "startTs", NO_ZONE),
    ("TIMESTAMP '2026-03-03 10:15:30' AT TIME ZONE 'UTC'", "startTs", "2026-03-03T10:15:30Z"),
    ("TIMESTAMP_NS '2026-03-03 10:15:30.123456789'", "note", "2026-03-03T10:15:30.123456"),
    ("DATE '2026-03-03'", "startTs", "2026-03-03T00:00:00Z"),
    ("TIME '10:15'", "note", "10:15:00"),
    ("INTERVAL 90 MINUTES", "note", NO_VALUE),
    ("['Consumer', NULL, 'Prepaid']", "companySegment", ["Consumer", "Prepaid"]),
    ("array_value('Consumer', 'Prepaid')", "companySegment", ["Consumer", "Prepaid"]),
    ("['vip']::ENUM ('vip', 'new')[]", "companySegment", ["vip"]),
    ("[1, 2]", "companySegment", ["1", "2"]),
    ("[['a'], ['b']]", "companySegment", NO_ITEM),
    ("{'csat': 4, 'ratio': 1.10, 'team': NULL}", "attributes", {"csat": "4", "ratio": "1.10"}),
    ("[{'name': 'csat', 'value': '4'}]", "attributes", {"csat": "4"}),
    ("MAP {'csat': 4, 'team': NULL}", "attributes", {"csat": "4"}),
    ("{'address': {'city': 'Berlin'}}", "attributes", NO_VALUE),
    # JSON comes as its text, a text in it with its quotes: col ->> '$' has none.
    ('\'{"csat": 4, "ratio": 1.10, "team": null}\'::JSON', "attributes", {"csat": "4", "ratio": "1.10"}),
    ('\'["Consumer", "Prepaid"]\'::JSON', "companySegment", ["Consumer", "Prepaid"]),
    ("'\"Consumer\"'::JSON", "companySegment", ["Consumer"]),
    ("'\"Consumer\"'::JSON", "lobName", '"Consumer"'),
    ("'\"Consumer\"'::JSON ->> '$'", "lobName", "Consumer"),
]
KEYS = {
    "conversation": "'c' AS external_conversation_id",
    "agent": "'a' AS external_agent_id",
    "customer": "'c' AS external_conversation_id, 'p' AS external_customer_id",
}


def named(sql: str, field: str, expected: Any) -> Any:
    """Return a line of the tables under a name that says what it is."""
    return pytest.param(sql, field, expected, id=f"{field}={sql}")


def outcome(asapp: Simulator, rejects: Path, sql: str, field: str) -> Any:
    """Send one record with a value of the warehouse in a field, and return what ASAPP holds of it, or the broken rule.

    :param field: what is no field of any entity is sent as an attribute.
    """
    entity = next((name for name, known in ENTITIES.items() if field in known.schema_class().fields), "conversation")
    report = operator(
        entity=entity,
        sql=f'SELECT {KEYS[entity]}, {sql} AS "{field}"',
        unknown="attributes",
        max_rejected=None,
        rejects_path=str(rejects),
    ).execute({})
    if report["invalid"]:
        ((message,),) = json.loads(next(rejects.iterdir()).read_text())["errors"].values()
        return Breaks(message)
    (item,) = asapp.ledger.held(entity).values()
    attributes = {pair["name"]: pair["value"] for pair in item.get("attributes", ())}
    return (attributes or None) if field == "attributes" else item.get(field, attributes.get(field))


def fits(got: Any, expected: Any) -> bool:
    """Tell whether this was expected; of a broken rule the beginning of its message."""
    if isinstance(expected, Breaks):
        return isinstance(got, Breaks) and got.startswith(expected)
    return bool(got == expected and not isinstance(got, Breaks))


@pytest.mark.parametrize(("sql", "field", "expected"), [named(*case) for case in POSTGRES_TYPES])
def test_types_of_postgres(
    asapp: Simulator, postgres: Server, driver: str, tmp_path: Path, sql: str, field: str, expected: Any
) -> None:
    """Each of PostgreSQL's types arrives at ASAPP as the table says, or breaks the rule that it says."""
    if isinstance(expected, By):
        expected = getattr(expected, driver)
    got = outcome(asapp, tmp_path, sql, field)
    assert fits(got, expected), got


@pytest.mark.parametrize(("sql", "field", "expected"), [named(*case) for case in DUCKDB_TYPES])
def test_types_of_duckdb(
    asapp: Simulator, connect: Connect, tmp_path: Path, sql: str, field: str, expected: Any
) -> None:
    """Each of DuckDB's types arrives at ASAPP as the table says, or breaks the rule that it says."""
    connect("warehouse", conn_type="duckdb")
    got = outcome(asapp, tmp_path, sql, field)
    assert fits(got, expected), got


def test_what_the_driver_can_not_read(postgres: Server, driver: str) -> None:
    """A moment that Python has no value for ends the query with psycopg (NULLIF it); psycopg2 gives the last one."""
    if driver == "psycopg2":
        assert rows("SELECT 'infinity'::timestamptz")[0][0].year == 9999
    else:
        with pytest.raises(AsappQueryError, match="timestamp too large"):
            rows("SELECT 'infinity'::timestamptz")
