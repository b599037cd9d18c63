"""A run whose tasks OpenLineage's provider listens to: `python -m tests.lineage_run FOLDER`.

In a process of its own, since Airflow decides when it starts whether anybody listens. Prints the tasks' states.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def dag_of(folder: Path) -> Any:
    """Return a DAG in which each operator has a task, and one of them fails for its bad records."""
    from airflow.providers.common.compat.sdk import DAG, Asset

    from airflow_provider_asapp.operators import AsappMetadataOperator
    from airflow_provider_asapp.transfers import FileToAsappMetadataOperator, SqlToAsappMetadataOperator

    asset = Asset("asapp://api.asapp.com/conversation")
    every: dict[str, Any] = {"entity": "conversation", "rejects_path": (folder / "rejects").as_uri()}
    sql = "SELECT id AS external_conversation_id, campaign FROM chats JOIN days USING (day) ORDER BY id"
    mark = (folder / "mark").read_text()
    records = [{"externalConversationId": "c-1", "campaign": mark}, {"campaign": mark}]
    with DAG("lineage", schedule=None) as dag:
        SqlToAsappMetadataOperator(
            task_id="query", sql=sql, sql_conn_id="warehouse", max_rejected=None, outlets=[asset], **every
        )
        SqlToAsappMetadataOperator(task_id="failing", sql=sql, sql_conn_id="warehouse", **every)
        FileToAsappMetadataOperator(task_id="files", path=f"{folder / 'in'}/*.jsonl", inlets=[asset], **every)
        AsappMetadataOperator(task_id="rehearsal", records=records, validate_only=True, max_rejected=1, **every)
    return dag


def name_the_warehouse() -> None:
    """Let SQLite's hook tell OpenLineage how its tables are named, as the hooks of real warehouses do."""
    from airflow.providers.openlineage.sqlparser import DatabaseInfo
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    SqliteHook.get_openlineage_database_info = lambda *_: DatabaseInfo(scheme="warehouse", authority="db:5432")
    SqliteHook.get_openlineage_default_schema = lambda *_: "main"


def main(folder: Path) -> None:
    """Run the DAG, in an Airflow that is set up."""
    from tests.airflow_runs import run

    name_the_warehouse()
    states = {task_id: state for (task_id, _), (state, _) in run(dag_of(folder)).tasks.items()}
    sys.stdout.write(json.dumps(states))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
