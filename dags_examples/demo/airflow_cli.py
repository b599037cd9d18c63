"""The real `airflow` command, in a home of its own: nothing of the machine's own Airflow is read or changed."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from dags_examples.demo.processes import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# Of Airflow only what the tasks say themselves.
QUIET = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow=WARNING,airflow.task=INFO,task=WARNING",
    "AIRFLOW__LOGGING__LOG_FORMAT": "%(message)s",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "PYTHONWARNINGS": "ignore",
}
# What `dags test` says about itself, in a logger that these levels do not reach.
NOISE = ("[DAG TEST]", "No tasks to run")


def environment(*, home: Path, dags: Path, warehouse: Path, asapp_url: str, rejects: Path) -> dict[str, str]:
    """Return all that Airflow has to know. A deployment sets connections and variables in its UI instead."""
    asapp = {"conn_type": "asapp", "host": asapp_url, "login": "demo-api-id", "password": "demo-api-secret"}
    machine = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **machine,
        **QUIET,
        "NO_PROXY": "127.0.0.1",  # where the simulator is
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__MAX_TASK_RETRY_DELAY": "1",  # second: a person is waiting, not the night
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
        "AIRFLOW_CONN_ASAPP_DEFAULT": json.dumps(asapp),
        "AIRFLOW_VAR_ASAPP_REJECTS_PATH": rejects.as_uri(),
    }


@contextmanager
def migrating(env: Mapping[str, str]) -> Iterator[None]:
    """Make Airflow's own database while the block does something else."""
    with running("airflow", "db", "migrate", env=env) as process:
        yield
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"`airflow db migrate` failed:\n{output}")


def test_dag(dag_id: str, logical_date: object, env: Mapping[str, str], say: Callable[[str], object]) -> int:
    """Run a DAG once, without a scheduler, and return its exit code; `say` takes the tasks' log, line by line."""
    with running("airflow", "dags", "test", dag_id, str(logical_date), env=env) as process:
        for line in process.stdout or ():
            if not line.startswith(NOISE):
                say(line.rstrip())
        return process.wait()


def returned(home: Path, task_id: str) -> dict[str, Any]:
    """Return what a task gave to the next one (its XCom), which is where the report of a push is."""
    with closing(sqlite3.connect(home / "airflow.db")) as db:
        rows = db.execute("SELECT value FROM xcom WHERE key = 'return_value' AND task_id = ?", [task_id])
        report: dict[str, Any] = json.loads(rows.fetchone()[0])
    return report
