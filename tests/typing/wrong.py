"""What a person may get wrong: `mypy --strict` reports each line with the code behind its `E:`, and no other line.

Not here: a wrong value of a parameter that all operators share, but for `entity`. Operators hand these on through
`**kwargs`, with those of Airflow's `BaseOperator`, so they are checked when the DAG is parsed.
"""

from __future__ import annotations

from airflow_provider_asapp.errors import AsappError, AsappQuotaExhausted, AsappTooManyRejected
from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.operators import AsappMetadataOperator, AsappSubmitOperator
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator, SqlToAsappMetadataOperator

hook = AsappHook("asapp_default")
hook.submit([], entity="conversatoin")  # E: arg-type
hook.submit([], entity="agent", unknown="drop")  # E: arg-type
hook.submit([], entity="agent", rejects_path=5)  # E: arg-type
hook.submit([], entity="agent", field_map=["chat_id"])  # E: arg-type
hook.submit([], entity="agent", max_rejected="10")  # E: arg-type
hook.submit([], entity="agent", validate="yes")  # E: call-arg
hook.submit(["a"], entity="agent")  # E: list-item
hook.submit([])  # E: call-arg
accepted: int = hook.submit([], entity="agent")  # E: assignment
AsappHook(asapp_conn_id=5)  # E: arg-type

AsappSubmitOperator(task_id="push", entity="conversatoin")  # E: arg-type
AsappSubmitOperator(task_id="push", entity="agent", unknown="drop")  # E: arg-type
AsappSubmitOperator(task_id="push", entity="agent", rejects_path=5)  # E: arg-type
AsappSubmitOperator(task_id="push", entity="agent", on_empty="ignore")  # E: arg-type
AsappSubmitOperator(task_id="push")  # E: call-arg
AsappMetadataOperator(entity="agent", task_id="push")  # E: call-arg
AsappMetadataOperator(records=[], entity="conversatoin", task_id="push")  # E: arg-type
SqlToAsappMetadataOperator(sql="SELECT 1", sql_conn_id="warehouse", entity="agents", task_id="push")  # E: arg-type
FileToAsappMetadataOperator(path="a", task_id="push")  # E: call-arg
SqlToAsappMetadataOperator(sql="SELECT 1", entity="agent", task_id="push")  # E: call-arg
SqlToAsappMetadataOperator(sql=["SELECT 1"], sql_conn_id="warehouse", entity="agent", task_id="push")  # E: arg-type
FileToAsappMetadataOperator(path="a", file_format="parquet", entity="agent", task_id="push")  # E: arg-type
FileToAsappMetadataOperator(path=None, entity="agent", task_id="push")  # E: arg-type


def tell(error: AsappError) -> str:
    """Only the quota knows when it returns, and not always."""
    if isinstance(error, AsappQuotaExhausted):
        return error.resets_at.isoformat()  # E: union-attr
    if isinstance(error, AsappTooManyRejected):
        return f"{error.rejects}"  # E: attr-defined
    return error.status  # E: return-value


Fault(status="503")  # E: arg-type
Fault(drop="never")  # E: arg-type
Fault(state=503)  # E: call-arg
with Simulator(port="8080") as asapp:  # E: arg-type
    asapp.ledger.held("conversations")  # E: arg-type
    asapp.misbehave({"status": 503})  # E: arg-type
    port = asapp.url.port  # E: attr-defined
