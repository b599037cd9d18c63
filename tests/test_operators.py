"""The operators, run by Airflow against a simulator: reports, policy, retries, and what Airflow must not store."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, redact
from pytest_mock import MockerFixture

from airflow_provider_asapp.errors import AsappConfigurationError, AsappStopped, AsappUnavailableError
from airflow_provider_asapp.operators import AsappMetadataOperator, Veiled
from airflow_provider_asapp.simulator import Fault, Simulator
from tests.airflow_runs import run, tables_with
from tests.versions import before

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

GOOD = {"externalConversationId": "c-1"}
RECORDS = {
    "conversation": [GOOD, {"EXTERNAL_CONVERSATION_ID": 2, "platform": "voice ios"}],
    "agent": [{"externalAgentId": "a-1", "languages": '["en", "de"]', "startTs": "2026-03-04T05:06:07+01:00"}],
    "customer": [
        {"externalConversationId": "c-1", "externalCustomerId": "x@example.com", "phoneNumber": "+1 555 0100"}
    ],
}


@pytest.fixture
def mark() -> str:
    """Give a text that is in no other test and in no file: Airflow keeps the code of a DAG."""
    return uuid4().hex


def bad(mark: str = "not an identifier") -> dict[str, str]:
    """Return a record that is invalid, and holds the mark."""
    return {"externalConversationId": "c-2", "campaign": f"{mark} !"}


def operator(**arguments: Any) -> AsappMetadataOperator:
    """Return an operator, of conversations if nothing else is said."""
    return AsappMetadataOperator(**({"task_id": "push", "entity": "conversation", "retries": 2} | arguments))


@pytest.mark.parametrize("entity", RECORDS)
def test_each_entity(asapp: Simulator, dag: DAG, entity: Any) -> None:
    """Records at hand of each entity arrive; the report is a flat JSON dict, goes to XCom, and its sum holds."""
    with dag:
        operator(entity=entity, records=RECORDS[entity])
    ended = run(dag)
    report = ended.xcom("push")
    total = len(RECORDS[entity])
    expected = {"entity": entity, "read": total, "accepted": total, "already_persisted": 0, "invalid": 0, "refused": 0}
    assert ended.tasks == {("push", -1): ("success", 1)}
    assert {name: report[name] for name in expected} == expected
    assert report["requests"] == 1
    assert report["rejects"] is None
    assert not any(isinstance(value, dict | list) for value in report.values())
    assert len(asapp.ledger.held(entity)) == len(RECORDS[entity])


def test_output_of_a_task(asapp: Simulator, dag: DAG) -> None:
    """`records=upstream.output` waits for the upstream task and takes what it returned."""
    from airflow.providers.common.compat.sdk import task

    with dag:

        @task
        def extract() -> list[dict[str, str]]:
            return [GOOD]

        pushed = operator(records=extract())
    assert pushed.upstream_task_ids == {"extract"}
    assert run(dag).xcom("push")["accepted"] == 1
    assert set(asapp.ledger.held("conversation")) == {"c-1"}


def test_outputs_inside_a_list(asapp: Simulator, dag: DAG) -> None:
    """A list of records that upstream tasks return one by one waits for all of them."""
    from airflow.providers.common.compat.sdk import task

    with dag:

        @task
        def one(key: str) -> dict[str, str]:
            return {"externalConversationId": key}

        pushed = operator(records=[one("c-1"), one("c-2")])
    assert len(pushed.upstream_task_ids) == 2
    assert run(dag).xcom("push")["accepted"] == 2


def test_mapped_over_literal_lists(asapp: Simulator, dag: DAG) -> None:
    """`expand(records=[...])` makes one task for each list, each with its own report."""
    with dag:
        AsappMetadataOperator.partial(task_id="push", entity="conversation").expand(records=[[GOOD], [GOOD, GOOD]])
    ended = run(dag)
    assert [ended.xcom("push", index)["read"] for index in (0, 1)] == [1, 2]


def test_mapped_over_an_output(asapp: Simulator, dag: DAG, tmp_path: Path, mark: str) -> None:
    """Mapped over an upstream task's lists, each map index has rejects of its own, and no rendered field a record."""
    from airflow.providers.common.compat.sdk import task

    with dag:

        @task
        def extract() -> list[list[dict[str, str]]]:
            return [[GOOD], [GOOD, bad(mark)]]

        mapped = AsappMetadataOperator.partial(
            task_id="push", entity="conversation", rejects_path=str(tmp_path), max_rejected=1
        )
        mapped.expand(records=extract())
    ended = run(dag)
    assert ended.state == "success"
    assert [path.name for path in (tmp_path / dag.dag_id / ended.run_id / "push").iterdir()] == ["1"]
    assert tables_with(mark) == {"xcom"}


def test_mapped_with_records_in_partial(asapp: Simulator, dag: DAG, mark: str) -> None:
    """A mapped task whose records come from an upstream task by `partial` veils them too."""
    from airflow.providers.common.compat.sdk import task

    with dag:

        @task
        def extract() -> list[dict[str, str]]:
            return [GOOD, bad(mark)]

        mapped = AsappMetadataOperator.partial(task_id="push", entity="conversation", records=extract(), max_rejected=1)
        mapped.expand(asapp_conn_id=["asapp_default"])
    ended = run(dag)
    assert ended.xcom("push", 0)["accepted"] == 1
    assert tables_with(mark) == {"xcom"}


def test_values_stay_out_of_airflow(asapp: Simulator, dag: DAG, tmp_path: Path, mark: str) -> None:
    """A literal list's values are nowhere in Airflow's database: not in the DAG, the rendered fields, nor XCom."""
    with dag:
        operator(records=[GOOD, bad(mark)], max_rejected=1, rejects_path=str(tmp_path))
    assert run(dag).xcom("push")["invalid"] == 1
    assert tables_with(mark) == set()
    assert tables_with("<2 records, not shown>") >= {"serialized_dag", "rendered_task_instance_fields"}


@pytest.mark.parametrize("native", [False, True])
def test_wrong_output_stays_out_of_airflow(asapp: Simulator, dag: DAG, native: bool, mark: str) -> None:
    """What an upstream task returned by mistake is refused by its type, and not shown as a rendered field either."""
    from airflow.providers.common.compat.sdk import task

    dag.render_template_as_native_obj = native
    with dag:

        @task
        def extract() -> dict[str, str]:
            return bad(mark)

        extracted = extract()
        extracted >> operator(records="{{ ti.xcom_pull('extract') }}")
        operator(task_id="pull", records=extracted)
    ended = run(dag)
    assert ended.tasks["push", -1] == ended.tasks["pull", -1] == ("failed", 1)
    assert tables_with(mark) == {"xcom"}
    assert not asapp.ledger.requests


@pytest.mark.parametrize("records", ["c-1", {"externalConversationId": "c-1"}, None, 1])
def test_no_records(asapp: Simulator, records: Any) -> None:
    """A text or a dict as records gives one clear error that Airflow does not retry."""
    kind = type(records).__name__
    with pytest.raises(AirflowFailException, match=f"records is a {kind}: .*records=upstream.output"):
        operator(records=records).execute({})
    assert not asapp.ledger.requests


@pytest.mark.parametrize("records", [[], ()])
def test_empty(asapp: Simulator, dag: DAG, caplog: pytest.LogCaptureFixture, records: Any) -> None:
    """No records is a success that says so, without a request."""
    caplog.set_level(logging.INFO, "airflow_provider_asapp")
    with dag:
        operator(records=records)
    report = run(dag).xcom("push")
    assert (report["read"], report["requests"]) == (0, 0)
    assert "The source holds no conversation: nothing to send." in caplog.messages


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        ({}, "failed"),
        ({"max_rejected": 1}, "failed"),
        ({"max_rejected": 2}, "success"),
        ({"max_rejected": None}, "success"),
        ({"max_rejected_ratio": 0.5}, "success"),
        ({"max_rejected_ratio": 0.4}, "failed"),
        ({"max_rejected": 1, "max_rejected_ratio": 0.5}, "failed"),
        ({"max_rejected": 2, "max_rejected_ratio": 0.4}, "failed"),
    ],
)
def test_policy(asapp: Simulator, dag: DAG, limits: dict[str, Any], state: str) -> None:
    """Two of four rejected: a limit that is exceeded fails the task at once; all good ones go, and the report stays."""
    with dag:
        operator(records=[GOOD, bad(), {"externalConversationId": "c-3"}, bad()], **limits)
    ended = run(dag)
    assert ended.tasks == {("push", -1): (state, 1)}
    assert set(asapp.ledger.held("conversation")) == {"c-1", "c-3"}
    report = ended.xcom("push")
    assert (report["read"], report["accepted"], report["invalid"]) == (4, 2, 2)


def test_a_failed_task_keeps_its_report_only_if_it_may(asapp: Simulator, dag: DAG) -> None:
    """With `do_xcom_push=False` nothing is in XCom, as of a task that succeeds."""
    with dag:
        operator(records=[GOOD, bad()], do_xcom_push=False)
    ended = run(dag)
    assert (ended.state, ended.xcom("push")) == ("failed", None)


def test_trouble_with_xcom_hides_no_limit(
    asapp: Simulator, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """If the report can't be kept, the task fails with its own error, and a warning says so."""
    ti = mocker.Mock(dag_id="d", run_id="r", task_id="push", map_index=-1)
    ti.xcom_push.side_effect = ConnectionError("no server")
    with pytest.raises(AirflowFailException, match="max_rejected is 0"):
        operator(records=[GOOD, bad()]).execute({"ti": ti})
    assert ti.xcom_push.call_args.args[0] == "return_value"
    assert "The report could not be kept in XCom: ConnectionError." in caplog.messages


def test_policy_says_what_happened(asapp: Simulator, tmp_path: Path) -> None:
    """The error of an exceeded limit names counts, limit and where the rejects are."""
    pushed = operator(records=[GOOD, bad()], rejects_path=str(tmp_path))
    with pytest.raises(AirflowFailException) as caught:
        pushed.execute({})
    assert "1 of 2 records were rejected, and max_rejected is 0" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("on_empty", "state"), [("succeed", "success"), ("skip", "skipped"), ("fail", "failed")])
def test_on_empty(asapp: Simulator, dag: DAG, on_empty: Any, state: str) -> None:
    """A source without a record succeeds, skips or fails, and a failure is not retried."""
    with dag:
        operator(records=[], on_empty=on_empty)
    assert run(dag).tasks == {("push", -1): (state, 1)}


def test_validate_only(asapp: Simulator, dag: DAG) -> None:
    """Nothing is sent; the report says what is valid, what is not, and how many requests it would take."""
    with dag:
        operator(records=[GOOD, bad(), GOOD], validate_only=True, max_rejected=1, batch_size=1)
    report = run(dag).xcom("push")
    assert report == {
        "entity": "conversation",
        "read": 3,
        "valid": 2,
        "invalid": 1,
        "requests": 2,
        "rejects": None,
    }
    assert asapp.ledger.counts()["requests"] == 0


def test_trouble_is_retried(asapp: Simulator, dag: DAG, instant: None) -> None:
    """When ASAPP gives no usable answer, the task is up for Airflow's retry, and the retry delivers."""
    asapp.misbehave(Fault(status=503, times=4))
    with dag:
        operator(records=[GOOD], retries=1, retry_delay=timedelta(0))
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 2)}
    assert set(asapp.ledger.held("conversation")) == {"c-1"}


@before(3, 3, why="a retry starts over")
def test_without_a_task_state_store_a_retry_sends_all_again(asapp: Simulator, dag: DAG, instant: None) -> None:
    """Before Airflow 3.3 a retry sends also what arrived, with the same event ids."""
    asapp.misbehave(Fault(keys={"c-2"}, status=503, times=4))
    with dag:
        records = [{"externalConversationId": f"c-{number}"} for number in range(3)]
        operator(records=records, batch_size=1, max_in_flight=1, retries=1, retry_delay=timedelta(0))
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 2)}
    assert [item["externalConversationId"] for item in asapp.ledger.accepted("conversation")] == [
        *("c-0", "c-1"),
        *("c-0", "c-1", "c-2"),
    ]
    assert asapp.ledger.counts()["repeated_event_ids"] == 2


def test_trouble_stays_plain(asapp: Simulator, instant: None) -> None:
    """A retryable error leaves `execute` as it is."""
    asapp.misbehave(Fault(status=503))
    with pytest.raises(AsappUnavailableError):
        operator(records=[GOOD]).execute({})


def test_wrong_keys_are_not_retried(asapp: Simulator, connect: Callable[..., None], dag: DAG) -> None:
    """Wrong keys fail the task at once although it has retries."""
    connect("asapp_default", conn_type="asapp", host=asapp.url, login="another-id", password="another-key")
    with dag:
        operator(records=[GOOD], retry_delay=timedelta(0))
    assert run(dag).tasks == {("push", -1): ("failed", 1)}


def test_wrong_fields_are_not_retried(asapp: Simulator) -> None:
    """A misspelt field fails at once, before anything is sent, and the message says what it may have meant."""
    with pytest.raises(AirflowFailException, match="did you mean externalConversationId"):
        operator(records=[{"externlConversationId": "c-1"}]).execute({})
    assert not asapp.ledger.requests


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"batch_size": 1001}, {"max_in_flight": 0}, {"max_rejected": -1}, {"max_rejected_ratio": 2}],
)
def test_wrong_numbers_show_at_parse_time(wrong: dict[str, Any]) -> None:
    """A number out of its range is an error of the DAG's import, not of the night's run."""
    with pytest.raises(AsappConfigurationError, match=next(iter(wrong))):
        operator(records=[], **wrong)


def test_options_reach_the_submission(asapp: Simulator, dag: DAG) -> None:
    """`batch_size`, `field_map`, `unknown` and a templated connection id do what they say."""
    records = [{"id": f"c-{number}", "team": "blue"} for number in range(5)]
    with dag:
        operator(
            records=records,
            batch_size=2,
            field_map={"id": "externalConversationId"},
            unknown="attributes",
            asapp_conn_id="asapp_{{ 'default' }}",
        )
    assert run(dag).xcom("push")["requests"] == 3
    assert asapp.ledger.held("conversation")["c-4"]["attributes"] == [{"name": "team", "value": "blue"}]


def test_rejects(asapp: Simulator, dag: DAG, tmp_path: Path) -> None:
    """Rejects are JSON lines under the templated folder, dag, run and task: each once, with its reason."""
    asapp.misbehave(Fault(keys={"c-5"}, item_error="FAIL_BAD_PARAMS: ERROR: not this one"))
    records = [GOOD, bad(), {"externalConversationId": "c-5"}, {"campaign": "spring"}]
    with dag:
        operator(records=records, rejects_path=f"{tmp_path}/{{{{ 'a' ~ 'b' }}}}", max_rejected=None)
    ended = run(dag)
    folder = tmp_path / "ab" / dag.dag_id / ended.run_id / "push"
    lines = [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]
    assert ended.xcom("push")["rejects"] == str(folder)
    assert {line["position"]: (line["key"], line["stage"], list(line["errors"])) for line in lines} == {
        2: ("c-2", "invalid", ["campaign"]),
        3: ("c-5", "refused", ["asapp"]),
        4: (None, "invalid", ["externalConversationId"]),
    }
    assert len(lines) == 3
    assert lines[0]["record"] == bad()


def test_logs_hold_no_value(
    asapp: Simulator, dag: DAG, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], mark: str
) -> None:
    """Log and traceback of a failed task name position, key, field and rule, and no value, nor a secret."""
    caplog.set_level(logging.DEBUG)
    asapp.misbehave(Fault(keys={"c-1"}, item_error=f"FAIL_BAD_PARAMS: ERROR: {mark}"))
    with dag:
        operator(records=[GOOD, bad(mark)])
    assert run(dag).state == "failed"
    logged = caplog.text + "".join(capfd.readouterr())
    assert "Record 2 (conversation c-2) is invalid: campaign:" in logged
    assert "Record 1 (conversation c-1) is refused: asapp: FAIL_BAD_PARAMS" in logged
    assert mark not in logged
    assert asapp.api_secret not in logged
    assert redact(f"{asapp.api_id} {asapp.api_secret}") == "*** ***"


def test_customer_ids_stay_out_of_logs(
    asapp: Simulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A rejected customer is named by the conversation alone: the customer's id may be a phone number."""
    record = {"externalConversationId": "c-1", "externalCustomerId": "x@example.com", "status": "not so"}
    with pytest.raises(AirflowFailException):
        operator(entity="customer", records=[record]).execute({})
    logged = caplog.text + "".join(capfd.readouterr())
    assert "(customer c-1)" in logged
    assert "x@example.com" not in logged


def test_kill(asapp: Simulator) -> None:
    """`on_kill` from another thread ends the waits of a task under way, which then starts no new request."""
    asapp.misbehave(Fault(status=429, retry_after=60))
    pushed = operator(records=[GOOD])
    pushed.on_kill()
    ended = threading.Event()

    def kill() -> None:
        while not asapp.ledger.requests and not ended.wait(0.01):
            pass
        pushed.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    # Here, not in the thread: Airflow 2.11 executes in the main thread only.
    with pytest.raises(AsappStopped):
        pushed.execute({})
    ended.set()
    killer.join()
    assert len(asapp.ledger.requests) == 1


def test_veil_shows_a_number_at_most() -> None:
    """What Airflow shows of records is their number, or not even that."""
    assert repr(Veiled([GOOD])) == Veiled([GOOD]).serialize() == "<1 records, not shown>"
    assert repr(Veiled(iter([GOOD]))) == "<records, not shown>"
    assert repr(Veiled(None)) == "<records, not shown>"
