"""A whole Airflow of real processes in a folder of its own: API server, scheduler with LocalExecutor, DAG processor."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import requests

from airflow_provider_asapp.checkpoint import KEY

DAGS = Path(__file__).parent / "dags"
DAG_ID = "crash"
TASK_ID = "push"
POLL = 0.05
START_UP = 120.0
COMMAND = [sys.executable, "-m", "airflow"]
PROGRAMS = ("api-server", "scheduler", "dag-processor")


@dataclass(frozen=True)
class Task:
    """The task of a run, as Airflow's database has it.

    :param pid: of the process that runs, or ran, the operator's code.
    """

    state: str
    try_number: int
    pid: int | None


class Airflow:
    """An Airflow of its own; at its end `with` ends every process that belongs to it.

    :param home: a folder for it, which is made.
    :param connections: by id.
    :param variables: by name.
    :param dags: the folder of its DAGs.
    :param ready: the DAG that it must know before `with` begins.
    :param settings: of Airflow, instead of those for the crash test, such as ``CORE__PARALLELISM``.
    """

    def __init__(
        self,
        home: Path,
        connections: Mapping[str, Any],
        variables: Mapping[str, str],
        *,
        dags: Path = DAGS,
        ready: str = DAG_ID,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self._ready = ready
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._env = environment(home, self._url, self._port, CORE__DAGS_FOLDER=str(dags), **(settings or {}))
        self._env |= {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
        self._env |= {f"AIRFLOW_VAR_{name.upper()}": value for name, value in variables.items()}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Self:
        self.home.mkdir()
        try:
            subprocess.run([*COMMAND, "db", "migrate"], env=self._env, check=True, capture_output=True)
            for program in PROGRAMS:
                self._start(program)
            self._wait_until_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _start(self, program: str) -> None:
        with (self.home / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [*COMMAND, program], env=self._env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._processes.append(process)

    def _wait_until_ready(self) -> None:
        def ready() -> bool:
            self._check_alive()
            with suppress(requests.RequestException):
                self._http.headers["Authorization"] = f"Bearer {self.call('GET', '/auth/token')['access_token']}"
                return bool(self.call("GET", f"/api/v2/dags/{self._ready}"))
            return False

        wait_for(ready, START_UP, "Airflow did not get ready")

    def _check_alive(self) -> None:
        for program, process in zip(PROGRAMS, self._processes, strict=True):
            if process.poll() is not None:
                log = (self.home / f"{program}.log").read_text()
                raise SystemExit(f"Airflow's {program} ended with {process.returncode}:\n{log[-3000:]}")

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Return what Airflow's API answers."""
        answer = self._http.request(method, self._url + path, json=body or None, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def trigger(self, dag_id: str = DAG_ID, **conf: Any) -> str:
        """Start a run of a DAG and return its id."""
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", logical_date=None, conf=conf)["dag_run_id"])

    def task(self, run_id: str) -> Task:
        """Return how the run's task stands."""
        self._check_alive()
        sql = "SELECT state, try_number, pid FROM task_instance WHERE run_id = ? AND task_id = ?"
        rows = self.rows(sql, run_id, TASK_ID)
        return Task(*rows[0]) if rows else Task("none", 0, None)

    def checkpoint(self, run_id: str) -> int:
        """Return the position of the checkpoint in the task state store, 0 if there is none."""
        rows = self.rows("SELECT value FROM task_state_store WHERE run_id = ? AND key = ?", run_id, KEY)
        return int(json.loads(rows[0][0])["position"]) if rows else 0

    def report(self, run_id: str) -> dict[str, Any]:
        """Return what the task returned, as Airflow stored it."""
        rows = self.rows("SELECT value FROM xcom WHERE run_id = ? AND key = 'return_value'", run_id)
        return json.loads(rows[0][0])

    def last_words(self, run_id: str) -> str:
        """Return the end of the log of each try of a run."""
        files = sorted(file for file in (self.home / "logs").rglob("*.log") if run_id in str(file))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return what Airflow's database answers."""
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as db:
            return db.execute(sql, parameters).fetchall()

    def end(self) -> None:
        """End every process of this Airflow and wait for each: politely, after five seconds by force."""
        own = [process for started in self._processes for process in family(started.pid)]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in own:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _, own = psutil.wait_procs(own, timeout=5)
        for started in self._processes:
            started.wait()
        self._http.close()


def environment(home: Path, url: str, port: int, **more: str) -> dict[str, str]:
    """Return all that this Airflow has to know; nothing of the machine's own Airflow."""
    machine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW_") and not name.lower().endswith("_proxy")
    }
    secret = secrets.token_hex(32)
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "16",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__SECRET_KEY": secret,
        "API_AUTH__JWT_SECRET": secret,
        # The ports of what serves logs and health checks would collide with another Airflow's.
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        # A task without a living supervisor is found in seconds instead of minutes.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        **more,
    }
    return {**machine, "AIRFLOW_HOME": str(home), **{f"AIRFLOW__{name}": value for name, value in settings.items()}}


def family(pid: int) -> list[psutil.Process]:
    """Return a process with all its descendants; killpg would miss tasks, which have groups of their own."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """Return a port that no one listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(true: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Return once something is true; after so many seconds end the program with what is wrong."""
    give_up_at = time.monotonic() + seconds
    while not true():
        if time.monotonic() > give_up_at:
            raise SystemExit(f"{otherwise} in {seconds:.0f} s.")
        time.sleep(POLL)
