"""The simulator as a program of its own, and the little that the demo asks it."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from dags_examples.demo.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import Popen

# The way to this machine does not lead through the company's proxy.
DIRECT = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class LocalAsapp:
    """A running simulator; nothing that is sent to `url` leaves this machine."""

    url: str

    def get(self, path: str) -> Any:
        """Return the JSON that the simulator shows about what it has received."""
        with DIRECT.open(self.url + path, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def local_asapp(log: Path) -> Iterator[LocalAsapp]:
    """Run the simulator on a free port for as long as the block lasts; what it prints goes to `log`."""
    port = free_port()
    options = ("--port", str(port), "--api-id", "demo-api-id", "--api-secret", "demo-api-secret")
    with (
        log.open("w") as output,
        running("airflow_provider_asapp.simulator", *options, "--daily-quota", "10000", output=output) as process,
    ):
        asapp = LocalAsapp(f"http://127.0.0.1:{port}")
        wait_until_it_answers(asapp, process, log)
        yield asapp


def free_port() -> int:
    """Return a port that no one listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until_it_answers(asapp: LocalAsapp, process: Popen[str], log: Path) -> None:
    """Return once the simulator takes requests; ten seconds without, or its end, end the demo with its output."""
    give_up_at = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            asapp.get("/simulator/received")
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"The simulator did not start:\n{log.read_text()}")
