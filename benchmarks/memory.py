"""Does a task's memory grow with the rows it moves? Two sizes side by side: `python -m benchmarks.memory`.

Each size is moved in a new process, by the operator's own `execute`, from SQLite to a simulator in a process of its
own, over HTTP. One row in a thousand is bad and goes to the rejects.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

COLUMNS = (
    *("external_conversation_id", "lob_id", "lob_name", "group_id", "group_name", "agent_routing_code", "campaign"),
    *("device_type", "platform", "company_segment", "company_subdivision", "business_rule", "entry_type"),
    *("operating_system", "browser_type", "browser_version", "attributes"),
)
# A process that has just begun to send has all its modules: what later ones use more is what grows.
WARM = 2_000
SIZES = (20_000, 200_000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=SIZES)
    parser.add_argument("--move", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.move is not None:
        print(json.dumps(move(given.move)))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), [WARM, *given.rows])


def compare(folder: Path, sizes: list[int]) -> None:
    """Move each size in a process of its own, and print what each needed."""
    build(folder / "warehouse.db", max(sizes))
    print(f"{'rows':>9} {'seconds':>9} {'rows/s':>9} {'peak MiB':>9} {'over first':>11}")  # noqa: T201
    peaks = []
    for rows in sizes:
        result = in_new_process(folder, rows)
        peaks.append(result["peak"])
        print(  # noqa: T201
            f"{rows:>9,} {result['seconds']:>9.1f} {rows / result['seconds']:>9,.0f} {result['peak']:>9.1f} "
            f"{result['peak'] - peaks[0]:>+11.1f}"
        )
    print(f"peak of {sizes[-1]:,} rows / peak of {sizes[1]:,} rows: {peaks[-1] / peaks[1]:.3f}")  # noqa: T201


def build(path: Path, rows: int) -> None:
    """Write a table with all columns of a conversation; its rows are made as SQLite asks for them."""
    marks = ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE conversations (row INTEGER PRIMARY KEY, {', '.join(COLUMNS)})")
        db.executemany(
            f"INSERT INTO conversations ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608
            (row(number) for number in range(rows)),
        )


def row(number: int) -> tuple[object, ...]:
    """Return one conversation; each thousandth is bad."""
    return (
        *(f"conversation-{number:09d}", number % 40, f"Line of business {number % 40}", number % 300),
        *(f"Group {number % 300}", f"route-{number % 90}", "bad one" if number % 1000 == 999 else "spring"),
        *("PHONE", "VOICE_IOS", '["Consumer", "Prepaid"]', f"office-{number % 70}", "Every call is a call."),
        *("app", "IOS", "safari", "17.4", json.dumps({"account": f"A{number:08d}", "score": number % 1000})),
    )


def in_new_process(folder: Path, rows: int) -> dict[str, float]:
    """Return what moving so many rows needed, and check that all of them are accounted for."""
    with simulator() as url:
        environment = os.environ | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW_CONN_ASAPP_DEFAULT": json.dumps(
                {"conn_type": "asapp", "host": url, "login": "demo-api-id", "password": "demo-api-secret"}
            ),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
            "REJECTS": str(folder / f"rejects-{rows}"),
        }
        command = [sys.executable, "-m", "benchmarks.memory", "--move", str(rows)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert result["read"] == rows  # noqa: S101
    assert result["accepted"] == rows - rows // 1000  # noqa: S101
    return result


@contextmanager
def simulator() -> Iterator[str]:
    """Run a simulator in a process of its own and give its URL."""
    command = [sys.executable, "-m", "airflow_provider_asapp.simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101
        try:
            url = process.stdout.readline().split()[-1]
            # Its log goes nowhere, but must be read.
            with subprocess.Popen(["/bin/cat"], stdin=process.stdout, stdout=subprocess.DEVNULL):
                yield url
                process.terminate()
        finally:
            process.terminate()


def move(rows: int) -> dict[str, float]:
    """Move so many rows in this process; return its peak memory in MiB, the seconds and the counts."""
    from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator

    operator = SqlToAsappMetadataOperator(
        task_id="push",
        entity="conversation",
        sql=f"SELECT {', '.join(COLUMNS)} FROM conversations ORDER BY row LIMIT {rows}",  # noqa: S608
        sql_conn_id="warehouse",
        max_rejected=None,
        rejects_path=os.environ["REJECTS"],
    )
    started = time.perf_counter()
    report = operator.execute({})
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak": peak, "seconds": seconds, "read": report["read"], "accepted": report["accepted"]}


if __name__ == "__main__":
    main()
