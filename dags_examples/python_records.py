"""Each night, bring agents from the REST API of a workforce tool to ASAPP: records made by Python, with no query.

A generator yields the records one by one, and the hook sends them on in full batches: no number of pages is too many,
and no record is ever in an XCom. If an upstream task returns a few records anyway, this is less to write, and keeps
them in Airflow's database: `AsappMetadataOperator(task_id="push", entity="agent", records=upstream.output)`.

A sample to copy. It needs two connections: `workforce`, with the API's address as host and a token as password, and
`asapp_default` of the type ASAPP (API Id and API Secret).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, dag, task

if TYPE_CHECKING:
    from collections.abc import Iterator


@dag(
    dag_id="python_records",
    schedule="45 4 * * *",  # UTC
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 4, "retry_delay": timedelta(minutes=2)},
    tags=["asapp"],
    doc_md=__doc__,
)
def python_records() -> None:
    """Deliver what the API says."""

    @task
    def push_agents(task_state_store: Any = None) -> dict[str, Any]:
        """Send every agent and return the report. Airflow 3.3 and later fills `task_state_store`."""
        # Here and not above: Airflow reads this file every minute, and needs neither for that.
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_asapp.errors import AsappFatalError, AsappRejectedError
        from airflow_provider_asapp.hooks import AsappHook

        try:
            return AsappHook("asapp_default").submit(
                agents,  # The function itself, not a call of it: a retry reads from the start once more.
                entity="agent",
                max_rejected_ratio=0.02,
                store=task_state_store,  # A retry goes on where the last try stopped.
            )
        except (AsappFatalError, AsappRejectedError) as error:
            # Wrong keys or bad records: a retry would only send everything again.
            raise AirflowFailException(str(error)) from None

    push_agents()


def agents() -> Iterator[dict[str, Any]]:
    """Yield a record for each agent of the API, a page at a time, in the same order each time."""
    import requests

    api = Connection.get("workforce")
    page = 1
    while page:
        answer = requests.get(
            f"{api.host}/agents",
            params={"sort": "id", "page": page},
            headers={"Authorization": f"Bearer {api.password}"},
            timeout=60,
        )
        answer.raise_for_status()
        body = answer.json()
        for person in body["agents"]:
            yield {
                "external_agent_id": person["id"],
                "agent_name": person["name"],
                "work_shift": person["shift"],
                "languages": person["languages"],  # a list, as ASAPP wants it
                "concurrency": person.get("max_chats"),  # None is left out
            }
        page = body["next_page"]


python_records()
