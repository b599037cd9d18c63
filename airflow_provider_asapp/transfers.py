"""Transfers: operators that say where records come from, and stream them from there to ASAPP."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.operators import AsappSubmitOperator, EntityName, check_choice

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_asapp.lineage import Lineage
    from airflow_provider_asapp.pages import Page, Source


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
        entity: EntityName,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(entity=entity, **kwargs)
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

    def lineage_of_source(self) -> Lineage:
        """Return the tables that the statement reads."""
        from airflow_provider_asapp.lineage import of_query
        from airflow_provider_asapp.sql import hook_of

        return of_query(hook_of(self.sql_conn_id, self.sql_hook_params), self.sql_conn_id, self.sql)


class FileToAsappMetadataOperator(AsappSubmitOperator):
    """Streams JSON lines and CSV into ASAPP, from any storage that Airflow's ObjectStoragePath knows.

    Of a line that another task left in its ``rejects_path``, the record in it is sent: so mended rejects are replayed.
    Give the ``field_map`` and ``unknown`` of the task that rejected them.

    Files are read in the order of their names, UTF-8, a page at a time. A record's position counts over all of them,
    from 1. A line that can't be read is an invalid record like any other, with its reason and its text in the rejects.
    In CSV the first line names the columns and an empty cell is absent; a blank line is nothing.

    A path at which nothing lies raises FileNotFoundError, to which Airflow's retries apply, since files come late. A
    folder without files, or a glob without a match, is an empty source: see ``on_empty``.

    :param path: a file, a folder (all files below it) or a glob, such as ``s3://connection@bucket/folder/*.jsonl``;
        templated. Of folders and globs, those that end in ``.jsonl``, ``.ndjson``, ``.json`` (JSON lines too) or
        ``.csv``, each also with ``.gz``, are read. What this very task rejected in an earlier try is not.
    :param file_format: ``jsonl`` or ``csv``, for all files whatever their endings.
    :param delimiter: between the cells of CSV.
    """

    template_fields: Sequence[str] = ("path", *AsappSubmitOperator.template_fields)

    def __init__(
        self,
        *,
        entity: EntityName,
        path: str,
        file_format: Literal["jsonl", "csv"] | None = None,
        delimiter: str = ",",
        **kwargs: Any,
    ) -> None:
        super().__init__(entity=entity, **kwargs)
        if file_format is not None:
            check_choice("file_format", file_format, ("jsonl", "csv"))
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise AsappConfigurationError(f"delimiter={delimiter!r}: must be one character, no quote and no line end.")
        self.path = path
        self.file_format = file_format
        self.delimiter = delimiter

    def source(self) -> Source:
        """Return the files that are there now as a source.

        :raises FileNotFoundError: nothing is.
        :raises AsappConfigurationError: it can't be told what to read, or rejects would replace it.
        """
        from airflow_provider_asapp.connections import storage_path
        from airflow_provider_asapp.files import listed, read

        place = storage_path("path", self.path)
        files = listed(place.fs, place.path, file_format=self.file_format)
        # Before the submission begins, which deletes them.
        own = self._own_rejects({file.name for file in files})
        return lambda: read(place.fs, [file for file in files if file.name not in own], delimiter=self.delimiter)

    def lineage_of_source(self) -> Lineage:
        """Return the path."""
        from airflow_provider_asapp.lineage import of_files

        return of_files(self.path)

    def _own_rejects(self, names: set[str]) -> set[str]:
        """Return which of these files an earlier try of this task rejected: this try will replace them.

        :raises AsappConfigurationError: outside of a run, where nothing tells them from what somebody wants to replay.
        """
        from airflow_provider_asapp.connections import storage_path
        from airflow_provider_asapp.hooks import Run, rejects_folder

        if not self.rejects_path:
            return set()
        run = Run.current()
        folder = storage_path("rejects_path", rejects_folder(self.rejects_path, run))
        own = names.intersection(folder.fs.find(folder.path))
        if own and not run:
            raise AsappConfigurationError("rejects_path is where the files to be read are: it would replace them.")
        return own
