"""What is measured: ways, sizes, and the processes for them. Every candidate gets a process and a sink of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import data, sink
from benchmarks.job import Job, in_new_process
from benchmarks.spread import Sample, Samples, in_turn

LATENCY = 0.2
WINDOW = 4
WIDE_WINDOW = 20
BATCH = 1000
# Without latency, the limit that ASAPP sets would be what is measured.
UNLIMITED = 1e6
STAGES = ("read", "check: the id alone", "check: 17 more columns", "send", "account")
MODULES = ("provider_info", "operators", "transfers", "hooks")


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to move rows.

    :param name: for people.
    :param module: of `benchmarks.candidates`.
    :param share: of the rows that ours moves; less where all would take too long.
    :param foreign: whether it needs the packages of the group `bench` instead of ours.
    """

    name: str
    module: str
    share: float = 1.0
    kind: str = "ordinary"
    foreign: bool = False
    options: dict[str, Any] = field(default_factory=dict)


OURS = Way(name="this provider", module="ours")
DISTINCT = Way(name="this provider, every value distinct", module="ours", kind="distinct")
BAD = Way(name="this provider, 1 % bad records", module="ours", kind="bad")
WIDE = Way(name=f"this provider, max_in_flight={WIDE_WINDOW}", module="ours", options={"max_in_flight": WIDE_WINDOW})
PLAIN = Way(name="requests, bodies made before", module="plain_http")
DLT = Way(name="dlt, custom destination", module="dlt_destination", foreign=True)
DLT_ARROW = Way(name="dlt, the same from Arrow tables", module="dlt_destination", foreign=True, options={"arrow": True})
DRT = Way(name="drt, rest_api", module="drt_rest_api", foreign=True)
SCHEMA = Way(name="Schema.load, batch by batch", module="schema_batches")
RECORD = Way(name="Schema.load, record by record", module="record_by_record")


THROUGHPUT = (
    *(OURS, DISTINCT, BAD, PLAIN, DLT, DLT_ARROW, DRT),
    replace(SCHEMA, share=0.1),
    replace(RECORD, share=0.015),
)
# dlt loads its files at the same time, up to 20: so that there are some, they are cut.
CUT = {"file_items": 5000}
LATE = (
    *(OURS, WIDE),
    replace(PLAIN, share=0.1),
    replace(DLT, share=0.5, options=CUT),
    replace(DLT_ARROW, share=0.5, options=DLT_ARROW.options | CUT),
    replace(DRT, share=0.1),
    replace(SCHEMA, share=0.1),
    replace(RECORD, share=0.00025),
)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is done."""

    rows: int
    stage_rows: int
    sizes: tuple[int, ...]
    resumed: int
    rounds: int
    throughput_rounds: int


FULL = Extent(
    rows=200_000,
    stage_rows=50_000,
    sizes=(10_000, 100_000, 1_000_000),
    resumed=1_000_000,
    rounds=3,
    throughput_rounds=3,
)
QUICK = Extent(
    rows=20_000,
    stage_rows=5_000,
    sizes=(2_000, 5_000, 10_000),
    resumed=10_000,
    rounds=1,
    throughput_rounds=1,
)


class Suite:
    """Measures all there is to measure.

    :param folder: for databases and all that the candidates leave; its user deletes it.
    :param foreign_python: the interpreter with the packages of the group `bench`.
    """

    def __init__(self, folder: Path, extent: Extent, *, foreign_python: str, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.extent = extent
        self._foreign_python = foreign_python
        self._say = say

    def build(self) -> None:
        """Write the databases."""
        sizes = {
            "ordinary": max(self.extent.rows, self.extent.resumed + BATCH),
            "distinct": self.extent.rows,
            "bad": max(self.extent.rows, *self.extent.sizes),
        }
        self._say(", ".join(f"{rows:,} rows of {kind}" for kind, rows in sizes.items()) + ": building them in SQLite")
        with ProcessPoolExecutor() as pool:
            built = [pool.submit(data.build, self._database(kind), kind, rows) for kind, rows in sizes.items()]
        for each in built:
            each.result()

    def throughput(self) -> Samples:
        """From SQLite to answered, by a sink that answers at once."""
        actions = {way.name: partial(self._move, way) for way in THROUGHPUT}
        return in_turn(self.extent.throughput_rounds, actions, self._say)

    def late(self) -> Samples:
        """The same with a sink that takes its time for each answer."""
        actions = {way.name: partial(self._move, way, latency=LATENCY) for way in LATE}
        return in_turn(self.extent.rounds, actions, self._say)

    def stages(self) -> Samples:
        """Microseconds of CPU a record, by stage and data set."""
        return in_turn(self.extent.rounds, {kind: partial(self._stages, kind) for kind in data.KINDS}, self._say)

    def sizes(self) -> Samples:
        """Peak memory, requests, and the time to the first request, for sizes that grow tenfold."""
        actions = {f"{rows:,} rows": partial(self._size, rows) for rows in self.extent.sizes}
        return in_turn(self.extent.rounds, actions, self._say)

    def parsing(self) -> Samples:
        """Milliseconds that the import of each module adds to parsing a DAG file."""
        actions = {module: partial(self._parse, f"airflow_provider_asapp.{module}") for module in MODULES}
        return in_turn(self.extent.rounds, actions, self._say)

    def resume(self) -> Samples:
        """Sending so many rows against verifying them in the next try."""
        return in_turn(self.extent.rounds, {"resume": self._resume}, self._say)

    def _move(self, way: Way, *, latency: float = 0.0) -> Sample:
        rows = round(self.extent.rows * way.share)
        # Whole requests, or some single records.
        warm = BATCH if rows >= BATCH else rows // 10
        with sink.running(latency=latency) as at:
            job = self._job(way.kind, at, rows, warm=warm, options=way.options)
            done = self._run("benchmarks.sender", way.module, job=job, foreign=way.foreign, throttled=latency > 0)
            expected = valid(way.kind, warm) + valid(way.kind, rows)
            assert at.counts().items == expected, (way.name, at.counts(), expected)
        versions = done["versions"]
        return {"rows": rows, "speed": rows / done["seconds"], "cpu": done["cpu"] / rows * 1e6, "versions": versions}

    def _stages(self, kind: str) -> Sample:
        with sink.running() as at:
            job = self._job(kind, at, self.extent.stage_rows, warm=BATCH)
            stages: Sample = self._run("benchmarks.stages", job=job)["stages"]
        return stages

    def _size(self, rows: int) -> Sample:
        with sink.running() as at:
            job = self._job("bad", at, rows)
            done = self._run("benchmarks.sender", "ours", job=job)
            counts = at.counts()
        assert counts.items == valid("bad", rows), counts
        first = counts.first - done["started"]
        return {"rows": rows, "peak": done["peak"], "requests": counts.requests, "first": first}

    def _parse(self, module: str) -> Sample:
        return self._run("benchmarks.parsing", module, job=self._job("ordinary", sink.RunningSink(""), 0))

    def _resume(self) -> Sample:
        confirmed = self.extent.resumed
        with sink.running(refuse_after=BATCH + confirmed) as at:
            job = self._job("ordinary", at, confirmed + BATCH, warm=BATCH)
            done = self._run("benchmarks.resume", job=job)
        return {"rows": confirmed} | done

    def _job(
        self, kind: str, at: sink.RunningSink, rows: int, *, warm: int = 0, options: dict[str, Any] | None = None
    ) -> Job:
        rejects = {"rejects_path": f"file://{self.folder}/rejects"} if kind == "bad" else {}
        return Job(
            database=str(self._database(kind)),
            url=at.url,
            folder=str(self.folder),
            rows=rows,
            warm=warm,
            options=(options or {}) | rejects,
        )

    def _run(self, module: str, *words: str, job: Job, foreign: bool = False, throttled: bool = False) -> Sample:
        python = self._foreign_python if foreign else sys.executable
        environment = self._environment(job, requests_per_second=100.0 if throttled else UNLIMITED)
        return in_new_process(python, module, *words, job=job, environment=environment)

    def _environment(self, job: Job, *, requests_per_second: float) -> dict[str, str]:
        asapp = {"conn_type": "asapp", "host": job.url, "login": "demo-api-id", "password": "demo-api-secret"}
        return {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_ASAPP_DEFAULT": json.dumps(asapp | {"extra": {"requests_per_second": requests_per_second}}),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": job.database}),
            # What the others keep for their user, and no telemetry of anyone.
            "HOME": str(self.folder),
            "DO_NOT_TRACK": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "NO_PROXY": "127.0.0.1",
        }

    def _database(self, kind: str) -> Path:
        return self.folder / f"{kind}.db"


def valid(kind: str, rows: int) -> int:
    """Return how many of the first rows of a data set can be sent."""
    return rows - (data.bad_among(rows) if kind == "bad" else 0)
