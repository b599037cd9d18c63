"""What goes back: documented answers, and those that a fault bends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias
from uuid import uuid4

if TYPE_CHECKING:
    from .faults import Drop, Fault

Ending: TypeAlias = Literal["whole", "half", "none"]
Bends: TypeAlias = "Sequence[tuple[Fault, list[int]]]"

_ENDINGS: Final[dict[Drop | None, Ending]] = {None: "whole", "before": "none", "after": "none", "mid-body": "half"}


class Verdict(NamedTuple):
    """What becomes of one item: accepted where `error` is blank."""

    event_id: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP answer.

    :param status: its status code.
    :param body: its bytes.
    :param content_type: what it says the bytes are.
    :param headers: others than that and the length.
    :param ending: how much is sent before the connection is closed: "whole" (and it stays open), "half" of the body,
        or "none" of it all.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = "whole"


class RefusedError(Exception):
    """The request as a whole is refused, with ASAPP's error envelope.

    :param status: HTTP status.
    :param code: two digits that tell apart the reasons behind one status.
    :param message: for people; holds no value of a record. By default the name of the status.
    """

    def __init__(self, status: int, code: str = "01", message: str = "") -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message or HTTPStatus(status).phrase


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(status=status, body=json.dumps(value).encode(), headers=headers or {})


def html_answer(text: str) -> Answer:
    """Answer with a page; what is no Unicode (half of a surrogate pair) becomes a question mark."""
    return Answer(status=200, body=text.encode(errors="replace"), content_type="text/html; charset=utf-8")


def envelope(refused: RefusedError, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with ASAPP's error envelope."""
    error = {
        "requestId": str(uuid4()),
        "message": refused.message,
        "code": f"{refused.status}-{refused.code}",
    }
    return json_answer(refused.status, {"error": error}, headers)


def single_answer(verdict: Verdict, bent_by: Bends) -> Answer:
    """Answer a single-* operation; of the faults that change an answer only `foreign_ids` makes sense here."""
    if any(fault.foreign_ids for fault, _ in bent_by):
        verdict = _foreign(verdict)
    return json_answer(400 if verdict.error else 200, {"result": _on_the_wire(verdict)})


def many_answer(verdicts: Sequence[Verdict], bent_by: Bends, number: int) -> Answer:
    """Answer a many-* operation: 200 if at least one item is accepted.

    :param bent_by: the faults that fired, each with the positions of the items concerned.
    :param number: of the request; faults take their chances from it.
    """
    errors = sum(bool(verdict.error) for verdict in verdicts)
    body: dict[str, Any] = {"errorCount": errors, "results": list(verdicts)}
    for fault, places in bent_by:
        _bend(body, fault, places, number)
    body["results"] = [_on_the_wire(result) for result in body["results"]]
    return json_answer(400 if errors == len(verdicts) else 200, body)


def _on_the_wire(verdict: Verdict) -> dict[str, str]:
    return {"eventId": verdict.event_id, "error": verdict.error}


def _bend(body: dict[str, Any], fault: Fault, places: list[int], number: int) -> None:
    results: list[Verdict] = body["results"]
    gone = set(places[: fault.missing])
    results[:] = [result for place, result in enumerate(results) if place not in gone]
    results += [Verdict(str(uuid4()), "") for _ in range(fault.extra)]
    if fault.foreign_ids:
        results[:] = [_foreign(result) for result in results]
    if fault.shuffle and len(results) > 1:
        # Turned like a wheel, not shuffled: so that none can keep its place by chance.
        turn = fault.dice(number).randrange(1, len(results))
        results[:] = results[turn:] + results[:turn]
    body["errorCount"] += fault.wrong_count


def _foreign(verdict: Verdict) -> Verdict:
    return verdict._replace(event_id=str(uuid4()))


def faulty_answer(fault: Fault, documented: Answer) -> Answer:
    """Answer as a fault that replaces the documented answer says."""
    return replace(_instead(fault, documented), ending=_ENDINGS[fault.drop])


def _instead(fault: Fault, documented: Answer) -> Answer:
    if fault.status is not None:
        retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return envelope(RefusedError(fault.status, message="The simulator was told to."), retry)
    if fault.redirect is not None:
        return Answer(status=302, body=b"", headers={"Location": fault.redirect})
    if fault.html:
        return html_answer("<!doctype html><title>Sign in</title><p>Please sign in to this network.")
    if fault.garbage:
        return Answer(status=200, body=b'{"results": [\xff\x00 no JSON')
    if fault.not_documented:
        return json_answer(200, {"status": "ok", "processed": True})
    return documented
