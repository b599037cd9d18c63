"""What became of each record: counts, in the order of the source, and the words a person reads about them.

The source is accounted for in stretches. A stretch is confirmed when each of its records, and of all before it, has
its outcome; only then do its rejects get written and its counts become part of the report.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_asapp.answers import Verdict, leading_code
from airflow_provider_asapp.pacing import Clock
from airflow_provider_asapp.policy import Options, requests_for
from airflow_provider_asapp.rejects import Rejection, RejectsFolder
from airflow_provider_asapp.validation import Item

log = logging.getLogger(__name__)

NAMED_REJECTS = 20
MOST_RULES = 50
OTHER_RULES = ("rejected", "other fields", "other rules")
# Often at first, while somebody may be watching; then at the pace of a person who looks in.
FIRST_PROGRESS = 10.0
LATER_PROGRESS = 60.0


@dataclass(slots=True)
class Counts:
    """Records by outcome. ``read`` is the sum of the others."""

    accepted: int = 0
    already_persisted: int = 0
    invalid: int = 0
    refused: int = 0

    @property
    def read(self) -> int:
        """All records."""
        return self.accepted + self.already_persisted + self.invalid + self.refused

    @property
    def rejected(self) -> int:
        """Records that are not at ASAPP."""
        return self.invalid + self.refused

    def add(self, other: Counts) -> None:
        """Fold the other's counts into these."""
        self.accepted += other.accepted
        self.already_persisted += other.already_persisted
        self.invalid += other.invalid
        self.refused += other.refused


@dataclass(slots=True)
class Stretch:
    """Consecutive records of the source whose outcomes are awaited together.

    :param first: position of its first record.
    :param last: position of its last record so far.
    :param sent: its valid records.
    :param open: those of them that have no outcome yet.
    :param closed: all of it was read.
    :param digest: of the source up to its last record.
    """

    first: int
    last: int = 0
    sent: int = 0
    open: int = 0
    closed: bool = False
    digest: str = ""
    counts: Counts = field(default_factory=Counts)
    rejects: list[Rejection] = field(default_factory=list)

    def take(self, checked: Sequence[Item | Rejection]) -> list[Item]:
        """Add the next records of the source, one at least; return those of them that are valid."""
        self.last = checked[-1].position
        items = [record for record in checked if isinstance(record, Item)]
        self.sent += len(items)
        self.open += len(items)
        if len(items) < len(checked):
            rejections = [record for record in checked if isinstance(record, Rejection)]
            self.counts.invalid += len(rejections)
            self.rejects += rejections
        return items

    def close(self, digest: str) -> None:
        """End the stretch with the record that was added last."""
        self.closed, self.digest = True, digest

    def accept(self, count: int) -> None:
        """Note that so many of its items were accepted."""
        self.open -= count
        self.counts.accepted += count

    def settle(self, item: Item, verdict: Verdict) -> None:
        """Note the final outcome of one of its items; ``again`` for the last time is a refusal."""
        self.open -= 1
        if verdict.kind == "accepted":
            self.counts.accepted += 1
        elif verdict.kind == "already_persisted":
            self.counts.already_persisted += 1
        else:
            self.counts.refused += 1
            self.rejects.append(
                Rejection(item.position, item.label, "refused", {"asapp": [verdict.reason]}, item.record)
            )


class Ledger:
    """Keeps the stretches in order and confirms them from the front.

    :param entity: for the words of the log.
    :param rejects: where rejected records go, None for nowhere.
    :param clock: for the pace of the progress lines.
    """

    def __init__(self, entity: str, rejects: RejectsFolder | None, clock: Clock) -> None:
        self.entity = entity
        self.confirmed = Counts()
        self.position = 0
        self.digest = ""
        self._rejects = rejects
        self._clock = clock
        self._pending: deque[Stretch] = deque()
        self._named = 0
        self._resumed = 0
        self._rules: Counter[tuple[str, str, str]] = Counter()
        self._started = clock.monotonic()
        self._progress_at = self._started + FIRST_PROGRESS

    @property
    def unconfirmed(self) -> int:
        """Valid records of all stretches that are not confirmed: the window."""
        return sum(stretch.sent for stretch in self._pending)

    def resume(self, position: int, digest: str, counts: Counts) -> None:
        """Go on after a prefix of the source that an earlier try confirmed."""
        self.position, self.digest = position, digest
        self.confirmed.add(counts)
        self._resumed = position

    def begin(self, first: int) -> Stretch:
        """Return a new stretch that starts with that position."""
        stretch = Stretch(first, first - 1)
        self._pending.append(stretch)
        return stretch

    def confirm(self) -> None:
        """Confirm from the front what has all its outcomes; their rejects are written before anything is counted."""
        # One that is not closed was being read when the source broke off: the next try reads it again.
        while self._pending and self._pending[0].closed and not self._pending[0].open:
            stretch = self._pending[0]
            self._write(stretch)
            self.confirmed.add(stretch.counts)
            self.position, self.digest = stretch.last, stretch.digest
            self._pending.popleft()
        self._say_progress()

    def say_end(self) -> None:
        """Log the rejected records by field and rule, if there are any, and where they are."""
        for (stage, name, rule), count in self._rules.most_common():
            log.warning("%d %s: %s: %s", count, stage, name, rule)
        if self._rejects and self.confirmed.rejected:
            # A line of its own: at the end of a long one, Airflow's page shows it only to who scrolls.
            log.warning("The rejected records are in %s", self._rejects.folder)

    def _write(self, stretch: Stretch) -> None:
        rejects = sorted(stretch.rejects, key=lambda rejection: rejection.position)
        if self._rejects:
            self._rejects.write(stretch.first, rejects)
        for rejection in rejects:
            self._note(rejection)

    def _note(self, rejection: Rejection) -> None:
        """Log the first few by position, key, field and rule, and count all by field and rule; never a value."""
        rules = list(_loggable(rejection))
        for name, rule in rules:
            kind = (rejection.stage, name.partition("[")[0], rule)
            # Columns that are no fields may have any number of names.
            self._rules[kind if kind in self._rules or len(self._rules) < MOST_RULES else OTHER_RULES] += 1
        self._named += 1
        if self._named == NAMED_REJECTS + 1:
            log.warning("Further rejected records are only counted here.")
        if self._named > NAMED_REJECTS:
            return
        key = f"{self.entity} {rejection.key}" if rejection.key else f"{self.entity} without a valid key"
        text = "; ".join(f"{name}: {rule}" for name, rule in rules)
        log.warning("Record %d (%s) is %s: %s", rejection.position, key, rejection.stage, text)

    def _say_progress(self) -> None:
        now = self._clock.monotonic()
        if now < self._progress_at:
            return
        elapsed = now - self._started
        self._progress_at = now + (FIRST_PROGRESS if elapsed < LATER_PROGRESS else LATER_PROGRESS)
        counts = self.confirmed
        log.info(
            "%d records so far (%.0f/s), %d rejected",
            counts.read,
            (counts.read - self._resumed) / elapsed,
            counts.rejected,
        )


def _loggable(rejection: Rejection) -> Any:
    for name, rules in rejection.errors.items():
        for rule in rules:
            yield name, leading_code(rule) if rejection.stage == "refused" else rule


def plan(options: Options, expected: int | None) -> str:
    """Return in words what a submission is about to cost."""
    if expected is None:
        return f"Number of records not known before: one request for each {options.batch_size} valid ones."
    requests = requests_for(expected, options.batch_size)
    return f"Records: {expected}. Requests: {requests} of up to {options.batch_size} items, if all are valid."


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as one line for a person."""
    if not report["read"]:
        return f"The source holds no {report['entity']}: nothing to send."
    return counts_of(report)


def counts_of(report: Mapping[str, Any]) -> str:
    """Return the report's numbers in words."""
    text = "Records accounted for: {read} ({accepted} accepted, {already_persisted} already persisted, "
    text += "{invalid} invalid, {refused} refused). Requests: {requests}."
    return text.format(**report)
