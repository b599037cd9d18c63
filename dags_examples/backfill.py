"""Bring the conversations of many days from the warehouse to ASAPP, several days at the same time. Triggered by hand.

A sample to copy, together with `sql/backfill.sql`. It needs the connections of the nightly DAG, `warehouse` and
`asapp_default`, and a pool that you make once: `airflow pools set asapp 4 "What sends to ASAPP" --include-deferred`.
Tasks of a pool that does not exist wait for ever, and only the scheduler's log says why.

For a week or two let the nightly DAG do it, a day after the other: `airflow backfill create --max-active-runs 1`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import Connection, Param, dag, task

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator

# Days at the same time, each in a task of its own, and the requests that each has under way.
WORKERS = 4
MAX_IN_FLIGHT = 4
# A task keeps to the connection's `requests_per_second` and knows nothing of the others, but ASAPP takes 100 a second
# from the whole account. Requests leave evenly and may arrive in a bunch: at worst all that are under way, besides the
# next second's. With this rate for each they are never too many. A DAG that sends meanwhile needs its part of the 100.
SHARE = 100 // WORKERS - MAX_IN_FLIGHT - 1
ASAPP = "asapp_default"
# The share of all records that may be rejected before the run fails.
MAX_REJECTED_RATIO = 0.01


@dag(
    dag_id="backfill",
    schedule=None,
    max_active_runs=1,  # WORKERS holds for one run.
    params={
        "first_day": Param(type="string", format="date", title="First day"),
        # Airflow makes no more tasks of a list than its [core] max_map_length says.
        "last_day": Param(type="string", format="date", title="Last day", description="At most 1,024 days in a run."),
    },
    # In a mapped task only what stands here or in partial() counts.
    default_args={
        "retries": 4,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2,  # about 2, 4, 8, 16 minutes. Before Airflow 3.2: True.
    },
    tags=["asapp"],
    doc_md=__doc__,
)
def backfill() -> None:
    """Deliver each day, then judge all of them together."""

    @task
    def list_days(first_day: str, last_day: str) -> list[dict[str, str]]:
        """Return the days, each as the parameters of its query. Before anything is sent, look at the rate."""
        rate = float(Connection.get(ASAPP).extra_dejson.get("requests_per_second") or 100)
        if rate > SHARE:
            raise AirflowFailException(
                f"{WORKERS} tasks with {rate:g} requests a second each could be more than ASAPP takes: set "
                f"requests_per_second of the connection {ASAPP} to {SHARE}."
            )
        first = date.fromisoformat(first_day)
        days = [first + timedelta(days=n) for n in range((date.fromisoformat(last_day) - first).days + 1)]
        if not days:
            raise AirflowFailException(f"The last day, {last_day}, is before the first, {first_day}.")
        return [{"day": str(day), "next_day": str(day + timedelta(days=1))} for day in days]

    @task
    def summarize(days: list[dict[str, str]], reports: Sequence[dict[str, Any]]) -> str:
        """Say how it went, and on which days rows were rejected; fail if these are too many."""
        # A slice brings all reports in one call; to iterate over them takes a call for each.
        by_day = {day["day"]: report for day, report in zip(days, reports[:], strict=True)}
        total = Counter[str]()
        for report in by_day.values():
            total.update({name: count for name, count in report.items() if isinstance(count, int)})
        rejected = total["invalid"] + total["refused"]
        summary = (
            f"{total['read'] - rejected:,} of {total['read']:,} conversations of {len(days):,} days are at ASAPP, "
            f"{rejected:,} were rejected; {total['requests']:,} requests"
        )
        for day, report in by_day.items():
            if report["rejects"]:
                count = report["invalid"] + report["refused"]
                summary += f"\n{day}: {count:,} of {report['read']:,} were rejected, see {report['rejects']}"
        if rejected > MAX_REJECTED_RATIO * total["read"]:
            raise AirflowFailException(summary)
        return summary

    days = list_days("{{ params.first_day }}", "{{ params.last_day }}")
    push = SqlToAsappMetadataOperator.partial(
        task_id="push_day",
        # Days may overtake each other, since a conversation ends on one of them: of each there is one row. Records of
        # which the last one counts, such as an agent's, must be in one task: give each task a range of keys instead.
        sql="sql/backfill.sql",
        sql_conn_id="warehouse",
        entity="conversation",
        asapp_conn_id=ASAPP,
        max_in_flight=MAX_IN_FLIGHT,
        max_rejected=None,  # A day with bad rows is delivered like all others; the last task judges.
        rejects_path="{{ var.value.get('asapp_rejects_path', 'file://~/asapp-rejects') }}",
        deferrable=True,  # A backfill can use up ASAPP's requests of a day: it goes on at 00:00 UTC.
        # What the grid shows instead of numbers.
        map_index_template="{{ task.parameters.day }}",
        # Of this run, at most so many at once. With the nightly task in the pool as well, the pool bounds them all.
        max_active_tis_per_dagrun=WORKERS,
        pool="asapp",
    ).expand(parameters=days)
    summarize(days, push.output)


backfill()
