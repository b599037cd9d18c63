"""The limit: bodies that are ready before the clock starts, posted one after the other, the answers read as JSON."""

from __future__ import annotations

import json
from uuid import uuid4

from benchmarks import data
from benchmarks.candidates import BATCH, MANY, session
from benchmarks.job import Job, Move


def prepare(job: Job) -> Move:
    """Return what moves so many rows."""
    bodies = [body_of(page) for page in data.wire_pages(job.database, job.rows)]
    http = session()

    def move(rows: int) -> None:
        for body in bodies[: rows // BATCH]:
            response = http.post(job.url + MANY, data=body)
            assert not response.json()["errorCount"]

    return move


def body_of(records: list[data.Row]) -> bytes:
    """Return the very bytes that this provider would send, but for the ids' digits."""
    items = [
        {"eventId": str(uuid4())} | {name: value for name, value in record.items() if value is not None}
        for record in records
    ]
    return json.dumps({"items": items}, ensure_ascii=False, separators=(",", ":")).encode()
