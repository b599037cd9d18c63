"""dlt's custom destination: no validation, no event ids, and an answer counts as good if its status is.

Given the settings that made it fastest: pages instead of single rows, its own JSON encoder (orjson), batches of 1,000,
no table nesting. With the option ``arrow`` the rows come as Arrow tables and lie in Parquet files in between.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dlt
import requests
from dlt.common.json import json as fast_json

from benchmarks import data
from benchmarks.candidates import BATCH, MANY, session
from benchmarks.job import Job, Move

ARROW_ROWS = 10_000
HINTS = {"eventId": {"data_type": "text"}} | {name: {"data_type": "json"} for name in data.WIRE_LISTS}


def prepare(job: Job) -> Move:
    """Return what moves so many rows.

    The option ``file_items`` cuts dlt's files after so many rows: only several of them are loaded at the same time.
    """
    arrow = job.options.get("arrow", False)
    if "file_items" in job.options:
        os.environ["DATA_WRITER__FILE_MAX_ITEMS"] = str(job.options["file_items"])
    posting = post_arrow if arrow else post
    local = threading.local()  # dlt calls the destination from many threads

    @dlt.destination(batch_size=BATCH, name="asapp", loader_file_format="parquet" if arrow else "typed-jsonl")
    def asapp(items: Any, table: Any) -> None:  # noqa: ARG001 - dlt's signature
        if not hasattr(local, "http"):
            local.http = session()
        posting(local.http, job.url + MANY, items)

    pipeline = dlt.pipeline("conversations", destination=asapp, pipelines_dir=f"{job.folder}/dlt")

    def move(rows: int) -> None:
        if arrow:
            source = dlt.resource(tables(job.database, rows), name="conversation")
        else:
            source = dlt.resource(data.wire_pages(job.database, rows), name="conversation", columns=HINTS)
        pipeline.run(source)

    return move


def post(http: requests.Session, url: str, items: list[data.Row]) -> None:
    """Send one batch."""
    http.post(url, data=fast_json.dumpb({"items": items})).raise_for_status()


def post_arrow(http: requests.Session, url: str, batch: Any) -> None:
    """Send one batch that is a piece of an Arrow table."""
    items = batch.to_pylist()
    for item in items:
        for name in data.WIRE_LISTS:
            item[name] = None if item[name] is None else json.loads(item[name])
    post(http, url, items)


def tables(database: str, rows: int) -> Iterator[Any]:
    """Yield the first rows as Arrow tables, all columns text."""
    import pyarrow

    with closing(sqlite3.connect(database)) as db:
        cursor = db.execute(data.wire_query(rows))
        names = [column[0] for column in cursor.description]
        while page := cursor.fetchmany(ARROW_ROWS):
            columns = [pyarrow.array(values, type=pyarrow.string()) for values in zip(*page, strict=True)]
            yield pyarrow.table(dict(zip(names, columns, strict=True)))
