"""A day's quota that runs out: the task frees its slot until it returns, and goes on where it stopped."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import TriggerEvent

from airflow_provider_asapp.compat import date_time_trigger
from airflow_provider_asapp.errors import AsappQuotaExhausted
from airflow_provider_asapp.operators import JITTER, AsappMetadataOperator
from airflow_provider_asapp.pacing import PAUSES
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.stores import XComStore
from tests.airflow_runs import Run, run
from tests.clocks import FakeClock
from tests.versions import AIRFLOW, WITH_STORE

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

KEYS = [f"c-{number}" for number in range(100)]
BAD = {"externalConversationId": "c-bad", "campaign": "not an identifier"}
# One that is rejected in the first day's part, one in the second's.
RECORDS = [BAD, *({"externalConversationId": key} for key in KEYS), BAD]
BATCHES = 4
# What ASAPP is asked in vain before the quota counts as spent.
ASKS = 1 + len(PAUSES)
# The clock of the tests starts at noon of the day before.
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
Limited = Callable[[int], Simulator]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Give the one clock of all clients and of ASAPP; its waits are over at once."""
    clock = FakeClock()
    monkeypatch.setattr("airflow_provider_asapp.client.Clock", lambda: clock)
    return clock


@pytest.fixture
def limited(clock: FakeClock, connect: Callable[..., None]) -> Iterator[Limited]:
    """Give a way to run a simulator with a daily quota, which the connection `asapp_default` leads to."""
    running: list[Simulator] = []

    def start(daily_quota: int) -> Simulator:
        asapp = Simulator(daily_quota=daily_quota, requests_per_second=None, clock=lambda: clock.now().timestamp())
        asapp.start()
        running.append(asapp)
        connect("asapp_default", conn_type="asapp", host=asapp.url, login=asapp.api_id, password=asapp.api_secret)
        return asapp

    yield start
    for asapp in running:
        asapp.stop()


@pytest.fixture
def moments(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Let Airflow's trigger wait on the clock of the tests; list until when it waited."""
    waited: list[datetime] = []

    async def fire(self: Any) -> AsyncIterator[TriggerEvent]:
        waited.append(self.moment)
        clock.advance((self.moment - clock.now()).total_seconds())
        yield TriggerEvent(self.moment)

    monkeypatch.setattr(date_time_trigger(), "run", fire)
    return waited


def operator(**arguments: Any) -> AsappMetadataOperator:
    """Return an operator that takes four requests for all records, one after the other, if nothing else is said."""
    given = {"task_id": "push", "entity": "conversation", "records": RECORDS, "max_rejected": 2}
    return AsappMetadataOperator(**(given | {"batch_size": 25, "max_in_flight": 1} | arguments))


def statuses(asapp: Simulator) -> Counter[int | None]:
    """Return how often ASAPP answered with each status."""
    return Counter(request.status for request in asapp.ledger.requests)


def check_report(ended: Run, asapp: Simulator) -> None:
    """Hold the report against all parts together."""
    report = ended.xcom("push")
    counts = {name: report[name] for name in ("read", "accepted", "already_persisted", "invalid", "refused")}
    assert counts == {"read": 102, "accepted": 100, "already_persisted": 0, "invalid": 2, "refused": 0}
    assert report["requests"] == len(asapp.ledger.requests)


def check_each_once(asapp: Simulator, days: int) -> None:
    """Hold what arrived against the source, and the requests against what they had to be."""
    assert sorted(item["externalConversationId"] for item in asapp.ledger.accepted("conversation")) == sorted(KEYS)
    assert statuses(asapp) == Counter({200: BATCHES, 429: (days - 1) * ASKS})


@pytest.mark.parametrize(("quota", "days"), [(1, 4), (2, 2), (3, 2)])
def test_deferred_and_resumed(limited: Limited, dag: DAG, moments: list[datetime], quota: int, days: int) -> None:
    """A quota spent at any request defers the task to its return, and then it goes on: each record arrives once."""
    asapp = limited(quota)
    with dag:
        operator(deferrable=True)
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 1)}
    assert len(moments) == days - 1
    check_report(ended, asapp)
    check_each_once(asapp, days)


@pytest.mark.parametrize("quota", [2, 3])
def test_several_in_flight(limited: Limited, dag: DAG, moments: list[datetime], quota: int) -> None:
    """With several requests under way only what arrived behind a gap comes again, with the same event id."""
    asapp = limited(quota)
    with dag:
        operator(deferrable=True, max_in_flight=4)
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 1)}
    check_report(ended, asapp)
    assert set(asapp.ledger.held("conversation")) == set(KEYS)
    again = len(asapp.ledger.accepted("conversation")) - len(KEYS)
    assert asapp.ledger.counts()["repeated_event_ids"] == again
    assert again <= len(moments) * 3 * 25
    # Those that were under way when the pause began, and the documented four.
    assert statuses(asapp)[429] <= len(moments) * (4 + len(PAUSES))


def test_deferral_waits_for_the_return(limited: Limited, dag: DAG, moments: list[datetime]) -> None:
    """The task sleeps until the next 00:00 UTC and up to two minutes more, so that not all come in one second."""
    limited(2)
    with dag:
        operator(deferrable=True)
    run(dag)
    assert len(moments) == 1
    assert timedelta(0) <= moments[0] - MIDNIGHT <= timedelta(seconds=JITTER)


def test_nothing_is_sent_while_deferred(limited: Limited, dag: DAG, moments: list[datetime]) -> None:
    """After the documented asks nothing reaches ASAPP until the quota is back."""
    asapp = limited(2)
    with dag:
        operator(deferrable=True)
    run(dag)
    times = [datetime.fromtimestamp(request.time, UTC) for request in asapp.ledger.requests]
    assert times[2 + ASKS - 1] < MIDNIGHT - timedelta(hours=11)
    assert times[2 + ASKS] >= moments[0]


def test_rejects_of_both_parts(limited: Limited, dag: DAG, moments: list[datetime], tmp_path: Path) -> None:
    """What was rejected before the deferral stays in the rejects beside what was rejected after it, each once."""
    limited(2)
    with dag:
        operator(deferrable=True, rejects_path=str(tmp_path))
    folder = tmp_path / dag.dag_id / run(dag).run_id / "push"
    lines = [line for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]
    assert len(moments) == 1
    assert [line.partition(",")[0] for line in lines] == ['{"position": 1', '{"position": 102']


def test_without_a_task_state_store(
    limited: Limited, dag: DAG, moments: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Airflow has no task state store, an XCom brings the checkpoint over each deferral."""
    monkeypatch.setattr("airflow_provider_asapp.stores.store_of", lambda context: XComStore(context["ti"]))
    asapp = limited(1)
    with dag:
        operator(deferrable=True)
    ended = run(dag)
    assert len(moments) == 3
    check_report(ended, asapp)
    check_each_once(asapp, days=4)


def test_slot_is_freed(limited: Limited) -> None:
    """The operator hands a trigger to Airflow and ends, with no thread left: only the triggerer waits."""
    asapp = limited(2)
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True, max_in_flight=4).execute({})
    asapp.stop()
    assert isinstance(deferred.value.trigger, date_time_trigger())
    assert timedelta(0) <= deferred.value.trigger.moment - MIDNIGHT <= timedelta(seconds=JITTER)
    assert deferred.value.method_name == "resume"
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


@pytest.mark.parametrize("timeout", [timedelta(hours=1), timedelta(days=60)])
def test_execution_timeout(
    limited: Limited, dag: DAG, clock: FakeClock, moments: list[datetime], timeout: timedelta
) -> None:
    """Where it goes on counting while a task is deferred (2.11), one that ends first fails the task and says so."""
    errors: list[BaseException] = []
    # ASAPP's day is a month from today: Airflow has no clock but the real one.
    clock.advance((datetime.now(UTC) - clock.now()).total_seconds() + timedelta(days=30).total_seconds())
    limited(2)

    def begin(context: Any) -> None:
        # As a worker does, and `dag.test()` of Airflow 2.11 does not.
        context["ti"].start_date = datetime.now(UTC)

    with dag:
        operator(
            deferrable=True,
            execution_timeout=timeout,
            pre_execute=begin,
            on_failure_callback=lambda context: errors.append(context["exception"]),
        )
    ended = run(dag)
    if AIRFLOW < (3, 0) and timeout < timedelta(days=30):
        assert ended.tasks == {("push", -1): ("failed", 1)}
        assert isinstance(errors[0], AsappQuotaExhausted)
        assert "execution_timeout (1:00:00) goes on counting while it is deferred" in str(errors[0])
        assert not moments
    else:
        assert ended.tasks == {("push", -1): ("success", 1)}
        assert len(moments) == 1


def test_a_resumed_task_is_no_nested_operator(limited: Limited, dag: DAG, moments: list[datetime]) -> None:
    """A task that must not run operators inside of it can still be deferred and resumed."""
    limited(2)
    with dag:
        operator(deferrable=True, allow_nested_operators=False)
    assert run(dag).tasks == {("push", -1): ("success", 1)}
    assert len(moments) == 1


@WITH_STORE
@pytest.mark.parametrize(("quota", "days"), [(1, 4), (3, 2)])
def test_not_deferrable(limited: Limited, dag: DAG, clock: FakeClock, quota: int, days: int) -> None:
    """Without `deferrable` a try fails and says when the quota returns; an Airflow retry after that goes on."""
    errors: list[BaseException] = []

    def remember(context: Any) -> None:
        errors.append(context["exception"])
        clock.advance(24 * 3600)

    asapp = limited(quota)
    with dag:
        operator(deferrable=False, retries=days, retry_delay=timedelta(0), on_retry_callback=remember)
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", days)}
    check_report(ended, asapp)
    check_each_once(asapp, days)
    assert [type(error) for error in errors] == [AsappQuotaExhausted] * (days - 1)
    assert "It answers again from 2026-03-05 00:00:00 UTC; tries before then will fail." in str(errors[0])


def test_retry_before_the_return(limited: Limited, dag: DAG) -> None:
    """A retry that comes too early asks as documented and fails again; nothing was delivered twice."""
    asapp = limited(2)
    with dag:
        operator(deferrable=False, retries=1, retry_delay=timedelta(0))
    assert run(dag).tasks == {("push", -1): ("failed", 2)}
    assert statuses(asapp) == Counter({200: 2, 429: 2 * ASKS})
    assert asapp.ledger.counts()["repeated_event_ids"] == 0
