"""Promises of the account: in the order of the source, every record counted once, and no value in a word of it."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.accounting import MOST_RULES, NAMED_REJECTS, Counts, Ledger, Stretch
from airflow_provider_asapp.answers import ACCEPTED, ALREADY_PERSISTED, NO_ANSWER, Verdict
from airflow_provider_asapp.rejects import Rejection, RejectsFolder
from airflow_provider_asapp.validation import Item
from tests.clocks import FakeClock

MARK = "q7Zmark"
REFUSED = Verdict("refused", f"FAIL_BAD_PARAMS: {MARK}")
BUSY = Verdict("again", f"FAIL_TIMEOUT: {MARK}")
OUTCOMES = {ACCEPTED: "accepted", ALREADY_PERSISTED: "already_persisted", REFUSED: "refused", BUSY: "refused"}


def valid(position: int) -> Item:
    """Return a valid record, all of whose values but its key are marked."""
    return Item(position, f"c{position}\n{MARK}", f"c{position}", MARK, MARK.encode(), MARK, ("lobId",), (MARK,))


def invalid(position: int, errors: dict[str, list[str]] | None = None, key: str | None = "c") -> Rejection:
    """Return an invalid record."""
    return Rejection(position, key, "invalid", errors or {"lobId": ["too long"]}, {"lobId": MARK})


def ledger_of(rejects: RejectsFolder | None = None, clock: FakeClock | None = None) -> Ledger:
    """Return an empty account."""
    return Ledger("conversation", rejects, clock or FakeClock())


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log, after a look for what it must not hold."""
    assert MARK not in caplog.text
    return [record.getMessage() for record in caplog.records]


def test_counts_fold() -> None:
    """What was read is the sum of the outcomes, before and after."""
    counts = Counts(accepted=1, already_persisted=2, invalid=3, refused=4)
    assert (counts.read, counts.rejected) == (10, 7)
    counts.add(Counts(accepted=10, refused=1))
    assert counts == Counts(accepted=11, already_persisted=2, invalid=3, refused=5)
    assert counts.read == 21


def test_each_verdict_is_one_outcome() -> None:
    """A passing error that nobody waits for any longer is a refusal, with its reason for the rejects."""
    stretch = Stretch(1)
    for position in range(1, 5):
        stretch.take([valid(position)])
    assert (stretch.open, stretch.sent, stretch.last) == (4, 4, 4)
    for position, verdict in enumerate(OUTCOMES, 1):
        stretch.settle(valid(position), verdict)
    assert stretch.counts == Counts(accepted=1, already_persisted=1, refused=2)
    assert stretch.open == 0
    assert [(found.position, found.key, found.stage, found.errors) for found in stretch.rejects] == [
        (3, "c3", "refused", {"asapp": [REFUSED.reason]}),
        (4, "c4", "refused", {"asapp": [BUSY.reason]}),
    ]


def test_nothing_is_confirmed_before_what_came_earlier(tmp_path: Path) -> None:
    """A stretch whose records all have outcomes waits for the ones before it; then its rejects are written too."""
    ledger = ledger_of(RejectsFolder(tmp_path))
    first, second = ledger.begin(1), ledger.begin(2)
    first.take([valid(1)])
    second.take([invalid(2)])
    second.take([valid(3)])
    first.close("one")
    second.close("two")
    assert ledger.unconfirmed == 2
    second.settle(valid(3), ACCEPTED)
    ledger.confirm()
    assert (ledger.confirmed, ledger.position, ledger.unconfirmed) == (Counts(), 0, 2)
    assert list(tmp_path.iterdir()) == []
    first.settle(valid(1), ACCEPTED)
    ledger.confirm()
    assert ledger.confirmed == Counts(accepted=2, invalid=1)
    assert (ledger.position, ledger.digest, ledger.unconfirmed) == (3, "two", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000002.jsonl"]


def test_a_reject_is_written_before_it_is_counted(tmp_path: Path) -> None:
    """If the rejects can't be written, nothing of the stretch is confirmed, and it can be tried again."""

    class BrokenFolder(RejectsFolder):
        broken = True

        def write(self, first: int, rejections: Any) -> None:
            if self.broken:
                raise OSError
            super().write(first, rejections)

    folder = BrokenFolder(tmp_path)
    ledger = ledger_of(folder)
    only = ledger.begin(1)
    only.take([invalid(1)])
    only.close("")
    with pytest.raises(OSError, match=r"^$"):
        ledger.confirm()
    assert (ledger.confirmed.read, ledger.position) == (0, 0)
    folder.broken = False
    ledger.confirm()
    assert (ledger.confirmed.read, ledger.position) == (1, 1)


def test_the_rejects_of_a_stretch_are_in_the_order_of_the_source(tmp_path: Path) -> None:
    """Whether validation or ASAPP found them, and however late."""
    ledger = ledger_of(RejectsFolder(tmp_path))
    stretch = ledger.begin(1)
    for position in range(1, 7):
        stretch.take([valid(position) if position % 2 else invalid(position)])
    stretch.close("")
    for position in (5, 1, 3):
        stretch.settle(valid(position), REFUSED)
    ledger.confirm()
    (path,) = tmp_path.iterdir()
    assert [json.loads(line)["position"] for line in path.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_an_earlier_try_counts_too() -> None:
    """After a resume the account goes on where that one ended."""
    ledger = ledger_of()
    ledger.resume(10, "digest", Counts(accepted=8, invalid=2))
    assert (ledger.position, ledger.digest, ledger.confirmed.read) == (10, "digest", 10)
    only = ledger.begin(11)
    only.take([invalid(11)])
    only.close("")
    ledger.confirm()
    assert ledger.confirmed == Counts(accepted=8, invalid=3)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["invalid", *OUTCOMES]), max_size=40),
    st.integers(1, 7),
    st.randoms(),
)
def test_whatever_the_order_of_answers_the_sum_holds(given: list[Any], size: int, chance: random.Random) -> None:
    """Each record is counted once, as what it came to, and what is confirmed is always a prefix of the source."""
    ledger = ledger_of()
    pending: list[tuple[Stretch, Item, Verdict]] = []
    stretches: list[Stretch] = []
    for position, what in enumerate(given, 1):
        if position % size == 1 or size == 1:
            stretch = ledger.begin(position)
            stretches.append(stretch)
        stretch.take([invalid(position) if what == "invalid" else valid(position)])
        if what != "invalid":
            pending.append((stretch, valid(position), what))
    for each in stretches:
        each.close("")
    chance.shuffle(pending)
    names = ["invalid" if what == "invalid" else OUTCOMES[what] for what in given]
    while pending:
        stretch, item, verdict = pending.pop()
        stretch.settle(item, verdict)
        ledger.confirm()
        prefix = names[: ledger.position]
        assert ledger.confirmed == Counts(**Counter(prefix))
        assert all(other.position > ledger.position for _, other, _ in pending)
    ledger.confirm()
    assert ledger.confirmed == Counts(**Counter(names))
    assert ledger.confirmed.read == len(given)
    assert ledger.unconfirmed == 0


# --- the words


def test_the_first_rejects_are_named_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Position, key, field and rule of the first 20; then counts by field and rule, the most frequent first."""
    ledger = ledger_of()
    stretch = ledger.begin(1)
    for position in range(1, 31):
        errors = {"lobId": ["too long"]} if position > 5 else {"attributes[2].name": ["too long", "no text"]}
        stretch.take([invalid(position, errors, key=f"c{position}" if position > 1 else None)])
    stretch.close("")
    with caplog.at_level(logging.INFO):
        ledger.confirm()
        named = messages(caplog)
        caplog.clear()
        ledger.say_end()
    assert len(named) == NAMED_REJECTS + 1
    assert named[0] == (
        "Record 1 (conversation without a valid key) is invalid: "
        "attributes[2].name: too long; attributes[2].name: no text"
    )
    assert named[19] == "Record 20 (conversation c20) is invalid: lobId: too long"
    assert "only counted" in named[20]
    assert messages(caplog) == [
        "25 invalid: lobId: too long",
        "5 invalid: attributes: too long",
        "5 invalid: attributes: no text",
    ]


def test_of_asapps_words_only_the_code_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its error texts may quote a record's values."""
    ledger = ledger_of()
    stretch = ledger.begin(1)
    verdicts = [REFUSED, BUSY, Verdict("refused", MARK), Verdict("refused", f"{MARK}: FAIL"), NO_ANSWER]
    for position in range(1, 6):
        stretch.take([valid(position)])
    stretch.close("")
    with caplog.at_level(logging.DEBUG):
        for position, verdict in enumerate(verdicts, 1):
            stretch.settle(valid(position), verdict)
        ledger.confirm()
        ledger.say_end()
    words = messages(caplog)
    assert words[0] == "Record 1 (conversation c1) is refused: asapp: FAIL_BAD_PARAMS"
    assert words[1] == "Record 2 (conversation c2) is refused: asapp: FAIL_TIMEOUT"
    assert words[2] == "Record 3 (conversation c3) is refused: asapp: an error without a code"
    assert words[4] == "Record 5 (conversation c5) is refused: asapp: NO_ANSWER"
    assert words[5:] == [
        "2 refused: asapp: an error without a code",
        "1 refused: asapp: FAIL_BAD_PARAMS",
        "1 refused: asapp: FAIL_TIMEOUT",
        "1 refused: asapp: NO_ANSWER",
    ]


def test_a_good_source_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """No rejects, no words about them."""
    ledger = ledger_of()
    with caplog.at_level(logging.DEBUG):
        stretch = ledger.begin(1)
        stretch.take([valid(1)])
        stretch.close("")
        stretch.settle(valid(1), ACCEPTED)
        ledger.confirm()
        ledger.say_end()
    assert messages(caplog) == []


def test_progress_is_told_at_a_human_pace(caplog: pytest.LogCaptureFixture) -> None:
    """Each 10 seconds in the first minute, then once a minute: records, rate and rejects so far."""
    clock = FakeClock()
    ledger = ledger_of(clock=clock)
    told_at = []
    with caplog.at_level(logging.INFO):
        for second in range(1, 301):
            clock.advance(1.0)
            stretch = ledger.begin(second)
            stretch.take([valid(second)])
            stretch.close("")
            stretch.settle(valid(second), ACCEPTED)
            ledger.confirm()
            if caplog.records:
                told_at.append(second)
                assert messages(caplog) == [f"{second} records so far (1/s), 0 rejected"]
                caplog.clear()
    assert told_at == [10, 20, 30, 40, 50, 60, 120, 180, 240, 300]


def test_what_was_being_read_is_not_confirmed(tmp_path: Path) -> None:
    """A stretch in which the source broke off has no digest yet: the next try reads it again."""
    ledger = ledger_of(RejectsFolder(tmp_path))
    ledger.begin(1).take([invalid(1)])
    ledger.confirm()
    assert (ledger.position, ledger.confirmed.read) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_count_of_rules_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Strange columns may have any number of names: beyond some, they are counted together."""
    ledger = ledger_of()
    stretch = ledger.begin(1)
    for position in range(1, 1001):
        stretch.take([invalid(position, {f"column{position}": ["is no field"]})])
    stretch.close("")
    ledger.confirm()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        ledger.say_end()
    assert len(messages(caplog)) <= MOST_RULES + 1
    assert sum(int(line.split()[0]) for line in messages(caplog)) == 1000
