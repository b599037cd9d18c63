"""Each night, bring the metadata of the day's conversations from the warehouse to ASAPP.

A sample to copy, together with `sql/conversation_metadata.sql`. It needs two connections: `warehouse`, any
database that Airflow can query, and `asapp_default` of the type ASAPP (API Id and API Secret).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, task

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator


@dag(
    dag_id="conversation_metadata",
    # Not a bare "@daily": since Airflow 3 its data interval has no length, and the SQL would find nothing.
    # This one runs after midnight for the day that is over. To run one day by hand, name the day after it:
    # `airflow dags test conversation_metadata 2026-03-04` delivers what ended on 2026-03-03.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # Days before the DAG was switched on: `airflow backfill create`, when you want them.
    max_active_runs=1,  # A later day must not overtake an earlier one: what arrives last at ASAPP counts.
    default_args={
        "retries": 4,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2,  # about 2, 4, 8, 16 minutes. Before Airflow 3.2: True.
    },
    tags=["asapp"],
    doc_md=__doc__,
)
def conversation_metadata() -> None:
    """Deliver one day's conversations and say how that went."""
    push = SqlToAsappMetadataOperator(
        task_id="push_conversations",
        sql_conn_id="warehouse",
        sql="sql/conversation_metadata.sql",
        entity="conversation",
        asapp_conn_id="asapp_default",
        # A typo in one office must wake no one, a broken mapping must. The valid ones are delivered either way.
        max_rejected_ratio=0.01,
        # Here the rejected records are kept, whole: treat them as personal data. Any folder that Airflow can
        # write to will do: set the Variable asapp_rejects_path, for example to s3://connection@bucket/folder.
        rejects_path="{{ var.value.get('asapp_rejects_path', 'file://~/asapp-rejects') }}",
    )

    @task
    def summarize(report: dict[str, Any]) -> str:
        """Say in one line how the night went. The place for a message to your team's channel."""
        delivered = report["accepted"] + report["already_persisted"]
        rejected = report["invalid"] + report["refused"]
        summary = f"{delivered:,} of {report['read']:,} conversations are at ASAPP"
        if rejected:
            summary += f"; {rejected:,} were rejected ({rejected / report['read']:.2%}), see {report['rejects']}"
        return summary

    summarize(push.output)


conversation_metadata()
