"""Transfers: operators that say where records come from, and stream them from there to ASAPP."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_asapp.operators import AsappSubmitOperator

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_asapp.validation import Page, Source


class SqlToAsappMetadataOperator(AsappSubmitOperator):
    """Streams the result of one SQL query into ASAPP, from any database that has a common-sql hook.

    A record's position is the number of its row in the result, counted from 1: give the query an ``ORDER BY``.

    :param sql: one statement, or the name of a ``.sql`` file; templated.
    :param sql_conn_id: id of the warehouse's connection.
    :param parameters: for the statement's placeholders, in the style of the database's driver; templated.
    :param sql_hook_params: arguments for the warehouse's hook, such as ``{"use_legacy_sql": False}``.
    """

    template_fields: Sequence[str] = ("sql", "parameters", "sql_conn_id", *AsappSubmitOperator.template_fields)
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}  # noqa: RUF012 - Airflow's own declaration

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.sql_hook_params = sql_hook_params

    def source(self) -> Source:
        """Return the query as a source: opened anew, it runs again."""
        from airflow_provider_asapp.sql import hook_of, one_statement, stream

        statement = one_statement(self.sql)
        hook: DbApiHook = hook_of(self.sql_conn_id, self.sql_hook_params)

        def pages() -> Generator[Page, None, None]:
            return stream(hook, statement, self.parameters, needed=self.field_map or ())

        return pages
