"""The outcome table as data: what ASAPP may answer, at which place of a source, and what must come of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from airflow_provider_asapp.errors import (
    AsappAccessError,
    AsappError,
    AsappQuotaExhausted,
    AsappTooManyRejected,
    AsappUnavailableError,
)
from airflow_provider_asapp.simulator import Fault
from tests.servers import Reply

SIZE = 8
# Takes a body of three heavy records, and any number of light ones.
LIMIT = 3500

Place = Literal["single", "first", "middle", "last"]


class Target(NamedTuple):
    """The batch that a row is about.

    :param read: records in the source.
    :param first: position of the batch's first record.
    :param size: its records.
    """

    read: int
    first: int
    size: int

    @property
    def keys(self) -> list[str]:
        """The keys of its records."""
        return [f"c{at}" for at in range(self.first, self.first + self.size)]


# Ten full batches and half a one; or one record that goes to the operation for one.
TARGETS: dict[Place, Target] = {
    "single": Target(1, 1, 1),
    "first": Target(84, 1, SIZE),
    "middle": Target(84, 25, SIZE),
    "last": Target(84, 81, 4),
}
PLAIN = (1, 11, 11, 11)
ONCE_MORE = (2, 12, 12, 12)
HALVED_TO_ONE = (1, 17, 17, 15)
NONE = (0, 0, 0, 0)
ONE = (1, 1, 1, 1)
ALL = (1, 8, 8, 4)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer, or a sequence of answers, and its consequences. Four numbers are those of the four places.

    :param what: happens.
    :param faults: of the simulator, from the keys of the target's records.
    :param requests: that the documentation promises, over all tries together.
    :param refused: records, of the target.
    :param already: records that end as already persisted.
    :param twice: arrivals beyond the first of each record.
    :param fails: places at which the first try ends with `error`; a second try completes.
    :param heavy: places in the target of records of some thousand bytes, -1 for all of a thousand.
    :param company: what goes again finds company, unless the last records are sent before the answer comes: with
        several requests under way it may need one more.
    :param change: bends an answer on its way.
    """

    what: str
    faults: Callable[[list[str]], list[Fault]] = lambda _: []
    requests: tuple[int, int, int, int] = PLAIN
    refused: tuple[int, int, int, int] = NONE
    already: tuple[int, int, int, int] = NONE
    twice: tuple[int, int, int, int] = NONE
    fails: tuple[Place, ...] = ()
    error: type[AsappError] = AsappUnavailableError
    heavy: int | None = None
    company: bool = False
    change: Callable[[Reply], Reply] | None = field(default=None, repr=False)

    def records(self, place: Place) -> list[dict[str, Any]]:
        """Return a source."""
        read, first, size = TARGETS[place]
        records: list[dict[str, Any]] = [{"externalConversationId": f"c{at}"} for at in range(1, read + 1)]
        for at in range(size) if self.heavy is not None else ():
            weight = 1000 if self.heavy == -1 else 4000 if at == min(self.heavy, size - 1) else 0
            if weight:
                records[first - 1 + at]["attributes"] = {f"a{number}": "x" * 1000 for number in range(weight // 1000)}
        return records


def of_one(**what: Any) -> Callable[[list[str]], list[Fault]]:
    """Return a fault that concerns the first record of the target, and requests that hold it."""
    return lambda keys: [Fault(keys=keys[:1], **what)]


def of_all(**what: Any) -> Callable[[list[str]], list[Fault]]:
    """Return a fault that concerns each record of the target."""
    return lambda keys: [Fault(keys=keys, **what)]


# On a request for which both are due the first one wins, and either has fired.
def both(
    *given: Callable[[list[str]], list[Fault]],
) -> Callable[[list[str]], list[Fault]]:
    """Return several faults together."""
    return lambda keys: [fault for faults in given for fault in faults(keys)]


def blank_first_error(reply: Reply) -> Reply:
    """Take the first error out of an answer that refuses every item."""
    value = json.loads(reply.body)
    if reply.status == 400:
        (value["results"][0] if "results" in value else value["result"])["error"] = ""
    return Reply(reply.status, json.dumps(value).encode())


BAD = "FAIL_BAD_PARAMS: ERROR: no such campaign"
BUSY = "FAIL_STORAGE: busy"
DROPS: tuple[tuple[str, dict[str, Any], tuple[int, int, int, int]], ...] = (
    ("the connection breaks before", {"drop": "before"}, NONE),
    ("the connection breaks after", {"drop": "after"}, ALL),
    ("half an answer", {"drop": "mid-body"}, ALL),
    ("garbage", {"garbage": True, "accept": True}, ALL),
    ("a page of HTML", {"html": True}, NONE),
    ("undocumented JSON", {"not_documented": True, "accept": True}, ALL),
    ("500", {"status": 500}, NONE),
    ("503", {"status": 503}, NONE),
)
EVERYWHERE: tuple[Place, ...] = ("single", "first", "middle", "last")
MANY: tuple[Place, ...] = ("first", "middle", "last")

ROWS = [
    # --- 200
    Row(what="all accepted"),
    Row(what="results in another order", faults=lambda _: [Fault(shuffle=True)]),
    Row(what="alike under foreign ids", faults=lambda _: [Fault(foreign_ids=True)]),
    Row(what="alike under foreign ids in another order", faults=lambda _: [Fault(foreign_ids=True, shuffle=True)]),
    # --- errors of items
    Row(what="one bad item", faults=of_one(item_error=BAD), refused=ONE),
    Row(
        what="one bad item, in another order",
        faults=both(of_one(item_error=BAD), of_all(shuffle=True)),
        refused=ONE,
    ),
    Row(what="one passing error", faults=of_one(item_error=BUSY, times=1), requests=(2, 11, 11, 12), company=True),
    Row(
        what="one lasting error",
        faults=of_one(item_error=BUSY, times=4),
        requests=(5, 13, 13, 14),
        company=True,
        refused=(0, 1, 1, 1),
        fails=("single",),
    ),
    Row(what="a batch of passing errors", faults=of_all(item_error=BUSY, times=1), requests=ONCE_MORE),
    Row(
        what="a batch of lasting errors",
        faults=of_all(item_error=BUSY, times=4),
        requests=(5, 15, 17, 15),
        twice=(0, 0, 16, 0),
        fails=EVERYWHERE,
    ),
    Row(
        what="all items bad",
        faults=of_all(item_error=BAD, times=1),
        requests=(1, 12, 11, 11),
        refused=(1, 0, 8, 4),
        fails=("first",),
        error=AsappTooManyRejected,
    ),
    # --- no proof
    Row(
        what="a missing answer",
        faults=of_one(missing=1, times=1),
        requests=(1, 11, 11, 12),
        company=True,
        twice=(0, 1, 1, 1),
    ),
    Row(
        what="an answer that is missing among many",
        faults=of_one(missing=1),
        company=True,
        # The third time it goes alone, to the operation that can't leave it out.
        requests=(1, 12, 12, 12),
        twice=(0, 2, 2, 1),
    ),
    Row(what="an answer too many", faults=of_one(extra=1, times=1), requests=(1, 12, 12, 12), twice=(0, 8, 8, 4)),
    Row(what="a wrong count", faults=of_one(wrong_count=True, times=1), requests=(1, 12, 12, 12), twice=(0, 8, 8, 4)),
    Row(
        what="always a wrong count",
        faults=of_one(wrong_count=True, times=4),
        requests=(1, 15, 17, 15),
        twice=(0, 32, 48, 16),
        fails=MANY,
    ),
    Row(
        what="a blank error inside a 400",
        faults=of_all(item_error=BUSY, times=1),
        requests=ONCE_MORE,
        change=blank_first_error,
    ),
    # --- refused as a whole
    Row(what="413", heavy=-1, requests=(1, 16, 16, 13)),
    Row(what="413 for one record", heavy=2, requests=(1, 17, 17, 15), refused=ONE),
    Row(what="422 for one record", faults=of_one(status=422), requests=HALVED_TO_ONE, refused=ONE),
    Row(
        what="422 for three records",
        faults=lambda keys: [Fault(keys=[keys[0], keys[3 % len(keys)], keys[6 % len(keys)]], status=422)],
        requests=(1, 23, 23, 17),
        refused=(1, 3, 3, 3),
    ),
    Row(
        what="422 for each record",
        faults=of_all(status=422, times=15),
        requests=(1, 26, 25, 17),
        refused=(1, 0, 8, 4),
        fails=("first",),
        error=AsappTooManyRejected,
    ),
    Row(what="400 without results for one record", faults=of_one(status=400), requests=HALVED_TO_ONE, refused=ONE),
    Row(
        what="one bad item under foreign ids",
        faults=both(of_one(foreign_ids=True), of_one(item_error=BAD)),
        requests=HALVED_TO_ONE,
        refused=ONE,
        twice=(0, 11, 11, 4),
    ),
    # --- 409
    Row(
        what="409 once",
        faults=of_one(status=409, accept=True, times=1),
        requests=(1, 13, 13, 13),
        already=(1, 0, 0, 0),
        twice=(0, 8, 8, 4),
    ),
    Row(
        what="409 for one record",
        faults=of_one(status=409, accept=True),
        requests=HALVED_TO_ONE,
        already=ONE,
        twice=(0, 14, 14, 6),
    ),
    Row(
        what="409 after an unread answer",
        faults=both(of_one(drop="after", times=1), of_one(status=409, times=2)),
        requests=ONCE_MORE,
        already=ALL,
    ),
    Row(
        what="409 after a 503",
        faults=both(of_one(status=503, times=1), of_one(status=409, accept=True, times=2)),
        requests=(2, 14, 14, 14),
        already=(1, 0, 0, 0),
        twice=(0, 8, 8, 4),
    ),
    # --- no way in
    *(
        Row(
            what=f"{status}",
            faults=of_one(status=status, times=1),
            requests=ONCE_MORE,
            fails=EVERYWHERE,
            error=AsappAccessError,
        )
        for status in (401, 403, 404, 418)
    ),
    Row(
        what="a redirect",
        faults=of_one(redirect="http://127.0.0.1:9/elsewhere", times=1),
        requests=ONCE_MORE,
        fails=EVERYWHERE,
        error=AsappAccessError,
    ),
    # --- 429
    Row(what="a spike", faults=of_one(status=429, times=1), requests=ONCE_MORE),
    Row(what="a long spike", faults=of_one(status=429, times=4), requests=(5, 15, 15, 15)),
    Row(what="a spike with a time", faults=of_one(status=429, retry_after=7, times=1), requests=ONCE_MORE),
    Row(
        what="a spent quota",
        faults=of_one(status=429, times=5),
        requests=(6, 16, 16, 16),
        fails=EVERYWHERE,
        error=AsappQuotaExhausted,
    ),
    Row(
        what="a spent quota with a time",
        faults=of_one(status=429, retry_after=3600, times=1),
        requests=ONCE_MORE,
        fails=EVERYWHERE,
        error=AsappQuotaExhausted,
    ),
    # --- trouble
    *(
        Row(what=f"{what}, once", faults=of_one(**fault, times=1), requests=ONCE_MORE, twice=arrive)
        for what, fault, arrive in DROPS
    ),
    Row(what="503, three times", faults=of_one(status=503, times=3), requests=(4, 14, 14, 14)),
    *(
        Row(
            what=f"{what}, for long",
            faults=of_one(**fault, times=4),
            requests=(5, 15, 15, 15),
            twice=tuple(4 * extra for extra in arrive),  # type: ignore[arg-type]
            fails=EVERYWHERE,
        )
        for what, fault, arrive in DROPS
    ),
]
