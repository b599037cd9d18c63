"""Which records go out next: full batches, a bounded window, and for each key the order of the source.

Nothing here sends or waits. What has to go again comes first and fills up a batch together with new records, since a
request is the scarce thing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import chain, islice, takewhile

import msgspec

from airflow_provider_asapp.accounting import Ledger, Stretch
from airflow_provider_asapp.answers import Verdict, may_have_arrived
from airflow_provider_asapp.checkpoint import Digest
from airflow_provider_asapp.client import WAITS
from airflow_provider_asapp.policy import HOPELESS_AFTER, Options, hopeless_source
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.validation import Item


class Hopeless(Exception):
    """The source holds nothing that could be sent: a wrong mapping. Never leaves the submission."""


@dataclass(slots=True)
class Origin:
    """The first batch of an item. If ASAPP judged no item of it, an error there is not the item's own.

    :param judged: it accepted an item, or refused one for its data.
    """

    judged: bool = False


class Entry(msgspec.Struct, eq=False, gc=False):
    """An item on its way. Nothing that it holds refers to it, so the garbage collector may leave it out.

    :param stretch: where it is accounted for.
    :param tries: how often it had to go again.
    :param due: when it may go again, on the client's clock.
    :param arrived: ASAPP has it, and no earlier record of its key has come there since.
    """

    item: Item
    stretch: Stretch
    origin: Origin
    tries: int = 0
    due: float = 0.0
    arrived: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that go out in one request.

    :param keys: of its items, each with the position of the last record that has it.
    """

    entries: list[Entry]
    keys: dict[str, int]

    @property
    def size(self) -> int:
        """Number of its items."""
        return len(self.entries)


class Window:
    """Composes batches from what has to go again and what is read anew.

    :param records: checked records, in the order of the source.
    :param ledger: opens a stretch for what is read.
    :param options: batch size and window.
    :param now: seconds that never run backwards.
    :param digest: of the source up to here; goes on with each record read.
    :param breathe: called between stretches while a batch is filled, which takes long where much is invalid.
    :param sent_before: position of the last record that an earlier try may have sent.
    """

    def __init__(
        self,
        records: Iterator[Item | Rejection],
        *,
        ledger: Ledger,
        options: Options,
        now: Callable[[], float],
        digest: Digest,
        sent_before: int,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        self.read = ledger.position
        self.sent = ledger.position
        self.exhausted = False
        self._digest = digest
        self._sent_before = sent_before
        self._valid = ledger.confirmed.read - ledger.confirmed.invalid
        self._records = records
        self._ledger = ledger
        self._options = options
        self._now = now
        self._breathe = breathe
        self._again: deque[Entry] = deque()
        self._waiting: deque[Batch] = deque()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be sent, now or later."""
        return self.exhausted and not self._waiting and not self._again

    @property
    def due_in(self) -> float:
        """Seconds until the first of those that have to go again may; 0 if none has to."""
        return self._again[0].due - self._now() if self._again else 0.0

    def next_batch(self, in_flight: Iterable[Batch]) -> Batch | None:
        """Return the batch to send now; None if something must end or become due first.

        A batch waits for those in flight that share a key with it, so that the later record of a key arrives later.

        :param in_flight: the batches under way.
        :raises Hopeless: so many records, and not one of them valid.
        """
        under_way = list(in_flight)
        if not self._waiting:
            self._waiting += self._compose(alone=not under_way)
        self._make_way()
        if not self._waiting or self._is_blocked(self._waiting[0], under_way):
            return None
        batch = self._waiting.popleft()
        self.sent = max(self.sent, batch.entries[-1].item.position)
        return batch

    def prepare(self) -> None:
        """Compose the next batch while others are under way, so that it is there when one of them ends.

        :raises Hopeless: so many records, and not one of them valid.
        """
        # What has to go again would find the batch full.
        if not self._waiting and not self._again:
            self._waiting += self._compose(alone=False)

    def _make_way(self) -> None:
        """Put what has to go again among the batches that wait, where they have room or must not go before it."""
        if not self._waiting or not (self._has_room(self._waiting[0]) or self._is_overtaking(self._waiting[0])):
            return
        if due := self._pop_due():
            # In the order of the source again, and cut anew: so the order holds for every key.
            entries = sorted([*due, *(entry for batch in self._waiting for entry in batch.entries)], key=_position)
            size = self._options.batch_size
            self._waiting = deque(_batch_of(entries[at : at + size]) for at in range(0, len(entries), size))

    def _is_blocked(self, batch: Batch, under_way: list[Batch]) -> bool:
        shares_a_key = any(not batch.keys.keys().isdisjoint(other.keys) for other in under_way)
        # The last records of the source wait for what may still keep them company.
        return shares_a_key or self._is_overtaking(batch) or (bool(self._again) and self._has_room(batch))

    def _has_room(self, batch: Batch) -> bool:
        return self.exhausted and batch.size < self._options.batch_size and len(self._waiting) == 1

    def _is_overtaking(self, batch: Batch) -> bool:
        """Tell whether an earlier record of one of its keys has yet to go again."""
        return any(entry.item.position < batch.keys.get(entry.item.key, 0) for entry in self._again)

    def go_again(self, entry: Entry, verdict: Verdict) -> None:
        """Send an entry once more, after a wait.

        :param verdict: why: a passing error, or no proof. Or it arrived, but before an earlier record of its key.
        """
        due = self._now() + WAITS[min(entry.tries, len(WAITS) - 1)]
        # Never before one that came earlier: the queue keeps the order of the source for each key.
        entry.due = max(due, self._again[-1].due) if self._again else due
        entry.tries += verdict.kind == "again"
        entry.item.maybe_sent |= may_have_arrived(verdict)
        self._again.append(entry)

    def note_arrivals(self, keys: Set[str]) -> None:
        """Note that records of these keys may have come; later ones that came before them count as overwritten."""
        waiting = (batch.entries for batch in self._waiting if not batch.keys.keys().isdisjoint(keys))
        for entry in chain(self._again, *waiting):
            if entry.item.key in keys:
                entry.arrived = None

    def _compose(self, *, alone: bool) -> list[Batch]:
        size = self._options.batch_size
        due = self._due_count()
        room = self._options.window - self._ledger.unconfirmed
        entries: list[Entry] = []
        if not self.exhausted and room >= size - due:
            entries = sorted(self._pop_due(), key=_position)
            entries += self._fresh(size - len(entries))
        elif due == size or alone:
            # Only now: what has to go again waits for company as long as an answer may bring some.
            entries = sorted(self._pop_due(), key=_position)
        return [_batch_of(entries)] if entries else []

    def _due_count(self) -> int:
        now = self._now()
        first = islice(self._again, self._options.batch_size)
        return sum(1 for _ in takewhile(lambda entry: entry.due <= now, first))

    def _pop_due(self) -> list[Entry]:
        return [self._again.popleft() for _ in range(self._due_count())]

    def _fresh(self, wanted: int) -> list[Entry]:
        """Read until that many valid records are found, or the source ends."""
        entries: list[Entry] = []
        origin = Origin()
        while len(entries) < wanted and not self.exhausted:
            entries += self._stretch(wanted - len(entries), origin)
            self._ledger.confirm()
            self._breathe()
        return entries

    def _stretch(self, wanted: int, origin: Origin) -> list[Entry]:
        """Read one stretch of the source, which ends early where its rejects would become too many to keep."""
        entries: list[Entry] = []
        stretch: Stretch | None = None
        while room := min(wanted - len(entries), HOPELESS_AFTER - (len(stretch.rejects) if stretch else 0)):
            checked = list(islice(self._records, room))
            if not checked:
                self.exhausted = True
                break
            stretch = stretch or self._ledger.begin(checked[0].position)
            entries += self._taken(checked, stretch, origin)
        self._valid += len(entries)
        if stretch:
            stretch.close(self._digest.text())
        if hopeless_source(read=self.read, valid=self._valid):
            raise Hopeless(f"The first {self.read} records are all invalid")
        return entries

    def _taken(self, checked: list[Item | Rejection], stretch: Stretch, origin: Origin) -> list[Entry]:
        self.read += len(checked)
        self._digest.add(checked)
        items = stretch.take(checked)
        for item in takewhile(lambda item: item.position <= self._sent_before, items):
            item.maybe_sent = True
        return [Entry(item, stretch, origin) for item in items]


def _position(entry: Entry) -> int:
    return entry.item.position


def _batch_of(entries: list[Entry]) -> Batch:
    return Batch(entries, {entry.item.key: entry.item.position for entry in entries})
