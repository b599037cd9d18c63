"""What OpenLineage's own provider says of our tasks: real events of a real run, read from its file transport."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_asapp import lineage
from airflow_provider_asapp.operators import AsappMetadataOperator
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator

GOOD, BAD = 3, 2


@dataclass(frozen=True)
class Told:
    """What was told of the run's tasks.

    :param text: all events, as they were written.
    :param domain: of the ASAPP they went to.
    :param mark: a text that stands in every record.
    """

    text: str
    states: dict[str, str]
    folder: Path
    domain: str
    mark: str

    def event(self, task_id: str, kind: str = "COMPLETE") -> dict[str, Any]:
        """Return the event of a task."""
        events = (json.loads(line) for line in self.text.splitlines())
        (event,) = (e for e in events if (e["job"]["name"], e["eventType"]) == (f"lineage.{task_id}", kind))
        return event

    def inputs(self, *of: str) -> list[tuple[str, str]]:
        """Return namespace and name of what went in."""
        return [(dataset["namespace"], dataset["name"]) for dataset in self.event(*of)["inputs"]]

    def outputs(self, *of: str) -> dict[tuple[str, str], int]:
        """Return the rows by namespace and name of what came out."""
        return {
            (dataset["namespace"], dataset["name"]): dataset["outputFacets"]["outputStatistics"]["rowCount"]
            for dataset in self.event(*of)["outputs"]
        }


@pytest.fixture(scope="module")
def told(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Run the DAG of `lineage_run`, with all that OpenLineage can be asked to tell."""
    folder, mark = tmp_path_factory.mktemp("lineage"), uuid4().hex
    prepare(folder, mark)
    with Simulator() as asapp:
        asapp_default = {"conn_type": "asapp", "host": asapp.url, "login": asapp.api_id, "password": asapp.api_secret}
        transport = {"type": "file", "log_file_path": str(folder / "events"), "append": True}
        env = os.environ | {
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO": "True",
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "300",  # of a busy machine
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
            "AIRFLOW_CONN_ASAPP_DEFAULT": json.dumps(asapp_default),
        }
        command = [sys.executable, "-m", "tests.lineage_run", str(folder)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        assert done.returncode == 0, done.stderr
        states = json.loads(done.stdout.splitlines()[-1])
        return Told((folder / "events").read_text(), states, folder, asapp.url.removeprefix("http://"), mark)


def prepare(folder: Path, mark: str) -> None:
    """Write the sources: conversations of which some are invalid, and whose every campaign holds the mark."""
    (folder / "mark").write_text(mark)
    rows = [(n, 1, mark if n < GOOD else f"{mark} !") for n in range(GOOD + BAD)]
    with closing(sqlite3.connect(folder / "warehouse.db")) as db, db:
        db.executescript("CREATE TABLE chats (id, day, campaign); CREATE TABLE days (day); INSERT INTO days VALUES (1)")
        db.executemany("INSERT INTO chats VALUES (?, ?, ?)", rows)
    (folder / "in").mkdir()
    (folder / "in" / "1.jsonl").write_text(json.dumps({"externalConversationId": "f-1", "campaign": mark}))


def test_tables_in_entity_out(told: Told) -> None:
    """A query's tables go in under the names of the warehouse's provider; ASAPP's entity comes out with its count."""
    assert told.states["query"] == "success"
    assert set(told.inputs("query")) == {("warehouse://db:5432", "main.chats"), ("warehouse://db:5432", "main.days")}
    assert told.outputs("query")[f"asapp://{told.domain}", "conversation"] == GOOD
    assert told.event("query")["job"]["facets"]["sql"]["query"].startswith("SELECT id AS external_conversation_id")


def test_the_rejects_are_an_output(told: Told) -> None:
    """Who looks for copies of personal data finds the folder of the rejects, the same one for each run."""
    assert told.outputs("query")["file", str(told.folder / "rejects")] == BAD
    assert len(told.outputs("files")) == 1


def test_a_failed_task_tells_what_it_delivered(told: Told) -> None:
    """Also a task that a limit fails has sent its valid records, and says so."""
    assert told.states["failing"] == "failed"
    assert told.outputs("failing", "FAIL")[f"asapp://{told.domain}", "conversation"] == GOOD


def test_a_path_in(told: Told) -> None:
    """The files' folder goes in, and beside it what the author of the task lists as inlets."""
    assert set(told.inputs("files")) == {("file", str(told.folder / "in")), ("asapp://api.asapp.com", "conversation")}
    assert told.outputs("files") == {(f"asapp://{told.domain}", "conversation"): 1}


def test_a_try_without_a_report_tells_its_inputs() -> None:
    """A try that ended before its report, when ASAPP was down for example, names what it reads and claims nothing."""
    operator = FileToAsappMetadataOperator(task_id="push", entity="agent", path="/data/in/1.jsonl")
    told = operator.get_openlineage_facets_on_complete(None)
    assert ([dataset.name for dataset in told.inputs], told.outputs) == (["/data/in/1.jsonl"], [])


def test_a_rehearsal_delivers_nothing(told: Told) -> None:
    """`validate_only` sends nothing to ASAPP, and may leave rejects."""
    assert told.states["rehearsal"] == "success"
    assert told.outputs("rehearsal") == {("file", str(told.folder / "rejects")): 1}


def test_no_value_is_told(told: Told) -> None:
    """No event holds a value of a record, also where the whole of a task is told."""
    assert len(told.text.splitlines()) >= 8
    assert '"rejects_path"' in told.text
    assert told.mark not in told.text


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("s3://conn@bucket/folder/day=1/*.jsonl", "s3://bucket", "folder/day=1"),
        ("gs://bucket/folder/1.csv", "gs://bucket", "folder/1.csv"),
        ("s3://bucket/[ab]*.csv", "s3://bucket", ""),
        ("file:///data/in/1.jsonl", "file", "/data/in/1.jsonl"),
        ("/data/*/1.jsonl", "file", "/data"),
    ],
)
def test_the_names_of_paths(path: str, namespace: str, name: str) -> None:
    """A path has OpenLineage's name for its storage, without the connection; of a glob the folder is named."""
    (dataset,) = lineage.of_files(path).inputs
    assert (dataset.namespace, dataset.name) == (namespace, name)


def test_a_warehouse_without_names(connect: Callable[..., None]) -> None:
    """Of a warehouse whose hook says nothing about OpenLineage, nothing is told, and nothing fails."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    connect("warehouse", conn_type="sqlite", host=":memory:")
    assert lineage.of_query(SqliteHook("warehouse"), "warehouse", "SELECT 1") == lineage.Lineage()


def test_openlineage_may_be_absent(asapp: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenLineage's provider nothing is imported from it, and a task runs as ever."""
    for name in ("airflow.providers.openlineage", "openlineage"):
        monkeypatch.setitem(sys.modules, name, None)
    operator = AsappMetadataOperator(task_id="push", entity="agent", records=[{"externalAgentId": "a-1"}])
    assert operator.execute({})["accepted"] == 1
