"""All that a story needs, up and running: warehouse, simulator, Airflow, browser."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from dags_examples.demo import warehouse
from dags_examples.demo.local_asapp import LocalAsapp, free_port, wait_until_it_answers
from dags_examples.demo.processes import running
from tests.ui.browser import Album, chromium
from tests.ui.deployment import Deployment
from tests.ui.pages import Run

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "dags_examples"
DAG_ID, TASK_ID = "conversation_metadata", "push_conversations"
API_ID, API_SECRET = "demo-api-id", "demo-api-secret"
WRONG_SECRET = "another-api-secret"
# The connections that a person makes, by what is special about them.
GOOD, WRONG, NO_PORT = "asapp_default", "asapp_wrong_keys", "asapp_without_port"


@dataclass
class Stage:
    """What is up, and what a chapter has left for the next one.

    :param stop_asapp: ends the simulator.
    :param warehouse: the file that the sample DAG reads.
    :param run: what was triggered.
    """

    airflow: Deployment
    page: Page
    album: Album
    asapp: LocalAsapp
    stop_asapp: Callable[[], None]
    warehouse: Path
    run: Run | None = field(default=None)

    @property
    def host(self) -> str:
        """Return the simulator's URL without its port."""
        return self.asapp.url.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Return the simulator's port."""
        return int(self.asapp.url.rpartition(":")[2])

    @property
    def place(self) -> str:
        """Return the simulator as the provider names it."""
        return self.asapp.url.removeprefix("http://")

    @property
    def report(self) -> dict[str, Any]:
        """Return what the task gave to the next one."""
        path = f"/dags/{DAG_ID}/dagRuns/{self.run.id}/taskInstances/{TASK_ID}/xcomEntries/return_value"
        value = self.airflow.get(path)["value"]
        return json.loads(value) if isinstance(value, str) else value


@contextmanager
def stage(pictures: Path) -> Iterator[Stage]:
    """Set everything up in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        page = stack.enter_context(chromium())
        source = folder / "warehouse.db"
        warehouse.build(source)
        simulator = stack.enter_context(ExitStack())
        asapp = simulator.enter_context(local_asapp(folder / "simulator.log"))
        dags = (EXAMPLES / f"{DAG_ID}.py", EXAMPLES / "sql")
        connections = {"warehouse": {"conn_type": "sqlite", "host": str(source)}}
        airflow = stack.enter_context(Deployment(folder / "airflow", dags, connections))
        private = [str(REPOSITORY), str(Path.home()), airflow.password, API_SECRET, WRONG_SECRET]
        yield Stage(airflow, page, Album(pictures, private), asapp, simulator.close, source)


@contextmanager
def local_asapp(log: Path) -> Iterator[LocalAsapp]:
    """Run the simulator, on the port that the README names if no one listens there."""
    port = 8080 if is_free(8080) else free_port()
    options = ("--port", str(port), "--api-id", API_ID, "--api-secret", API_SECRET)
    with (
        log.open("w") as output,
        running("airflow_provider_asapp.simulator", *options, output=output) as process,
    ):
        asapp = LocalAsapp(f"http://127.0.0.1:{port}")
        wait_until_it_answers(asapp, process, log)
        yield asapp


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
