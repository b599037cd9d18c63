"""Every row of the outcome table, at each place of a source, with one request and with several under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_asapp.errors import AsappTooManyRejected
from airflow_provider_asapp.simulator import Simulator
from tests.bench import Bench
from tests.matrix import EVERYWHERE, LIMIT, ROWS, SIZE, TARGETS, Place, Row
from tests.servers import retelling


@pytest.fixture(scope="module")
def narrow() -> Iterator[Simulator]:
    """Run a simulator that takes only short bodies."""
    with Simulator(max_body_bytes=LIMIT, requests_per_second=None, sleep=lambda _: None) as simulator:
        yield simulator


def deliver(bench: Bench, row: Row, place: Place, window: int) -> dict[str, Any]:
    """Submit the row's source until that succeeds; where the documented error ends a try, once more."""
    records = row.records(place)
    options: dict[str, Any] = {"batch_size": SIZE, "max_in_flight": window}
    before = 0
    if place in row.fails:
        with pytest.raises(row.error) as caught:
            bench.submit(records, **options)
        assert type(caught.value) is row.error
        # Stopped for good, it is not gone on with but begun anew.
        before = caught.value.report["requests"] if isinstance(caught.value, AsappTooManyRejected) else 0
    report = bench.submit(records, **options)
    assert before + report["requests"] == bench.asapp.ledger.counts()["requests"]
    return report


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_outcome_table(bench: Bench, narrow: Simulator, row: Row, place: Place, window: int) -> None:
    """The sum holds, the simulator agrees record by record, and no request is made that is not documented."""
    bench.requests_per_second = {1: 4, 4: 100}[window]
    if row.heavy is not None:
        narrow.reset()
        bench.asapp = narrow
    bench.asapp.misbehave(*row.faults(TARGETS[place].keys))
    with ExitStack() as stack:
        if row.change:
            bench.url = stack.enter_context(retelling(bench.asapp.url, row.change)).url
        report = deliver(bench, row, place, window)

    bench.assert_accounted(report, row.records(place))
    at = EVERYWHERE.index(place)
    assert (report["refused"], report["already_persisted"], report["invalid"]) == (row.refused[at], row.already[at], 0)
    counts = bench.asapp.ledger.counts()
    # Where the first try ends early, others that were under way may be sent again: no more than the window.
    more = 3 * window if place in row.fails and window > 1 else 0
    alone = 1 if row.company and window > 1 else 0
    assert row.requests[at] - alone <= counts["requests"] <= row.requests[at] + alone + more
    assert row.twice[at] - alone <= counts["repeated_event_ids"] <= row.twice[at] + alone + more * SIZE
