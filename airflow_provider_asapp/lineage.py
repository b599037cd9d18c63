"""What OpenLineage learns of a task: tables or files in, ASAPP's entity and the rejects out, and how many records.

Only OpenLineage's provider asks for it, so this module may import that provider, and no other may import this one at
its head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.openlineage.facet import (
    Dataset,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
)
from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.providers.openlineage.extractors import ExtractorManager, OperatorLineage
from airflow.providers.openlineage.sqlparser import SQLParser

from airflow_provider_asapp.compat import bucket_of
from airflow_provider_asapp.files import MAGIC

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

Lineage = OperatorLineage[Any, Any]


def of_query(hook: DbApiHook, conn_id: str, sql: str) -> Lineage:
    """Return the tables that a statement reads, as the warehouse's own provider names them, and the statement.

    Names come from the statement. To ask the warehouse for columns too would cost it queries, and a slow answer the
    whole event, since OpenLineage gives an event ten seconds.

    :param hook: of the warehouse; without words about OpenLineage in it, nothing is known.
    :param conn_id: its connection.
    :param sql: rendered.
    """
    connection = hook.get_connection(conn_id)
    database = hook.get_openlineage_database_info(connection)
    if database is None:
        return Lineage()
    dialect, schema = hook.get_openlineage_database_dialect(connection), hook.get_openlineage_default_schema()
    return SQLParser(dialect=dialect, default_schema=schema).generate_openlineage_metadata_from_sql(
        sql=sql, hook=hook, database_info=database, use_connection=False
    )


def of_files(path: str) -> Lineage:
    """Return what a path names: a file or a folder, or of a glob the folder above its first wildcard."""
    return Lineage(inputs=[Dataset(*_named(path))])


def declared(inlets: Iterable[Any], *, beside: Iterable[Dataset]) -> list[Dataset]:
    """Return the data sets that are known, and those that the task's author lists: nobody else knows more.

    :param inlets: of the task; assets of a kind that no provider knows are left out.
    :param beside: what is known.
    """
    listed = [dataset for inlet in inlets if (dataset := ExtractorManager.convert_to_ol_dataset(inlet))]
    return list({(dataset.namespace, dataset.name): dataset for dataset in (*listed, *beside)}.values())


def written(domain: str | None, report: Mapping[str, Any], rejects_path: str | None) -> list[OutputDataset]:
    """Return where a task has left records, and how many in each place.

    :param domain: of the API; None if nothing was sent.
    :param report: of the submission or rehearsal.
    :param rejects_path: as the task was given it, since a folder for each run would be a data set for each run.
    """
    places = []
    if domain:
        delivered = report["accepted"] + report["already_persisted"]
        places.append(_counted(f"asapp://{domain}", report["entity"], delivered))
    if rejects_path and report["rejects"]:
        # They hold whole records: whoever looks for copies of personal data finds them here.
        places.append(_counted(*_named(rejects_path), report["invalid"] + report.get("refused", 0)))
    return places


def _counted(namespace: str, name: str, rows: int) -> OutputDataset:
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=rows)
    return OutputDataset(namespace=namespace, name=name, outputFacets={"outputStatistics": statistics})


def _named(path: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a path, without the connection that may stand in it."""
    place = ObjectStoragePath(path)
    bucket = bucket_of(place)
    name = place.path.partition(bucket)[2].lstrip("/") if bucket else place.path
    if wild := MAGIC.search(name):
        name = name[: wild.start()].rpartition("/")[0]
    return f"{place.protocol}://{bucket}" if bucket else place.protocol or "file", name
