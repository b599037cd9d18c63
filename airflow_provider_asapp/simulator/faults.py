"""Misbehaviour on demand: when it strikes, and what happens then, as data."""

from __future__ import annotations

import threading
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Final, Literal, TypeAlias

from jsonschema import Draft202012Validator

from .contract import Key

Drop: TypeAlias = Literal["before", "after", "mid-body"]

# The WHAT fields whose answer takes the place of the documented one.
_REPLACING: Final = ("status", "drop", "garbage", "html", "redirect", "not_documented")
_SHAPING: Final = ("item_error", "delay", "wrong_count", "missing", "extra", "shuffle", "foreign_ids")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One way to misbehave: it fires on a request for which everything said under WHEN holds.

    It is asked only about requests that are otherwise in order: known path, right keys, below the limits,
    JSON with items. If several fire, delays add up, the first that replaces the answer wins, and
    the others change the answer in the order in which they were given.

    WHEN; without any of these it fires on each request:

    :param requests: numbers of POST requests, counted from 1 since the start or the last reset.
    :param keys: keys of records: a conversation's or agent's id, for customers the pair of conversation and
        customer id. The fault fires on requests that hold one; `item_error` and `missing` touch just these.
    :param share: between 0 and 1: that share of the requests, for `item_error` that share of the items.
    :param seed: the same seed strikes the same requests and positions again.
    :param times: fires on at most that many requests.

    WHAT; these answer in place of the documented answer and nothing is accepted, unless `accept` is set:

    :param status: 400 to 599, with the error envelope and the code `<status>-01`.
    :param retry_after: value of a `Retry-After` header beside `status`: seconds, or an HTTP date.
    :param drop: closes the connection: "before" anything is accepted; "after" it is; or "mid-body", after it is
        accepted and half of the answer's body has been sent.
    :param garbage: 200 with bytes that are not JSON, though it says so.
    :param html: 200 with a page, as a captive proxy would.
    :param redirect: 302 to this URL.
    :param not_documented: 200 with JSON of another shape.
    :param accept: the items are accepted all the same, and the answer does not say so.

    WHAT; these change the documented answer:

    :param item_error: text for the items it strikes, such as "FAIL_TIMEOUT: try later"; they are not accepted. An
        item that breaks the contract keeps its own error.
    :param delay: seconds before the request is looked at.
    :param wrong_count: `errorCount` is one too many.
    :param missing: that many results are left out.
    :param extra: that many results of items that nobody sent are added.
    :param shuffle: no result keeps its place, if there is more than one.
    :param foreign_ids: each result has a new event id; the order stays.

    :raises ValueError: if it would do nothing, or a value is out of its range.
    """

    requests: Container[int] | None = None
    keys: Collection[Key] | None = None
    share: float | None = None
    seed: int = 0
    times: int | None = None

    status: int | None = None
    retry_after: int | str | None = None
    drop: Drop | None = None
    garbage: bool = False
    html: bool = False
    redirect: str | None = None
    not_documented: bool = False
    accept: bool = False

    item_error: str | None = None
    delay: float = 0.0
    wrong_count: bool = False
    missing: int = 0
    extra: int = 0
    shuffle: bool = False
    foreign_ids: bool = False

    def __post_init__(self) -> None:
        if self.keys is not None:
            object.__setattr__(self, "keys", frozenset(self.keys))
        if not self.replaces and not any(getattr(self, name) for name in _SHAPING):
            raise ValueError("This fault would do nothing: say what happens when it fires.")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after goes with status.")
        if self.accept and not self.replaces:
            raise ValueError("accept goes with an answer that replaces the documented one.")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError("share lies between 0 and 1.")
        if self.status is not None and not 400 <= self.status <= 599:
            raise ValueError("status lies between 400 and 599.")

    @classmethod
    def from_json(cls, given: object) -> Fault:
        """Read a fault as the command line and `POST /simulator/faults` take it.

        :param given: a mapping with the names above; a pair of ids in `keys` is a list of two texts.
        :raises ValueError: naming the entry that is not as it should be, and why.
        """
        for error in _JSON.iter_errors(given):
            raise ValueError(f"{error.json_path}: {error.message}.")
        entries: dict[str, Any] = dict(given)  # type: ignore[call-overload]  # the schema says it is one
        if "keys" in entries:
            entries["keys"] = [key if isinstance(key, str) else tuple(key) for key in entries["keys"]]
        return cls(**entries)

    @property
    def replaces(self) -> bool:
        """Whether the documented answer is not given."""
        return any(getattr(self, name) for name in _REPLACING)

    @property
    def accepts(self) -> bool:
        """Whether the items are looked at and kept although the answer may not say so."""
        return not self.replaces or self.accept or self.drop in ("after", "mid-body")

    def strikes(self, number: int, keys: Sequence[Key | None]) -> list[int]:
        """Give the positions of the items concerned; none where the fault does not fire."""
        if self.requests is not None and number not in self.requests:
            return []
        positions = [place for place, key in enumerate(keys) if self.keys is None or key in self.keys]
        if self.share is None:
            return positions
        draw = self.dice(number)
        if self.item_error is not None:
            return [place for place in positions if draw.random() < self.share]
        return positions if draw.random() < self.share else []

    def dice(self, number: int) -> Random:
        """Give the same chances for the same request, in whatever order requests arrive."""
        return Random(f"{self.seed}/{number}")  # noqa: S311  # chances, not secrets


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None

    def strikes(self, number: int, keys: Sequence[Key | None]) -> list[int]:
        places = self.fault.strikes(number, keys) if self.left != 0 else []
        if places and self.left is not None:
            self.left -= 1
        return places


class FaultPlan:
    """The faults in force, and how often each may still fire."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def __len__(self) -> int:
        with self._lock:
            return sum(armed.left != 0 for armed in self._armed)

    def add(self, *faults: Fault) -> None:
        """Put faults behind those in force."""
        with self._lock:
            self._armed.extend(_Armed(fault, fault.times) for fault in faults)

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._armed.clear()

    def due(self, number: int, keys: Sequence[Key | None]) -> list[tuple[Fault, list[int]]]:
        """Give the faults that fire on a request, each with the positions of the items concerned."""
        with self._lock:
            return [(armed.fault, places) for armed in self._armed if (places := armed.strikes(number, keys))]


_COUNT: Final = {"type": "integer", "minimum": 0}
_FLAG: Final = {"type": "boolean"}
_TEXT: Final = {"type": "string", "minLength": 1}
_PAIR: Final = {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}
_JSON: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "requests": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "keys": {"type": "array", "items": {"anyOf": [_TEXT, _PAIR]}},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "seed": {"type": "integer"},
            "times": _COUNT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "retry_after": {"anyOf": [_COUNT, _TEXT]},
            "drop": {"enum": ["before", "after", "mid-body"]},
            "redirect": _TEXT,
            "item_error": _TEXT,
            "delay": {"type": "number", "minimum": 0},
            "missing": _COUNT,
            "extra": _COUNT,
            **{field.name: _FLAG for field in fields(Fault) if field.default is False},
        },
    }
)
