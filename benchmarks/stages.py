"""What one record costs at each stage, in CPU time of this process: `python -m benchmarks.stages JOB`.

Each stage is timed by itself, page after page, over what the stage before it made. Checking is taken apart by a
difference: a page that has the id alone shows what each record costs whatever it holds (its event id above all), the
rest is the other 17 columns. What the whole transfer takes beyond all stages is the account: window, threads, outcomes,
digest, report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time
from typing import Any

from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.pages import Page
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.sql import hook_of, stream
from airflow_provider_asapp.submission import frozen_heap
from airflow_provider_asapp.validation import Validator
from benchmarks import data
from benchmarks.candidates.ours import operator
from benchmarks.job import Job, answer
from benchmarks.suite import STAGES

READ, CHECK_ID, CHECK_MORE, SEND, ACCOUNT = STAGES


Cpu = dict[str, float]


@contextmanager
def adding_to(cpu: Cpu, stage: str) -> Iterator[None]:
    """Add the CPU seconds of what is done inside to a stage."""
    before = process_time()
    yield
    cpu[stage] += process_time() - before


def main() -> None:
    """Measure each stage over all rows; answer microseconds a record."""
    job = Job.given()
    if job.warm:
        measure(job, job.warm)
    cpu = measure(job, job.rows)
    answer(stages={stage: cpu[stage] / job.rows * 1e6 for stage in STAGES})


def measure(job: Job, rows: int) -> Cpu:
    """Return the CPU time of each stage for the first rows."""
    cpu = dict.fromkeys(STAGES, 0.0)
    # As in a submission. Else a stage would now and then pay for a search through all of Airflow.
    with frozen_heap():
        by_stage(rows, cpu)
    cpu[CHECK_MORE] -= cpu[CHECK_ID]
    apart = sum(cpu.values())
    with adding_to(cpu, ACCOUNT):
        operator(rows, **job.options).execute({})
    cpu[ACCOUNT] -= apart
    return cpu


def by_stage(rows: int, cpu: Cpu) -> None:
    """Do with each page what a submission does, a stage at a time and nothing in between."""
    pages = stream(hook_of("warehouse"), data.query(rows), None)
    whole, ids = Validator("conversation", scope="whole"), Validator("conversation", scope="ids")
    first = 1
    with AsappHook("asapp_default").get_conn() as client:
        while True:
            with adding_to(cpu, READ):
                page = next(pages, None)
            if page is None:
                return
            with adding_to(cpu, CHECK_ID):
                check(ids, Page(page.columns[:1], [row[:1] for row in page.rows]), first)
            with adding_to(cpu, CHECK_MORE):
                items = check(whole, page, first)
            first += len(page.rows)
            if items:
                with adding_to(cpu, SEND):
                    client.send(ENTITIES["conversation"], items)


def check(validator: Validator, page: Page, first: int) -> list[Any]:
    """Return the items of a page's valid rows."""
    return [found for found in validator.check(page, first) if not isinstance(found, Rejection)]


if __name__ == "__main__":
    main()
