"""Decides what becomes of a request; knows nothing of sockets."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

from . import answers
from .answers import Answer, RefusedError, Verdict
from .contract import HEALTH_PATH, MAX_ITEMS, OPERATIONS, RULES, Key, Operation
from .faults import Fault, FaultPlan
from .ledger import Accepted, Ledger, ReceivedRequest
from .limits import Limits

_SECRET_HEADERS: Final = frozenset(
    {"asapp-api-id", "asapp-api-secret", "authorization", "cookie", "proxy-authorization"}
)
_LIMITS: Final = {
    "spike": ("01", "Spike arrest: too many requests in one second."),
    "quota": ("02", "The day's quota is used up until 00:00 UTC."),
}
_NOTHING: Final = Answer(status=200, body=b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request as it came over the wire.

    :param path: without its query.
    :param headers: names in small letters.
    :param body: empty where `unread` says why it was not taken.
    :param size: length of the body as announced.
    :param unread: the status for a body that was not taken: 411 without a length, 413 where it is too long.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    size: int
    unread: int | None


class Batch:
    """The items of one request, with what is asked about each of them again and again."""

    def __init__(self, operation: Operation, items: list[object]) -> None:
        self.operation = operation
        self.items = items
        self.rules = RULES[operation.entity]
        self.keys: tuple[Key | None, ...] = tuple(map(self.rules.key, items))
        self.event_ids: tuple[str | None, ...] = tuple(map(self.rules.event_id, items))

    def judge(self, bent_by: list[tuple[Fault, list[int]]]) -> list[Verdict]:
        """Give each item its verdict; a fault can only refuse what the contract would take."""
        told = {place: fault.item_error for fault, places in bent_by if fault.item_error for place in places}
        return [
            Verdict(event_id or str(uuid4()), self._error(item) or told.get(place, ""))
            for place, (item, event_id) in enumerate(zip(self.items, self.event_ids, strict=True))
        ]

    def _error(self, item: object) -> str:
        complaint = self.rules.complaint(item)
        return complaint and f"FAIL_BAD_PARAMS: ERROR: {complaint}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """An answer, and the items that it is about."""

    answer: Answer
    batch: Batch | None = None
    verdicts: tuple[Verdict, ...] = ()

    def accepted(self) -> tuple[list[Accepted], list[str]]:
        """Give the accepted items as ASAPP keeps them, and the names of the keys that it drops."""
        kept: list[Accepted] = []
        dropped: list[str] = []
        if self.batch is not None and self.verdicts:
            rows = zip(self.verdicts, self.batch.keys, self.batch.event_ids, self.batch.items, strict=True)
            for verdict, key, event_id, item in rows:
                # A good item is an object and has its key: only the type checker needs to be told.
                if not verdict.error and key is not None and isinstance(item, dict):
                    known = self.batch.rules.known(item)
                    kept.append(Accepted(key, event_id, known))
                    dropped += item.keys() - known.keys()
        return kept, dropped


class Service:
    """Answers as ASAPP would, or as a fault says, and enters each request in the ledger.

    :param clock: gives the seconds since the epoch.
    :param sleep: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        api_id: str,
        api_secret: str,
        ledger: Ledger,
        faults: FaultPlan,
        limits: Limits,
        latency: float,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self.healthy = True
        self._api_id = api_id.encode()
        self._api_secret = api_secret.encode()
        self._ledger = ledger
        self._faults = faults
        self._limits = limits
        self._latency = latency
        self._clock = clock
        self._sleep = sleep

    def answer(self, call: Call) -> tuple[Answer, ReceivedRequest]:
        """Answer a request, after it has been entered: who has the answer can rely on the ledger."""
        arrived, started = self._clock(), perf_counter()
        number = self._ledger.next_number() if call.method == "POST" else 0
        self._wait(self._latency)
        try:
            outcome = self._outcome(call, number)
        except RefusedError as refused:
            outcome = Outcome(answer=answers.envelope(refused))
        kept, dropped = outcome.accepted()
        request = _received(call, number, outcome, len(kept), arrived, (perf_counter() - started) * 1000)
        entity = outcome.batch.operation.entity if outcome.batch else None
        self._ledger.record(request, entity=entity, accepted=kept, unknown=dropped)
        return outcome.answer, request

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)

    def _outcome(self, call: Call, number: int) -> Outcome:
        self._admit(call)
        if call.path == HEALTH_PATH:
            return Outcome(answer=answers.json_answer(200, {"healthCheck": "SUCCESS" if self.healthy else "FAILED"}))
        self._ration()
        return self._process(_batch(call), number)

    def _admit(self, call: Call) -> None:
        if call.path != HEALTH_PATH and call.path not in OPERATIONS:
            raise RefusedError(404)
        if call.method != ("GET" if call.path == HEALTH_PATH else "POST"):
            raise RefusedError(405)
        given_id = call.headers.get("asapp-api-id", "").encode()
        given_secret = call.headers.get("asapp-api-secret", "").encode()
        # Both are compared in full, so that the time it takes tells nothing about either.
        if not (hmac.compare_digest(given_id, self._api_id) & hmac.compare_digest(given_secret, self._api_secret)):
            raise RefusedError(401)

    def _ration(self) -> None:
        limit = self._limits.exceeded(self._clock())
        if limit is not None:
            raise RefusedError(429, *_LIMITS[limit])

    def _process(self, batch: Batch, number: int) -> Outcome:
        due = self._faults.due(number, batch.keys)
        self._wait(sum(fault.delay for fault, _ in due))
        instead = next((fault for fault, _ in due if fault.replaces), None)
        if instead is not None and not instead.accepts:
            return Outcome(answer=answers.faulty_answer(instead, _NOTHING), batch=batch)
        verdicts = batch.judge(due)
        if batch.operation.many:
            answer = answers.many_answer(verdicts, due, number)
        else:
            answer = answers.single_answer(verdicts[0], due)
        if instead is not None:
            answer = answers.faulty_answer(instead, answer)
        return Outcome(answer=answer, batch=batch, verdicts=tuple(verdicts))


def _batch(call: Call) -> Batch:
    """Read the items of a request, or refuse it as a whole."""
    operation = OPERATIONS[call.path]
    body = read_json(call)
    if not isinstance(body, dict):
        raise RefusedError(400, "03", "The body must be a JSON object.")
    if not operation.many:
        return Batch(operation, [body])
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        raise RefusedError(400, "04", f"items must be a list of 1 to {MAX_ITEMS}.")
    return Batch(operation, items)


def read_json(call: Call) -> Any:
    """Read the body.

    :raises RefusedError: 411 or 413 if it was not taken, 400 if it is not JSON or does not say so.
    """
    if call.unread is not None:
        raise RefusedError(call.unread)
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(400, "01", "The content type must be application/json.")
    try:
        return json.loads(call.body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # Not chained: the original error quotes the body.
        raise RefusedError(400, "02", "The body is not JSON in UTF-8.") from None


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON has none."""
    raise ValueError(name)


def _received(
    call: Call, number: int, outcome: Outcome, accepted: int, arrived: float, milliseconds: float
) -> ReceivedRequest:
    batch = outcome.batch
    return ReceivedRequest(
        number=number,
        method=call.method,
        path=call.path,
        headers={name: value for name, value in call.headers.items() if name not in _SECRET_HEADERS},
        status=None if outcome.answer.ending == "none" else outcome.answer.status,
        event_ids=batch.event_ids if batch else (),
        keys=batch.keys if batch else (),
        items=len(batch.items) if batch else 0,
        accepted=accepted,
        refused=sum(bool(verdict.error) for verdict in outcome.verdicts),
        bytes=call.size,
        time=arrived,
        milliseconds=milliseconds,
    )
