"""The DAG whose only task is killed again and again."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_asapp.transfers import SqlToAsappMetadataOperator

with DAG("crash", schedule=None):
    SqlToAsappMetadataOperator(
        task_id="push",
        sql_conn_id="warehouse",
        sql="SELECT external_conversation_id, campaign, lob_id FROM conversations ORDER BY position",
        entity="conversation",
        batch_size=500,
        max_in_flight=4,
        max_rejected=None,
        rejects_path="{{ var.value.rejects_path }}",
        deferrable=False,
        retries=100,
        retry_delay=timedelta(0),
    )
