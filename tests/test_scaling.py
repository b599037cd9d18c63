"""What docs/scaling.md says follows from the code, and the benchmark behind its measured table measures right."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.pacing import Pacer
from airflow_provider_asapp.policy import MAX_ITEMS, Options, requests_for
from airflow_provider_asapp.simulator.contract import REQUESTS_PER_SECOND
from benchmarks import workers
from tests.documents import rows, table_behind
from tests.town import TownClock

PAGE = workers.PAGE
QUOTA = 50_000
# What the page assumes where it gives times for one task.
LATENCY = 0.2


def number(cell: str) -> float:
    """Return the number that a cell holds, whatever its unit."""
    return float(re.sub(r"[^\d.]", "", cell))


def column_names(first: str) -> list[str]:
    """Return the head of the table whose first cell is this."""
    head = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in head.strip("|").split("|")]


def by_one_task(latency: float, in_flight: int, per_second: float = REQUESTS_PER_SECOND) -> float:
    """Return the records a second that a task can send if neither a core nor the source is the limit."""
    options = Options(max_in_flight=in_flight)
    return min(options.max_in_flight * options.batch_size / latency, per_second * options.batch_size)


def test_what_a_day_costs() -> None:
    """Requests, share of the quota and both times follow from the number of records."""
    for cells in table_behind("## What a day costs", PAGE):
        records, requests, share, alone, at_most = map(number, cells)
        assert requests == requests_for(int(records), MAX_ITEMS)
        assert share == pytest.approx(100 * requests / QUOTA, abs=0.05)
        assert alone == pytest.approx(records / by_one_task(LATENCY, Options().max_in_flight), abs=0.05)
        assert at_most == pytest.approx(requests / REQUESTS_PER_SECOND, abs=0.05)


def test_what_one_task_sends() -> None:
    """Records a second follow from latency, requests under way and rate."""
    in_flight = [int(number(name)) for name in column_names("ASAPP answers after")[1:3]]
    assert in_flight[0] == Options().max_in_flight
    for latency, *sent, enough in (map(number, cells) for cells in table_behind("3. what a core reads", PAGE)):
        assert sent == [pytest.approx(by_one_task(latency / 1000, count)) for count in in_flight]
        assert by_one_task(latency / 1000, int(enough)) == REQUESTS_PER_SECOND * MAX_ITEMS
        assert by_one_task(latency / 1000, int(enough) - 1) < REQUESTS_PER_SECOND * MAX_ITEMS


def test_what_is_held() -> None:
    """The windows that the page names are the engine's own."""
    text = PAGE.read_text().partition("It costs memory and repeats")[2].partition("\n\n")[0]
    named = re.findall(r"(\d[\d,]*) with (\d+)[,)]", text)
    assert [Options(max_in_flight=int(in_flight)).window for _, in_flight in named] == [number(n) for n, _ in named]
    assert len(named) == 2


def test_how_the_rate_is_shared() -> None:
    """In the worst second, with all that can arrive in a bunch, the tasks make the requests that ASAPP takes."""
    for tasks, rate, records in (map(number, cells) for cells in table_behind("### Sharing the rate", PAGE)):
        assert tasks * (rate + Options().max_in_flight + 1) == REQUESTS_PER_SECOND
        assert records == tasks * rate * MAX_ITEMS
        assert rate == workers.share(int(tasks))
    assert "with 16 a single task should make no more than 83." in PAGE.read_text()
    assert REQUESTS_PER_SECOND == 83 + 16 + 1


def most_in_a_second(tasks: int, rate: float) -> int:
    """Let so many tasks send at that rate over a network that holds requests back; return the worst second."""
    in_flight = Options().max_in_flight
    clock = TownClock(tasks * in_flight)
    arrived: list[float] = []

    def send(pacer: Pacer) -> None:
        for _ in range(60):
            pacer.turn()
            # What goes out shortly before a full second is held until then: all that a task can have under way.
            rest = -clock.monotonic() % 1
            clock.sleep(rest if rest < in_flight / rate else 0.0)
            arrived.append(clock.monotonic())
        clock.leave()

    pacers = [Pacer(rate, clock) for _ in range(tasks)]
    with ThreadPoolExecutor(tasks * in_flight) as pool:
        list(pool.map(send, pacers * in_flight))
    return workers.busiest_second(arrived)


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_the_share_is_never_too_much(tasks: int) -> None:
    """However unevenly requests arrive, tasks with their share keep ASAPP's limit; without the margin they don't."""
    assert most_in_a_second(tasks, workers.share(tasks)) <= REQUESTS_PER_SECOND
    assert most_in_a_second(tasks, REQUESTS_PER_SECOND / tasks) > REQUESTS_PER_SECOND


def test_how_long_a_backfill_takes() -> None:
    """Each step of the sum is right."""
    steps = table_behind("## A backfill is as long", PAGE)
    sums = [re.fullmatch(r"([\d,]+) ([x/]) ([\d,]+) = ([\d,]+)(?: s)?", step) for _, step in steps]
    for found in filter(None, sums):
        left, right, result = (number(found[place]) for place in (1, 3, 4))
        assert result == (left * right if found[2] == "x" else left / right)
    assert len([found for found in sums if found]) == len(steps) == 4
    assert requests_for(5_000_000, MAX_ITEMS) == 5_000


def test_the_measured_table_is_the_benchmarks() -> None:
    """Between the markers stands what the benchmark writes: a row for each of its cases, and no 429."""
    measured = PAGE.read_text().partition("<!-- measured by")[2].partition("<!-- end of")[0]
    found = rows(measured.partition("-->\n")[2])
    assert [(float(cells[0].split()[0]) / 1000, int(cells[1])) for cells in found] == list(workers.CASES)
    assert [cells[-1] for cells in found] == ["0"] * len(workers.CASES)
    assert all(int(cells[-2]) <= REQUESTS_PER_SECOND for cells in found)


def test_only_the_table_is_replaced() -> None:
    """Writing a table into the page leaves all else as it is; a page without markers is refused."""
    page = PAGE.read_text()
    once = workers.with_table(page, "| a \\1 |")
    assert "| a \\1 |" in once
    measured = page.partition("benchmarks/workers.py -->\n")[2].partition("\n<!-- end of")[0]
    assert workers.with_table(once, measured) == page
    with pytest.raises(SystemExit, match="no markers"):
        workers.with_table("nothing", "| a |")


@given(st.lists(st.integers(0, 32).map(lambda eighths: eighths / 8)))
def test_the_busiest_second(times: list[float]) -> None:
    """The most requests in a second are found wherever that second begins."""
    expected = max((sum(begin <= time < begin + 1 for time in times) for begin in times), default=0)
    assert workers.busiest_second(times) == expected


def test_a_lost_or_repeated_row_is_noticed() -> None:
    """The benchmark says what should not have been: rows missing, rows twice, refused requests, a broken limit."""
    expected = workers.Counter({"a": 1, "b": 1})
    fine = workers.Received(requests=[(0.0, 200)], conversations=workers.Counter({"a": 1, "b": 1}))
    assert workers.wrong("success", fine, expected) == []
    bad = workers.Received(requests=[(0.0, 429)] * 101, conversations=workers.Counter({"a": 2}))
    assert workers.wrong("failed", bad, expected) == [
        "the run ended as failed",
        "1 rows are missing",
        "1 rows came too often",
        "answers other than 200: {429: 101}",
        "101 requests in one second",
    ]
