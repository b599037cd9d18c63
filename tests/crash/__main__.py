"""Kills a running task again and again until it succeeds, and holds all that arrived against what was promised.

`python -m tests.crash --kills 7 --seeds 1 2 3`. Airflow is real and whole: its API server, scheduler with
LocalExecutor and DAG processor run as processes with a database of their own. Airflow itself tries a killed task again,
which finds its checkpoint in Airflow's task state store. Only ASAPP is a stand-in: the simulator in a process of its
own, with 0.3 s before each answer and its limit of requests a second.

`kill -9` goes to the process that runs the operator's code, whose pid Airflow's database holds; every third time to its
supervisor too, as when a whole worker dies: then Airflow has to miss its heartbeats first. The moment is random, up to
`LONGEST` seconds after Airflow says that the try runs: with the same seed the same moments, but the machine is not the
same. A run that has succeeded before it was killed often enough is followed by another. Ends with 1 if a promise is
broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dags_examples.demo.processes import leave_on_sigterm
from tests.crash import account
from tests.crash.account import Cost, Kill
from tests.crash.asapp import Asapp
from tests.crash.real_airflow import Airflow, Task, wait_for
from tests.crash.warehouse import GOOD, ROWS, Warehouse

LATENCY = 0.3
# About what a whole try takes, so that no part of it is spared.
LONGEST = 9.0
PATIENCE = 180.0
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Stage:
    """All that a run needs, up and running."""

    asapp: Asapp
    airflow: Airflow
    warehouse: Warehouse
    rejects: Path

    def rejected(self) -> list[dict[str, Any]]:
        """Return the rejected records."""
        files = sorted(self.rejects.rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def clear(self) -> None:
        """Forget what an earlier run delivered and rejected."""
        self.asapp.reset()
        for file in self.rejects.rglob("*.jsonl"):
            file.unlink()


@contextmanager
def stage() -> Iterator[Stage]:
    """Set everything up in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="asapp-crash-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        warehouse = Warehouse(seed=ROWS)
        warehouse.build(folder / "warehouse.db")
        with Asapp(LATENCY) as asapp:
            source = {"conn_type": "sqlite", "host": str(folder / "warehouse.db")}
            connections = {"asapp_default": asapp.connection, "warehouse": source}
            variables = {"rejects_path": (folder / "rejects").as_uri()}
            with Airflow(folder / "airflow", connections, variables) as airflow:
                yield Stage(asapp, airflow, warehouse, folder / "rejects")


class Run:
    """One run of the DAG and what killed it.

    :param airflow: where it runs.
    :param rng: gives the moments of the kills.
    :param before: kills in earlier runs.
    """

    def __init__(self, airflow: Airflow, rng: random.Random, before: int) -> None:
        self.id = airflow.trigger()
        self.kills: list[Kill] = []
        self._airflow = airflow
        self._rng = rng
        self._before = before
        self._checkpoint = 0

    def to_its_end(self, most: int) -> str:
        """Kill it until it ends, at most so often; return how it ended."""
        task = self._next(after=0)
        while task.state not in ENDED:
            task = self._kill(task) if len(self.kills) < most else self._next(after=task.try_number)
        return task.state

    def _next(self, after: int) -> Task:
        """Return the task once it has ended, or its next try runs."""
        task = Task("none", 0, None)

        def is_there() -> bool:
            nonlocal task
            task = self._airflow.task(self.id)
            there = task.state in ENDED or (task.state == "running" and task.try_number > after)
            # Asked for as long as the next try can't have written one.
            self._checkpoint = self._checkpoint if there else self._airflow.checkpoint(self.id)
            return there

        wait_for(is_there, PATIENCE, f"Try {after} of {self.id} had no end and no successor")
        return task

    def _kill(self, task: Task) -> Task:
        """Kill a running try at a random moment; return what comes after it."""
        began = time.time()
        whole_worker = (self._before + len(self.kills)) % 3 == 2
        processes = processes_of(task)
        time.sleep(self._rng.uniform(0, LONGEST))
        moment = time.time()
        kill(processes if whole_worker else processes[-1:])
        following = self._next(after=task.try_number)
        # A try that had just succeeded was not hit.
        if following.try_number > task.try_number:
            self.kills.append(
                Kill(
                    moment=moment,
                    into=moment - began,
                    try_number=task.try_number,
                    whole_worker=whole_worker,
                    checkpoint=self._checkpoint,
                )
            )
        return following


def processes_of(task: Task) -> list[psutil.Process]:
    """Return the supervisor of a running task, and the process that runs its code."""
    try:
        process = psutil.Process(task.pid)
        supervisor = process.parent()
    except psutil.NoSuchProcess:
        return []
    return [supervisor, process] if supervisor else [process]


def kill(processes: list[psutil.Process]) -> None:
    """Kill them all, if the last one, the task's own, still runs.

    Else its supervisor may be idle, and hold the lock of the queue that all of the executor's workers read.
    """
    with suppress(psutil.NoSuchProcess):
        if processes and processes[-1].status() != psutil.STATUS_ZOMBIE:
            for process in processes:
                process.kill()


def broken(on: Stage, run: Run, state: str, found: list[Cost]) -> list[str]:
    """Return which promises a run broke, in words."""
    if state != "success":
        return [f"the run ended as {state}"]
    arrivals = on.asapp.arrivals()
    return [
        *(text for cost in found for text in cost.broken()),
        *account.broken_event_ids(arrivals),
        *account.broken_ledger(on.asapp.held(), on.asapp.counts(), on.warehouse),
        *account.broken_report(on.airflow.report(run.id), len(arrivals)),
        *account.broken_rejects(on.rejected(), on.warehouse),
        *([f"a checkpoint is left: {left}"] if (left := on.airflow.checkpoint(run.id)) else []),
    ]


def kill_until(on: Stage, seed: int, wanted: int) -> tuple[list[Kill], list[str]]:
    """Kill so often, over as many runs as that takes; return the kills, and which promises were broken."""
    rng = random.Random(seed)
    kills: list[Kill] = []
    problems: list[str] = []
    while len(kills) < wanted and not problems:
        on.clear()
        run = Run(on.airflow, rng, before=len(kills))
        state = run.to_its_end(most=wanted - len(kills))
        found = account.costs(run.kills, on.asapp.arrivals(), on.warehouse)
        for number, (kill, cost) in enumerate(zip(run.kills, found, strict=True), len(kills) + 1):
            say(f"  kill {number}: {words(kill, cost)}")
        kills += run.kills
        if problems := broken(on, run, state, found):
            say(on.airflow.last_words(run.id))
        repeated = on.asapp.counts()["repeated_event_ids"]
        say(f"  {state} after {len(run.kills)} kills; {repeated:,} of {GOOD:,} records came more than once")
    return kills, problems


def words(kill: Kill, cost: Cost) -> str:
    """Return what a kill did, in words."""
    what = "task and supervisor" if kill.whole_worker else "task"
    return (
        f"try {kill.try_number}, {what}, after {kill.into:.1f} s: {cost.sent:,} sent, {cost.confirmed:,} confirmed, "
        f"checkpoint {cost.saved:,}; {cost.again:,} came again, {cost.allowed:,} may"
        f"{' (it was over, but Airflow did not know)' if cost.was_over else ''}"
    )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all seeds and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=7, help="kills for each seed; default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
    given = parser.parse_args()
    leave_on_sigterm()
    began = time.monotonic()
    kills: list[Kill] = []
    problems: list[str] = []
    with stage() as on:
        say(f"Airflow and the simulator are up after {time.monotonic() - began:.0f} s.")
        for seed in given.seeds:
            say(f"Seed {seed}:")
            more, wrong = kill_until(on, seed, given.kills)
            kills += more
            problems += [f"seed {seed}: {text}" for text in wrong]
    for text in problems:
        say(f"BROKEN: {text}")
    seconds = time.monotonic() - began
    say(f"{len(kills)} kills of a running task, {len(problems)} promises broken, in {seconds:.0f} s.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
