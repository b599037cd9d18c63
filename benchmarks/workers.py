"""The sample backfill on a real Airflow with 1, 2 and 4 workers: what do more workers bring, and does the limit hold?

`make bench-workers` prints a table; `python -m benchmarks.workers --write` also puts it into docs/scaling.md. Airflow's
API server, scheduler with LocalExecutor and DAG processor are processes with a database (SQLite) of their own. ASAPP is
the simulator in a process of its own, with its limit of 100 requests a second. All is in a folder that is gone
afterwards.

The DAG is a copy of `dags_examples/backfill.py` with another number of workers and small batches, so that the requests
are what takes the time, not the simulator's work on the records. Ends with 1 if a row is missing or came twice, or if
ASAPP got more requests in a second than it takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING

from airflow_provider_asapp.simulator import Simulator
from dags_examples.demo import warehouse
from dags_examples.demo.processes import leave_on_sigterm
from tests.crash.real_airflow import START_UP, Airflow, wait_for

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = REPOSITORY / "dags_examples"
PAGE = REPOSITORY / "docs" / "scaling.md"
ACCOUNT_LIMIT = 100
MAX_IN_FLIGHT = 4
# Seconds before each answer, and workers. A worker has 4 requests under way: that is 20 a second, or 200.
CASES = tuple((latency, workers) for latency in (0.2, 0.02) for workers in (1, 2, 4))
PATIENCE = 1800.0
SETTINGS = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
HEAD = (
    *("ASAPP answers after", "workers", "requests a second for each", "seconds", "against one worker"),
    *("requests a second, on average", "most in any second", "429"),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run of the backfill took.

    :param seconds: from the start of the first day's task to the end of the last one's, by Airflow's own account.
    :param times: when each request arrived.
    :param refused: requests answered with 429.
    :param wrong: what should not have been, in words.
    """

    latency: float
    workers: int
    seconds: float
    times: list[float]
    refused: int
    wrong: list[str]


@dataclass(frozen=True, kw_only=True)
class Received:
    """What the simulator received: arrival and status of each request, and how often each conversation."""

    requests: list[tuple[float, int | None]]
    conversations: Counter[str]


def main() -> int:
    """Measure all cases, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=4, help="partitions of the table; default: %(default)s")
    parser.add_argument("--per-day", type=int, default=10_000, help="rows of each; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=10, help="rows of a request; default: %(default)s")
    parser.add_argument("--write", action="store_true", help="put the table into docs/scaling.md")
    given = parser.parse_args()
    leave_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="asapp-workers-", ignore_cleanup_errors=True) as folder:
        results = run_all(Path(folder), given)
    table = "\n".join([*table_of(results), "", caption(given)])
    say(f"\n{table}")
    if given.write:
        PAGE.write_text(with_table(PAGE.read_text(), table))
    return 1 if any(result.wrong for result in results) else 0


def run_all(folder: Path, given: argparse.Namespace) -> list[Result]:
    """Build the table of conversations, start Airflow, and run the backfill for each case."""
    days = [warehouse.DAYS[0] + timedelta(days=n) for n in range(given.days)]
    say(f"{given.days} days of {given.per_day:,} conversations, in requests of {given.batch_size}.")
    build(folder / "warehouse.db", days, given.per_day)
    copy_dags(folder / "dags", given.batch_size)
    source = {"warehouse": {"conn_type": "sqlite", "host": str(folder / "warehouse.db")}}
    rejects = {"asapp_rejects_path": (folder / "rejects").as_uri()}
    dags = sorted({f"backfill_{workers}" for _, workers in CASES})
    with Airflow(
        folder / "airflow", source, rejects, dags=folder / "dags", ready=dags[0], settings=SETTINGS
    ) as airflow:
        known = "SELECT COUNT(*) FROM serialized_dag"
        wait_for(lambda: airflow.rows(known)[0][0] == len(dags), START_UP, "Airflow did not read all DAGs")
        airflow.call("POST", "/api/v2/pools", name="asapp", slots=1, include_deferred=True)
        airflow.call("POST", "/api/v2/connections", connection_id="asapp_default", conn_type="asapp")
        return [measured(airflow, folder / "warehouse.db", days, *case) for case in CASES]


def build(path: Path, days: list[date], per_day: int) -> None:
    """Write the demo's warehouse with other days: good rows only, so many on each day."""
    rng = random.Random(warehouse.SEED)  # noqa: S311 - no secret
    seconds = (warehouse.moment(day, rng.randrange(86_400)) for day in days for _ in range(per_day))
    rows = (warehouse.conversation(rng, second) for second in seconds)
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(warehouse.SCHEMA)
        warehouse.fill_dimensions(db, rng)
        marks = "?, " * 13 + "?"
        db.executemany(f"INSERT INTO conversations VALUES ({marks})", warehouse.numbered(rng, rows))


def copy_dags(folder: Path, batch_size: int) -> None:
    """Copy the sample as a person would, once for each number of workers."""
    (folder / "sql").mkdir(parents=True)
    (folder / "sql" / "backfill.sql").write_text((EXAMPLE / "sql" / "backfill.sql").read_text())
    for workers in {workers for _, workers in CASES}:
        text = (EXAMPLE / "backfill.py").read_text()
        for old, new in (
            ("WORKERS = 4\n", f"WORKERS = {workers}\n"),
            ('dag_id="backfill"', f'dag_id="backfill_{workers}"'),
            ('entity="conversation",', f'entity="conversation", batch_size={batch_size},'),
        ):
            if old not in text:
                raise SystemExit(f"The sample has no {old!r} any more.")
            text = text.replace(old, new)
        (folder / f"backfill_{workers}.py").write_text(text)


def measured(airflow: Airflow, source: Path, days: list[date], latency: float, workers: int) -> Result:
    """Run the backfill once, against an ASAPP of its own, and hold what arrived against the warehouse."""
    with simulator(latency) as (to_asapp, received):
        rate = json.dumps({"requests_per_second": share(workers)})
        airflow.call("PATCH", "/api/v2/pools/asapp", pool="asapp", slots=workers, include_deferred=True)
        airflow.call("PATCH", "/api/v2/connections/asapp_default", **to_asapp, extra=rate)
        dag_id = f"backfill_{workers}"
        run_id = airflow.trigger(dag_id, first_day=str(days[0]), last_day=str(days[-1]))
        state = end_of(airflow, dag_id, run_id)
        got = received()
    result = Result(
        latency=latency,
        workers=workers,
        seconds=seconds_of(airflow, dag_id, run_id),
        times=[time for time, _ in got.requests],
        refused=sum(status == 429 for _, status in got.requests),
        wrong=wrong(state, got, conversations(source)),
    )
    say(f"Answers after {latency * 1000:g} ms, workers: {workers}: {result.seconds:.0f} s")
    for text in result.wrong:
        say(f"WRONG: {text}")
    if state != "success":
        say(airflow.last_words(run_id))
    return result


def share(workers: int) -> int:
    """Return the requests a second that the sample lets each of so many tasks make."""
    return ACCOUNT_LIMIT // workers - MAX_IN_FLIGHT - 1


@contextmanager
def simulator(latency: float) -> Iterator[tuple[dict[str, str], Callable[[], Received]]]:
    """Run ASAPP in a process of its own; give the connection to it, and a way to ask what it received."""
    spawning = multiprocessing.get_context("spawn")
    pipe, theirs = spawning.Pipe()
    process = spawning.Process(target=serve, args=(latency, theirs))
    process.start()
    theirs.close()

    def received() -> Received:
        pipe.send("what did you receive?")
        answer: Received = pipe.recv()
        return answer

    try:
        yield pipe.recv(), received
    finally:
        pipe.close()
        process.join()


def serve(latency: float, pipe: Connection) -> None:
    """Be ASAPP, and tell what was received to whoever asks, until nobody does any more."""
    with Simulator(latency=latency) as asapp:
        keys = {"login": asapp.api_id, "password": asapp.api_secret}
        pipe.send({"connection_id": "asapp_default", "conn_type": "asapp", "host": asapp.url, **keys})
        try:
            while pipe.recv():
                items = asapp.ledger.accepted("conversation")
                pipe.send(
                    Received(
                        requests=[(request.time, request.status) for request in asapp.ledger.requests],
                        conversations=Counter(item["externalConversationId"] for item in items),
                    )
                )
        except EOFError:
            return


def end_of(airflow: Airflow, dag_id: str, run_id: str) -> str:
    """Return how a run ended, once it has."""
    sql = "SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?"
    wait_for(
        lambda: airflow.rows(sql, dag_id, run_id)[0][0] in ("success", "failed"), PATIENCE, f"{run_id} did not end"
    )
    return str(airflow.rows(sql, dag_id, run_id)[0][0])


def seconds_of(airflow: Airflow, dag_id: str, run_id: str) -> float:
    """Return the seconds from the first start to the last end of the days' tasks."""
    sql = "SELECT MIN(start_date), MAX(end_date) FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?"
    first, last = (datetime.fromisoformat(text) for text in airflow.rows(sql, dag_id, run_id, "push_day")[0])
    return (last - first).total_seconds()


def conversations(source: Path) -> Counter[str]:
    """Return what must arrive: each conversation once."""
    with closing(sqlite3.connect(source)) as db:
        return Counter(str(key) for (key,) in db.execute("SELECT chat_id FROM conversations"))


def wrong(state: str, got: Received, expected: Counter[str]) -> list[str]:
    """Return what should not have been, in words."""
    statuses = Counter(status for _, status in got.requests if status != 200)
    busiest = busiest_second([time for time, _ in got.requests])
    return [
        *([f"the run ended as {state}"] if state != "success" else []),
        *([f"{(expected - got.conversations).total():,} rows are missing"] if expected - got.conversations else []),
        *([f"{(got.conversations - expected).total():,} rows came too often"] if got.conversations - expected else []),
        *([f"answers other than 200: {dict(statuses)}"] if statuses else []),
        *([f"{busiest} requests in one second"] if busiest > ACCOUNT_LIMIT else []),
    ]


def busiest_second(times: Sequence[float]) -> int:
    """Return the most requests in any one second, wherever it begins."""
    ordered = sorted(times)
    return max((number - bisect_right(ordered, time - 1) for number, time in enumerate(ordered, 1)), default=0)


def table_of(results: Sequence[Result]) -> list[str]:
    """Return the lines of a Markdown table."""
    alone = {result.latency: result for result in results if result.workers == 1}
    rows = [cells(result, alone[result.latency]) for result in results]
    return [f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *rows)]


def cells(result: Result, alone: Result) -> list[str]:
    """Return the cells of one case, in the order of the head."""
    return [
        f"{result.latency * 1000:g} ms",
        f"{result.workers}",
        f"{share(result.workers)}",
        f"{result.seconds:.0f}",
        f"{alone.seconds / result.seconds:.1f} times as fast",
        f"{len(result.times) / result.seconds:.0f}",
        f"{busiest_second(result.times)}",
        f"{result.refused}",
    ]


def caption(given: argparse.Namespace) -> str:
    """Return on what this was measured."""
    commit = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(commit, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return (
        f"{given.days} days of {given.per_day:,} rows, {given.batch_size} in a request; {os.cpu_count()} cores, "
        f"Python {python_version()}, Airflow {version('apache-airflow')} with LocalExecutor and SQLite, "
        f"commit {done.stdout.strip() or 'unknown'}, {datetime.now(UTC):%Y-%m-%d}."
    )


def with_table(page: str, table: str) -> str:
    """Return the page with another table between its markers."""
    begin, end = "<!-- measured by benchmarks/workers.py -->\n", "<!-- end of what was measured -->"
    if begin not in page or end not in page:
        raise SystemExit(f"{PAGE.name} has no markers.")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}{table}\n{end}", page, flags=re.DOTALL)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
