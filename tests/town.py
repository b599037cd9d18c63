"""Time for many threads: it passes only when all of them wait for it, to the moment that the first one waits for."""

from __future__ import annotations

import heapq
import threading
from datetime import datetime, timedelta

from airflow_provider_asapp.pacing import Clock
from tests.clocks import START


class TownClock(Clock):
    """A clock that some people share, each in a thread; what they do besides waiting takes no time.

    :param people: how many there are.
    """

    def __init__(self, people: int) -> None:
        self._people = people
        self._elapsed = 0.0
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._tickets = 0

    def now(self) -> datetime:
        """Return the wall clock."""
        return START + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._elapsed

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait until the others have come as far."""
        self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, also on somebody's behalf: of those that wait for an answer, the server waits."""
        with self._changed:
            self._tickets += 1
            ticket = (self._elapsed + seconds, self._tickets)
            heapq.heappush(self._waiting, ticket)
            self._advance()
            self._changed.wait_for(lambda: ticket not in self._waiting)

    def leave(self) -> None:
        """Nobody waits for this thread any more."""
        with self._changed:
            self._people -= 1
            self._advance()

    def _advance(self) -> None:
        if self._waiting and len(self._waiting) == self._people:
            self._elapsed = heapq.heappop(self._waiting)[0]
            self._changed.notify_all()
