"""Promises of a resume: nothing is lost, little is sent again, and a source that changed is noticed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.answers import ACCEPTED, NO_ANSWER, Verdict
from airflow_provider_asapp.errors import AsappQuotaExhausted, AsappSourceError, AsappStopped, AsappUnavailableError
from airflow_provider_asapp.hooks import source_of
from airflow_provider_asapp.pages import Page, pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.validation import Item, Validator
from tests.bench import Bench, MemoryStore, assert_sum, conversations
from tests.clocks import FakeClock
from tests.loom import FakeAsapp, HurriedClock, Killed, Loom, MemoryFolder

Records = list[dict[str, Any]]


class MortalStore(MemoryStore):
    """A store that a dead process can't reach."""

    alive: Callable[[], bool] = staticmethod(lambda: True)

    def set(self, key: str, value: Any) -> None:
        """Keep it, if somebody is there to ask for it."""
        if self.alive():
            super().set(key, value)


@dataclass
class World:
    """What outlives the tries of one task.

    :param fails: makes an error of the number of a request, counted over all tries; None lets it pass. `Killed` ends
        the process before the request arrives.
    """

    fails: Callable[[int], BaseException | None] = lambda _: None
    judge: Callable[[Item], Verdict] = lambda _: ACCEPTED
    clock: FakeClock = field(default_factory=HurriedClock)
    dead: bool = False

    def __post_init__(self) -> None:
        self.asapp = FakeAsapp(self._answer, self.clock)
        self.store = MortalStore()
        self.folder = MemoryFolder(lambda: not self.dead)
        self.store.alive = self.folder.alive

    def _answer(self, items: Sequence[Item]) -> list[Verdict]:
        if self.dead:
            raise Killed
        error = self.fails(self.asapp.requests)
        self.dead = isinstance(error, Killed)
        if error:
            raise error
        return [self.judge(item) for item in items]

    def run(self, records: Any, **others: Any) -> dict[str, Any]:
        """Try once, in a new process."""
        self.dead = self.asapp.stopping = False
        options = {"batch_size": 5, "max_in_flight": 1, "max_rejected": None}
        given = {name: others.pop(name) for name in list(others) if name in Options.__dataclass_fields__}
        return submit(
            records if callable(records) else lambda: pages_of(records, size=7),
            client=self.asapp.as_client,
            validator=Validator(others.pop("entity", "conversation"), scope="run", **others),
            options=Options(**{**options, **given}),
            rejects=RejectsFolder(self.folder),
            store=self.store,
        )

    def arrived(self) -> list[int]:
        """Return the positions of all that arrived."""
        return [item.position for item in self.asapp.arrived]


def after(requests: int, error: type[BaseException] = Killed) -> Callable[[int], BaseException | None]:
    """Let that many requests pass; the next one ends the try, and all others pass."""

    def fails(number: int) -> BaseException | None:
        message = () if error is Killed else ("as told",)
        return error(*message) if number == requests + 1 else None

    return fails


# --- whatever happens


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_a_resume_from_anywhere_loses_nothing(seed: int) -> None:
    """Killed or failed at any request, any number of times: every record arrives or is in the rejects once.

    What arrives again is never more than the window, where the checkpoint is written after each answer.
    """
    dice = Random(seed)
    records = [
        {"externalConversationId": f"c{dice.randrange(40)}", "lobName": str(at), "campaign": dice.choice("aaaaaaaa ")}
        for at in range(dice.randrange(1, 120))
    ]
    records[0]["campaign"] = "a"
    bad = {at for at in range(2, len(records) + 1) if dice.random() < 0.1}
    again = {at: dice.choice([0, 0, 0, 0, 1, 2, 3]) for at in range(1, len(records) + 1)}
    ends: dict[int, type[BaseException]] = {}
    number = 0
    for _ in range(dice.randrange(8)):
        number += dice.randrange(1, 12)
        ends[number] = dice.choice([Killed, Killed, AsappUnavailableError, AsappQuotaExhausted])

    def judge(item: Item) -> Verdict:
        if item.position in bad:
            return Verdict("refused", "FAIL_BAD_PARAMS: no")
        if again[item.position]:
            again[item.position] -= 1
            return dice.choice([NO_ANSWER, Verdict("again", "FAIL_STORAGE: busy")])
        return ACCEPTED

    def fails(request: int) -> BaseException | None:
        kind = ends.get(request)
        return kind("as told") if kind else None

    is_written_each_time = dice.random() < 0.5
    world = World(fails, judge, HurriedClock() if is_written_each_time else FakeClock())
    options = {"batch_size": dice.randrange(1, 9), "max_in_flight": dice.randrange(1, 6)}
    window = Options(**options).window
    report = None
    with Loom(dice.randrange):
        while report is None:
            try:
                report = world.run(records, **options)
            except (Killed, AsappUnavailableError, AsappQuotaExhausted):
                beyond = {at for at in world.arrived() if at > world.store.position}
                assert not is_written_each_time or len(beyond) <= window

    invalid = {at for at, record in enumerate(records, 1) if record["campaign"] == " "}
    assert_sum(report, len(records))
    assert (report["invalid"], report["refused"]) == (len(invalid), len(bad - invalid))
    assert set(world.folder.rejected()) == invalid | bad
    assert set(world.arrived()) == set(range(1, len(records) + 1)) - invalid - bad
    assert report["requests"] <= world.asapp.requests
    assert "asapp_checkpoint" not in world.store


@pytest.mark.parametrize("error", [AsappUnavailableError, AsappQuotaExhausted, AsappStopped])
@pytest.mark.parametrize("requests", range(1, 11))
def test_a_try_that_ends_in_order_is_gone_on_with(requests: int, error: type[AsappStopped]) -> None:
    """After anything but a kill nothing is sent a second time, and the report is that of all tries together."""
    world = World(after(requests, error), clock=FakeClock())
    records = conversations(51)
    with pytest.raises(error):
        world.run(records)
    report = world.run(records)
    assert_sum(report, 51)
    assert world.arrived() == list(range(1, 52))
    assert report["requests"] == world.asapp.requests == 12


@pytest.mark.parametrize("window", [1, 4])
def test_a_kill_costs_no_more_than_a_second_and_the_window(window: int) -> None:
    """With a checkpoint once a second, what arrives again was sent since its last write."""
    world = World(after(205), clock=FakeClock())
    judge = world.judge

    def slowly(item: Item) -> Verdict:
        world.clock.advance(0.01 / 5)
        return judge(item)

    world.judge = slowly
    records = conversations(1500)
    with pytest.raises(Killed):
        world.run(records, max_in_flight=window)
    assert 500 - 20 * window <= world.store.position <= 1025
    report = world.run(records, max_in_flight=window)
    assert_sum(report, 1500)
    repeated = len(world.arrived()) - 1500
    assert repeated <= 505 + 15 * window


def test_a_retry_goes_on_behind_the_checkpoint(bench: Bench) -> None:
    """After trouble at ASAPP, the next try sends only what has no outcome, and reports both tries together."""
    records = conversations(100, bad=(5, 95))
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7}, status=503))
    with pytest.raises(AsappUnavailableError):
        bench.submit(records, max_in_flight=1)
    report = bench.submit(records, max_in_flight=1)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["invalid"], report["requests"]) == (98, 2, 14)
    assert bench.asapp.ledger.counts()["repeated_event_ids"] == 0
    assert "asapp_checkpoint" not in bench.store


def test_what_may_have_been_in_flight_is_believed_to_be_persisted(bench: Bench) -> None:
    """A batch that was taken when the worker died: ASAPP's 409 on its repeat is believed, and costs one request."""
    records = conversations(100)
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7}, drop="after"), Fault(requests={8}, status=409))
    with pytest.raises(AsappUnavailableError):
        bench.submit(records, max_in_flight=1)
    report = bench.submit(records, max_in_flight=1)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["already_persisted"], report["requests"]) == (90, 10, 14)


def test_what_was_never_sent_is_not_believed_to_be_persisted(bench: Bench) -> None:
    """After a try that ended in order it is known what was sent: a 409 on a batch of other records is looked into."""
    records = conversations(100)
    bench.asapp.misbehave(
        Fault(requests={4, 5, 6, 7}, drop="after"), Fault(requests={8}, status=409), Fault(requests={9}, status=409)
    )
    with pytest.raises(AsappUnavailableError):
        bench.submit(records, max_in_flight=1)
    report = bench.submit(records, max_in_flight=1)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["already_persisted"], report["requests"]) == (90, 10, 16)


def test_while_it_is_verified_nothing_is_sent() -> None:
    """The confirmed prefix is read to its end before the first request of a resume."""
    world = World(after(10, AsappUnavailableError))
    records = conversations(100)
    with pytest.raises(AsappUnavailableError):
        world.run(records)
    before, read_before = world.asapp.requests, []

    def source() -> Generator[Page, None, None]:
        for page in pages_of(records, size=1):
            if world.asapp.requests == before:
                read_before.append(page.rows)
            yield page

    world.run(source)
    assert len(read_before) >= 50 + 5


def test_a_stop_ends_the_verification_too() -> None:
    """A prefix of thousands of records is not read to its end by a task that is being stopped."""
    world = World(after(9, AsappUnavailableError))
    records = conversations(5000)
    with pytest.raises(AsappUnavailableError):
        world.run(records, batch_size=500)
    read = []

    def source() -> Generator[Page, None, None]:
        for page in pages_of(records, size=100):
            read.append(page.rows)
            world.asapp.stopping = True
            yield page

    with pytest.raises(AsappStopped):
        world.run(source, batch_size=500)
    assert len(read) <= 10
    assert world.store.position == 4500


# --- sources that change


def with_change(records: Records, dice: Random, upto: int) -> Records:
    """Return the records with something else before that position."""
    changed = [dict(record) for record in records]
    at = dice.randrange(upto - 1)
    match dice.randrange(4):
        case 0:
            changed[at]["lobName"] = "changed"
        case 1:
            changed[at], changed[at + 1] = changed[at + 1], changed[at]
        case 2:
            del changed[at]
        case 3:
            changed.insert(at, {"externalConversationId": "new"})
    return changed


@given(st.integers(0, 2**32))
def test_a_changed_row_in_the_prefix_is_noticed(seed: int) -> None:
    """A row that was changed, moved, removed or added in what was confirmed: all is sent from the start, once."""
    dice = Random(seed)
    records = conversations(100)
    world = World(after(dice.randrange(2, 10), AsappUnavailableError))
    with pytest.raises(AsappUnavailableError):
        world.run(records)
    changed = with_change(records, dice, world.store.position)
    world.asapp.arrived.clear()
    report = world.run(changed)
    assert_sum(report, len(changed))
    assert len(world.arrived()) == report["accepted"] == len(changed)


@given(st.integers(0, 2**32))
def test_a_change_behind_the_prefix_is_none(seed: int) -> None:
    """What was not yet confirmed may be anything: the resume goes on with what is there now."""
    dice = Random(seed)
    records = conversations(100)
    world = World(after(dice.randrange(2, 10), AsappUnavailableError))
    with pytest.raises(AsappUnavailableError):
        world.run(records)
    confirmed = world.store.position
    rest = conversations(dice.randrange(300))[100:]
    world.asapp.arrived.clear()
    report = world.run(records[:confirmed] + rest)
    assert_sum(report, confirmed + len(rest))
    assert len(world.arrived()) == len(rest)


@pytest.mark.parametrize(("campaign", "sent_again"), [("Old York", 0), ("x" * 300, 25)])
def test_of_an_invalid_record_only_the_errors_are_compared(campaign: str, sent_again: int) -> None:
    """Its values are never sent: as long as the same is wrong with it, it is the same."""
    world = World(after(5, AsappUnavailableError))
    records = conversations(50, bad=(2,))
    with pytest.raises(AsappUnavailableError):
        world.run(records)
    records[1]["campaign"] = campaign
    assert_sum(world.run(records), 50)
    assert len(world.arrived()) == 49 + sent_again


def test_changed_rows_start_over_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A source that begins differently is sent from its start, with a word about it; the second time it is an error."""
    first, second, third = conversations(60), conversations(60), conversations(60)
    second[3]["campaign"] = "other"
    third[4]["campaign"] = "other"
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7, 11, 12, 13, 14}, status=503))
    for records in (first, second):
        with pytest.raises(AsappUnavailableError):
            bench.submit(records, max_in_flight=1)
    assert "sending it from the start, once" in caplog.text
    with pytest.raises(AsappSourceError, match="ORDER BY"):
        bench.submit(third, max_in_flight=1)
    assert bench.submit(third, max_in_flight=1)["accepted"] == 60, "a cleared task starts afresh"


@pytest.mark.parametrize("end", [Killed, AsappUnavailableError])
@pytest.mark.parametrize("seed", range(5))
def test_a_source_without_order_ends_with_advice(seed: int, end: type[BaseException]) -> None:
    """A source that comes in another order each time is an error in its third try at the latest, not a loop."""
    dice = Random(seed)
    records = conversations(200)
    world = World(lambda number: (end() if end is Killed else end("as told")) if number % 9 == 0 else None)

    def try_once() -> None:
        dice.shuffle(records)
        world.run(records)

    tries = 0
    with pytest.raises(AsappSourceError, match="ORDER BY"):  # noqa: PT012
        while tries < 10:
            tries += 1
            try:
                try_once()
            except (Killed, AsappUnavailableError):
                continue
    assert tries == 3


def test_a_shorter_source_is_noticed(bench: Bench) -> None:
    """Rows that vanished from the confirmed prefix are a difference too."""
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7}, status=503))
    with pytest.raises(AsappUnavailableError):
        bench.submit(conversations(60), max_in_flight=1)
    report = bench.submit(conversations(12))
    assert (report["read"], report["accepted"]) == (12, 12)


def test_rejects_of_a_prefix_that_changed_are_replaced(bench: Bench) -> None:
    """Starting over deletes what an earlier order of the source left in the folder."""
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7}, status=503))
    with pytest.raises(AsappUnavailableError):
        bench.submit(conversations(60, bad=(2, 25)), max_in_flight=1)
    assert set(bench.rejected()) == {2, 25}
    bench.submit(conversations(60, bad=(3, 59)))
    assert set(bench.rejected()) == {3, 59}


# --- submissions that are others


@pytest.mark.parametrize(
    "other",
    [{"field_map": {"line": "lobName"}}, {"unknown": "attributes"}, {"entity": "customer"}],
    ids=str,
)
def test_other_settings_start_over(other: dict[str, Any]) -> None:
    """A checkpoint of another entity, mapping or way with unknown columns is of no use."""
    world = World(after(5, AsappUnavailableError))
    records = [{"externalConversationId": f"c{at}", "externalCustomerId": f"p{at}"} for at in range(50)]
    with pytest.raises(AsappUnavailableError):
        world.run(records, unknown="exclude")
    world.asapp.arrived.clear()
    assert world.run(records, **{"unknown": "exclude", **other})["accepted"] == 50
    assert len(world.arrived()) == 50


@pytest.mark.parametrize("name", ["domain", "api_id"])
def test_another_domain_or_key_starts_over(name: str) -> None:
    """What one environment or account confirmed says nothing of another."""
    world = World(after(5, AsappUnavailableError))
    with pytest.raises(AsappUnavailableError):
        world.run(conversations(50))
    world.asapp.arrived.clear()
    setattr(world.asapp, name, "other")
    assert world.run(conversations(50))["accepted"] == len(world.arrived()) == 50


def test_another_key_on_the_same_domain_starts_over(bench: Bench) -> None:
    """The same over real HTTP: an account's records are not taken for another's."""
    with Simulator(requests_per_second=None) as first:
        bench.asapp = first
        first.misbehave(Fault(requests={3, 4, 5, 6}, status=503))
        with pytest.raises(AsappUnavailableError):
            bench.submit(conversations(50), max_in_flight=1)
    bench.api_id = "another-api-id"
    with Simulator(requests_per_second=None, api_id=bench.api_id, port=first.port) as bench.asapp:
        records = conversations(50)
        bench.assert_accounted(bench.submit(records), records)


def test_another_run_starts_over(bench: Bench) -> None:
    """The content of another run has other event ids."""
    bench.asapp.misbehave(Fault(requests={3, 4, 5, 6}, status=503))
    with pytest.raises(AsappUnavailableError):
        bench.submit(conversations(50), max_in_flight=1)
    assert bench.submit(conversations(50), scope="another run")["accepted"] == 50
    assert bench.asapp.ledger.counts()["accepted"] == 20 + 50


def test_a_cleared_task_sends_again(bench: Bench) -> None:
    """After a success, and after a failure of the policy, the same task sends everything again."""
    records = conversations(30, bad=(3,))
    bench.submit(records)
    bench.submit(records)
    for _ in range(2):
        with pytest.raises(Exception, match="max_rejected"):
            bench.submit(records, max_rejected=0)
    assert bench.asapp.ledger.counts()["accepted"] == 4 * 29


# --- sources that can't be opened again


def test_an_iterator_is_read_once_at_most() -> None:
    """What is gone can't be sent from the start again: that is an error, and never a loss."""
    world = World(after(5, AsappUnavailableError))
    with pytest.raises(AsappUnavailableError):
        world.run(source_of(iter(conversations(50))))
    changed = [{"externalConversationId": "new"}, *conversations(50)]
    with pytest.raises(AsappSourceError, match="can be read only once"):
        world.run(source_of(iter(changed)))
    world.asapp.arrived.clear()
    report = world.run(source_of(iter(changed)))
    assert report["accepted"] == len(world.arrived()) == 51, "a cleared task sends all"


def test_an_iterator_that_begins_the_same_is_resumed() -> None:
    """A task that makes its records anew for each try goes on like any other."""
    world = World(after(5, AsappUnavailableError))
    with pytest.raises(AsappUnavailableError):
        world.run(source_of(iter(conversations(50))))
    report = world.run(source_of(iter(conversations(50))))
    assert_sum(report, 50)
    assert len(world.arrived()) == 50
