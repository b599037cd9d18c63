"""A loop as it is often written: marshmallow for each record, a request for each record."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from airflow_provider_asapp.schemas import ConversationMetadataSchema
from benchmarks import data
from benchmarks.candidates import SINGLE, session
from benchmarks.job import Job, Move


def prepare(job: Job) -> Move:
    """Return what moves so many rows."""
    schema, http = ConversationMetadataSchema(), session()

    def move(rows: int) -> None:
        with closing(sqlite3.connect(job.database)) as db:
            cursor = db.execute(data.query(rows))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                record = schema.load(dict(zip(names, row, strict=True)))
                response = http.post(job.url + SINGLE, json=record)
                response.raise_for_status()
                assert not response.json()["result"]["error"]

    return move
