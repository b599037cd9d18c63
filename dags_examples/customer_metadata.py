"""Each night, bring the customers of the day's conversations from the warehouse to ASAPP.

These records hold telephone numbers and e-mail addresses. They go to ASAPP and nowhere else: logs, rendered fields and
XCom show no value of a record, and a rejected one is named by its conversation alone. Rejects would keep such
records whole, so this sample has no `rejects_path`: conversation, field and rule are in the log, the row is in your
warehouse. Select no column that ASAPP need not have.

A sample to copy, together with `sql/customer_metadata.sql`. It needs two connections: `warehouse`, any database that
Airflow can query, and `asapp_default` of the type ASAPP (API Id and API Secret).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, dag

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator


@dag(
    dag_id="customer_metadata",
    # For the day that is over, as in conversation_metadata.py, which says why it is no bare "@daily".
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # A later day must not overtake an earlier one: what arrives last at ASAPP counts.
    default_args={"retries": 4, "retry_delay": timedelta(minutes=2)},
    tags=["asapp"],
    doc_md=__doc__,
)
def customer_metadata() -> None:
    """Deliver one day's customers."""
    SqlToAsappMetadataOperator(
        task_id="push_customers",
        sql_conn_id="warehouse",
        sql="sql/customer_metadata.sql",
        entity="customer",
        asapp_conn_id="asapp_default",
        # A customer's typo must wake no one, a broken mapping must. The valid ones are delivered either way.
        max_rejected_ratio=0.01,
    )


customer_metadata()
