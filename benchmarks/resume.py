"""A try that fails near its end, and the next one: `python -m benchmarks.resume JOB`.

The sink refuses the last batch of the first try with a 401. The second try has the same store, reads the source from
its start, and proves that it begins as before, until its first request. That time stands beside the first try's.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from benchmarks.candidates import BATCH
from benchmarks.candidates.ours import operator
from benchmarks.job import Job, answer, timed
from benchmarks.sink import counts_at


class MemoryStore(dict[str, Any]):
    """What Airflow's task state store is to a task: JSON values under a key."""

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        """Forget a key."""
        self.pop(key, None)


def main() -> None:
    """Run both tries; the rows are those that the first confirms and one batch more."""
    job = Job.given()
    if job.warm:
        operator(job.warm).execute({})
    store = MemoryStore()
    with timed() as sending, suppress(AirflowFailException):
        operator(job.rows).execute({"task_state_store": store})
    before = counts_at(job.url)
    with timed() as resumed:
        report = operator(job.rows).execute({"task_state_store": store})
    after = counts_at(job.url)
    # Nothing was sent while the confirmed rows were verified: the one request is that of the rows behind them.
    assert after.requests - before.requests == 1, (before, after)
    assert after.items - before.items == BATCH, (before, after)
    assert report["accepted"] == job.rows, report
    answer(sent=sending.seconds, verified=after.last - resumed.started)


if __name__ == "__main__":
    main()
