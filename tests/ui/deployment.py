"""An Airflow with a log-in, as a person finds it: API server, scheduler, DAG processor and triggerer as processes."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import psutil
import requests
from cryptography.fernet import Fernet

from tests.crash.real_airflow import COMMAND, START_UP, environment, family, free_port, wait_for

PROGRAMS = ("api-server", "scheduler", "dag-processor", "triggerer")
USER = "admin"


class Deployment:
    """An Airflow of its own; at its end `with` ends every process that belongs to it.

    :param home: a folder for it, which is made; the folder around it is the user's home.
    :param dags: files and folders to copy into its DAGs folder.
    :param connections: by id, in its environment: those that nobody makes in the UI.
    """

    def __init__(self, home: Path, dags: Iterable[Path], connections: Mapping[str, Any]) -> None:
        self.home = home
        self.password = secrets.token_hex(8)
        self._dags = tuple(dags)
        self._key = Fernet.generate_key().decode()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._env = {
            **environment(home, self.url, port),
            **{f"AIRFLOW__{name}": value for name, value in self._settings().items()},
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()},
            "HOME": str(home.parent),
            "NO_PROXY": "127.0.0.1",  # where the simulator is
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http = requests.Session()
        self._http.trust_env = False

    def _settings(self) -> dict[str, str]:
        return {
            "CORE__DAGS_FOLDER": str(self.home / "dags"),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "CORE__FERNET_KEY": self._key,
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "CORE__TEST_CONNECTION": "Enabled",
            # Nobody kills a task here; a slow machine must not look as if someone did.
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
        }

    def __enter__(self) -> Self:
        self._furnish()
        try:
            self.run("db", "migrate").check_returncode()
            for program in PROGRAMS:
                self._start(program)
            wait_for(self._is_ready, START_UP, "Airflow did not get ready")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _furnish(self) -> None:
        for folder in (self.home, self.home / "dags", self.home / "programs"):
            folder.mkdir()
        (self.home / "passwords.json").write_text(json.dumps({USER: self.password}))
        for source in self._dags:
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, self.home / "dags" / source.name)

    def _start(self, program: str) -> None:
        with self._log_of(program).open("wb") as log:
            self._processes[program] = subprocess.Popen(
                [*COMMAND, program], env=self._env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _log_of(self, program: str) -> Path:
        return self.home / "programs" / f"{program}.log"

    def _is_ready(self) -> bool:
        self._check_alive()
        with suppress(requests.RequestException):
            token = self._call("POST", "/auth/token", username=USER, password=self.password)["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
            return bool(self.get("/dags")["total_entries"] == sum(dag.suffix == ".py" for dag in self._dags))
        return False

    def _check_alive(self) -> None:
        for program, process in self._processes.items():
            if process.poll() is not None:
                log = self._log_of(program).read_text()
                raise SystemExit(f"Airflow's {program} ended with {process.returncode}:\n{log[-3000:]}")

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, self.url + path, json=body or None, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        """Return what the public REST API answers."""
        return self._call("GET", f"/api/v2{path}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `airflow` with these arguments, as in a terminal of this deployment."""
        return subprocess.run([*COMMAND, *arguments], env=self._env, capture_output=True, text=True, check=False)

    def stored(self, conn_id: str) -> dict[str, Any]:
        """Return a connection as the database holds it: the password decrypted, the extras decrypted and read."""
        columns = ("conn_type", "description", "host", "schema", "login", "port", "password", "extra")
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as db:
            row = db.execute(f"SELECT {', '.join(columns)} FROM connection WHERE conn_id = ?", [conn_id]).fetchone()
        *clear, password, extra = row
        decrypt = Fernet(self._key).decrypt
        secret = [decrypt(password).decode(), json.loads(decrypt(extra))]
        return dict(zip(columns, [*clear, *secret], strict=True))

    def last_words(self, run_id: str) -> str:
        """Return the end of the log of each task of a run."""
        files = sorted(file for file in (self.home / "logs").rglob("*.log") if run_id in str(file))
        return "\n".join(f"--- {file.parent.name}\n{file.read_text()[-3000:]}" for file in files)

    def end(self) -> None:
        """End every process of this Airflow and wait for each: politely, after five seconds by force."""
        own = [process for started in self._processes.values() for process in family(started.pid)]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in own:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _, own = psutil.wait_procs(own, timeout=5)
        for started in self._processes.values():
            started.wait()
        self._http.close()
