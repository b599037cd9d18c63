"""What an answered batch means: each of its items gets its outcome, or goes again, or ends the submission."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import attrgetter

from airflow_provider_asapp.answers import ACCEPTED, DELIVERED, Verdict, leading_code, may_have_arrived
from airflow_provider_asapp.client import WAITS
from airflow_provider_asapp.errors import AsappUnavailableError
from airflow_provider_asapp.isolation import Delivery, NothingAcceptable
from airflow_provider_asapp.policy import TELLING_BATCH
from airflow_provider_asapp.window import Batch, Entry, Hopeless, Window


class Outcomes:
    """Folds answers into the account.

    :param window: takes back what has to go again.
    :param domain: ASAPP's, for an error's words.
    :param taken: ASAPP has taken an item already.
    """

    def __init__(self, window: Window, domain: str, *, taken: bool) -> None:
        self.taken = taken
        self._window = window
        self._domain = domain

    def account(self, batch: Batch, delivery: Delivery) -> list[Exception]:
        """Give each item of a batch its outcome, or send it again; return what ends the submission."""
        if not delivery.error and delivery.verdicts.count(ACCEPTED) == batch.size:
            self._accept(batch)
            return []
        answered = [
            (entry, verdict) for entry, verdict in zip(batch.entries, delivery.verdicts, strict=True) if verdict
        ]
        for entry, verdict in answered:
            entry.origin.judged |= verdict.kind != "again"
        failures = self._failures(batch, delivery)
        self._window.note_arrivals({entry.item.key for entry, verdict in answered if may_have_arrived(verdict)})
        again: set[str] = set()
        here: set[str] = set()
        for entry, verdict in answered:
            key = entry.item.key
            if verdict.kind in DELIVERED:
                entry.arrived = verdict
            elif key in here or key in again:
                # An earlier record of its key came after it, or will.
                entry.arrived = None
            if may_have_arrived(verdict):
                here.add(key)
            if verdict.kind == "again" and entry.tries < len(WAITS):
                again.add(key)
                self._window.go_again(entry, verdict)
            elif key in again and verdict.kind != "refused":
                # It arrived, but the earlier record of its key would come after it: once more, behind that one.
                self._window.go_again(entry, verdict)
            else:
                failures += self._settle(entry, verdict)
        self.taken |= any(verdict.kind in DELIVERED for _, verdict in answered)
        return failures

    def _accept(self, batch: Batch) -> None:
        """Give all items of a batch the same good outcome: what nearly always happens, and all that it takes."""
        for entry in batch.entries:
            entry.origin.judged = True
        self._window.note_arrivals(batch.keys.keys())
        for stretch, entries in groupby(batch.entries, key=attrgetter("stretch")):
            stretch.accept(len(list(entries)))
        self.taken = True

    def _failures(self, batch: Batch, delivery: Delivery) -> list[Exception]:
        if isinstance(delivery.error, NothingAcceptable):
            return [Hopeless(str(delivery.error))]
        if delivery.error:
            return [delivery.error]
        all_refused = all(verdict and verdict.kind == "refused" for verdict in delivery.verdicts)
        if all_refused and not self.taken and not self._window.exhausted and len(batch.entries) >= TELLING_BATCH:
            codes = Counter(leading_code(verdict.reason) for verdict in delivery.verdicts if verdict)
            ((code, _),) = codes.most_common(1)
            return [Hopeless(f"ASAPP refused every one of the first {len(batch.entries)} records, mostly with {code}")]
        return []

    def _settle(self, entry: Entry, verdict: Verdict) -> list[Exception]:
        if verdict.kind == "again" and not entry.origin.judged:
            return [
                AsappUnavailableError(
                    f"{self._domain} answered every item of a batch with an error that is not the data's, "
                    f"{len(WAITS) + 1} times."
                )
            ]
        entry.stretch.settle(entry.item, entry.arrived or verdict)
        return []
