"""Reads the result of a query a page at a time, with a cursor on the server where the database has one."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import sqlparse
from airflow.providers.common.compat.sdk import AirflowException, BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlparse import lexer, tokens

from airflow_provider_asapp.compat import NO_AUTOCOMMIT
from airflow_provider_asapp.errors import AsappConfigurationError, AsappQueryError, AsappSourceError
from airflow_provider_asapp.pages import Page

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

log = logging.getLogger(__name__)

PAGE_ROWS = 1000
NO_QUERY = "sql must be a query: this statement gives no result."
# A name in quotes, as in `column "lob_id" does not exist`. What else is in quotes, or follows the last colon, may be a
# row's value: `invalid input syntax for type integer: "Jane"`, `Bad value: Jane`.
QUOTED_NAME = re.compile(r"(?<!\w)([\"'`])([\w.$]+)\1(?!\w)")
QUOTES = re.compile(r"[\"'`]")
TAIL = re.compile(r"(?<=: )[^:\"'`]+\Z")
WORD = re.compile(r"[\w$]+")
# Words that databases put in quotes or behind a colon themselves; pytz is what DuckDB lacks for TIMESTAMPTZ.
NO_VALUES = "syntax error pytz"
Parameters = Mapping[str, Any] | Sequence[Any] | None


def one_statement(sql: Any) -> str:
    """Return the statement without a trailing semicolon, which some drivers refuse.

    :raises AsappConfigurationError: there is none, or more than one.
    """
    if not isinstance(sql, str):
        raise AsappConfigurationError(f"sql is a {type(sql).__name__}: it must be one statement, or a .sql file.")
    statements = [statement for text in sqlparse.split(sql) if (statement := _bare(text))]
    if len(statements) != 1:
        raise AsappConfigurationError(f"sql must be one statement; it holds {len(statements) or 'none'}.")
    return statements[0]


def _bare(text: str) -> str:
    """Return a piece of SQL up to its last semicolon, which only comments may follow; empty if it says nothing."""
    words: list[tuple[Any, str]] = list(lexer.tokenize(text))  # type: ignore[no-untyped-call]
    ends = [number for number, (_, value) in enumerate(words) if value == ";"]
    if ends and not _says_something(words[ends[-1] :]):
        words = words[: ends[-1]]
    return "".join(value for _, value in words).strip() if _says_something(words) else ""


def _says_something(words: list[tuple[Any, str]]) -> bool:
    return any(kind not in tokens.Comment and value.strip("; \r\n\t") for kind, value in words)


def hook_of(conn_id: str, hook_params: Mapping[str, Any] | None = None) -> DbApiHook:
    """Return the common-sql hook of a connection.

    :raises AsappConfigurationError: the connection is of no SQL database, or its provider is not installed.
    """
    connection = BaseHook.get_connection(conn_id)
    try:
        hook = connection.get_hook(hook_params=dict(hook_params or {}))  # type: ignore[no-untyped-call]
    except (AirflowException, ImportError, AttributeError) as error:
        # The last one is what Airflow makes of a type without a hook, such as the `generic` that its command line
        # stores where the provider is missing.
        raise AsappConfigurationError(
            f"There is no hook for the connection {conn_id} of type {connection.conn_type}: "
            "is the provider of this database installed?"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise AsappConfigurationError(
            f"The connection {conn_id} of type {connection.conn_type} is not one of a SQL database."
        )
    return hook


def stream(
    hook: DbApiHook, statement: str, parameters: Parameters, *, needed: Iterable[str] = ()
) -> Generator[Page, None, None]:
    """Run the statement and yield its rows in pages, the first an empty one: columns are checked on empty days too.

    :param parameters: for its placeholders, in the driver's style.
    :param needed: columns that the result must have, in any case: those that a ``field_map`` names.
    :raises AsappSourceError: it lacks one of them.
    :raises AsappQueryError: the database refuses the statement, or breaks off.
    """
    engine = engine_of(hook)
    if engine is None:
        pages = _stream_cursor(hook, statement, parameters)
    else:
        pages = _stream_engine(engine, statement, parameters)
    with closing(pages):
        for page in pages:
            _check_needed(needed, page.columns)
            yield page


def _check_needed(needed: Iterable[str], columns: tuple[str, ...]) -> None:
    there = {column.casefold() for column in columns}
    missing = [name for name in needed if name.casefold() not in there]
    if missing:
        raise AsappSourceError(f"field_map names what the query has no column for: {', '.join(missing)}.")


def engine_of(hook: DbApiHook) -> Engine | None:
    """Return the hook's SQLAlchemy engine; None if it has none or its dialect is not installed, and the log says so."""
    from sqlalchemy.exc import ArgumentError

    try:
        return hook.get_sqlalchemy_engine()
    except (NotImplementedError, ImportError, ArgumentError, AirflowException) as error:
        # ArgumentError: also what an unknown dialect raises (NoSuchModuleError). Its text may quote the whole URL.
        reason = str(error) if isinstance(error, ImportError) else type(error).__name__
        log.info(
            "%s has no SQLAlchemy engine (%s): reading with the driver's own cursor, which may load the whole result.",
            *(type(hook).__name__, reason),
        )
        return None


def _stream_engine(engine: Engine, statement: str, parameters: Parameters) -> Generator[Page, None, None]:
    from sqlalchemy.exc import SQLAlchemyError

    # Without no_parameters psycopg takes the % of a LIKE 'a%' for a placeholder.
    options: dict[str, Any] = {"stream_results": True, "max_row_buffer": PAGE_ROWS, "no_parameters": not parameters}
    options |= NO_AUTOCOMMIT
    try:
        with (
            _failing_as(SQLAlchemyError, statement),
            _connected(engine.connect).execution_options(**options) as connection,
            # Ends with a rollback. Without it SQLAlchemy 1.4 (Airflow 2.11) commits what a statement changes.
            closing(connection.begin()),
            # Closed here, or a reader that breaks off would leave the server's cursor to the garbage collector.
            closing(connection.exec_driver_sql(statement, _driver_form(parameters))) as result,
        ):
            if not result.returns_rows:
                raise AsappConfigurationError(NO_QUERY)
            columns = tuple(result.keys())
            yield Page(columns, ())
            for rows in result.partitions(PAGE_ROWS):
                yield Page(columns, rows)
    finally:
        engine.dispose()


def _driver_form(parameters: Parameters) -> Any:
    """Return parameters as SQLAlchemy hands them on unchanged: a list would mean many executions."""
    return tuple(parameters) if isinstance(parameters, list) else parameters or None


def _stream_cursor(hook: DbApiHook, statement: str, parameters: Parameters) -> Generator[Page, None, None]:
    with (
        closing(_connected(hook.get_conn)) as connection,
        closing(connection.cursor()) as cursor,
        _failing_as(_errors_of(connection), statement),
    ):
        cursor.execute(statement, *([parameters] if parameters else []))
        if not cursor.description:
            raise AsappConfigurationError(NO_QUERY)
        columns = tuple(column[0] for column in cursor.description)
        yield Page(columns, ())
        while rows := cursor.fetchmany(PAGE_ROWS):
            yield Page(columns, rows)


def _connected(connect: Callable[[], Any]) -> Any:
    try:
        return connect()
    except Exception as error:  # noqa: BLE001 - the driver's own class is not known before it has connected
        raise AsappQueryError(f"The warehouse can't be reached: {told(error)}") from None


def _errors_of(connection: Any) -> type[Exception] | tuple[()]:
    """Return the error class of a connection's driver (PEP 249 has it in the module, and may have it here too)."""
    module = sys.modules.get(type(connection).__module__.partition(".")[0])
    found = getattr(connection, "Error", None) or getattr(module, "Error", None)
    return found if isinstance(found, type) and issubclass(found, Exception) else ()


@contextmanager
def _failing_as(errors: type[Exception] | tuple[()], statement: str) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise AsappQueryError(f"The warehouse's query failed: {told(error, statement)}") from None


def told(error: Exception, statement: str | None = None) -> str:
    """Return the database's own words, as far as they can't quote a row: what stands in the statement too is shown.

    :param error: of SQLAlchemy, or of the driver.
    :param statement: None if none was run: then nothing behind a colon can be of a row.
    """
    original: Exception = getattr(error, "orig", None) or error
    text = _first_words(original)
    known = set(WORD.findall(f"{statement or ''} {NO_VALUES}".lower()))
    if statement is not None:
        text = TAIL.sub(lambda tail: tail[0] if _is_known(tail[0], known) else "…", text)
    return f"{type(original).__name__}: {_without_values(text, known)}"


def _is_known(text: str, known: set[str]) -> bool:
    return set(WORD.findall(text.lower())) <= known


def _without_values(text: str, known: set[str]) -> str:
    """Hide what is in quotes, but for names that stand in the statement; a value may hold quotes itself."""
    rest = QUOTED_NAME.sub(lambda name: " " * len(name[0]) if _is_known(name[2], known) else name[0], text)
    quotes = [match.start() for match in QUOTES.finditer(rest)]
    if not quotes:
        return text
    if len(quotes) % 2:
        # A value with a quote in it: nobody knows where it begins.
        return re.split(r"[\"'`]|(?<=: )", text, maxsplit=1)[0] + "…"
    return f"{text[: quotes[0]]}…{text[quotes[-1] + 1 :]}"


def _first_words(error: Exception) -> str:
    """Return what comes before any details, in which Postgres quotes whole rows."""
    # MySQL's drivers and pyodbc have a code and a text: str() would put quotes around the text.
    text = " ".join(map(str, error.args)) if len(error.args) > 1 else str(error)
    # Snowflake names the wrong column in the second line; in Postgres that is `DETAIL: ` or `LINE 1: `.
    lines = [line.strip() for line in text.splitlines()[:2] if not re.match(r"[A-Z]+( \d+)?: ", line)]
    return " ".join(lines)
