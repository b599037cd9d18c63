"""What a kill cost and whether the promises held, read from what ASAPP received: pure functions of it.

Records are counted by rank: the number of a good row among the good rows, since bad rows are never sent. Which try
sent a request is told by its time of arrival: between a kill and the next try's first request lies a second or more.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_asapp.checkpoint import EVERY
from airflow_provider_asapp.policy import Options
from tests.crash.asapp import Arrival
from tests.crash.warehouse import BAD, GOOD, ROWS, Warehouse

OPTIONS = Options(batch_size=500, max_in_flight=4, max_rejected=None)
# Sent before the kill, such a request arrives after it.
IN_THE_WIRES = 0.5
# A checkpoint is written by the first answer after EVERY seconds, and that takes the API server a moment.
OLDEST_CHECKPOINT = EVERY + 2.0


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A kill that hit a running task.

    :param moment: seconds since the epoch.
    :param into: seconds since Airflow said that the try runs.
    :param try_number: of the try that it ended.
    :param whole_worker: the task's supervisor was killed too.
    :param checkpoint: position in Airflow's task state store when the next try began.
    """

    moment: float
    into: float
    try_number: int
    whole_worker: bool
    checkpoint: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a kill cost, in ranks and good records.

    :param sent: highest rank that any try had sent by then.
    :param confirmed: highest rank up to which a try had all answers by then.
    :param confirmed_long_ago: the same, :data:`OLDEST_CHECKPOINT` earlier.
    :param saved: rank of the checkpoint.
    :param whole: highest rank up to which everything had arrived.
    :param begins: lowest rank that the next try sent, None if it sent nothing.
    :param again: records that arrived in the next try and had arrived before.
    """

    sent: int
    confirmed: int
    confirmed_long_ago: int
    saved: int
    whole: int
    begins: int | None
    again: int

    @property
    def was_over(self) -> bool:
        """Whether the try had delivered all and deleted its checkpoint, and died before Airflow noted its success.

        Then all comes again: Airflow's store outlives a success, so a checkpoint left there would keep a cleared task
        from sending.
        """
        return self.confirmed == GOOD and not self.saved

    @property
    def allowed(self) -> int:
        """Most records that may arrive again."""
        return OPTIONS.window + max(0, self.confirmed - self.saved)

    def broken(self) -> list[str]:
        """Return which promises were broken, in words."""
        round_trip = OPTIONS.max_in_flight * OPTIONS.batch_size
        checks = {
            f"{self.again} records arrived again, {self.allowed} may": self.again <= self.allowed,
            f"{self.sent} were sent with {self.confirmed} confirmed": self.sent - self.confirmed <= OPTIONS.window,
            f"the checkpoint says {self.saved}, but only {self.whole} had arrived": self.saved <= self.whole,
            f"the next try began with {self.begins}, not behind the checkpoint, {self.saved}": (
                self.begins in (None, self.saved + 1)
            ),
            # While a write takes long the requests under way end, and no new ones start.
            f"the checkpoint says {self.saved}, but {self.confirmed_long_ago} were confirmed long before": (
                self.was_over or self.confirmed_long_ago - self.saved <= round_trip
            ),
        }
        return [text for text, held in checks.items() if not held]


def costs(kills: Sequence[Kill], arrivals: Sequence[Arrival], warehouse: Warehouse) -> list[Cost]:
    """Return what each of a run's kills cost."""
    borders = [float("-inf"), *(kill.moment + IN_THE_WIRES for kill in kills), float("inf")]
    tries = [[it for it in arrivals if begin <= it.time < end] for begin, end in itertools.pairwise(borders)]
    found = []
    confirmed = confirmed_long_ago = start = 0
    for number, kill in enumerate(kills):
        own = tries[number]
        confirmed = max(confirmed, prefix(_ranks(_answered(own, kill.moment), warehouse), start))
        earlier = _answered(own, kill.moment - OLDEST_CHECKPOINT)
        confirmed_long_ago = max(confirmed_long_ago, prefix(_ranks(earlier, warehouse), start))
        before = _ranks((it for one in tries[: number + 1] for it in one), warehouse)
        after = _ranks(tries[number + 1], warehouse)
        start = warehouse.rank_at(kill.checkpoint)
        found.append(
            Cost(
                sent=max(before, default=0),
                confirmed=confirmed,
                confirmed_long_ago=confirmed_long_ago,
                saved=start,
                whole=prefix(before, 0),
                begins=min(after, default=None),
                again=len(before & after),
            )
        )
    return found


def _answered(arrivals: Iterable[Arrival], by: float) -> Iterable[Arrival]:
    return (it for it in arrivals if it.answered <= by)


def _ranks(arrivals: Iterable[Arrival], warehouse: Warehouse) -> set[int]:
    return {warehouse.ranks[key] for it in arrivals for key in it.event_ids}


def prefix(ranks: set[int], start: int) -> int:
    """Return the highest rank up to which none is missing from a start on."""
    while start + 1 in ranks:
        start += 1
    return start


def broken_event_ids(arrivals: Iterable[Arrival]) -> list[str]:
    """Return what is wrong if a record came with more than one event id, or an event id with more than one record."""
    by_key, by_id = defaultdict(set), defaultdict(set)
    for it in arrivals:
        for key, event_id in it.event_ids.items():
            by_key[key].add(event_id)
            by_id[event_id].add(key)
    wrong = sum(len(some) != 1 for some in (*by_key.values(), *by_id.values()))
    return [f"{wrong} records or event ids are not one to one"] if wrong or not by_key else []


def broken_ledger(held: Mapping[str, Mapping[str, Any]], counts: Mapping[str, Any], warehouse: Warehouse) -> list[str]:
    """Return what is wrong if ASAPP does not hold every good row, record by record, and nothing else."""
    got = {key: {name: value for name, value in item.items() if name != "eventId"} for key, item in held.items()}
    expected = warehouse.expected()
    problems = []
    if got != expected:
        missing, foreign = expected.keys() - got.keys(), got.keys() - expected.keys()
        other = sum(got[key] != expected[key] for key in got.keys() & expected.keys())
        problems.append(f"ASAPP lacks {len(missing)} records, holds {len(foreign)} foreign and {other} altered ones")
    if counts["refused"] or counts["items"] - counts["repeated_event_ids"] != GOOD:
        problems.append(f"ASAPP's own counts do not add up: {counts}")
    return problems


def broken_report(report: Mapping[str, Any], requests: int) -> list[str]:
    """Return what is wrong with the last try's report, which speaks of all tries together."""
    expected = {"read": ROWS, "accepted": GOOD, "already_persisted": 0, "invalid": BAD, "refused": 0}
    told = {name: report[name] for name in expected}
    problems = [] if told == expected else [f"the report says {told}"]
    # A killed try can't tell of the requests after its last checkpoint.
    if not -(-GOOD // OPTIONS.batch_size) <= report["requests"] <= requests:
        problems.append(f"the report tells of {report['requests']} requests, ASAPP answered {requests}")
    return problems


def broken_rejects(rejects: Sequence[Mapping[str, Any]], warehouse: Warehouse) -> list[str]:
    """Return what is wrong if not each bad row is among the rejects once, with its reason, and nothing else."""
    times = Counter(reject["position"] for reject in rejects)
    reasons = {reject["position"]: list(reject["errors"]) for reject in rejects}
    expected = {place: [field] for place, field in warehouse.bad.items()}
    problems = [f"row {place} is {count} times in the rejects" for place, count in times.items() if count > 1]
    if reasons != expected:
        problems.append(f"the rejects are {reasons}, not {expected}")
    if any(reject["stage"] != "invalid" or not all(reject["errors"].values()) for reject in rejects):
        problems.append("a reject has no reason, or was sent")
    return problems
