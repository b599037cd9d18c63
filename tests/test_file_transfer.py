"""From files to ASAPP and nothing between: real files, real Airflow, a simulator over HTTP."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator
from tests.airflow_runs import database, run, tables_with
from tests.versions import AIRFLOW

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG


def operator(path: object, **arguments: Any) -> FileToAsappMetadataOperator:
    """Return a transfer of conversations from a path, if nothing else is said."""
    return FileToAsappMetadataOperator(**({"task_id": "push", "entity": "conversation", "path": str(path)} | arguments))


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the counts that matter here."""
    return report["read"], report["accepted"], report["invalid"] + report["refused"], report["requests"]


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of all files of rejects below a folder."""
    return [json.loads(line) for path in sorted(folder.rglob("*.jsonl")) for line in path.read_text().splitlines()]


def conversations(*numbers: int, **fields: Any) -> str:
    """Return JSON lines of conversations with these ids."""
    return "".join(json.dumps({"external_conversation_id": n, **fields}) + "\n" for n in numbers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder in which 1200 JSON lines and, after them, 300 rows of CSV lie."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jsonl").write_text(conversations(*range(1, 1201), campaign="spring"))
    rows = "".join(f"{n},spring\n" for n in range(1201, 1501))
    (folder / "2.csv").write_text(f"EXTERNAL_CONVERSATION_ID,CAMPAIGN\n{rows}")
    return folder


def test_every_record_of_a_folder_arrives(asapp: Simulator, folder: Path, dag: DAG) -> None:
    """Each line and row is a record at ASAPP; the report goes to XCom; the path is a template, and shown as such."""
    with dag:
        operator("{{ params.folder }}", params={"folder": folder.as_uri()})
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 1)}
    assert counts(ended.xcom("push")) == (1500, 1500, 0, 2)
    held = asapp.ledger.held("conversation")
    assert set(held) == {str(n) for n in range(1, 1501)}
    assert {item["campaign"] for item in held.values()} == {"spring"}
    with closing(database()) as db:
        ((fields,),) = db.execute(
            "SELECT rendered_fields FROM rendered_task_instance_fields WHERE dag_id = ?", [dag.dag_id]
        )
    assert json.loads(fields)["path"] == folder.as_uri()


def test_any_storage_of_airflow(asapp: Simulator, dag: DAG) -> None:
    """A path with a scheme and a connection is read where Airflow finds it."""
    from fsspec.implementations.memory import MemoryFileSystem

    fs = MemoryFileSystem()
    import_module("airflow.sdk.io" if AIRFLOW >= (3,) else "airflow.io.store").attach("memory", "keep", fs=fs)
    fs.pipe("/bucket/day/1.jsonl", conversations(1, 2).encode())
    try:
        assert counts(operator("memory://keep@bucket/*/1.jsonl").execute({})) == (2, 2, 0, 1)
    finally:
        fs.rm("/", recursive=True)


def test_path_from_a_task(asapp: Simulator, folder: Path, dag: DAG) -> None:
    """The path may be what an upstream task returned."""
    from airflow.providers.common.compat.sdk import task

    with dag:
        FileToAsappMetadataOperator(
            task_id="push", entity="conversation", path=task(task_id="find")(lambda: str(folder))()
        )
    assert counts(run(dag).xcom("push")) == (1500, 1500, 0, 2)


def test_positions_count_over_all_files(asapp: Simulator, folder: Path, tmp_path: Path) -> None:
    """What can't be read counts too and is in the rejects with its text; it stops neither its file nor the next."""
    with (folder / "1.jsonl").open("a") as file:
        file.write('\n{"broken": \n\n"text"\n')
    with (folder / "2.csv").open("a") as file:
        file.write("1501\n1502,not so\n")
    report = operator(folder, max_rejected=4, rejects_path=str(tmp_path / "rejects")).execute({})
    assert counts(report) == (1504, 1500, 4, 2)
    found = [(line["position"], line["key"], line["record"]) for line in lines(tmp_path / "rejects")]
    assert found == [
        (1201, None, '{"broken": '),
        (1202, None, "text"),
        (1503, None, "1501"),
        (1504, "1502", {"EXTERNAL_CONVERSATION_ID": "1502", "CAMPAIGN": "not so"}),
    ]


def test_first_line_that_cannot_be_read(asapp: Simulator, folder: Path) -> None:
    """It is a bad record, no wrong mapping; the first record that can be read must fit, or nothing is sent."""
    (folder / "0.jsonl").write_text("5\n[]\n")
    report = operator(folder, max_rejected=2).execute({})
    assert counts(report) == (1502, 1500, 2, 2)
    asapp.reset()
    (folder / "0.jsonl").write_text('5\n{"externl_conversation_id": 1}\n')
    with pytest.raises(AirflowFailException, match=r"did you mean externalConversationId"):
        operator(folder, max_rejected=2).execute({})
    assert not asapp.ledger.requests


@pytest.mark.parametrize("header", ["external_conversation_id,campain", "external_conversation_id;campaign"])
def test_columns_of_csv(asapp: Simulator, tmp_path: Path, header: str) -> None:
    """A header with a column that is no field fails before anything is sent, on an empty day too."""
    (tmp_path / "x.csv").write_text(f"{header}\n")
    with pytest.raises(AirflowFailException, match="is no field of conversation"):
        operator(tmp_path / "x.csv").execute({})
    assert not asapp.ledger.requests
    (tmp_path / "x.csv").write_text("external_conversation_id;campaign\n1;spring\n")
    assert counts(operator(tmp_path / "x.csv", delimiter=";").execute({})) == (1, 1, 0, 1)


def test_columns_of_a_later_file(asapp: Simulator, folder: Path) -> None:
    """They may be others; where one is no field, the records of that file are invalid and the rest arrives."""
    (folder / "3.csv").write_text("lob_id,external_conversation_id\n5,1501\n")
    (folder / "4.csv").write_text("external_conversation_id,colour\n1502,red\n1503,blue\n")
    assert counts(operator(folder, max_rejected=2).execute({})) == (1503, 1501, 2, 2)
    assert asapp.ledger.held("conversation")["1501"]["lobId"] == "5"


def test_files_of_any_name(asapp: Simulator, tmp_path: Path) -> None:
    """`file_format` says what the ending does not, and `field_map` what the columns mean."""
    (tmp_path / "0000_part_00").write_text("chat\n1\n2\n")
    given = {"file_format": "csv", "field_map": {"CHAT": "externalConversationId"}}
    assert counts(operator(tmp_path, **given).execute({})) == (2, 2, 0, 1)
    with pytest.raises(AirflowFailException, match="say file_format"):
        operator(tmp_path).execute({})


@pytest.mark.parametrize("wrong", [{"delimiter": ""}, {"delimiter": "::"}, {"delimiter": "\n"}, {"file_format": "xml"}])
def test_wrong_parameters(wrong: dict[str, Any]) -> None:
    """A typo shows when the DAG is parsed."""
    with pytest.raises(AsappConfigurationError, match="must be one"):
        operator("x.csv", **wrong)


def test_nothing_there(asapp: Simulator, tmp_path: Path, dag: DAG) -> None:
    """A missing path is tried again, as files come late; an empty folder or glob is an empty source."""
    with dag:
        operator(tmp_path / "late.csv", retries=1, retry_delay=timedelta(0))
    assert run(dag).tasks == {("push", -1): ("failed", 2)}
    with pytest.raises(FileNotFoundError, match=r"There is nothing at .*late\.csv"):
        operator(tmp_path / "late.csv").execute({})
    (tmp_path / "empty").mkdir()
    assert counts(operator(tmp_path / "*.csv").execute({})) == (0, 0, 0, 0)
    with pytest.raises(AirflowSkipException, match="no conversation"):
        operator(tmp_path / "empty", on_empty="skip").execute({})


@pytest.mark.parametrize("path", ["", "s3://bucket/x.csv", "nowhere://x.csv"])
def test_no_storage(asapp: Simulator, path: str) -> None:
    """An empty path, or one of a storage whose provider is not installed, is one clear sentence and not retried."""
    with pytest.raises(AirflowFailException, match=r"^path"):
        operator(path).execute({})


def test_nothing_of_a_record_is_shown(
    asapp: Simulator, tmp_path: Path, dag: DAG, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither logs nor Airflow's database hold what stands in a line, whether it can be read or not."""
    caplog.set_level(logging.DEBUG)
    mark = uuid4().hex
    (tmp_path / "1.jsonl").write_text(f'{conversations(1)}{mark}\n"{mark}"\n{{"a": "{mark}", "a": 1}}\n')
    (tmp_path / "2.csv").write_text(f'external_conversation_id,campaign\n1\n2,"{mark}" {mark}\n3,{mark} {mark}\n')
    with dag:
        operator(tmp_path, retries=0)
    assert run(dag).state == "failed"
    logged = caplog.text + "".join(capfd.readouterr())
    assert "the line is not JSON" in logged
    assert mark not in logged
    assert tables_with(mark) == set()


# --- replay


def test_mended_rejects_are_accepted(asapp: Simulator, folder: Path, tmp_path: Path, dag: DAG) -> None:
    """Rejected, mended in the file by hand, replayed from the same folder: everything is at ASAPP, once each."""
    with (folder / "1.jsonl").open("a") as file:
        file.write(conversations(1501, 1502, campaign="not so"))
    rejects = tmp_path / "rejects"
    with dag:
        push = operator(folder, rejects_path=str(rejects), max_rejected=None)
        push >> operator(rejects / dag.dag_id / "{{ run_id }}" / "push", task_id="again", max_rejected=None)
    ended = run(dag)
    assert counts(ended.xcom("again")) == (2, 0, 2, 0)
    kept = Path(ended.xcom("push")["rejects"].removeprefix("file://"))
    for path in kept.iterdir():
        path.write_text(path.read_text().replace("not so", "so"))
    assert counts(operator(kept).execute({})) == (2, 2, 0, 1)
    held = asapp.ledger.held("conversation")
    assert len(held) == 1502
    assert held["1501"]["campaign"] == "so"


def test_replayed_files_are_never_touched(asapp: Simulator, tmp_path: Path, dag: DAG) -> None:
    """A replay whose own rejects go into the folder that it reads deletes nothing there but what it wrote itself."""
    other = tmp_path / "other_dag" / "run" / "push"
    earlier = tmp_path / dag.dag_id / "an-earlier-run" / "push"
    for number, place in enumerate((other, earlier), 1):
        place.mkdir(parents=True)
        (place / "000000000001.jsonl").write_text(conversations(number, campaign="not so"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    with dag:
        operator(tmp_path, rejects_path=str(tmp_path), max_rejected=None)
    ended = run(dag)
    assert counts(ended.xcom("push")) == (2, 0, 2, 0)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert after.items() >= before.items()
    assert [path.parent for path in after.keys() - before.keys()] == [tmp_path / dag.dag_id / ended.run_id / "push"]


@pytest.mark.usefixtures("instant")
def test_a_retry_does_not_read_its_own_rejects(asapp: Simulator, tmp_path: Path, dag: DAG) -> None:
    """A try that fails after it has written rejects into the folder that it reads, and the next: each record once."""
    # Sorted after the rejects of the run.
    (tmp_path / "x.jsonl").write_text(conversations(0, campaign="not so") + conversations(*range(1, 2501)))
    asapp.misbehave(Fault(requests=range(2, 6), status=503))
    with dag:
        operator(
            tmp_path, rejects_path=str(tmp_path), max_rejected=1, max_in_flight=1, retries=1, retry_delay=timedelta(0)
        )
    ended = run(dag)
    assert ended.tasks == {("push", -1): ("success", 2)}
    assert counts(ended.xcom("push"))[:3] == (2501, 2500, 1)
    assert [line["position"] for line in lines(tmp_path / dag.dag_id)] == [1]


def test_outside_of_a_run_nothing_is_replaced(asapp: Simulator, tmp_path: Path) -> None:
    """Where no run tells the task's rejects from those that it reads, one folder for both is refused."""
    file = tmp_path / "000000000001.jsonl"
    file.write_text(conversations(1, campaign="not so"))
    with pytest.raises(AirflowFailException, match="rejects_path is where the files to be read are"):
        operator(tmp_path, rejects_path=str(tmp_path)).execute({})
    assert file.exists()
    report = operator(tmp_path, rejects_path=str(tmp_path / "again"), max_rejected=1).execute({})
    assert [line["position"] for line in lines(tmp_path / "again")] == [1]
    assert counts(report) == (1, 0, 1, 0)
