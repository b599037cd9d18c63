"""Finds the culprits in a batch that ASAPP refused as a whole: halve and send again, within bounds.

Runs in a thread of the pool. A batch stays one batch to everybody else, so the order of its records holds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile

from airflow_provider_asapp.answers import DELIVERED, Verdict
from airflow_provider_asapp.client import AsappClient, body_size
from airflow_provider_asapp.errors import AsappBatchRefused, AsappError
from airflow_provider_asapp.schemas import Entity
from airflow_provider_asapp.validation import Item

# Enough for about five culprits among 1000; a batch that needs more is wrong as a whole.
EXTRA_REQUESTS = 64
# A body of a third of the refused size or more is the size to keep to: half of it is what halving comes to.
TELLING = 3
# Bytes of a body beside its items and a comma for each.
AROUND = len('{"items":[]}') - 1


class NothingAcceptable(Exception):
    """The bound was reached, and no part of the batch was taken. Never leaves the submission."""


class Bounds:
    """What all batches of a task share: the requests left for isolation, and the body size that ASAPP takes.

    :param requests: most requests that halving may cost the task.
    """

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._passed = 0
        self._refused = float("inf")
        self._lock = threading.Lock()

    def may_split(self) -> bool:
        """Take two requests from what is left; return whether there were as many."""
        with self._lock:
            self._left -= 2
            return self._left >= 0

    def passed(self, size: int) -> None:
        """Note a body that was not too large."""
        with self._lock:
            self._passed = max(self._passed, size)

    def too_large(self, size: int) -> None:
        """Note a body that was answered with 413."""
        with self._lock:
            self._refused = min(self._refused, size)

    def fits(self, size: int) -> bool:
        """Tell whether a body of several items may go: after a 413, what is no larger than one that passed."""
        with self._lock:
            return size <= self._passed or (not self._is_telling() and size < self._refused)

    @property
    def known(self) -> int:
        """Bytes that surely pass; 0 if there was no 413, or what passed tells too little."""
        with self._lock:
            return self._passed if self._is_telling() else 0

    def _is_telling(self) -> bool:
        # A body that is tiny beside the refused one would make all requests tiny: until a better one has passed,
        # halves are tried.
        return self._passed * TELLING >= self._refused


@dataclass(slots=True)
class Delivery:
    """What a batch came to.

    :param verdicts: one for each item, None where there is none because of the error.
    :param error: what ended the batch.
    """

    verdicts: list[Verdict | None]
    error: AsappError | NothingAcceptable | None = None


@dataclass(slots=True)
class Isolation:
    """One batch on its way through halving.

    :param extra: requests that halving may still cost this batch.
    :param given_up: a part was refused because they were used up.
    """

    client: AsappClient
    entity: Entity
    items: Sequence[Item]
    bounds: Bounds
    verdicts: list[Verdict | None] = field(init=False)
    extra: int = EXTRA_REQUESTS
    given_up: bool = False

    def __post_init__(self) -> None:
        self.verdicts = [None] * len(self.items)

    def run(self) -> Delivery:
        """Send the batch, and its parts as far as needed, from the left."""
        parts = [(0, len(self.items))]
        try:
            while parts:
                parts += self._deliver(*parts.pop())
        except AsappError as error:
            return Delivery(self.verdicts, error)
        if self.given_up and not any(verdict and verdict.kind in DELIVERED for verdict in self.verdicts):
            return Delivery(self.verdicts, NothingAcceptable("ASAPP refuses a batch and takes no part of it"))
        return Delivery(self.verdicts)

    def _deliver(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Send a part; return the two to send instead if it was refused as a whole, the left one last."""
        part = self.items[start:stop]
        size = body_size(part)
        if len(part) > 1 and not self.bounds.fits(size):
            return self._in_two(start, stop, known=self.bounds.known)
        try:
            self.verdicts[start:stop] = self.client.send(self.entity, part)
            self.bounds.passed(size)
            return []
        except AsappBatchRefused as refusal:
            return self._in_two(start, stop) if self._is_to_halve(refusal, start, stop, size) else []

    def _in_two(self, start: int, stop: int, *, known: int = 0) -> list[tuple[int, int]]:
        """Return halves; or first as many items as are known to pass together, so that few requests are needed."""
        ends = accumulate(len(item.body) + 1 for item in self.items[start:stop])
        cut = start + sum(1 for _ in takewhile(lambda end: end + AROUND <= known, ends))
        if cut == start:
            cut = (start + stop) // 2
        return [(cut, stop), (start, cut)]

    def _is_to_halve(self, refusal: AsappBatchRefused, start: int, stop: int, size: int) -> bool:
        """Note what a refusal teaches; where it is final, give it to every item of the part."""
        if refusal.status == 413:
            # Not bounded: the first halves that pass set the size for all requests to come.
            self.bounds.too_large(size)
        else:
            self.bounds.passed(size)
        if refusal.status == 200:
            for item in self.items[start:stop]:
                item.maybe_sent = True
        if stop - start == 1 or (refusal.status != 413 and not self._may_split()):
            self._refuse(refusal, start, stop)
            return False
        return True

    def _may_split(self) -> bool:
        self.extra -= 2
        return self.extra >= 0 and self.bounds.may_split()

    def _refuse(self, refusal: AsappBatchRefused, start: int, stop: int) -> None:
        reason = with_ids(refusal)
        if stop - start > 1:
            # Parts that are still to come have their request already, and may be good.
            self.given_up = True
            reason = f"NOT_ISOLATED: no request left to find the culprit; {reason}"
        self.verdicts[start:stop] = [Verdict("refused", reason)] * (stop - start)


def with_ids(refusal: AsappBatchRefused) -> str:
    """Return the refusal with ASAPP's code and ``requestId``, which their support asks for."""
    ids = (("code", refusal.code), ("requestId", refusal.request_id))
    named = [f"{name} {value}" for name, value in ids if value]
    return f"{refusal} ({', '.join(named)})" if named else str(refusal)
