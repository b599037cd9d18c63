"""Time that passes only when somebody waits for it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from airflow_provider_asapp.pacing import Clock

START = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


class FakeClock(Clock):
    """A clock whose waits are over at once, and move it; `waits` lists them."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the wall clock."""
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds that were waited for so far."""
        with self._lock:
            return self._elapsed

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Let that time pass at once."""
        if not stop.is_set():
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self.waits.append(seconds)
            self._elapsed += seconds
