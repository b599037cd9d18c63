"""What a process is told to measure, and what it answers: JSON on its command line and in its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from resource import RUSAGE_SELF, getrusage
from typing import Any

from benchmarks.machine import REPOSITORY

VERSIONS_OF = ("apache-airflow", "marshmallow", "requests", "dlt", "drt-core", "pyarrow")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement, done by one process.

    :param database: path of the SQLite file to read from.
    :param url: the sink.
    :param folder: where it may leave files.
    :param rows: how many, from the first on.
    :param warm: rows to move before, unmeasured, so that imports and first connections are done.
    :param options: for the candidate.
    """

    database: str
    url: str
    folder: str
    rows: int
    warm: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def given(cls) -> Job:
        """Return the one on this process's command line."""
        return cls(**json.loads(sys.argv[-1]))


def in_new_process(python: str, module: str, *words: str, job: Job, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a module answers that is run in a process of its own.

    :param python: the interpreter, whose packages it will have.
    :param words: what stands before the job on its command line.
    """
    command = [python, "-m", module, *words, json.dumps(asdict(job))]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def answer(**values: Any) -> None:
    """Print what was measured."""
    print(json.dumps(values), flush=True)


class Stopwatch:
    """Seconds of the clock, and of all processors for this process."""

    seconds = 0.0
    cpu = 0.0
    started = 0.0


@contextmanager
def timed() -> Any:
    """Measure what is done inside; the numbers are there at its end."""
    watch = Stopwatch()
    cpu = cpu_seconds()
    watch.started = time.monotonic()
    try:
        yield watch
    finally:
        watch.seconds, watch.cpu = time.monotonic() - watch.started, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far, those in the kernel too."""
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mib() -> float:
    """Return the most memory that this process had, in MiB (Linux counts in KiB)."""
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter, of those that are here."""
    found = {"python": sys.version.split()[0]}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


Move = Callable[[int], None]
