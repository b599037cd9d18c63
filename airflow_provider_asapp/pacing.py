"""When the next request may go: the rate, the one pause after a 429, and the way all waits end when a task stops."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from airflow_provider_asapp.errors import AsappQuotaExhausted, AsappStopped

log = logging.getLogger(__name__)

# ASAPP's "Rate limits" page: wait 1, 2 and 4 s. The long one is ours: a spike is over by then, a spent quota is not.
PAUSES = (1.0, 2.0, 4.0, 60.0)
LONGEST_WAIT = 60.0
# After a pause a client begins again at half its rate, though with no more than a second between requests; the rate
# doubles every two minutes. Else many clients that meet the limit together would fill each second at its begin, and
# whoever asks again later in it would take that for a spent quota.
SLOWEST = 1.0
RECOVERY = 120.0
# A header may ask for any time: this keeps sums with it inside the calendar.
LONGEST_ASKED = 366 * 86_400.0


class Clock:
    """The one source of time. Tests hand in one that moves when it is told to."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return after that many seconds, or as soon as ``stop`` is set."""
        stop.wait(seconds)


def next_midnight(now: datetime) -> datetime:
    """Return the next 00:00 UTC, when ASAPP's daily quota begins anew."""
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110: a number or a date), None without one."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_ASKED)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST_ASKED)


class Pacer:
    """Spaces the requests of one client, over all its threads, and holds them all while ASAPP says 429.

    :param per_second: requests a second, at most.
    :param clock: the source of time.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self.clock = clock
        self.stopping = threading.Event()
        self._gap = self._slow_gap = 1.0 / per_second
        self._next = self._slowed_at = clock.monotonic()
        self._state = threading.Condition()
        self._paused = False
        self._resets_at: datetime | None = None

    def stop(self) -> None:
        """End every wait, now and from now on, with :class:`AsappStopped`."""
        self.stopping.set()
        with self._state:
            self._state.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait that long.

        :raises AsappStopped: as soon as the client is stopped.
        """
        if seconds > 0 and not self.stopping.is_set():
            self.clock.wait(seconds, self.stopping)
        self._raise_if_over()

    def turn(self) -> None:
        """Return when one request may go.

        :raises AsappStopped: the client is being stopped.
        :raises AsappQuotaExhausted: the day's quota was found to be used up.
        """
        paused = True
        while paused:
            with self._state:
                self._state.wait_for(lambda: not self._paused or self.stopping.is_set())
            self._take_slot()
            # A pause that began meanwhile holds this request too.
            paused = self._paused

    def _take_slot(self) -> None:
        self._raise_if_over()
        with self._state:
            now = self.clock.monotonic()
            start = max(now, self._next)
            self._next = start + self._gap_at(now)
        self.wait(start - now)

    def _gap_at(self, now: float) -> float:
        return max(self._gap, self._slow_gap * math.pow(0.5, (now - self._slowed_at) / RECOVERY))

    def _slow_down(self) -> None:
        with self._state:
            now = self.clock.monotonic()
            self._slow_gap, self._slowed_at = min(2 * self._gap_at(now), max(self._gap, SLOWEST)), now

    def pause(self, asked: float | None, ask: Callable[[], tuple[bool, float | None]]) -> bool:
        """Hold every request after a 429 while one asks again; return whether this call was the one that asked.

        :param asked: seconds that the 429 asked for, None if it did not.
        :param ask: sends the request once more; returns whether it was let through, and the seconds it asked for.
        :raises AsappQuotaExhausted: still 429 after all waits, or ASAPP named a time further off.
        """
        with self._state:
            self._raise_if_over()
            if self._paused:
                return False
            self._paused = True
        try:
            self._ask_again(asked, ask)
        finally:
            with self._state:
                self._paused = False
                self._state.notify_all()
        return True

    def _ask_again(self, asked: float | None, ask: Callable[[], tuple[bool, float | None]]) -> None:
        for pause in PAUSES:
            self._raise_if_far(asked)
            # The last pause is the one that outlasts any spike: a Retry-After of a second must not shorten it.
            seconds = pause if asked is None or pause == LONGEST_WAIT else asked
            log.info("ASAPP answered 429: all requests pause for %g s, then one asks again.", seconds)
            if pause == LONGEST_WAIT:
                log.warning("Still 429 after the short waits: this may be the end of the day's quota.")
            self.wait(seconds)
            self._take_slot()
            through, asked = ask()
            if through:
                self._slow_down()
                return
        self._raise_if_far(asked)
        self._resets_at = next_midnight(self.clock.now())
        self._raise_if_over()

    def _raise_if_far(self, asked: float | None) -> None:
        if asked is not None and asked > LONGEST_WAIT:
            self._resets_at = self.clock.now() + timedelta(seconds=asked)
            self._raise_if_over()

    def _raise_if_over(self) -> None:
        if self.stopping.is_set():
            raise AsappStopped("The submission was stopped; a later try goes on or starts over.")
        # A new error for each thread: one that all raise would collect all their tracebacks.
        if self._resets_at is not None and self.clock.now() < self._resets_at:
            message = (
                "ASAPP's request quota for the day is used up (429 after every wait, or with a later time of return). "
                f"It answers again from {self._resets_at:%Y-%m-%d %H:%M:%S} UTC; tries before then will fail."
            )
            raise AsappQuotaExhausted(message, resets_at=self._resets_at, status=429)
