"""Promises of a whole submission: every record has one outcome, over a real HTTP server, whatever that answers."""

from __future__ import annotations

import gc
import json
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.answers import ACCEPTED, NO_ANSWER, Verdict, refused_as_a_whole
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import (
    AsappAccessError,
    AsappError,
    AsappQuotaExhausted,
    AsappSourceError,
    AsappStopped,
    AsappTooManyRejected,
    AsappUnavailableError,
)
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.validation import Item, Validator
from tests.bench import Bench, MemoryStore, assert_sum, conversations
from tests.loom import FakeAsapp, Loom, MemoryFolder
from tests.servers import HttpServer, Received, Reply
from tests.town import TownClock


def test_every_record_is_accounted_for(bench: Bench) -> None:
    """Valid records arrive, invalid ones are in the rejects with their reason, and the sum holds."""
    records = conversations(95, bad=(1, 50, 95))
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert report == {
        "entity": "conversation",
        "read": 95,
        "accepted": 92,
        "already_persisted": 0,
        "invalid": 3,
        "refused": 0,
        "requests": 10,
        "rejects": str(bench.folder),
    }
    assert set(bench.rejected()) == {1, 50, 95}
    assert bench.rejected()[50]["errors"].keys() == {"campaign"}
    assert bench.rejected()[50]["record"] == records[49]


def test_an_empty_source_is_a_success(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing to send is a success that says so, without a request."""
    with caplog.at_level("INFO"):
        assert bench.submit([])["requests"] == 0
    assert "no conversation: nothing to send" in caplog.text


def test_batches_are_full_whatever_is_invalid(bench: Bench) -> None:
    """Invalid records cost no requests: the valid ones fill up the batches."""
    assert bench.submit(conversations(100, bad=tuple(range(1, 31))))["requests"] == 7


def test_one_bad_record_does_not_take_its_batch_with_it(bench: Bench) -> None:
    """What ASAPP refuses by item is refused alone, with ASAPP's text in the rejects."""
    bench.asapp.misbehave(Fault(keys={"c7"}, item_error="FAIL_BAD_PARAMS: ERROR: no such campaign"))
    records = conversations(30)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["refused"], report["requests"]) == (29, 1, 3)
    assert bench.rejected()[7]["errors"] == {"asapp": ["FAIL_BAD_PARAMS: ERROR: no such campaign"]}


def test_passing_errors_travel_with_new_records(bench: Bench) -> None:
    """Items with a passing error go again in the company of others: 98 records and 2 repeats need 10 requests of 10."""
    bench.asapp.misbehave(Fault(times=1, keys={"c11", "c12"}, item_error="FAIL_TIMEOUT: try later"))
    bench.requests_per_second = 4
    records = conversations(98)
    report = bench.submit(records, max_in_flight=1)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["requests"]) == (98, 10)


def test_a_lasting_item_error_is_refused_in_the_end(bench: Bench) -> None:
    """An item that ASAPP never takes is asked four times and then refused with its last reason."""
    bench.asapp.misbehave(Fault(keys={"c3"}, item_error="FAIL_STORAGE: busy"))
    records = conversations(10)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert (report["refused"], report["requests"]) == (1, 4)
    assert bench.clock.waits[-3:] == pytest.approx([0.25, 0.5, 1.0], abs=0.03)


def test_a_batch_of_passing_errors_is_trouble_at_their_side(bench: Bench) -> None:
    """If no item of a batch is ever judged, the task fails for a retry and no record is called refused."""
    bench.asapp.misbehave(Fault(item_error="FAIL_STORAGE: down"))
    with pytest.raises(AsappUnavailableError, match="not the data's"):
        bench.submit(conversations(25))
    assert bench.rejected() == {}
    assert bench.asapp.ledger.counts()["requests"] == 4


@pytest.mark.parametrize("fickle", [False, True])
@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_any_interleaving_gives_each_record_one_outcome(fickle: bool, seed: int) -> None:
    """In whatever order requests arrive and are answered: one outcome each, and later records of a key arrive later.

    Also where ASAPP is fickle: of what it took it refuses a part when that has to come again behind another record.
    """
    dice = Random(seed)
    records = [
        {
            "externalConversationId": f"c{dice.randrange(20)}",
            "lobName": str(at),
            "campaign": dice.choice(["a"] * 9 + [" "]),
        }
        for at in range(dice.randrange(1, 80))
    ]
    records[0]["campaign"] = "a"
    bad = {at for at in range(2, len(records) + 1) if dice.random() < 0.1}
    # How often each record has to go again.
    again = {at: dice.choice([0, 0, 0, 0, 1, 2, 3]) for at in range(1, len(records) + 1)}

    def verdict(item: Item) -> Verdict:
        has_come = fickle and item.position > 1 and any(item is other for other in asapp.arrived)
        if item.position in bad or (has_come and dice.random() < 0.5):
            return Verdict("refused", "FAIL_BAD_PARAMS: no")
        if again[item.position]:
            again[item.position] -= 1
            return dice.choice([NO_ANSWER, Verdict("again", "FAIL_STORAGE: busy")])
        return ACCEPTED

    def judge(items: Sequence[Item]) -> list[Verdict]:
        if len(items) > 1 and dice.random() < 0.1:
            raise refused_as_a_whole(422, b"")
        return [verdict(item) for item in items]

    asapp, folder = FakeAsapp(judge), MemoryFolder()
    with Loom(dice.randrange):
        report = submit(
            lambda: pages_of(records),
            client=asapp.as_client,
            validator=Validator("conversation"),
            options=Options(batch_size=dice.randrange(1, 9), max_in_flight=dice.randrange(1, 6), max_rejected=None),
            rejects=RejectsFolder(folder),
        )
    invalid = {at for at, record in enumerate(records, 1) if record["campaign"] == " "}
    assert_sum(report, len(records))
    rejected = set(folder.rejected())
    assert (report["invalid"], report["invalid"] + report["refused"]) == (len(invalid), len(rejected))
    assert rejected >= invalid | bad
    assert fickle or rejected == invalid | bad
    last_arrival = {item.position: place for place, item in enumerate(asapp.arrived)}
    delivered = set(range(1, len(records) + 1)) - rejected
    assert delivered <= set(last_arrival)
    for key in {item.key for item in asapp.arrived}:
        places = [last_arrival[at] for at in sorted(delivered) if records[at - 1]["externalConversationId"] == key]
        assert places == sorted(places)


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_last_record_of_a_key_arrives_last(bench: Bench, window: int, seed: int) -> None:
    """Whatever has to go again, ASAPP ends up with the record of a key that comes last in the source."""
    records = [{"externalConversationId": f"c{at // 2}", "lobName": str(at)} for at in range(400)]
    bench.asapp.misbehave(Fault(share=0.1, seed=seed, item_error="FAIL_STORAGE: busy"))
    report = bench.submit(records, max_in_flight=window, batch_size=15)
    refused = {at - 1 for at in bench.rejected()}
    last = {f"c{at // 2}": str(at) for at in range(400) if at not in refused}
    assert report["accepted"] + len(refused) == 400
    assert {key: item["lobName"] for key, item in bench.asapp.ledger.held("conversation").items()} == last


def test_adjacent_records_of_a_key_do_not_cost_requests(bench: Bench) -> None:
    """50,000 rows, two adjacent for each key, need 50 requests: a batch waits for a key, it is not cut for it."""
    rows = [{"externalConversationId": f"c{(at + 1) // 2}"} for at in range(50_000)]
    assert bench.submit(rows, batch_size=1000)["requests"] == 50


def test_the_window_counts_from_the_oldest_unresolved_record(bench: Bench) -> None:
    """While one record waits to go again, no more than the window is sent beyond it."""
    bench.asapp.misbehave(Fault(requests=range(2, 9999), keys={"c11"}, item_error="FAIL_STORAGE: busy"))
    sent: list[int] = []
    records = conversations(400)

    def pages() -> Iterator[Any]:
        for page in pages_of(records, size=1):
            sent.append(1)
            held = {item["externalConversationId"] for item in bench.asapp.ledger.accepted("conversation")}
            if "c10" in held and len(bench.rejected()) == 0 and "c400" not in held:
                assert len(held) <= 10 + 3 * 4 * 10
            yield page

    report = bench.submit(pages, max_in_flight=4)
    assert (report["accepted"], report["refused"]) == (399, 1)


def test_a_wrong_mapping_is_stopped_early(bench: Bench) -> None:
    """1000 records without a valid one stop the task: nothing is sent, whatever is allowed to be rejected."""
    records = [{"externalConversationId": "New York"}] * 5000
    with pytest.raises(AsappTooManyRejected, match="first 1000 records are all invalid"):
        bench.submit(records)
    assert bench.asapp.ledger.counts()["requests"] == 0
    assert len(bench.rejected()) == 1000


def test_a_first_batch_that_is_refused_stops_the_task(bench: Bench) -> None:
    """If ASAPP takes not one record of the first batch, no second one is sent."""
    bench.asapp.misbehave(Fault(item_error="FAIL_BAD_PARAMS: no such account"))
    with pytest.raises(AsappTooManyRejected, match="first 10 records, mostly with FAIL_BAD_PARAMS: ") as caught:
        bench.submit(conversations(100))
    assert bench.asapp.ledger.counts()["requests"] == 1
    assert caught.value.report is not None
    assert caught.value.report["refused"] == 10


@pytest.mark.parametrize(
    ("limits", "fails"),
    [
        ({"max_rejected": 0}, True),
        ({"max_rejected": 4}, True),
        ({"max_rejected": 5}, False),
        ({"max_rejected": None}, False),
        ({"max_rejected": 0, "max_rejected_ratio": 0.05}, False),
        ({"max_rejected": 0, "max_rejected_ratio": 0.04}, True),
        ({"max_rejected": 4, "max_rejected_ratio": 0.5}, True),
    ],
)
def test_limits_are_applied_after_all_valid_records_were_delivered(
    bench: Bench, limits: dict[str, Any], fails: bool
) -> None:
    """Any limit that is exceeded fails the task, and 95 of 100 records are at ASAPP all the same."""
    records = conversations(100, bad=(1, 2, 3, 50, 100))
    if fails:
        with pytest.raises(AsappTooManyRejected, match="5 of 100 records were rejected"):
            bench.submit(records, **limits)
    else:
        assert bench.submit(records, **limits)["invalid"] == 5
    assert bench.asapp.ledger.counts()["accepted"] == 95


def test_a_column_that_is_no_field_stops_before_anything_is_sent(bench: Bench) -> None:
    """A misspelt column of the first record fails the task and says what it may have meant."""
    with pytest.raises(AsappSourceError, match=r"externlConversationId.*did you mean externalConversationId"):
        bench.submit([{"externlConversationId": "c1"}])
    assert bench.asapp.ledger.counts()["requests"] == 0


def test_a_column_that_is_no_field_of_a_later_record_makes_that_invalid(bench: Bench) -> None:
    """Later, a strange column is the record's own problem."""
    records = [{"externalConversationId": "c1"}, {"externalConversationId": "c2", "campain": "x"}]
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert report["invalid"] == 1
    assert "did you mean campaign?" in bench.rejected()[2]["errors"]["campain"][0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_no_access_ends_at_once_and_keeps_what_was_achieved(bench: Bench, status: int) -> None:
    """A fatal answer stops new batches; what was confirmed before is kept for the next try."""
    bench.asapp.misbehave(Fault(requests={3}, status=status))
    with pytest.raises(AsappAccessError) as caught:
        bench.submit(conversations(100), max_in_flight=1)
    assert caught.value.request_id
    assert bench.store["asapp_checkpoint"]["position"] == 20
    assert bench.asapp.ledger.counts()["requests"] == 3


def test_a_source_that_breaks_off_keeps_what_was_achieved(bench: Bench) -> None:
    """When the warehouse fails half way, what is under way is waited for and the checkpoint is written."""

    def pages() -> Iterator[Any]:
        yield from pages_of(conversations(30))
        raise ConnectionError("warehouse gone")

    with pytest.raises(ConnectionError, match="warehouse gone"):
        bench.submit(pages)
    assert bench.asapp.ledger.counts()["accepted"] == bench.store["asapp_checkpoint"]["position"] == 30


def test_a_kill_before_the_first_answer_is_known_to_the_next_try(bench: Bench) -> None:
    """Killed while the first batch was under way, the next try believes a 409 on it, and refuses nothing."""
    left: list[MemoryStore] = []
    bench.asapp.misbehave(Fault(requests={1}, drop="after"))
    records = conversations(25)

    def pages() -> Iterator[Any]:
        for page in pages_of(records, size=10):
            yield page
            # What a `kill -9` leaves: the first batch is at ASAPP, and nobody was told so.
            left.append(MemoryStore(bench.store))

    bench.submit(pages)
    bench.store = left[0]
    assert (bench.store.position, bench.store["asapp_checkpoint"]["sent"]) == (0, 10)
    bench.asapp.misbehave(Fault(times=1, status=409))
    report = bench.submit(records)
    assert_sum(report, 25)
    assert (report["already_persisted"], report["refused"]) == (10, 0)


def test_a_source_that_breaks_off_behind_an_invalid_record_spoils_nothing(bench: Bench) -> None:
    """Whatever was being read when it broke off, the next try goes on behind what is confirmed."""
    records = conversations(30, bad=(11,))

    def broken() -> Iterator[Any]:
        yield from pages_of(records[:11])
        raise ConnectionError("warehouse gone")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            bench.submit(broken)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert set(bench.arrivals().values()) == {1}


def test_a_stop_is_noticed_while_reading(bench: Bench) -> None:
    """Where much is invalid, a batch takes long to fill: a stop and the checkpoint do not wait for it."""
    read: list[int] = []
    with bench.client() as client:

        def pages() -> Iterator[Any]:
            for page in pages_of(conversations(1) + [{"externalConversationId": "New York"}] * 50_000):
                read.append(len(page.rows))
                if len(read) == 3:
                    client.stop()
                yield page

        with pytest.raises(AsappStopped):
            submit(
                pages,
                client=client,
                validator=Validator("conversation"),
                options=Options(max_rejected=None),
                store=bench.store,
            )
    assert sum(read) < 10_000


def test_one_odd_413_takes_no_other_record_with_it(bench: Bench) -> None:
    """A 413 that has nothing to do with the size refuses the one record that gets it."""
    bench.asapp.misbehave(Fault(keys={"c5"}, status=413))
    records = conversations(30)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["refused"]) == (29, 1)


def test_rejects_that_cant_be_written_fail_the_task_and_lose_nothing(bench: Bench) -> None:
    """What was delivered before is kept for the next try, which has the rejects too."""
    folder, bench.folder = bench.folder, bench.folder / "file" / "folder"
    folder.mkdir()
    (folder / "file").touch()
    records = conversations(100, bad=(35, 95))
    with pytest.raises(OSError, match="file"):
        bench.submit(records, max_in_flight=1)
    assert bench.store.position == 30
    bench.folder = folder
    (folder / "file").unlink()
    bench.assert_accounted(bench.submit(records), records)


# --- the quota


def test_a_spent_quota_ends_with_the_time_of_return(bench: Bench) -> None:
    """After the documented four asks the task ends; the next day's try goes on from the checkpoint."""
    records = conversations(100)
    with Simulator(daily_quota=5, clock=lambda: bench.clock.now().timestamp()) as bench.asapp:
        with pytest.raises(AsappQuotaExhausted) as caught:
            bench.submit(records, max_in_flight=1)
        assert caught.value.resets_at == datetime(2026, 3, 5, tzinfo=UTC)
        assert bench.asapp.ledger.counts()["requests"] == 5 + 1 + 4
        bench.clock.advance((caught.value.resets_at - bench.clock.now()).total_seconds())
        report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert bench.asapp.ledger.counts()["repeated_event_ids"] == 0


@pytest.mark.parametrize("window", [1, 4, 8])
def test_a_spent_quota_is_asked_four_times_whatever_the_window(bench: Bench, window: int) -> None:
    """All that are under way meet the 429 together; then one request asks, four times, and no other is made."""
    together = threading.Barrier(window)
    numbers = count(1)

    def answer(request: Received) -> Reply:
        number = next(numbers)
        if number == 1:
            results = [{"eventId": item["eventId"], "error": ""} for item in json.loads(request.body)["items"]]
            return Reply(200, json.dumps({"errorCount": 0, "results": results}).encode())
        if number <= 1 + window:
            together.wait(10)
        return Reply(429)

    with HttpServer(answer) as server:
        bench.url = server.url
        with pytest.raises(AsappQuotaExhausted):
            bench.submit(conversations(500), max_in_flight=window)
    assert len(server.received) == 1 + window + 4
    assert bench.store.position == 10


@pytest.mark.parametrize(("limit", "latency"), [(20, 0.05), (100, 0.0)])
def test_twenty_clients_at_the_limit_do_not_take_it_for_the_quota(limit: int, latency: float) -> None:
    """Each as fast as all may be together: everything is delivered, and few requests go to waste."""
    clients, requests = 20, 40
    item = Item(1, "c", "c", "e", b'{"externalConversationId":"c"}', "e")
    clock = TownClock(clients)
    failures: list[Exception] = []

    def work(number: int, url: str) -> None:
        try:
            with AsappClient(
                "demo-api-id", "demo-api-secret", base_url=url, clock=clock, requests_per_second=limit
            ) as one:
                clock.sleep(Random(number).random())
                for _ in range(requests):
                    one.send(ENTITIES["conversation"], [item])
        except AsappError as error:
            failures.append(error)
        finally:
            clock.leave()

    with Simulator(
        requests_per_second=limit, latency=latency, clock=lambda: clock.now().timestamp(), sleep=clock.sleep
    ) as asapp:
        threads = [threading.Thread(target=work, args=(number, asapp.url)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = Counter(request.status for request in asapp.ledger.requests)
    assert failures == []
    assert statuses[200] == clients * requests
    assert statuses[429] < 0.25 * clients * requests


# --- a stop


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is under way at a stop no more than a moment."""
    monkeypatch.setattr("airflow_provider_asapp.submission.STOP_POLL", 0.02)
    monkeypatch.setattr("airflow_provider_asapp.submission.STOP_GRACE", 0.04)


class Timeout(BaseException):
    """As Airflow's ``execution_timeout``: raised in the midst of anything, and no Exception."""


def interrupt(*_: object) -> None:
    raise Timeout


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("way", ["stop", "signal"])
@pytest.mark.parametrize("window", [1, 4])
def test_a_stop_ends_soon_and_leaves_a_checkpoint(bench: Bench, way: str, window: int) -> None:
    """While ASAPP hangs it ends all the same, leaves no thread, and a retry completes it."""
    hanging, release = threading.Event(), threading.Event()
    records = conversations(100)
    before = {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")}
    old = signal.signal(signal.SIGUSR1, interrupt)

    def sleep(_: float) -> None:
        hanging.set()
        release.wait(30)

    def end(client: AsappClient) -> None:
        hanging.wait(30)
        if way == "stop":
            client.stop()
        else:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    with Simulator(sleep=sleep, requests_per_second=None) as bench.asapp:
        bench.asapp.misbehave(Fault(keys={"c21"}, delay=30, times=1))
        with bench.client() as client:
            ending = threading.Thread(target=end, args=(client,))
            ending.start()
            with pytest.raises(AsappStopped if way == "stop" else Timeout):
                submit(
                    lambda: pages_of(records),
                    client=client,
                    validator=Validator("conversation", scope="run"),
                    options=Options(batch_size=10, max_in_flight=window),
                    store=bench.store,
                )
            ending.join()
        signal.signal(signal.SIGUSR1, old)
        assert {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")} <= before
        # With several under way, the batch before the one that hangs may not have been sent yet.
        assert bench.store.position in ((20,) if window == 1 else (10, 20))
        release.set()
        bench.assert_accounted(bench.submit(records), records)


def test_a_refused_first_record_is_no_wrong_mapping(bench: Bench) -> None:
    """A first batch of a few records proves nothing: where any number may be rejected, the rest is tried."""
    bench.asapp.misbehave(Fault(keys={"c1"}, item_error="FAIL_BAD_PARAMS: no such campaign"))
    records = conversations(20)
    report = bench.submit(records, batch_size=1)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["refused"]) == (19, 1)


def test_the_search_for_garbage_goes_on_afterwards(bench: Bench) -> None:
    """A submission leaves out what was there before it, and gives it back, also if it fails."""
    bench.submit([{"externalConversationId": "c1"}])
    with pytest.raises(AsappTooManyRejected):
        bench.submit([{"externalConversationId": "c 1"}], max_rejected=0)
    assert gc.get_freeze_count() == 0
