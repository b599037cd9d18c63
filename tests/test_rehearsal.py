"""Promises of a rehearsal: it counts what a submission would, and sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.errors import AsappSourceError, AsappTooManyRejected
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rehearsal import rehearse
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.validation import Validator
from tests.bench import Bench, by_position, conversations
from tests.loom import MemoryFolder


def rehearsed(records: Any, folder: Any = None, **options: Any) -> dict[str, Any]:
    """Rehearse a source of conversations."""
    return rehearse(
        lambda: pages_of(records),
        validator=Validator("conversation"),
        options=Options(**{"max_rejected": None, "batch_size": 10, **options}),
        rejects=RejectsFolder(folder) if folder is not None else None,
    )


@given(st.integers(1, 60), st.integers(1, 20), st.sets(st.integers(2, 60)))
def test_the_sum_holds_and_the_requests_are_those(count: int, batch_size: int, bad: set[int]) -> None:
    """``read == valid + invalid``, one request for each full batch of valid ones, and each invalid one is a reject."""
    bad = {at for at in bad if at <= count}
    folder = MemoryFolder()
    report = rehearsed(conversations(count, bad=tuple(bad)), folder, batch_size=batch_size)
    assert (report["read"], report["valid"], report["invalid"]) == (count, count - len(bad), len(bad))
    assert report["requests"] == -(-(count - len(bad)) // batch_size)
    assert set(folder.rejected()) == bad


def test_it_foretells_the_submission(bench: Bench) -> None:
    """The same source, then submitted, takes those requests and has those rejects; nothing was sent before."""
    records = conversations(95, bad=(1, 50, 95))
    foretold = rehearsed(records, bench.folder)
    rejects = bench.rejected()
    assert bench.asapp.ledger.counts()["requests"] == 0
    report = bench.submit(records)
    assert bench.rejected() == rejects
    assert {name: foretold[name] for name in ("entity", "read", "invalid", "requests", "rejects")} == {
        name: report[name] for name in ("entity", "read", "invalid", "requests", "rejects")
    }
    assert foretold["valid"] == report["accepted"]


def test_without_a_folder_or_rejects_it_names_none(tmp_path: Path) -> None:
    """A path in the report is one where something lies."""
    assert rehearsed(conversations(5, bad=(2,)))["rejects"] is None
    assert rehearsed(conversations(5), tmp_path / "rejects")["rejects"] is None
    assert not (tmp_path / "rejects").exists()


def test_the_rejects_of_an_earlier_one_are_replaced(tmp_path: Path) -> None:
    """Mended records are no longer there."""
    rehearsed(conversations(5, bad=(2, 3)), tmp_path)
    rehearsed(conversations(5, bad=(4,)), tmp_path)
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert set(by_position(lines)) == {4}


def test_nothing_at_all_is_fine() -> None:
    """An empty source has no requests."""
    report = rehearsed([])
    assert (report["read"], report["requests"]) == (0, 0)


@pytest.mark.parametrize(
    ("limits", "fails"),
    [
        ({"max_rejected": 0}, True),
        ({"max_rejected": 1}, False),
        ({"max_rejected": 0, "max_rejected_ratio": 0.02}, False),
        ({"max_rejected": 0, "max_rejected_ratio": 0.009}, True),
    ],
)
def test_the_limits_are_those_of_a_submission(limits: dict[str, Any], fails: bool) -> None:
    """Too many invalid records are an error that carries the report and says that nothing was sent."""
    records = conversations(100, bad=(7,))
    if not fails:
        assert rehearsed(records, **limits)["invalid"] == 1
        return
    with pytest.raises(AsappTooManyRejected, match=r"1 of 100 records were rejected.*Nothing was sent") as caught:
        rehearsed(records, **limits)
    assert caught.value.report is not None
    assert caught.value.report["invalid"] == 1


def test_a_thousand_invalid_records_end_it() -> None:
    """A wrong mapping shows after the first thousand: the source is not read on."""
    read = []

    def records() -> Any:
        for record in conversations(5000, bad=tuple(range(1, 5001))):
            read.append(record)
            yield record

    with pytest.raises(AsappTooManyRejected, match="first 1000 records are all invalid"):
        rehearsed(records())
    assert len(read) <= 2001


def test_a_column_that_is_no_field_ends_it() -> None:
    """As a submission would."""
    with pytest.raises(AsappSourceError, match="did you mean campaign"):
        rehearsed([{"externalConversationId": "c1", "campain": "x"}])


def test_the_source_is_closed_whatever_happens() -> None:
    """A cursor or a file is not left open by an error."""
    closed = []

    def source() -> Any:
        try:
            yield from pages_of([{"campain": "x"}])
        finally:
            closed.append(True)

    with pytest.raises(AsappSourceError):
        rehearse(source, validator=Validator("conversation"), options=Options())
    assert closed
