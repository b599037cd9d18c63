"""Promises of a whole submission: every record has one outcome, over a real HTTP server, whatever that answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import (
    AsappAccessError,
    AsappQuotaExhausted,
    AsappSourceError,
    AsappStopped,
    AsappTooManyRejected,
    AsappUnavailableError,
)
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.validation import Validator, pages_of
from tests.clocks import FakeClock

BAD_CAMPAIGN = "New York"


class MemoryStore(dict[str, Any]):
    """A task state store that lasts for a test."""

    def set(self, key: str, value: Any) -> None:
        """Keep what JSON can hold."""
        self[key] = json.loads(json.dumps(value, allow_nan=False))

    def delete(self, key: str) -> None:
        """Forget."""
        self.pop(key, None)


@dataclass
class Bench:
    """A simulator, a clock that both sides share, and what one task of one run keeps."""

    asapp: Simulator
    clock: FakeClock
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    requests_per_second: float = 100.0

    def client(self) -> AsappClient:
        return AsappClient(
            "demo-api-id",
            "demo-api-secret",
            base_url=self.asapp.url,
            clock=self.clock,
            requests_per_second=self.requests_per_second,
        )

    def submit(
        self, records: Any, *, entity: str = "conversation", scope: str = "run", **options: Any
    ) -> dict[str, Any]:
        source = records if callable(records) else lambda: pages_of(records)
        with self.client() as client:
            return submit(
                source,
                client=client,
                validator=Validator(entity, scope=scope),
                options=Options(**{"batch_size": 10, "max_rejected": None, **options}),
                rejects=RejectsFolder(self.folder),
                store=self.store,
            )

    def rejected(self) -> dict[int, dict[str, Any]]:
        """Return the rejects by position; a position twice is a failure."""
        lines = [json.loads(line) for path in sorted(self.folder.glob("*")) for line in path.read_text().splitlines()]
        assert len({line["position"] for line in lines}) == len(lines), "a rejected record stands there twice"
        return {line["position"]: line for line in lines}

    def assert_accounted(self, report: dict[str, Any], records: list[dict[str, Any]]) -> None:
        """Hold report, rejects and the simulator's own ledger together, record by record."""
        outcomes = ("accepted", "already_persisted", "invalid", "refused")
        assert report["read"] == len(records) == sum(report[name] for name in outcomes)
        rejected = self.rejected()
        assert len(rejected) == report["invalid"] + report["refused"]
        arrived = {item["externalConversationId"] for item in self.asapp.ledger.accepted("conversation")}
        expected = {record["externalConversationId"] for at, record in enumerate(records, 1) if at not in rejected}
        assert arrived == expected


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = FakeClock()
    with Simulator(clock=lambda: clock.now().timestamp(), sleep=lambda _: None, requests_per_second=None) as asapp:
        yield Bench(asapp, clock, tmp_path / "rejects")


def conversations(count: int, bad: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return records; those at the positions `bad` break a rule."""
    return [
        {"externalConversationId": f"c{at}", **({"campaign": BAD_CAMPAIGN} if at in bad else {})}
        for at in range(1, count + 1)
    ]


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
    with pytest.raises(AsappTooManyRejected, match="first 10 records") as caught:
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


def test_changed_rows_in_the_confirmed_prefix_start_over_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
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


def test_a_shorter_source_is_noticed(bench: Bench) -> None:
    """Rows that vanished from the confirmed prefix are a difference too."""
    bench.asapp.misbehave(Fault(requests={4, 5, 6, 7}, status=503))
    with pytest.raises(AsappUnavailableError):
        bench.submit(conversations(60), max_in_flight=1)
    report = bench.submit(conversations(12))
    assert (report["read"], report["accepted"]) == (12, 12)


@pytest.mark.parametrize("change", ["entity", "scope", "key"])
def test_another_submission_starts_over(bench: Bench, change: str) -> None:
    """A checkpoint of another run's content, entity or key is not used."""
    bench.asapp.misbehave(Fault(requests={3, 4, 5, 6}, status=503))
    records = [{"externalConversationId": f"c{at}", "externalCustomerId": f"p{at}"} for at in range(50)]
    with pytest.raises(AsappUnavailableError):
        bench.submit(records, entity="customer", max_in_flight=1)
    before = bench.asapp.ledger.counts()["accepted"]
    if change == "key":
        bench.asapp.api_id = bench.asapp._service.api_id = "demo-api-id"
        bench.store["asapp_checkpoint"]["fingerprint"] = "of another key"
    if change == "entity":
        report = bench.submit(conversations(50))
    else:
        report = bench.submit(records, entity="customer", scope="another run" if change == "scope" else "run")
    assert report["accepted"] == 50
    assert bench.asapp.ledger.counts()["accepted"] == before + 50


def test_a_cleared_task_sends_again(bench: Bench) -> None:
    """After a success, and after a failure of the policy, the same task sends everything again."""
    records = conversations(30, bad=(3,))
    bench.submit(records)
    bench.submit(records)
    for _ in range(2):
        with pytest.raises(AsappTooManyRejected):
            bench.submit(records, max_rejected=0)
    assert bench.asapp.ledger.counts()["accepted"] == 4 * 29


def test_store_trouble_never_fails_a_submission(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """With a store that always raises, all arrives; the log says so, and it is not asked for each batch."""

    class Broken(MemoryStore):
        calls = 0

        def set(self, key: str, value: Any) -> None:
            Broken.calls += 1
            raise ConnectionError("no API server")

        get = delete = set  # type: ignore[assignment]

    bench.store = Broken()
    assert bench.submit(conversations(500))["accepted"] == 500
    assert "task state store gives trouble" in caplog.text
    assert Broken.calls <= 3


def test_the_checkpoint_is_written_at_most_once_a_second(bench: Bench) -> None:
    """500 batches at 100 a second take 5 seconds and cost about as many writes."""
    writes: list[int] = []

    class Counting(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            writes.append(value["position"])

    bench.store = Counting()
    bench.submit(conversations(5000))
    assert 3 <= len(writes) <= 6
    assert writes == sorted(writes)


def test_a_spent_quota_ends_with_the_time_of_return(bench: Bench) -> None:
    """After the documented four asks the task ends; the next day's try goes on from the checkpoint."""
    bench.asapp._service._limits._per_day = 5
    records = conversations(100)
    with pytest.raises(AsappQuotaExhausted) as caught:
        bench.submit(records, max_in_flight=1)
    assert caught.value.resets_at is not None
    assert caught.value.resets_at.isoformat() == "2026-03-05T00:00:00+00:00"
    assert bench.asapp.ledger.counts()["requests"] == 5 + 1 + 4
    bench.clock.advance((caught.value.resets_at - bench.clock.now()).total_seconds())
    bench.asapp._service._limits._per_day = None
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert bench.asapp.ledger.counts()["repeated_event_ids"] == 0


def test_a_stop_ends_soon_and_leaves_a_checkpoint(bench: Bench) -> None:
    """Stopped from another thread while ASAPP hangs, it ends, leaves no thread, and a retry completes it."""
    hanging = threading.Event()
    release = threading.Event()

    def sleep(_: float) -> None:
        hanging.set()
        release.wait(30)

    bench.asapp._service._sleep = sleep
    bench.asapp.misbehave(Fault(requests={3}, delay=30))
    client = bench.client()

    def stop() -> None:
        hanging.wait(30)
        client.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    before = set(threading.enumerate())
    records = conversations(100)
    with client, pytest.raises(AsappStopped):
        submit(
            lambda: pages_of(records),
            client=client,
            validator=Validator("conversation", scope="run"),
            options=Options(batch_size=10, max_in_flight=1),
            store=bench.store,
        )
    stopper.join()
    assert {t for t in threading.enumerate() if t.name.startswith("ThreadPool")} <= before
    assert bench.store["asapp_checkpoint"]["position"] == 20
    release.set()
    bench.assert_accounted(bench.submit(records), records)
