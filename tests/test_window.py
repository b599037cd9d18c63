"""Promises of the window: full batches, never too far ahead, and for each key the order of the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.accounting import Ledger
from airflow_provider_asapp.answers import ACCEPTED, NO_ANSWER, Verdict
from airflow_provider_asapp.checkpoint import Digest
from airflow_provider_asapp.policy import HOPELESS_AFTER, Options
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.validation import Item
from airflow_provider_asapp.window import Batch, Entry, Hopeless, Window
from tests.clocks import FakeClock

BUSY = Verdict("again", "FAIL_STORAGE: busy")


def item(at: int, key: str | None = None) -> Item:
    """Return a valid record."""
    return Item(at, key or f"c{at}", key or f"c{at}", f"e{at}", b"{}", f"e{at}")


def wrong(at: int) -> Rejection:
    """Return an invalid one."""
    return Rejection(at, None, "invalid", {"campaign": ["too long"]}, {})


def items(count: int) -> Iterator[Item]:
    """Return valid records, each with a key of its own."""
    return map(item, range(1, count + 1))


class Sending:
    """A window whose batches a test sends and answers by hand."""

    def __init__(self, records: Iterable[Item | Rejection], *, sent_before: int = 0, **options: int) -> None:
        self.clock = FakeClock()
        self.options = Options(**{"batch_size": 4, "max_in_flight": 2, **options})
        self.ledger = Ledger("conversation", None, self.clock)
        self.under_way: list[Batch] = []
        self.window = Window(
            iter(records),
            ledger=self.ledger,
            options=self.options,
            now=self.clock.monotonic,
            digest=Digest(),
            sent_before=sent_before,
        )

    def send(self) -> list[int] | None:
        """Send the next batch; return the positions in it, None if there is none now."""
        batch = self.window.next_batch(self.under_way)
        if batch is None:
            return None
        self.under_way.append(batch)
        return [entry.item.position for entry in batch.entries]

    def answer(self, verdicts: dict[int, Verdict] | None = None, *, at: int = 0) -> None:
        """Answer a batch under way: accepted, if nothing else is said of a position."""
        for entry in self.under_way.pop(at).entries:
            self.answer_one(entry, (verdicts or {}).get(entry.item.position, ACCEPTED))
        self.ledger.confirm()

    def answer_one(self, entry: Entry, verdict: Verdict) -> None:
        """Give one record its outcome, or send it again."""
        if verdict.kind == "again":
            self.window.go_again(entry, verdict)
        else:
            entry.stretch.settle(entry.item, verdict)


def test_batches_are_full() -> None:
    """Whatever is invalid in between, each batch but the last is full."""
    records = [wrong(at) if at % 3 == 0 else item(at) for at in range(1, 16)]
    sending = Sending(records, max_in_flight=4)
    assert [sending.send() for _ in range(4)] == [[1, 2, 4, 5], [7, 8, 10, 11], [13, 14], None]
    for _ in range(3):
        sending.answer()
    assert sending.window.finished
    assert sending.ledger.position == sending.window.read == 15


def test_a_batch_waits_for_a_key_under_way() -> None:
    """The later record of a key is not sent before the earlier one is answered, and its batch is not cut for it."""
    sending = Sending([*items(4), item(5), item(6, "c1"), item(7), item(8)])
    assert sending.send() == [1, 2, 3, 4]
    assert sending.send() is None
    sending.answer()
    assert sending.send() == [5, 6, 7, 8]


def test_a_batch_waits_for_an_earlier_record_that_goes_again() -> None:
    """Then both go, in the order of the source."""
    sending = Sending([*items(4), item(5), item(6, "c1"), item(7), item(8)])
    sending.send()
    assert sending.send() is None
    sending.answer({1: BUSY})
    assert sending.send() is None
    sending.clock.advance(0.25)
    assert sending.send() == [1, 5, 6, 7]


def test_what_goes_again_travels_with_new_records() -> None:
    """It comes first and new ones fill up the batch; and it does not go before its time."""
    sending = Sending(items(12))
    sending.send()
    sending.answer({2: BUSY, 4: BUSY})
    assert sending.send() == [5, 6, 7, 8]
    sending.clock.advance(0.25)
    assert sending.send() == [2, 4, 9, 10]


def test_the_last_records_wait_for_company() -> None:
    """A last batch that is not full waits for what may yet have to go again with it."""
    sending = Sending(items(6))
    sending.send()
    sending.answer({2: BUSY})
    assert sending.send() is None
    sending.clock.advance(sending.window.due_in)
    assert sending.send() == [2, 5, 6]


def test_what_goes_again_does_not_wait_for_ever() -> None:
    """With nothing under way and nothing new, it goes as soon as it is due."""
    sending = Sending(items(4))
    sending.send()
    sending.answer({2: BUSY})
    assert sending.send() is None
    assert sending.window.due_in == pytest.approx(0.25)
    sending.clock.advance(0.25)
    assert sending.send() == [2]


@pytest.mark.parametrize("verdict", [BUSY, NO_ANSWER])
def test_the_waits_grow(verdict: Verdict) -> None:
    """0.25, 0.5 and 1 s, whatever the reason."""
    sending = Sending(items(1))
    for wait in (0.25, 0.5, 1.0):
        assert sending.send() == [1]
        sending.answer({1: verdict})
        assert sending.window.due_in == pytest.approx(wait)
        sending.clock.advance(wait)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_nothing_is_sent_too_far_beyond_the_oldest_unresolved(in_flight: int) -> None:
    """As long as the first record has no outcome, no more than the window is sent."""
    sending = Sending(items(1000), max_in_flight=in_flight)
    sent = len(sending.send() or [])
    sending.answer({1: BUSY})
    while sending.send():
        sent += 4
        sending.answer({})
    assert sent == sending.options.window


def test_only_what_may_have_been_sent_is_marked() -> None:
    """Up to the position that an earlier try may have sent; and what had no proof, but not what was said no to."""
    sending = Sending(items(8), sent_before=2)
    sending.send()
    entries = sending.under_way[0].entries
    assert [entry.item.maybe_sent for entry in entries] == [True, True, False, False]
    sending.answer({3: BUSY, 4: NO_ANSWER})
    assert [entry.item.maybe_sent for entry in entries] == [True, True, False, True]


def test_a_thousand_invalid_records_are_hopeless() -> None:
    """Without a valid one among them the source is not read on, though the limits may allow any number."""
    sending = Sending(wrong(at) for at in range(1, 9999))
    with pytest.raises(Hopeless, match="first 1000"):
        sending.send()
    assert sending.window.read == HOPELESS_AFTER


def test_many_invalid_records_after_a_valid_one_are_not() -> None:
    """They are confirmed on the way, so that no more than a thousand of them are kept at a time."""
    sending = Sending([item(1), *(wrong(at) for at in range(2, 5002)), item(5002)])
    assert sending.send() == [1, 5002]
    assert max(len(stretch.rejects) for stretch in sending.ledger._pending) <= HOPELESS_AFTER
    sending.answer()
    assert sending.ledger.confirmed.read == 5002


@given(st.integers(0, 2**32))
def test_whatever_comes_back_in_whatever_order(seed: int) -> None:
    """Never too much under way or ahead, never two of a key at once, nothing kept beyond the window, all gets out."""
    dice = Random(seed)
    count = dice.randrange(1, 150)
    records = [item(at, f"c{dice.randrange(50)}") if dice.random() < 0.8 else wrong(at) for at in range(1, count + 1)]
    sending = Sending(records, batch_size=dice.randrange(1, 8), max_in_flight=dice.randrange(1, 5))
    again = {at: dice.choice([0, 0, 0, 1, 2, 3]) for at in range(1, count + 1)}
    for _ in range(100_000):
        if sending.window.finished and not sending.under_way:
            break
        if len(sending.under_way) < sending.options.max_in_flight and dice.random() < 0.7:
            sending.send()
        elif sending.under_way:
            at = dice.randrange(len(sending.under_way))
            positions = [entry.item.position for entry in sending.under_way[at].entries]
            verdicts = {position: BUSY for position in positions if again[position] and dice.random() < 0.9}
            for position in verdicts:
                again[position] -= 1
            sending.answer(verdicts, at=at)
        else:
            sending.clock.advance(max(0.01, sending.window.due_in))
        keys = [key for batch in sending.under_way for key in batch.keys]
        assert len(keys) == len(set(keys))
        assert all(0 < batch.size <= sending.options.batch_size for batch in sending.under_way)
        assert sending.ledger.unconfirmed <= sending.options.window
        kept = len(sending.window._again) + sum(batch.size for batch in sending.window._waiting)
        assert kept <= sending.options.window
    else:
        pytest.fail("it never ends")
    assert sending.ledger.confirmed.read == count
