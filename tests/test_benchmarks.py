"""The benchmarks measure what they say: real answers, sound data sets, and a page that leaves no target out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_asapp.answers import ACCEPTED
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import AsappAccessError
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.schemas import ENTITIES, ConversationMetadataSchema
from airflow_provider_asapp.validation import Item, Validator
from benchmarks import data, report, suite, targets
from benchmarks.sink import RunningSink, running
from benchmarks.spread import Samples

README = Path(__file__).parents[1] / "README.md"
SPEED = README.parent / "docs" / "speed.md"
CONVERSATION = ENTITIES["conversation"]
VERSIONS = {"python": "3.11.7", "dlt": "1.31.0"}


@pytest.fixture
def sink() -> Iterator[RunningSink]:
    with running(refuse_after=3) as found:
        yield found


def items_of(kind: str, rows: int) -> list[Item]:
    """Return what the first rows of a data set become, the invalid ones left out."""
    page = next(pages_of([data.KINDS[kind](number) for number in range(rows)], rows))
    return [found for found in Validator("conversation").check(page, 1) if isinstance(found, Item)]


def client_of(sink: RunningSink) -> AsappClient:
    return AsappClient("an id", "a secret", base_url=sink.url)


def test_the_sink_answers_as_asapp(sink: RunningSink) -> None:
    """One item and many are accepted by the client's own judgement of the answer, under the ids that were sent."""
    first, *others = items_of("ordinary", 3)
    with client_of(sink) as client:
        assert client.send(CONVERSATION, [first]) == [ACCEPTED]
        assert client.send(CONVERSATION, others) == [ACCEPTED] * 2
    counts = sink.counts()
    assert (counts.requests, counts.items) == (2, 3)
    assert 0 < counts.first <= counts.last


def test_the_sink_refuses_one_request_when_told(sink: RunningSink) -> None:
    """After so many items one request gets no way in, and the next one is taken again."""
    items = items_of("ordinary", 3)
    with client_of(sink) as client:
        client.send(CONVERSATION, items)
        with pytest.raises(AsappAccessError):
            client.send(CONVERSATION, items)
        assert client.send(CONVERSATION, items) == [ACCEPTED] * 3
    assert sink.counts().items == 6


@pytest.mark.parametrize("kind", ["ordinary", "distinct"])
def test_the_data_sets_are_valid(kind: str) -> None:
    """No record of them breaks a rule, whatever marshmallow is asked."""
    schema = ConversationMetadataSchema()
    assert not any(schema.validate(data.KINDS[kind](number)) for number in (*range(500), 199_999, 1_000_999))


def test_the_distinct_set_is_distinct() -> None:
    """No value comes twice in a column, but for event ids, which are all missing, and the fields with fixed values."""
    rows = [data.distinct(number) for number in range(2000)]
    fixed = {"event_id", "device_type", "platform", "operating_system"}
    for column in set(data.COLUMNS) - fixed:
        values = {row[column] for row in rows}
        assert len(values) == len(rows), column


def test_the_bad_set_has_exactly_its_share() -> None:
    """One record in a hundred is invalid, by every flaw in turn; the count for any number of rows is exact."""
    rows = data.BAD_EVERY * len(data.FLAWS)
    assert len(items_of("bad", rows)) == rows - len(data.FLAWS)
    for some in (1, 50, 51, 150, 151, 800):
        assert data.bad_among(some) == some - len(items_of("bad", some))


def test_the_columns_are_all_fields() -> None:
    """The data sets give a value, or NULL, for each of the 18 fields, under the names that other tools get too."""
    assert {data.api_name(name) for name in data.COLUMNS} == set(ConversationMetadataSchema().fields)
    assert all(tuple(make(7)) == data.COLUMNS for make in data.KINDS.values())


def test_the_page_names_every_target() -> None:
    """Each aim stands on the page with what was measured, and says itself whether it is met."""
    results = imagined()
    page = report.page(results, machine="a machine", commit="0123456789")
    found = targets.targets(results)
    assert len(found) == 10
    for one in found:
        assert one.aim in page
        assert one.measured.show(one.digits) in page
    assert [one.met for one in found].count(False) == 1  # distinct values are slow in these results


def test_the_page_shows_every_measurement() -> None:
    """Each way, stage, size and module has its line."""
    page = report.page(imagined(), machine="a machine", commit="0123456789")
    names = {way.name for way in (*suite.THROUGHPUT, *suite.LATE)} | {*suite.STAGES, *suite.MODULES, "30 rows"}
    assert all(f"| {name}" in page or f"| `{name}`" in page for name in names)


def imagined() -> dict[str, Samples]:
    """Return results of a shape as the suite gives them."""
    speeds = {suite.DISTINCT.name: 30_000.0, suite.DLT.name: 9_000.0, suite.DLT_ARROW.name: 30_000.0}
    speeds |= {suite.PLAIN.name: 400_000.0, suite.DRT.name: 27_000.0, suite.RECORD.name: 1_300.0}
    throughput = {way.name: moved(speeds.get(way.name, 90_000.0)) for way in suite.THROUGHPUT}
    sizes = {f"{10**power} rows": [{"peak": 140.0 + power, "requests": 1, "first": 0.5}] for power in (1, 2)}
    sizes["30 rows"] = [{"peak": 144.0, "requests": 3, "first": 0.5}]
    return {
        "throughput": throughput,
        "late": {way.name: moved(19_500.0) for way in suite.LATE},
        "stages": {kind: [dict.fromkeys(suite.STAGES, 2.0)] for kind in data.KINDS},
        "sizes": sizes,
        "parsing": {module: [{"milliseconds": 1.5}] for module in suite.MODULES},
        "resume": {"resume": [{"rows": 1_000_000, "sent": 12.0, "verified": 8.0}]},
    }


def moved(speed: float) -> list[dict[str, Any]]:
    """Return two rounds of one way."""
    rounds = (speed, speed * 1.01)
    return [{"rows": 200_000, "speed": each, "cpu": 9.5, "versions": VERSIONS} for each in rounds]


def test_the_committed_page_is_of_this_template() -> None:
    """Every heading and every aim of today, so that nobody reads the numbers of another question."""
    page = SPEED.read_text()
    headings = [line for line in report.PAGE.read_text().splitlines() if line.startswith("#") and "$" not in line]
    assert all(f"{heading}\n" in page for heading in headings)
    assert all(f"\n| {one.aim} " in page for one in targets.targets(imagined()))


def test_the_readme_has_the_measured_speed() -> None:
    """The numbers in the README's headline are medians of the page."""
    headline = README.read_text().partition("<!-- speed -->")[2].strip().partition("\n\n")[0]
    # Of two rows with the same name the first: without latency.
    rows = [row for row in reversed(SPEED.read_text().splitlines()) if row.startswith("| ")]
    medians = {row.split(" | ")[0].strip("| "): row for row in rows}
    told = {
        r"([\d,]+) records a second": medians["this provider"],
        r"([\d.]+) times dlt's custom destination": medians["at least 8 times dlt's custom destination"],
        r"([\d.]+) times a request for each record": medians["at least 60 times record by record"],
    }
    for words, row in told.items():
        (number,) = re.findall(words, " ".join(headline.split()))
        assert f" {number} (" in row
