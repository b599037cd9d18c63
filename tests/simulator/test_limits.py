"""The spike limit and the daily quota."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.simulator.limits import Limits

DAY = 86_400.0


@given(st.lists(st.integers(0, 24), max_size=60), st.integers(1, 5))
def test_no_second_has_more_than_its_share(steps, per_second):
    """However requests come, no second holds more let through than allowed, and none is refused below that."""
    limits = Limits(per_second=per_second, per_day=None)
    let_through: list[int] = []
    eighths = 0
    for step in steps:
        eighths += step
        recent = sum(eighths - 8 < then for then in let_through)
        refused = limits.exceeded(eighths / 8)
        assert (refused == "spike") == (recent == per_second)
        if refused is None:
            let_through.append(eighths)


def test_the_quota_returns_at_midnight():
    """A day's requests are gone until 00:00 UTC, and all there again then."""
    limits = Limits(per_second=None, per_day=2)
    last = 20_000 * DAY + DAY - 1
    assert [limits.exceeded(last) for _ in range(3)] == [None, None, "quota"]
    assert [limits.exceeded(last + 1) for _ in range(3)] == [None, None, "quota"]


def test_a_refused_request_uses_up_nothing():
    """What the spike limit refuses does not count for the day."""
    limits = Limits(per_second=1, per_day=2)
    assert [limits.exceeded(0.0) for _ in range(5)] == [None, *["spike"] * 4]
    assert limits.exceeded(1.0) is None
    assert limits.exceeded(2.0) == "quota"


def test_none_is_no_limit():
    """Without limits everything passes."""
    limits = Limits(per_second=None, per_day=None)
    assert {limits.exceeded(0.0) for _ in range(1000)} == {None}
