"""drt's `rest_api` destination in batch mode: no validation, no event ids, and any 2xx counts as success.

Given the settings that made it fastest: one template expression for a whole request, a sync batch of ten requests (it
opens a connection for each sync batch), no rate limit. Its templates can't read JSON text, so the two columns that hold
lists are left out: 16 columns.
"""

from __future__ import annotations

from pathlib import Path

from drt.config.models import SyncConfig
from drt.config.profiles import SQLiteProfile
from drt.destinations.rest_api import RestApiDestination
from drt.engine.sync import run_sync
from drt.sources.sqlite import SQLiteSource

from benchmarks import data
from benchmarks.candidates import BATCH, MANY
from benchmarks.job import Job, Move


def prepare(job: Job) -> Move:
    """Return what moves so many rows."""
    profile = SQLiteProfile("sqlite", job.database)
    destination = {
        "type": "rest_api",
        "url": job.url + MANY,
        "headers": {"Content-Type": "application/json"},
        "body_mode": "batch",
        "batch_template": '{"items": {{ rows | tojson_safe }}}',
        "max_records_per_request": BATCH,
        "rate_limit": {"requests_per_second": 0},
    }

    def move(rows: int) -> None:
        config = {
            "name": "conversations",
            "model": data.wire_query(rows, without=data.LISTS),
            "destination": destination,
            "sync": {"batch_size": 10 * BATCH, "on_error": "fail"},
        }
        sync = SyncConfig.model_validate(config)
        result = run_sync(sync, SQLiteSource(), RestApiDestination(), profile, Path(job.folder))
        assert result.success == rows, result

    return move
