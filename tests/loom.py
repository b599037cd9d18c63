"""ASAPP and threads without either: a test draws when each request arrives, when it is answered, and how."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import IO, Any, Self
from unittest.mock import patch

from airflow_provider_asapp import submission
from airflow_provider_asapp.answers import ACCEPTED, NO_ANSWER, Verdict
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import AsappStopped
from airflow_provider_asapp.validation import Item
from tests.bench import by_position
from tests.clocks import FakeClock

ARRIVES = (ACCEPTED, NO_ANSWER)


class Killed(BaseException):
    """The process is dead: nothing that happens after this counts."""


class HurriedClock(FakeClock):
    """A clock on which a second passes between any two looks."""

    def monotonic(self) -> float:
        """Return the seconds so far."""
        self.advance(1.0)
        return super().monotonic()


class FakeAsapp:
    """Stands in for a client: takes what it is sent, unless `judge` says otherwise.

    What is accepted arrives, and so does what has no answer; what has another verdict does not.

    :param judge: gives the verdicts on a request, or raises what the client would.
    """

    domain = "asapp.test"
    api_id = "demo-api-id"

    def __init__(
        self, judge: Callable[[Sequence[Item]], list[Verdict]] | None = None, clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.requests = 0
        self.stopping = False
        self.arrived: list[Item] = []
        self.sizes: list[int] = []
        self._judge = judge or (lambda items: [ACCEPTED] * len(items))
        self._lock = threading.Lock()

    def send(self, entity: object, items: Sequence[Item]) -> list[Verdict]:
        with self._lock:
            self.requests += 1
            self.sizes.append(len(items))
            verdicts = self._judge(items)
            self.arrived += [item for item, verdict in zip(items, verdicts, strict=True) if verdict in ARRIVES]
            return verdicts

    def wait(self, seconds: float) -> None:
        if self.stopping:
            raise AsappStopped("stopped")
        if seconds > 0:
            self.clock.advance(seconds)

    def stop(self) -> None:
        self.stopping = True

    abort = stop

    @property
    def as_client(self) -> AsappClient:
        return self  # type: ignore[return-value]


class Task:
    """A request on its way.

    :param run: carries it out.
    """

    def __init__(self, run: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self.run = run
        self.outcome: Callable[[], object] | None = None

    def step(self) -> None:
        """Arrive; or, if it has, be answered."""
        if self.outcome is not None:
            self.outcome()
            return
        try:
            result = self.run()
        except BaseException as error:  # noqa: BLE001 - as a pool does
            self.outcome = lambda error=error: self.future.set_exception(error)  # type: ignore[misc]
        else:
            self.outcome = lambda: self.future.set_result(result)


class Loom:
    """Takes the place of the submission's threads: requests arrive and are answered in the order that is drawn.

    :param draw: gives a number below the one it is given.
    """

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
        self._tasks: list[Task] = []
        self._threads = 0

    def __enter__(self) -> Self:
        self._patches = [
            patch.object(submission, "ThreadPoolExecutor", self._pool),
            patch.object(submission, "wait", self._wait),
        ]
        for patched in self._patches:
            patched.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patched in self._patches:
            patched.stop()

    def _pool(self, threads: int) -> Loom._Pool:
        self._tasks, self._threads = [], threads
        return Loom._Pool(self)

    class _Pool:
        def __init__(self, loom: Loom) -> None:
            self._loom = loom

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Carry out what is left, as a pool does."""
            while self._loom._tasks:
                self._loom._step(self._loom._tasks[0])

        def submit(self, function: Callable[..., Any], *given: Any) -> Future[Any]:
            task = Task(lambda: function(*given))
            self._loom._tasks.append(task)
            assert len(self._loom._tasks) <= self._loom._threads, "more is under way than allowed"
            return task.future

    def _step(self, task: Task) -> None:
        task.step()
        if task.future.done():
            self._tasks.remove(task)

    def _wait(self, futures: Iterable[Future[Any]], **_: object) -> tuple[set[Future[Any]], set[Future[Any]]]:
        awaited = set(futures)
        while self._tasks and (not any(future.done() for future in awaited) or self._draw(3) == 0):
            self._step(self._tasks[self._draw(len(self._tasks))])
        done = {future for future in awaited if future.done()}
        return done, awaited - done


class MemoryFolder:
    """A folder that lasts for a test, and that a dead process can't write into.

    :param alive: tells whether the process is.
    """

    def __init__(self, alive: Callable[[], bool] = lambda: True) -> None:
        self.files: dict[str, bytes] = {}
        self.alive = alive

    def __truediv__(self, name: str) -> MemoryFile:
        return MemoryFile(self, name)

    def mkdir(self, **_: bool) -> None:
        """Be there already."""

    def exists(self) -> bool:
        return True

    def iterdir(self) -> Collection[MemoryFile]:
        return [MemoryFile(self, name) for name in self.files]

    def rejected(self) -> dict[int, dict[str, Any]]:
        """Return the rejects by position; a position twice is a failure."""
        return by_position(line for text in self.files.values() for line in text.decode().splitlines())


class MemoryFile:
    def __init__(self, folder: MemoryFolder, name: str) -> None:
        self.folder = folder
        self.name = name

    def open(self, mode: str) -> IO[Any]:
        assert mode == "wb"
        return Writing(self.folder, self.name)

    def unlink(self) -> None:
        if self.folder.alive():
            del self.folder.files[self.name]


class Writing(io.BytesIO):
    """Shows what was written once it is closed, as an object store does."""

    def __init__(self, folder: MemoryFolder, name: str) -> None:
        super().__init__()
        self._folder = folder
        self._name = name

    def close(self) -> None:
        if not self.closed and self._folder.alive():
            self._folder.files[self._name] = self.getvalue()
        super().close()
