"""What a person may write who checks DAGs with `mypy --strict`: no line of this is an error, and nothing is `Any`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, assert_type

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import (
    AsappAccessError,
    AsappError,
    AsappFatalError,
    AsappQuotaExhausted,
    AsappRetryableError,
    AsappTooManyRejected,
)
from airflow_provider_asapp.hooks import AsappHook, Run
from airflow_provider_asapp.operators import AsappMetadataOperator, AsappSubmitOperator
from airflow_provider_asapp.schemas import AgentMetadataSchema, ConversationMetadataSchema, CustomerMetadataSchema
from airflow_provider_asapp.simulator import Fault, Ledger, ReceivedRequest, Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator, SqlToAsappMetadataOperator

SCHEMAS = (ConversationMetadataSchema, AgentMetadataSchema, CustomerMetadataSchema)

with DAG("typed", schedule=None) as dag:
    from_warehouse = SqlToAsappMetadataOperator(
        task_id="from_warehouse",
        sql="SELECT chat_id FROM chats WHERE ended_at >= :begin ORDER BY chat_id",
        sql_conn_id="warehouse",
        parameters={"begin": datetime(2026, 3, 3)},
        sql_hook_params={"use_legacy_sql": False},
        entity="conversation",
        field_map={"chat_id": "externalConversationId"},
        max_rejected_ratio=0.01,
        rejects_path="file:///rejects",
        deferrable=True,
        retries=4,
        retry_delay=timedelta(minutes=2),
    )
    from_file = FileToAsappMetadataOperator(
        task_id="from_file", path="s3://bucket/*.csv", file_format="csv", delimiter=";", entity="agent"
    )
    from_task = AsappMetadataOperator(task_id="from_task", records=from_file.output, entity="customer")
    at_hand = AsappMetadataOperator(task_id="at_hand", records=[{"externalAgentId": "a"}], entity="agent")
    from_warehouse >> from_file >> from_task
    mapped = SqlToAsappMetadataOperator.partial(task_id="mapped", sql="roster.sql", entity="agent").expand(
        sql_conn_id=["east", "west"]
    )


def operators() -> list[BaseOperator]:
    """All are Airflow's operators."""
    ours: list[AsappSubmitOperator] = [from_warehouse, from_file, from_task, at_hand]
    return [*ours]


def roster(names: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Any iterable of mappings is a source."""
    for number, name in names.items():
        yield {"external_agent_id": number, "agent_name": name}


def push(names: Mapping[str, str]) -> int:
    """What the hook gives back has a type."""
    hook = AsappHook("asapp_default")
    assert_type(hook.get_conn(), AsappClient)
    assert_type(hook.test_connection(), tuple[bool, str])
    report = hook.submit(roster(names), entity="agent", unknown="exclude", max_rejected=None, run=Run("d", "r", "t"))
    assert_type(report, dict[str, Any])
    return int(report["accepted"])


def tell(error: AsappError) -> str:
    """What an error says has a type, also where only its kind is known."""
    assert_type(error.status, int | None)
    assert_type(error.request_id, str | None)
    match error:
        case AsappQuotaExhausted():
            assert_type(error.resets_at, datetime | None)
            return f"until {error.resets_at}"
        case AsappTooManyRejected():
            assert_type(error.report, dict[str, Any] | None)
            return f"{error.report}"
        case AsappAccessError() | AsappFatalError():
            return "a person must act"
        case AsappRetryableError():
            return "later"
    return str(error)


def rehearse() -> None:
    """The simulator is typed as well, for people's own tests."""
    with Simulator(requests_per_second=None, daily_quota=10) as asapp:
        assert_type(asapp, Simulator)
        assert_type(asapp.url, str)
        asapp.misbehave(Fault(requests={1}, status=503), Fault(share=0.1, drop="mid-body"))
        assert_type(asapp.ledger, Ledger)
        assert_type(asapp.ledger.requests, list[ReceivedRequest])
        assert_type(asapp.ledger.requests[0].status, int | None)
        assert asapp.ledger.held("conversation") == {}


def problems(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """The schemas are marshmallow's, usable on their own."""
    return ConversationMetadataSchema().validate(record)
