"""Promises of the policy: what rejected records mean is a matter of counts alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.policy import HOPELESS_AFTER, Options, hopeless_source, limit_exceeded, requests_for

COUNT, RATIO = "max_rejected is", "max_rejected_ratio is"


@pytest.mark.parametrize(
    ("read", "rejected", "max_rejected", "ratio", "exceeded"),
    [
        (0, 0, 0, None, None),
        (100, 0, 0, None, None),
        (100, 1, 0, None, COUNT),
        (100, 5, 5, None, None),
        (100, 6, 5, None, COUNT),
        (100, 100, None, None, None),
        (0, 0, None, 0.0, None),
        (100, 0, None, 0.0, None),
        (100, 1, None, 0.0, RATIO),
        (100, 5, None, 0.05, None),
        (100, 6, None, 0.05, RATIO),
        (100, 100, None, 1.0, None),
        (1, 1, None, 0.5, RATIO),
        # Giving only the ratio lifts the default count.
        (100, 5, 0, 0.05, None),
        (100, 6, 0, 0.05, RATIO),
        # Both given: either can be exceeded.
        (100, 3, 5, 0.05, None),
        (100, 4, 3, 0.05, COUNT),
        (100, 4, 5, 0.03, RATIO),
        (100, 9, 5, 0.05, COUNT),
    ],
)
def test_a_limit_is_exceeded_by_more_than_it(
    read: int, rejected: int, max_rejected: int | None, ratio: float | None, exceeded: str | None
) -> None:
    """What is as much as the limit is fine; None is no limit; the message names counts and limit."""
    text = limit_exceeded(read=read, rejected=rejected, max_rejected=max_rejected, max_rejected_ratio=ratio)
    assert (text is None) is (exceeded is None)
    if text and exceeded:
        assert exceeded in text
        assert text.startswith(f"{rejected} of {read} records were rejected")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.none() | st.integers(0, 100), st.none() | st.floats(0, 1))
def test_without_rejects_no_limit_is_exceeded(read: int, more: int, count: int | None, ratio: float | None) -> None:
    """And one reject more never makes an exceeded limit fine again."""
    limits = {"max_rejected": count, "max_rejected_ratio": ratio}
    assert limit_exceeded(read=read, rejected=0, **limits) is None  # type: ignore[arg-type]
    rejected = min(more, read)
    if limit_exceeded(read=read + 1, rejected=rejected, **limits):  # type: ignore[arg-type]
        assert limit_exceeded(read=read + 1, rejected=rejected + 1, **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "valid", "hopeless"),
    [(0, 0, False), (HOPELESS_AFTER - 1, 0, False), (HOPELESS_AFTER, 0, True), (5000, 0, True), (5000, 1, False)],
)
def test_a_thousand_records_without_a_valid_one_are_hopeless(read: int, valid: int, *, hopeless: bool) -> None:
    """A wrong mapping, not bad luck; one valid record is reason to go on."""
    assert hopeless_source(read=read, valid=valid) is hopeless
    assert HOPELESS_AFTER == 1000


@pytest.mark.parametrize(
    ("valid", "size", "requests"), [(0, 1000, 0), (1, 1000, 1), (1000, 1000, 1), (1001, 1000, 2), (7, 1, 7)]
)
def test_the_plan_counts_full_batches(valid: int, size: int, requests: int) -> None:
    """The last one may be smaller."""
    assert requests_for(valid, size) == requests


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"batch_size": 1},
        {"batch_size": 1000},
        {"max_in_flight": 1},
        {"max_rejected": None},
        {"max_rejected": 10**9},
        {"max_rejected_ratio": 0.0},
        {"max_rejected_ratio": 1},
        {"max_isolation_requests": 0},
    ],
)
def test_options_have_defaults_and_ranges(good: dict[str, Any]) -> None:
    """Full batches, a few in flight, and no reject unless somebody allows it; they can't change under way."""
    defaults = {"batch_size": 1000, "max_in_flight": 4, "max_rejected": 0, "max_rejected_ratio": None}
    options = Options(**good)
    assert {name: getattr(options, name) for name in defaults} == defaults | {
        name: value for name, value in good.items() if name in defaults
    }
    with pytest.raises(FrozenInstanceError):
        options.batch_size = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "bad",
    [
        {"batch_size": 0},
        {"batch_size": 1001},
        {"max_in_flight": 0},
        {"max_rejected": -1},
        {"max_rejected_ratio": -0.1},
        {"max_rejected_ratio": 1.1},
        {"max_rejected_ratio": float("nan")},
        {"max_isolation_requests": -1},
    ],
)
def test_an_option_out_of_its_range_is_named(bad: dict[str, Any]) -> None:
    """With its value, before anything is read."""
    ((name, value),) = bad.items()
    with pytest.raises(AsappConfigurationError, match=f"^{name}={value}: "):
        Options(**bad)
