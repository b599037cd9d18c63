"""The transfer of this provider, run as a worker runs it: validation, event ids, outcomes, report."""

from __future__ import annotations

from typing import Any

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator
from benchmarks import data
from benchmarks.job import Job, Move


def operator(rows: int, **options: Any) -> SqlToAsappMetadataOperator:
    """Return the task that moves the first rows; its connections are in the environment."""
    return SqlToAsappMetadataOperator(
        task_id="push",
        entity="conversation",
        sql=data.query(rows),
        sql_conn_id="warehouse",
        **{"max_rejected": None, **options},
    )


def prepare(job: Job) -> Move:
    """Return what moves so many rows."""

    def move(rows: int) -> None:
        report = operator(rows, **job.options).execute({})
        assert report["read"] == rows, report

    return move
