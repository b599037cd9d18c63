"""Promises of isolation: only the culprits of a refused batch are refused, within bounds, and bodies fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.answers import ACCEPTED, Verdict, refused_as_a_whole
from airflow_provider_asapp.client import body_size
from airflow_provider_asapp.errors import AsappTooManyRejected, AsappUnavailableError
from airflow_provider_asapp.isolation import EXTRA_REQUESTS, Bounds, Delivery, Isolation, NothingAcceptable
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.validation import Item
from tests.bench import Bench, conversations
from tests.loom import FakeAsapp

LIMIT = 4000


def item(at: int, size: int = 50) -> Item:
    """Return an item whose body is that long."""
    return Item(at, f"c{at}", f"c{at}", f"e{at}", b"x" * size, f"e{at}")


def culprits(*positions: int) -> FakeAsapp:
    """Return an ASAPP that answers 422 to whatever holds one of these."""

    def judge(items: Sequence[Item]) -> list[Verdict]:
        if any(item.position in positions for item in items):
            raise refused_as_a_whole(422, b"")
        return [ACCEPTED] * len(items)

    return FakeAsapp(judge)


def narrow(limit: int) -> FakeAsapp:
    """Return an ASAPP that answers 413 to a longer body."""

    def judge(items: Sequence[Item]) -> list[Verdict]:
        if body_size(items) > limit:
            raise refused_as_a_whole(413, b"")
        return [ACCEPTED] * len(items)

    return FakeAsapp(judge)


def isolate(asapp: FakeAsapp, items: Sequence[Item], bounds: Bounds | None = None) -> Delivery:
    """Deliver one batch."""
    return Isolation(asapp.as_client, ENTITIES["conversation"], items, bounds or Bounds(1000)).run()


def kinds(delivery: Delivery) -> list[str | None]:
    """Return the kinds of its verdicts."""
    return [verdict and verdict.kind for verdict in delivery.verdicts]


# --- culprits


@given(st.integers(1, 300), st.data())
def test_whoever_the_culprits_are(count: int, data: st.DataObject) -> None:
    """Up to three culprits, anywhere: they are refused and nobody else, within the bound, and each is sent alone."""
    bad = data.draw(st.sets(st.integers(1, count), max_size=3))
    asapp = culprits(*bad)
    delivery = isolate(asapp, [item(at) for at in range(1, count + 1)])
    assert kinds(delivery) == ["refused" if at in bad else "accepted" for at in range(1, count + 1)]
    assert sorted(arrived.position for arrived in asapp.arrived) == [
        at for at in range(1, count + 1) if at not in bad
    ], "each good one arrives once"
    assert asapp.requests <= 1 + EXTRA_REQUESTS
    assert delivery.error is None


def test_one_culprit_among_a_thousand_costs_twenty_requests() -> None:
    """Halving a thousand takes ten steps of two requests."""
    asapp = culprits(700)
    isolate(asapp, [item(at) for at in range(1, 1001)])
    assert asapp.requests <= 1 + 20


def test_past_the_bound_the_rest_is_refused_with_that_reason() -> None:
    """After 64 more requests what is not yet cleared is refused, and says so; all that was taken stays taken."""
    bad = set(range(1, 1001, 7))
    asapp = culprits(*bad)
    delivery = isolate(asapp, [item(at) for at in range(1, 1001)])
    assert asapp.requests == 1 + EXTRA_REQUESTS
    assert set(kinds(delivery)) == {"accepted", "refused"}
    assert delivery.error is None
    given_up = {at for at, verdict in enumerate(delivery.verdicts, 1) if verdict and "NOT_ISOLATED" in verdict.reason}
    refused = {at for at, verdict in enumerate(delivery.verdicts, 1) if verdict and verdict.kind == "refused"}
    assert refused - given_up <= bad
    assert {arrived.position for arrived in asapp.arrived} == set(range(1, 1001)) - refused


def test_a_good_half_behind_many_culprits_is_delivered() -> None:
    """What the bound leaves over in front does not cost the good ones behind."""
    asapp = culprits(*range(1, 501))
    delivery = isolate(asapp, [item(at) for at in range(1, 1001)])
    assert kinds(delivery)[500:] == ["accepted"] * 500
    assert asapp.requests == 1 + EXTRA_REQUESTS


def test_a_batch_of_which_nothing_is_taken_ends_the_task() -> None:
    """The bound is kept, each item has its verdict, and the error says that there is no use in going on."""
    asapp = culprits(*range(1, 1001))
    delivery = isolate(asapp, [item(at) for at in range(1, 1001)])
    assert isinstance(delivery.error, NothingAcceptable)
    assert set(kinds(delivery)) == {"refused"}
    assert asapp.requests == 1 + EXTRA_REQUESTS


def test_trouble_on_the_way_keeps_what_was_found() -> None:
    """Where ASAPP goes away in the middle, the parts that were answered have their outcome and the others none."""
    answers = iter([refused_as_a_whole(422, b""), None, AsappUnavailableError("gone")])

    def judge(items: Sequence[Item]) -> list[Verdict]:
        if error := next(answers):
            raise error
        return [ACCEPTED] * len(items)

    delivery = isolate(FakeAsapp(judge), [item(at) for at in range(8)])
    assert kinds(delivery) == ["accepted"] * 4 + [None] * 4
    assert isinstance(delivery.error, AsappUnavailableError)


def test_parts_arrive_in_the_order_of_the_source() -> None:
    """However a batch is halved, a later record of a key never arrives before an earlier one."""
    asapp = culprits(3, 6)
    isolate(asapp, [item(at) for at in range(1, 9)])
    assert [arrived.position for arrived in asapp.arrived] == [1, 2, 4, 5, 7, 8]


# --- the task's bound


@pytest.mark.parametrize(("allowed", "good"), [(2, 4), (4, 6), (6, 7), (1000, 7)])
def test_the_tasks_bound_ends_halving(bench: Bench, allowed: int, good: int) -> None:
    """A task spends no more than it may, and what is not cleared by then is refused with that reason."""
    bench.asapp.misbehave(Fault(keys={"c9"}, status=422))
    report = bench.submit(conversations(24), batch_size=8, max_isolation_requests=allowed)
    assert (report["accepted"], report["refused"]) == (16 + good, 8 - good)
    assert report["requests"] == 3 + min(allowed, 6)
    reasons = [line["errors"]["asapp"][0] for line in bench.rejected().values()]
    assert all(("NOT_ISOLATED" in reason) == (good < 7) for reason in reasons)
    assert all("HTTP_422" in reason and "requestId" in reason for reason in reasons)


def test_the_tasks_bound_is_for_all_batches_together(bench: Bench) -> None:
    """Once it is spent, the next batch that is refused as a whole stops the task: nothing of it can be taken."""
    bench.asapp.misbehave(Fault(keys={"c1", "c9", "c17"}, status=422))
    with pytest.raises(AsappTooManyRejected, match="takes no part of it") as caught:
        bench.submit(conversations(80), batch_size=8, max_isolation_requests=12, max_in_flight=1)
    assert bench.asapp.ledger.counts()["requests"] == 3 + 12
    assert caught.value.report is not None
    assert (caught.value.report["accepted"], caught.value.report["refused"]) == (14, 10)
    assert set(bench.rejected()) == {1, 9, *range(17, 25)}


@pytest.mark.parametrize("window", [1, 4])
def test_a_task_without_isolation_stops_at_the_first_refused_batch(bench: Bench, window: int) -> None:
    """With ``max_isolation_requests=0`` nothing is halved."""
    bench.asapp.misbehave(Fault(keys={"c3"}, status=422))
    with pytest.raises(AsappTooManyRejected):
        bench.submit(conversations(80), max_isolation_requests=0, max_in_flight=window)
    assert bench.asapp.ledger.counts()["requests"] == 1


def test_a_thousand_refused_records_stop_the_task(bench: Bench) -> None:
    """A wrong mapping that ASAPP answers with 422 costs 65 requests, and its rejects tell which records it was."""
    bench.asapp.misbehave(Fault(status=422))
    with pytest.raises(AsappTooManyRejected) as caught:
        bench.submit(conversations(5000), batch_size=1000)
    assert bench.asapp.ledger.counts()["requests"] == 65
    assert len(bench.rejected()) == 1000
    assert caught.value.report is not None
    assert (caught.value.report["read"], caught.value.report["refused"]) == (1000, 1000)


# --- 409


def test_a_409_after_a_passing_error_is_not_believed(bench: Bench) -> None:
    """ASAPP said of these records that it did not take them: a 409 for all of them does not say of which it speaks."""
    bench.asapp.misbehave(
        Fault(requests={1}, keys={"c9", "c10"}, item_error="FAIL_STORAGE: busy"),
        Fault(requests={2}, status=409),
    )
    records = conversations(10)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["already_persisted"], report["requests"]) == (10, 0, 4)


def test_a_409_after_a_missing_answer_is_believed(bench: Bench) -> None:
    """ASAPP may have taken these records without saying so, and now says so."""
    bench.asapp.misbehave(
        Fault(requests={1}, keys={"c9", "c10"}, missing=2),
        Fault(requests={2}, status=409),
    )
    records = conversations(10)
    report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert (report["accepted"], report["already_persisted"], report["requests"]) == (8, 2, 2)


# --- 413


@given(st.lists(st.integers(50, 900), min_size=1, max_size=60), st.integers(400, 6000))
def test_every_record_that_fits_alone_is_delivered(sizes: list[int], limit: int) -> None:
    """Whatever the sizes and the limit: too large alone is refused, everything else arrives once."""
    asapp, bounds = narrow(limit), Bounds(0)
    items = [item(at, size) for at, size in enumerate(sizes)]
    for at in range(0, len(items), 20):
        delivery = isolate(asapp, items[at : at + 20], bounds)
        assert kinds(delivery) == ["accepted" if size <= limit else "refused" for size in sizes[at : at + 20]]
    assert len(asapp.arrived) == sum(size <= limit for size in sizes)


def sizes_sent(asapp: Simulator) -> list[tuple[int, int | None]]:
    """Return bytes and status of each request."""
    return [(request.bytes, request.status) for request in asapp.ledger.requests]


@pytest.mark.parametrize("window", [1, 4])
def test_after_a_413_requests_stay_under_what_passed(bench: Bench, window: int) -> None:
    """A limit that nobody published is found once: then no request is refused for its size any more."""
    with Simulator(max_body_bytes=5000, requests_per_second=None) as bench.asapp:
        records = conversations(2000)
        report = bench.submit(records, batch_size=200, max_in_flight=window)
    bench.assert_accounted(report, records)
    sent = sizes_sent(bench.asapp)
    assert [status for _, status in sent[:3]] == [413, 413, 200]
    assert all(status == 200 for _, status in sent[3:])
    # 50 of the first records passed; of the later ones, which are a little longer, a few less go together.
    assert report["requests"] <= 3 + 10 * 5
    assert max(size for size, status in sent if status == 200) == sent[2][0]


def test_one_large_record_does_not_make_small_requests(bench: Bench) -> None:
    """A record that is too large alone is refused for its own sake; other batches stay whole."""
    records: list[dict[str, Any]] = conversations(100)
    records[2]["attributes"] = {f"a{at}": "x" * 1000 for at in range(5)}
    with Simulator(max_body_bytes=LIMIT, requests_per_second=None) as bench.asapp:
        report = bench.submit(records)
    bench.assert_accounted(report, records)
    assert "HTTP_413" in bench.rejected()[3]["errors"]["asapp"][0]
    assert [request.items for request in bench.asapp.ledger.requests][-9:] == [10] * 9


def test_a_small_request_that_passed_is_no_measure(bench: Bench) -> None:
    """A record that went alone, as after a passing error, does not shrink all requests after a 413."""
    bench.asapp.misbehave(Fault(keys={"c1"}, item_error="FAIL_STORAGE: busy", times=1))
    records = conversations(1)
    assert bench.submit(records)["requests"] == 2
    bounds, asapp = Bounds(0), narrow(3000)
    isolate(asapp, [item(0)], bounds)
    isolate(asapp, [item(at) for at in range(100)], bounds)
    assert asapp.sizes == [1, 100, 50, 50]


def test_each_large_record_is_asked_for_itself() -> None:
    """One record's 413 says nothing of another: a gateway may have had its own reasons."""
    asapp, bounds = narrow(1000), Bounds(0)
    isolate(asapp, [item(1, 1500)], bounds)
    delivery = isolate(asapp, [item(2, 1500)], bounds)
    assert [verdict.kind for verdict in delivery.verdicts if verdict] == ["refused"]
    assert asapp.requests == 2
