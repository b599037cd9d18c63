"""The same loop with batches: marshmallow's `load` of 1,000 records, then one request, one after the other."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from airflow_provider_asapp.schemas import ConversationMetadataSchema
from benchmarks import data
from benchmarks.candidates import BATCH, MANY, session
from benchmarks.job import Job, Move


def prepare(job: Job) -> Move:
    """Return what moves so many rows."""
    schema, http = ConversationMetadataSchema(many=True), session()

    def move(rows: int) -> None:
        with closing(sqlite3.connect(job.database)) as db:
            cursor = db.execute(data.query(rows))
            names = [column[0] for column in cursor.description]
            while page := cursor.fetchmany(BATCH):
                items = schema.load([dict(zip(names, row, strict=True)) for row in page])
                response = http.post(job.url + MANY, json={"items": items})
                response.raise_for_status()
                assert not response.json()["errorCount"]

    return move
