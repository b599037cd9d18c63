"""Promises of the error tree: it is as it is drawn, and an error survives the way between processes."""

from __future__ import annotations

import inspect
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_asapp import errors
from airflow_provider_asapp.errors import AsappError, AsappQuotaExhausted, AsappTooManyRejected

CLASSES: list[type[AsappError]] = [
    value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, AsappError)
]
DETAILS: dict[type[AsappError], dict[str, Any]] = {
    AsappQuotaExhausted: {"resets_at": datetime(2026, 3, 5, tzinfo=UTC)},
    AsappTooManyRejected: {"report": {"entity": "agent", "read": 3}},
}


def drawn() -> dict[str, str | None]:
    """Return the parent of each error as the module's docstring draws the tree."""
    parents: dict[str, str | None] = {}
    line_above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│├└─ ]*)(Asapp\w+)\b", line):
            depth = len(match[1]) // 4
            parents[match[2]] = line_above.get(depth - 1)
            line_above[depth] = match[2]
    return parents


def test_the_tree_is_as_drawn() -> None:
    """The picture at the head of the module names every error, each under its parent."""
    real = {cls.__name__: cls.__base__.__name__ if cls is not AsappError and cls.__base__ else None for cls in CLASSES}
    assert drawn() == real
    assert len(real) > 10


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_pickles_with_all_it_carries(cls: type[AsappError]) -> None:
    """Airflow moves errors between processes: text, status, code, requestId and what else there is arrive."""
    error = cls("what happened", status=429, code="429-01", request_id="r-1", **DETAILS.get(cls, {}))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(again) is cls
    assert again.args == error.args == ("what happened",)
    assert vars(again) == vars(error)
    assert vars(error).keys() >= {"status", "code", "request_id", *DETAILS.get(cls, {})}


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_needs_no_more_than_a_message(cls: type[AsappError]) -> None:
    """What is unknown is None, and the text is the message alone."""
    error = cls("what happened")
    assert str(error) == "what happened"
    assert set(vars(error).values()) == {None}


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_is_of_one_kind(cls: type[AsappError]) -> None:
    """What a caller can do about it is never in doubt: fatal, retryable or rejected."""
    kinds = (errors.AsappFatalError, errors.AsappRetryableError, errors.AsappRejectedError)
    assert sum(issubclass(cls, kind) for kind in kinds) == (cls is not AsappError)
