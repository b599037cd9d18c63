"""How many requests ASAPP takes: some in any one second, and some in a day that ends at 00:00 UTC."""

from __future__ import annotations

import threading
from collections import deque

_DAY = 86_400


class Limits:
    """Counts the requests let through; one that is refused uses up nothing.

    :param per_second: requests in any second; None is no limit.
    :param per_day: requests in a UTC day; None is no limit.
    """

    def __init__(self, *, per_second: int | None, per_day: int | None) -> None:
        self._per_second = per_second
        self._per_day = per_day
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the requests of this second and of this day."""
        with self._lock:
            self._last_second: deque[float] = deque()
            self._day = -1
            self._used = 0

    def exceeded(self, now: float) -> str | None:
        """Let the request through, or name the limit that is reached.

        :param now: seconds since the epoch.
        """
        with self._lock:
            self._forget_before(now)
            if self._per_second is not None and len(self._last_second) >= self._per_second:
                return "spike"
            if self._per_day is not None and self._used >= self._per_day:
                return "quota"
            self._last_second.append(now)
            self._used += 1
            return None

    def _forget_before(self, now: float) -> None:
        while self._last_second and self._last_second[0] <= now - 1:
            self._last_second.popleft()
        if self._day != (today := int(now // _DAY)):
            self._day, self._used = today, 0
