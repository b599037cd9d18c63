"""What ASAPP's answer says of each item: pure functions of status and body, nothing taken on trust.

An item counts as accepted only if the answer names it, its error is blank and the answer's own numbers agree.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from airflow_provider_asapp.errors import AsappBatchRefused

Kind = Literal["accepted", "already_persisted", "refused", "again"]


class Verdict(NamedTuple):
    """What became of one item.

    :param kind: ``again`` is not an end: a passing error, or no proof that the item arrived.
    :param reason: ASAPP's text or ours. It may quote a record's values: for the rejects, never for a log.
    """

    kind: Kind
    reason: str = ""


ACCEPTED = Verdict("accepted")
ALREADY_PERSISTED = Verdict("already_persisted")
NO_ANSWER = Verdict("again", "NO_ANSWER: ASAPP's answer does not mention this item")
COUNTS_DISAGREE = Verdict("again", "COUNTS_DISAGREE: ASAPP's answer contradicts itself")
BLANK_IN_400 = Verdict("again", "BLANK_IN_400: no error for this item in an answer that refuses every item")
# Kinds that mean that ASAPP has the item.
DELIVERED = frozenset({"accepted", "already_persisted"})
_UNPROVEN = frozenset({NO_ANSWER, COUNTS_DISAGREE, BLANK_IN_400})

# Codes and ids are echoed in messages: only what looks like one gets through, or a body could.
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
# Words in capitals, HTTP_413 among them. An error text may as well begin with a record's value, such as a phone number.
_LEADING_CODE = re.compile(r"(?:[A-Z]+_){1,7}(?:[A-Z]+|[1-5][0-9]{2})\Z")


def may_have_arrived(verdict: Verdict) -> bool:
    """Tell whether ASAPP may have the item: it said so, or it did not say no."""
    return verdict.kind in DELIVERED or verdict in _UNPROVEN


class Sent(Protocol):
    """What matching needs of an item that was sent."""

    @property
    def event_id(self) -> str: ...  # noqa: D102

    @property
    def body(self) -> bytes: ...  # noqa: D102


class UnreadableAnswer(ValueError):
    """A 200 that is not the documented JSON: it proves nothing."""


class Envelope(NamedTuple):
    """The part of ASAPP's error body that may be shown: never its message, which may quote values."""

    code: str | None = None
    request_id: str | None = None


def parse(body: bytes) -> Any:
    """Return the JSON value of a body, None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_envelope(body: bytes) -> Envelope:
    """Return code and ``requestId`` of an error body; what is missing or odd is None."""
    value = parse(body)
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return Envelope()
    return Envelope(_token(error.get("code")), _token(error.get("requestId")))


def leading_code(reason: str) -> str:
    """Return the code an error text begins with (``FAIL_BAD_PARAMS``), the part of it that a log may show."""
    head = reason.partition(":")[0].strip()
    return head if len(head) <= 64 and _LEADING_CODE.match(head) else "an error without a code"


def read_verdicts(status: int, body: bytes, sent: Sequence[Sent]) -> list[Verdict]:
    """Return one verdict for each item sent, in the order sent.

    :param status: 200 or 400.
    :raises UnreadableAnswer: a 200 of another shape than documented.
    :raises AsappBatchRefused: a 400 without results, or mixed verdicts under event ids that are not ours.
    """
    if status == 200 and len(sent) > 1 and _all_accepted(body, sent):
        return [ACCEPTED] * len(sent)
    entries = _entries(status, parse(body), single=len(sent) == 1)
    if entries is None:
        if status == 400:
            code, request_id = read_envelope(body)
            raise AsappBatchRefused(_refused_text(400), status=400, code=code, request_id=request_id)
        raise UnreadableAnswer("a 200 that is not the documented JSON")
    return _assign(entries, sent, status)


class _Result(msgspec.Struct):
    eventId: str  # noqa: N815 - ASAPP's name
    error: str | None


class _Results(msgspec.Struct):
    errorCount: int  # noqa: N815 - ASAPP's name
    results: list[_Result]


_decode = msgspec.json.Decoder(_Results).decode


def _all_accepted(body: bytes, sent: Sequence[Sent]) -> bool:
    """Tell whether an answer names just what was sent, in that order, without an error: what nearly always comes.

    Else it may still be so: it takes five times as long to find out, and mixed answers are rare.
    """
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return (
        not answer.errorCount
        and [result.eventId for result in answer.results] == [item.event_id for item in sent]
        and not "".join([result.error or "" for result in answer.results]).strip()
    )


def refused_as_a_whole(status: int, body: bytes) -> AsappBatchRefused:
    """Return the error for a request that ASAPP refused without saying which item is to blame."""
    code, request_id = read_envelope(body)
    return AsappBatchRefused(_refused_text(status), status=status, code=code, request_id=request_id)


def _refused_text(status: int) -> str:
    return f"HTTP_{status}: ASAPP refused the request as a whole"


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and _TOKEN.match(value) else None


Entry = tuple[str | None, Verdict]


def _entries(status: int, value: Any, *, single: bool) -> list[Entry] | None:
    """Return id and verdict of each result, doubtful ones as ``again``; None if the body is not the documented one."""
    if not isinstance(value, dict):
        return None
    if single:
        result = value.get("result")
        return [_entry(result, status)] if isinstance(result, dict) else None
    results, count = value.get("results"), value.get("errorCount")
    if not isinstance(results, list) or type(count) is not int or (status == 400 and not results):
        return None
    entries = [_entry(result, status) for result in results]
    if count != sum(verdict is not ACCEPTED for _, verdict in entries) and status == 200:
        entries = [(id_, COUNTS_DISAGREE if verdict is ACCEPTED else verdict) for id_, verdict in entries]
    return entries


def _entry(result: Any, status: int) -> Entry:
    if not isinstance(result, dict):
        return None, NO_ANSWER
    id_, error = result.get("eventId"), result.get("error", NO_ANSWER)
    return (id_ if isinstance(id_, str) else None), _verdict(error, status)


def _verdict(error: object, status: int) -> Verdict:
    if error is None or (isinstance(error, str) and not error.strip()):
        return ACCEPTED if status == 200 else BLANK_IN_400
    if not isinstance(error, str):
        return NO_ANSWER
    return Verdict("refused" if error.startswith("FAIL_BAD_PARAMS") else "again", error)


def _assign(entries: list[Entry], sent: Sequence[Sent], status: int) -> list[Verdict]:
    if len(entries) > len(sent):
        return [COUNTS_DISAGREE] * len(sent)
    if len(sent) == 1 and entries:
        return [entries[0][1]]
    ids = {item.event_id for item in sent}
    # Ids are ours or they are not: where one is, a foreign one beside it stands for nothing that was sent.
    if any(id_ in ids for id_, _ in entries) and _distinct(sent, ids):
        return _by_id(entries, sent)
    return _by_position(entries, sent, status)


def _distinct(sent: Sequence[Sent], ids: set[str]) -> bool:
    """Tell whether an id means one content: identical records share one, a user's own may be on different ones."""
    return len(ids) == len(sent) or len({(item.event_id, item.body) for item in sent}) == len(ids)


def _by_id(entries: list[Entry], sent: Sequence[Sent]) -> list[Verdict]:
    verdicts: dict[str | None, list[Verdict]] = defaultdict(list)
    for id_, verdict in entries:
        verdicts[id_].append(verdict)
    wanted = Counter(item.event_id for item in sent)
    for id_, found in verdicts.items():
        if id_ is not None and len(found) > wanted[id_] and len({verdict.kind for verdict in found}) > 1:
            verdicts[id_] = [COUNTS_DISAGREE] * len(found)
    answers = {id_: iter(found) for id_, found in verdicts.items()}
    return [next(answers.get(item.event_id, iter(())), NO_ANSWER) for item in sent]


def _by_position(entries: list[Entry], sent: Sequence[Sent], status: int) -> list[Verdict]:
    if len(entries) != len(sent):
        return [NO_ANSWER] * len(sent)
    verdicts = [verdict for _, verdict in entries]
    if len({verdict.kind for verdict in verdicts}) > 1:
        raise AsappBatchRefused("FOREIGN_IDS: ASAPP's mixed answer does not say which item it means", status=status)
    return verdicts
