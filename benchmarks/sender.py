"""Moves rows in the way of one candidate and answers what that took: `python -m benchmarks.sender CANDIDATE JOB`."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.job import Job, answer, peak_mib, timed, versions


def main() -> None:
    """Warm up, measure, answer."""
    job = Job.given()
    move = import_module(f"benchmarks.candidates.{sys.argv[-2]}").prepare(job)
    if job.warm:
        move(job.warm)
    with timed() as watch:
        move(job.rows)
    answer(seconds=watch.seconds, cpu=watch.cpu, started=watch.started, peak=peak_mib(), versions=versions())


if __name__ == "__main__":
    main()
