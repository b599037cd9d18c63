"""Promises of pacing: the rate is never exceeded, a 429 pauses everybody once, and a stop ends every wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.errors import AsappQuotaExhausted, AsappStopped
from airflow_provider_asapp.pacing import LONGEST_ASKED, Clock, Pacer, next_midnight, retry_after
from tests.clocks import START, FakeClock

MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
Ask = Callable[[], tuple[bool, float | None]]


class SharedClock(FakeClock):
    """A clock on which waits pass at the same time, as they do for threads in the world."""

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Let time pass up to the end of this wait."""
        until = self.monotonic() + seconds
        with self._lock:
            self._elapsed = max(self._elapsed, until)


def answers(*given: tuple[bool, float | None]) -> tuple[Ask, list[int]]:
    """Return what to ask, and the list to which each asking adds."""
    asked: list[int] = []
    rest: Iterator[tuple[bool, float | None]] = iter(given)

    def ask() -> tuple[bool, float | None]:
        asked.append(len(asked) + 1)
        return next(rest)

    return ask, asked


NO = (False, None)
YES = (True, None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pacer(clock: FakeClock) -> Pacer:
    return Pacer(1e9, clock)


# --- the rate


@pytest.mark.parametrize("per_second", [0.5, 1.0, 100.0])
def test_requests_are_spaced(clock: FakeClock, per_second: float) -> None:
    """The first goes at once, each other one a gap after the one before."""
    pacer = Pacer(per_second, clock)
    moments = []
    for _ in range(5):
        pacer.turn()
        moments.append(clock.monotonic())
    assert moments == pytest.approx([place / per_second for place in range(5)])


def test_an_idle_client_does_not_catch_up(clock: FakeClock) -> None:
    """What was not used is gone: there is no burst after a quiet time."""
    pacer = Pacer(10.0, clock)
    pacer.turn()
    clock.advance(1000.0)
    clock.waits.clear()
    for _ in range(3):
        pacer.turn()
    assert clock.waits == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("threads", [1, 4, 32])
def test_the_rate_holds_whatever_the_threads(threads: int) -> None:
    """The n-th request of a client never goes before its time, from however many threads."""
    clock = SharedClock()
    pacer = Pacer(50.0, clock)
    moments: list[float] = []

    def work(_: int) -> None:
        for _ in range(256 // threads):
            pacer.turn()
            moments.append(clock.monotonic())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert len(moments) == 256
    assert all(moment >= place / 50.0 - 1e-9 for place, moment in enumerate(sorted(moments)))
    assert max(moments) == pytest.approx(255 / 50.0)


def test_asking_again_counts_into_the_rate(clock: FakeClock) -> None:
    """Also where ASAPP asks for no wait at all, the request that asks keeps its distance."""
    pacer = Pacer(2.0, clock)
    ask, _ = answers((False, 0.0), (True, None))
    pacer.turn()
    pacer.pause(0.0, ask)
    pacer.turn()
    assert clock.monotonic() == pytest.approx(1.5)


# --- the pause


@pytest.mark.parametrize("refused", range(4))
def test_asking_again_ends_with_the_first_yes(clock: FakeClock, pacer: Pacer, refused: int) -> None:
    """The waits are 1, 2, 4 and then 60 seconds, and none more than needed."""
    ask, asked = answers(*[NO] * refused, YES)
    assert pacer.pause(None, ask) is True
    assert [wait for wait in clock.waits if wait > 0.5] == [1.0, 2.0, 4.0, 60.0][: refused + 1]
    assert len(asked) == refused + 1
    pacer.turn()


def test_after_all_waits_the_quota_is_used_up(clock: FakeClock, pacer: Pacer) -> None:
    """Still 429 after four times asking: the quota comes back at the next 00:00 UTC."""
    ask, asked = answers(NO, NO, NO, NO)
    with pytest.raises(AsappQuotaExhausted, match="2026-03-05 00:00:00 UTC") as exhausted:
        pacer.pause(None, ask)
    assert exhausted.value.resets_at == MIDNIGHT
    assert exhausted.value.status == 429
    assert len(asked) == 4
    assert sum(clock.waits) == pytest.approx(67.0)


def test_once_used_up_all_fail_at_once_until_it_is_back(clock: FakeClock, pacer: Pacer) -> None:
    """No other request asks or waits, each caller has an error of its own, and at the reset the client works again."""
    ask, _ = answers(NO, NO, NO, NO)
    with pytest.raises(AsappQuotaExhausted) as first:
        pacer.pause(None, ask)
    clock.waits.clear()
    with pytest.raises(AsappQuotaExhausted) as second:
        pacer.turn()
    with pytest.raises(AsappQuotaExhausted):
        pacer.pause(None, pytest.fail)
    assert second.value is not first.value
    assert second.value.resets_at == MIDNIGHT
    assert clock.waits == []
    clock.advance((MIDNIGHT - clock.now()).total_seconds())
    pacer.turn()


@pytest.mark.parametrize("asked", [0.5, 1.0, 60.0])
def test_a_short_retry_after_replaces_the_wait(clock: FakeClock, pacer: Pacer, asked: float) -> None:
    """ASAPP knows better: what it asks for, up to 60 s, is waited instead."""
    ask, _ = answers((False, None), (False, asked), YES)
    pacer.pause(asked, ask)
    assert [wait for wait in clock.waits if wait > 0.1] == [asked, 2.0, asked]


def test_no_retry_after_makes_a_spike_look_like_a_spent_quota(clock: FakeClock, pacer: Pacer) -> None:
    """The last ask comes after a minute, however soon ASAPP asks for it: a spike is over by then."""
    ask, _ = answers(*[(False, 1.0)] * 3, YES)
    pacer.pause(1.0, ask)
    assert [wait for wait in clock.waits if wait > 0.1] == [1.0, 1.0, 1.0, 60.0]


def test_after_a_pause_it_begins_again_more_slowly(clock: FakeClock) -> None:
    """Each pause halves the rate, down to one request a second; without another it is back after some minutes."""
    pacer = Pacer(100.0, clock)

    def gap() -> float:
        pacer.turn()
        before = clock.monotonic()
        pacer.turn()
        return clock.monotonic() - before

    gaps = [gap()]
    for _ in range(9):
        pacer.pause(None, answers(YES)[0])
        gaps.append(gap())
    assert gaps == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0], rel=0.05)
    clock.advance(120.0)
    assert gap() == pytest.approx(0.5, rel=0.05)
    clock.advance(900.0)
    assert gap() == pytest.approx(0.01)


@pytest.mark.parametrize("when", range(5))
def test_a_long_retry_after_is_the_time_of_return(clock: FakeClock, pacer: Pacer, when: int) -> None:
    """More than 60 s is no wait for a task: whichever 429 names it, the quota is gone until then."""
    named = [(False, 7200.0)] if when else []
    ask, asked = answers(*[NO] * (when - 1), *named)
    with pytest.raises(AsappQuotaExhausted) as exhausted:
        pacer.pause(None if when else 7200.0, ask)
    assert len(asked) == when
    waited = sum([1.0, 2.0, 4.0, 60.0][:when])
    assert exhausted.value.resets_at is not None
    assert (exhausted.value.resets_at - START).total_seconds() == pytest.approx(7200.0 + waited)


def test_one_asks_for_all() -> None:
    """However many threads meet a 429 together, one pauses and asks, and the others go when it is through."""
    clock = FakeClock()
    pacer = Pacer(1e9, clock)
    others = threading.Semaphore(0)
    order: list[str] = []

    def ask() -> tuple[bool, float | None]:
        # Every other thread comes by during the pause.
        assert all(others.acquire(timeout=5) for _ in range(7))
        order.append("asked")
        return True, None

    def meet_429(_: int) -> bool:
        asked = pacer.pause(None, ask)
        if not asked:
            others.release()
            pacer.turn()
            order.append("turn")
        return asked

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(meet_429, range(8))) == [False] * 7 + [True]
    assert order == ["asked"] + ["turn"] * 7
    assert [wait for wait in clock.waits if wait > 0.5] == [1.0]


def test_a_pause_holds_what_waits_for_its_turn() -> None:
    """A request whose time comes while another pauses does not go: ASAPP has said that it is too much."""
    pausing, let_go, turned = threading.Event(), threading.Event(), threading.Event()

    class TurningClock(FakeClock):
        def wait(self, seconds: float, stop: threading.Event) -> None:
            super().wait(seconds, stop)
            if threading.current_thread() is waiting:
                asking.start() if asking.ident is None else None
                assert pausing.wait(5)

    def ask() -> tuple[bool, float | None]:
        pausing.set()
        return let_go.wait(5), None

    def turn() -> None:
        pacer.turn()
        turned.set()

    pacer = Pacer(1.0, TurningClock())
    asking = threading.Thread(target=pacer.pause, args=(None, ask))
    waiting = threading.Thread(target=turn)
    pacer.turn()
    waiting.start()
    assert pausing.wait(5)
    assert not turned.wait(0.05)
    let_go.set()
    waiting.join(5)
    asking.join(5)
    assert turned.is_set()


def test_an_error_while_asking_lifts_the_pause(pacer: Pacer) -> None:
    """If the connection breaks for the one that asks, the others don't wait for ever."""

    def ask() -> tuple[bool, float | None]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        pacer.pause(None, ask)
    pacer.turn()


# --- stopping


WAITS: dict[str, Callable[[Pacer], object]] = {
    "a wait": lambda pacer: pacer.wait(600),
    "a turn": lambda pacer: pacer.turn(),
    "a pause": lambda pacer: pacer.pause(30.0, pytest.fail),
}


@pytest.mark.parametrize("begin", WAITS.values(), ids=WAITS)
def test_a_stop_ends_every_wait_at_once(begin: Callable[[Pacer], object]) -> None:
    """On the real clock: whatever a thread waits for, also for another's pause, it ends within a moment."""
    pacer = Pacer(0.001, Clock())
    pacer.turn()
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(begin, pacer), pool.submit(pacer.turn)]
        time.sleep(0.05)
        stopped_at = time.monotonic()
        pacer.stop()
        for end in ends:
            with pytest.raises(AsappStopped):
                end.result(5)
    assert time.monotonic() - stopped_at < 1


def test_nothing_begins_after_a_stop(clock: FakeClock, pacer: Pacer) -> None:
    """Every later wait, turn or pause says that it was stopped, without waiting."""
    pacer.stop()
    for begin in (pacer.turn, lambda: pacer.wait(5), lambda: pacer.pause(None, pytest.fail)):
        with pytest.raises(AsappStopped):
            begin()
    assert clock.waits == []


# --- times


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("3600", 3600.0),
        ("9" * 400, LONGEST_ASKED),
        ("Wed, 04 Mar 2026 12:00:30 GMT", 30.0),
        ("Wed, 04 Mar 2026 12:00:30 -0000", 30.0),
        ("Wed, 04 Mar 2026 13:00:30 +0100", 30.0),
        ("Wed, 04 Mar 2026 11:00:00 GMT", 0.0),
        ("Thu, 05 Mar 2026 00:00:00 GMT", 43200.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_ASKED),
        ("Wed, 04 Mar 2026 12:00:00 +99999999999999999999", None),
        ("Wed, 04 Mar 99999999999999999999 12:00:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("nan", None),
        ("\xff", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_as_documented(header: str | None, seconds: float | None) -> None:
    """A number or a date (RFC 9110); rubbish is as if it were not there."""
    assert retry_after(header, START) == seconds


dates = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@settings(max_examples=200)
@given(st.text() | dates | st.text("MonJaGT0123456789 :,+-()"))
def test_no_retry_after_is_too_odd(header: str) -> None:
    """Whatever the header says, there is a time to wait or none, and it can be added to any date."""
    seconds = retry_after(header, START)
    assert seconds is None or START + timedelta(seconds=seconds) >= START


@given(st.datetimes(max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_the_next_midnight_is_the_next(now: datetime) -> None:
    """After now, within a day, at 00:00 UTC."""
    midnight = next_midnight(now)
    assert timedelta() < midnight - now <= timedelta(days=1)
    assert midnight.timetz() == datetime(2026, 1, 1, tzinfo=UTC).timetz()


def test_the_clock_is_the_worlds() -> None:
    """The real clock gives UTC, and waits no longer than it is told."""
    clock, stop = Clock(), threading.Event()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(timezone(timedelta(hours=5)))) < timedelta(seconds=5)
    before = clock.monotonic()
    clock.wait(0.01, stop)
    assert 0.005 < clock.monotonic() - before < 5
