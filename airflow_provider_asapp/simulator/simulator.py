"""The simulator as a thing to start, to tell to misbehave, and to ask what it received."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from .contract import REQUESTS_PER_SECOND
from .desk import ROOT, Desk
from .faults import FaultPlan
from .ledger import Ledger
from .limits import Limits
from .server import LONGEST_BODY, Server
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from .answers import Answer
    from .faults import Fault
    from .service import Call


class Simulator:
    """A local ASAPP over real HTTP, which checks each item against the contract and shows what it holds.

    It listens from `start()` to `stop()`, or as a context manager. After `stop()` it can be started again, at the
    same port and with all that it holds: an outage, seen from outside.

    :param api_id: what the header `asapp-api-id` must be.
    :param api_secret: what the header `asapp-api-secret` must be.
    :param host: address to listen on.
    :param port: port to listen on; 0 takes a free one.
    :param requests_per_second: POST requests let through in any one second; None is no limit.
    :param daily_quota: POST requests let through in a UTC day; None is no limit.
    :param latency: seconds to wait before each answer.
    :param max_body_bytes: longer bodies are answered with 413; None takes bodies up to 64 MiB.
    :param clock: gives the seconds since the epoch, for the limits and the times shown.
    :param sleep: waits for so many seconds, for latency and delays; by default a wait that `stop()` ends.
    :param log: takes one line for each request, without any value of a record.
    """

    def __init__(
        self,
        *,
        api_id: str = "demo-api-id",
        api_secret: str = "demo-api-secret",  # noqa: S107  # of a simulator, known to everyone
        host: str = "127.0.0.1",
        port: int = 0,
        requests_per_second: int | None = REQUESTS_PER_SECOND,
        daily_quota: int | None = None,
        latency: float = 0.0,
        max_body_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
        log: Callable[[str], object] | None = None,
    ) -> None:
        self.api_id = api_id
        self.api_secret = api_secret
        self.host = host
        self.port = port
        self.ledger = Ledger()
        self._faults = FaultPlan()
        self._limits = Limits(per_second=requests_per_second, per_day=daily_quota)
        self._stopping = threading.Event()
        self._max_body_bytes = LONGEST_BODY if max_body_bytes is None else min(max_body_bytes, LONGEST_BODY)
        self._log = log
        self._server: Server | None = None
        self._desk = Desk(ledger=self.ledger, faults=self._faults, reset=self.reset)
        self._service = Service(
            api_id=api_id,
            api_secret=api_secret,
            ledger=self.ledger,
            faults=self._faults,
            limits=self._limits,
            latency=latency,
            clock=clock,
            sleep=self._stopping.wait if sleep is None else sleep,
        )

    @property
    def url(self) -> str:
        """What to put into the Airflow connection as its host, such as `http://127.0.0.1:8080`."""
        return f"http://{self.host}:{self.port}"

    @property
    def healthy(self) -> bool:
        """Whether `GET /v1/health` answers SUCCESS; set it to False to have it answer FAILED."""
        return self._service.healthy

    @healthy.setter
    def healthy(self, healthy: bool) -> None:
        self._service.healthy = healthy

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and answer from threads of its own.

        :raises OSError: if the address can't be had, as when the port is in use.
        """
        self._stopping.clear()
        self._server = Server((self.host, self.port), self._answer, self._max_body_bytes)
        self.port = self._server.server_port
        self._server.start()

    def stop(self) -> None:
        """Close all connections and end all threads; what it holds stays."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def misbehave(self, *faults: Fault) -> None:
        """Put faults in force, behind those that are."""
        self._faults.add(*faults)

    def reset(self) -> None:
        """Forget all requests, items, faults and used limits, count from 1 again, and be healthy."""
        self._faults.clear()
        self._limits.reset()
        self.ledger.reset()
        self.healthy = True

    def _answer(self, call: Call) -> Answer:
        if call.path == "/" or call.path.startswith(ROOT):
            return self._desk.answer(call)
        answer, request = self._service.answer(call)
        if self._log is not None:
            # `ascii`: a path may hold what would steer a terminal.
            self._log(
                f"{f'#{request.number}' if request.number else '-'} {request.method} {ascii(request.path)[1:-1]} "
                f"{request.status or 'no answer'}: {request.items} items, {request.accepted} accepted, "
                f"{request.refused} refused, {request.milliseconds:.0f} ms"
            )
        return answer
