"""What Airflow shows of a task besides its report: metrics, the events of its assets, rendered fields, labels."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, Stats, task

from airflow_provider_asapp.operators import AsappMetadataOperator
from airflow_provider_asapp.seen import COUNTED
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator, SqlToAsappMetadataOperator
from tests.airflow_runs import database, run
from tests.versions import AIRFLOW

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

# Two that are taken, two that are invalid, and one that ASAPP will refuse.
RECORDS = [
    {"externalConversationId": "c-1"},
    {"externalConversationId": "c-2", "campaign": "not an identifier"},
    {"externalConversationId": "c-refused"},
    {"externalConversationId": "c-3"},
    {"campaign": "spring"},
]
OUTCOMES = {"accepted": 2, "already_persisted": 0, "invalid": 2, "refused": 1, "requests": 1}
URI = "asapp://api.asapp.com/conversation"
# Airflow's own names, of old and of now.
ASSET = "asset" if AIRFLOW >= (3, 0) else "dataset"
STATSD = f"airflow.{'observability.' if AIRFLOW >= (3, 2) else ''}metrics.statsd_logger"


@pytest.fixture
def refusing(asapp: Simulator) -> Simulator:
    """Give a simulator that refuses one of the records."""
    asapp.misbehave(Fault(keys={"c-refused"}, item_error="FAIL_BAD_PARAMS: ERROR: not this one"))
    return asapp


def operator(**arguments: Any) -> AsappMetadataOperator:
    """Return an operator that sends the records, if nothing else is said."""
    given = {"task_id": "push", "entity": "conversation", "records": RECORDS, "max_rejected": None}
    return AsappMetadataOperator(**(given | arguments))


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, int]]]:
    """Run a statsd server, as far as it goes: a UDP socket; give a way to read the counters of ASAPP it received."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        for name, value in {"ON": True, "HOST": "127.0.0.1", "PORT": server.getsockname()[1]}.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", str(value))
        logger = import_module(STATSD).get_statsd_logger(*([] if AIRFLOW >= (3, 2) else [Stats]))
        with monkeypatch.context() as patched:
            if AIRFLOW < (3, 3):
                patched.setattr(Stats, "instance", logger, raising=False)
                patched.setattr(Stats, "_instance_pid", os.getpid(), raising=False)
            else:
                Stats.initialize(factory=lambda: logger, export_legacy_names=True)
            yield lambda: counters(server)
        if AIRFLOW >= (3, 3):
            from airflow._shared.observability.metrics.base_stats_logger import NoStatsLogger

            Stats.initialize(factory=NoStatsLogger, export_legacy_names=True)
        logger.statsd.close()


def counters(server: socket.socket) -> dict[str, int]:
    """Return the counters of ASAPP that a socket holds, added up."""
    found: dict[str, int] = {}
    while True:
        try:
            name, value = server.recv(65536).decode().split(":")
        except BlockingIOError:
            return found
        number, kind = value.split("|")
        if "asapp" in name:
            assert kind == "c"
            found[name] = found.get(name, 0) + int(number)


@pytest.mark.parametrize(("limit", "state"), [(None, "success"), (1, "failed")])
def test_metrics(
    refusing: Simulator, dag: DAG, statsd: Callable[[], dict[str, int]], limit: int | None, state: str
) -> None:
    """The counts of a task go to Airflow's metrics, zeros too, also where a limit fails it: it has sent them all."""
    with dag:
        operator(max_rejected=limit)
    assert run(dag).state == state
    assert statsd() == {f"airflow.asapp.conversation.{name}": count for name, count in OUTCOMES.items()}


def test_the_names_of_the_metrics_stay() -> None:
    """The names are those that dashboards were built on."""
    assert COUNTED == ("accepted", "already_persisted", "invalid", "refused", "requests")


def test_a_rehearsal_is_no_metric(asapp: Simulator, dag: DAG, statsd: Callable[[], dict[str, int]]) -> None:
    """`validate_only` sends nothing, and so counts nothing."""
    with dag:
        operator(validate_only=True)
    assert run(dag).state == "success"
    assert statsd() == {}


def test_trouble_with_metrics_costs_no_delivery(
    asapp: Simulator, dag: DAG, mocker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong while the counts are told is a warning: the records have arrived, and must not go again."""
    mocker.patch.object(Stats, "incr", side_effect=OSError("no such backend"))
    report = operator().execute({})
    assert report["accepted"] == 3
    assert "The counts could not be told to Airflow's metrics or assets: OSError." in caplog.messages


def test_events_of_assets_hold_the_report(refusing: Simulator, dag: DAG, tmp_path: Path) -> None:
    """The event of each asset among a task's outlets holds its report; whoever reads the asset finds the counts."""
    ours, another = Asset(URI), Asset("conversations_of_the_day")
    with dag:
        pushed = operator(outlets=[ours, another, AssetAlias("alias")], rejects_path=str(tmp_path))

        @task(inlets=[ours])
        def consume(*, inlet_events: Any) -> dict[str, Any]:
            return dict(inlet_events[ours][-1].extra)

        pushed >> consume()
    ended = run(dag)
    report = ended.xcom("push")
    assert {name: report[name] for name in OUTCOMES} == OUTCOMES
    assert ended.xcom("consume") == report
    sql = f"SELECT a.uri, e.extra FROM {ASSET} a JOIN {ASSET}_event e ON a.id = e.{ASSET}_id WHERE source_run_id = ?"
    with closing(database()) as db:
        events = {uri: json.loads(extra) for uri, extra in db.execute(sql, [ended.run_id])}
    assert events == {URI: report, "conversations_of_the_day": report}


def test_a_failed_task_leaves_no_event(refusing: Simulator, dag: DAG) -> None:
    """A task that a limit fails updates no asset: what is scheduled by it does not run."""
    with dag:
        operator(outlets=[Asset(URI)], max_rejected=0)
    ended = run(dag)
    with closing(database()) as db:
        found = db.execute(f"SELECT 1 FROM {ASSET}_event WHERE source_run_id = ?", [ended.run_id]).fetchall()
    assert (ended.state, found) == ("failed", [])


def rendered(ended: Any) -> dict[int, dict[str, Any]]:
    """Return the rendered fields of a run's push by map index, as Airflow's tab shows them."""
    sql = "SELECT map_index, rendered_fields FROM rendered_task_instance_fields WHERE run_id = ? AND task_id = 'push'"
    with closing(database()) as db:
        return {index: json.loads(fields) for index, fields in db.execute(sql, [ended.run_id])}


@pytest.fixture
def warehouse(connect: Callable[..., None], tmp_path: Path) -> str:
    """Give a text that stands in each of the three rows of the warehouse, and nowhere else."""
    mark = uuid4().hex
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as db, db:
        db.execute("CREATE TABLE chats (id, region, campaign)")
        db.executemany("INSERT INTO chats VALUES (?, ?, ?)", [(n, n % 2, mark) for n in range(3)])
    connect("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    return mark


SQL = "SELECT id AS external_conversation_id, campaign FROM chats WHERE region = ? AND '{{ params.day }}' ORDER BY id"


def test_rendered_fields_show_the_statement(asapp: Simulator, warehouse: str, dag: DAG) -> None:
    """The tab "Rendered Templates" shows statement, parameters and connections as they were used, and no record."""
    with dag:
        SqlToAsappMetadataOperator(
            task_id="push",
            entity="conversation",
            sql=SQL,
            sql_conn_id="warehouse",
            parameters=["{{ params.region }}"],
            params={"day": "2026-03-04", "region": 1},
        )
    ended = run(dag)
    fields = rendered(ended)[-1]
    assert fields["sql"] == SQL.replace("{{ params.day }}", "2026-03-04")
    assert fields["parameters"] == ["1"]
    assert (fields["sql_conn_id"], fields["asapp_conn_id"]) == ("warehouse", "asapp_default")
    assert warehouse not in str(rendered(ended))


def test_mapped_tasks_show_their_part(asapp: Simulator, warehouse: str, dag: DAG) -> None:
    """Of mapped tasks, each shows its own parameters and no record, and is labelled by its `map_index_template`."""
    with dag:
        SqlToAsappMetadataOperator.partial(
            task_id="push",
            entity="conversation",
            sql=SQL,
            sql_conn_id="warehouse",
            params={"day": "2026-03-04"},
            map_index_template="region {{ task.parameters[0] }}",
        ).expand(parameters=[[0], [1]])
    ended = run(dag)
    fields = rendered(ended)
    assert [fields[index]["parameters"] for index in (0, 1)] == [[0], [1]]
    assert all(fields[index]["sql"] == SQL.replace("{{ params.day }}", "2026-03-04") for index in (0, 1))
    assert warehouse not in str(fields)
    sql = "SELECT map_index, rendered_map_index FROM task_instance WHERE run_id = ?"
    with closing(database()) as db:
        labels = dict(db.execute(sql, [ended.run_id]).fetchall())
    assert labels == {0: "region 0", 1: "region 1"}


def test_mapped_files_show_their_path(asapp: Simulator, dag: DAG, tmp_path: Path) -> None:
    """Mapped over paths, each task shows its own."""
    paths = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for number, path in enumerate(paths):
        path.write_text(json.dumps({"externalConversationId": number}))
    with dag:
        mapped = FileToAsappMetadataOperator.partial(task_id="push", entity="conversation")
        mapped.expand(path=[str(path) for path in paths])
    fields = rendered(run(dag))
    assert [fields[index]["path"] for index in (0, 1)] == [str(path) for path in paths]
