"""Each night, bring the whole agent roster from the warehouse to ASAPP.

The whole, and not what has changed: a night that failed is healed by the next one, and 1,000 agents cost one request.
ASAPP removes no agent. One who is no longer in the result keeps the record that was sent last; that is why the SQL goes
on sending those who have left, with an attribute that says so, for 30 days.

A sample to copy, together with `sql/agent_roster.sql`. It needs two connections: `warehouse`, any database that
Airflow can query, and `asapp_default` of the type ASAPP (API Id and API Secret).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator


@dag(
    dag_id="agent_roster",
    schedule="30 4 * * *",  # UTC; when your warehouse has the roster of the day.
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # A roster is of now: there are no earlier ones to send.
    max_active_runs=1,  # Of two that overlap, the older roster could arrive last, and that one counts.
    default_args={"retries": 4, "retry_delay": timedelta(minutes=2)},
    tags=["asapp"],
    doc_md=__doc__,
)
def agent_roster() -> None:
    """Deliver the roster."""
    SqlToAsappMetadataOperator(
        task_id="push_agents",
        sql_conn_id="warehouse",
        sql="sql/agent_roster.sql",
        entity="agent",
        asapp_conn_id="asapp_default",
        # A roster without anybody is a warehouse that has not been filled, not a company without agents.
        on_empty="fail",
        # A few agents with a mistake in them must not wake anybody: the others are delivered either way.
        max_rejected_ratio=0.02,
        # Here the rejected records are kept, whole, with names and e-mail addresses: see conversation_metadata.py.
        rejects_path="{{ var.value.get('asapp_rejects_path', 'file://~/asapp-rejects') }}",
    )


agent_roster()
