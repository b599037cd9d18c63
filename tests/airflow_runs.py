"""A DAG run in this process, by Airflow itself, and what Airflow's database holds afterwards."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.versions import AIRFLOW


@dataclass(frozen=True)
class Run:
    """A DAG run that has ended.

    :param tasks: state and number of tries, by task id and map index.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: dict[tuple[str, int], tuple[str, int]]

    def xcom(self, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned, as Airflow stored it."""
        sql = "SELECT value FROM xcom WHERE key = 'return_value' AND run_id = ? AND task_id = ? AND map_index = ?"
        with closing(database()) as db:
            rows = db.execute(sql, (self.run_id, task_id, map_index)).fetchall()
        return json.loads(rows[0][0]) if rows else None


def run(dag: Any) -> Run:
    """Run a DAG that is in no file: what `airflow dags test` does, with what the parser would have written before."""
    with warnings.catch_warnings():
        # Airflow's own.
        warnings.filterwarnings("ignore", "GitWildMatchPattern", DeprecationWarning)
        warnings.filterwarnings("ignore", "Using `httpx` with `starlette.testclient`")
        (write if AIRFLOW >= (3,) else write_2_11)(dag)
        ended = dag.test()
        tasks = {(ti.task_id, ti.map_index): (str(ti.state), ti.try_number) for ti in ended.get_task_instances()}
    return Run(dag.dag_id, ended.run_id, str(ended.state), tasks)


def bag_of(folder: Path) -> Any:
    """Read a folder of DAGs as Airflow 3 does."""
    place = "airflow.dag_processing.dagbag" if AIRFLOW >= (3, 2) else "airflow.models.dagbag"
    return import_module(place).DagBag(folder, collect_dags=True)


def write(dag: Any) -> None:
    """Write what the parser writes, on Airflow 3."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG, SerializedDAG

    DagBundlesManager().sync_bundles_to_db()
    # Twice, since Airflow changes what it is given.
    SerializedDAG.bulk_write_to_db("dags-folder", None, [LazyDeserializedDAG.from_dag(dag)])
    SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="dags-folder")


def write_2_11(dag: Any) -> None:
    """Write what the parser writes, on Airflow 2.11."""
    from airflow.models.serialized_dag import SerializedDagModel

    dag.sync_to_db()
    SerializedDagModel.write_dag(dag)


def database() -> sqlite3.Connection:
    """Open Airflow's own database."""
    return sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")


def tables_with(text: str) -> set[str]:
    """Return the tables of Airflow's database in which a text stands, in whatever column."""
    with closing(database()) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name for name in tables if any(text in str(row) for row in db.execute(f'SELECT * FROM "{name}"'))}
