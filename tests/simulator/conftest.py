"""A simulator of its own for each test, and a client that knows its keys."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.simulator.contract import OPERATIONS, Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = {operation: path for path, operation in OPERATIONS.items()}


class Client:
    """Sends what a test gives it, with the right keys unless told otherwise."""

    def __init__(self, simulator: Simulator, session: requests.Session) -> None:
        self._simulator = simulator
        self.session = session
        session.trust_env = False
        session.headers.update({"asapp-api-id": simulator.api_id, "asapp-api-secret": simulator.api_secret})

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request, without following redirects."""
        return self.session.request(method, self._simulator.url + path, timeout=10, allow_redirects=False, **options)

    def one(self, item: object, entity: Any = "conversation") -> requests.Response:
        """Send a single record."""
        return self.call("POST", PATHS[Operation(entity, many=False)], json=item)

    def many(self, *items: object, entity: Any = "conversation") -> requests.Response:
        """Send a batch."""
        return self.call("POST", PATHS[Operation(entity, many=True)], json={"items": items})


def conversations(count: int, **others: object) -> list[dict[str, object]]:
    """Good conversations c0, c1, ... with event ids e0, e1, ..."""
    return [{"externalConversationId": f"c{number}", "eventId": f"e{number}", **others} for number in range(count)]


def raw(asapp: Simulator, text: str) -> bytes:
    """Send bytes as they are and give all that comes until the server closes."""
    with socket.create_connection((asapp.host, asapp.port), timeout=10) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.fixture
def asapp() -> Iterator[Simulator]:
    """A simulator that behaves."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(asapp: Simulator) -> Iterator[Client]:
    """A client with the right keys."""
    with requests.Session() as session:
        yield Client(asapp, session)
