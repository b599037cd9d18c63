"""`docs/bad-records.md` must be so: its example is played, its tables are asked, its SQL is run."""

from __future__ import annotations

import datetime
import json
import logging
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_asapp.accounting import NAMED_REJECTS
from airflow_provider_asapp.isolation import EXTRA_REQUESTS
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.policy import HOPELESS_AFTER, TELLING_BATCH, limit_exceeded
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.transfers import FileToAsappMetadataOperator
from airflow_provider_asapp.validation import Item, Validator
from tests.documents import BAD_RECORDS, REPOSITORY, blocks, marked, plain, table_behind

STORY = dict(marked("story", BAD_RECORDS))
REFUSED = "FAIL_BAD_PARAMS: unknown campaign"


def push(path: Path, rejects: Path) -> dict[str, Any]:
    """Send what lies at a path, outside of a run."""
    operator = FileToAsappMetadataOperator(
        task_id="push", entity="conversation", path=str(path), rejects_path=str(rejects)
    )
    return operator.execute({})


def kept(folder: Path) -> list[str]:
    """Return the lines of all rejects."""
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture
def played(asapp: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> tuple[str, list[str]]:
    """Play the example of the page; give the error and the lines of the log."""
    asapp.misbehave(Fault(keys={"1006"}, item_error=REFUSED, times=1))
    source = tmp_path / "chats" / "today.jsonl"
    source.parent.mkdir()
    source.write_text(STORY["chats/today.jsonl"])
    with caplog.at_level(logging.INFO, "airflow_provider_asapp"), pytest.raises(AirflowFailException) as caught:
        push(source.parent, tmp_path / "rejects")
    return str(caught.value), [record.getMessage() for record in caplog.records]


def test_the_log_is_the_real_one(played: tuple[str, list[str]], tmp_path: Path) -> None:
    """From the first rejected record on, line by line; and the error; both but for the name of the folder."""
    error, log = played
    first, *shown = STORY["log"].splitlines()
    assert first == "..."
    told = [line.replace(str(tmp_path / "rejects"), "...") for line in log]
    assert told[told.index(shown[0]) :] == shown
    assert error == STORY["error"].strip().replace("....", f"{tmp_path / 'rejects'}.")


def test_the_rejects_are_the_real_ones(played: tuple[str, list[str]], tmp_path: Path) -> None:
    """The lines that are shown are among them, letter by letter, and their names are explained."""
    shown = STORY["rejects"].splitlines()
    lines = kept(tmp_path / "rejects")
    assert len(lines) == 4
    assert [line for line in lines if line in shown] == shown
    names = [plain(name) for name, _ in table_behind("<!-- a line -->", BAD_RECORDS)]
    assert names == list(Rejection.__dataclass_fields__)


def test_mended_rejects_arrive(played: tuple[str, list[str]], asapp: Simulator, tmp_path: Path) -> None:
    """The commands of the page, run by a shell: all that is left of the copy is then accepted."""
    (commands,) = blocks(BAD_RECORDS, "sh")
    subprocess.run(
        ["bash", "-euc", commands],  # noqa: S607
        cwd=tmp_path,
        env={**os.environ, "REJECTS": str(tmp_path / "rejects")},
        check=True,
    )
    report = push(tmp_path / "mended", tmp_path / "again")
    assert (report["read"], report["accepted"], report["rejects"]) == (3, 3, None)
    assert set(asapp.ledger.held("conversation")) == {"1001", "1002", "1003", "1005", "1006"}


def test_the_replay_is_triggered_with_what_it_takes(tmp_path: Path) -> None:
    """The command's `--conf` is, in a shell, a JSON object with the parameter of the sample DAG."""
    (command,) = blocks(BAD_RECORDS, "console")
    argument = command.partition("--conf ")[2].strip()
    said = subprocess.run(["bash", "-c", f"echo {argument}"], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S607
    assert json.loads(said.stdout) == {"folder": (tmp_path / "mended").as_uri()}
    sample = (REPOSITORY / "dags_examples" / "replay_rejects.py").read_text()
    assert 'dag_id="replay_rejects"' in sample
    assert '"folder": Param(' in sample


def test_the_limits_are_the_real_ones() -> None:
    """Of 1,000 records exactly as many may be rejected as each row says."""
    for count, ratio, most in table_behind("## Limits", BAD_RECORDS):
        limits = {"max_rejected": json.loads(plain(count).replace("None", "null"))}
        limits["max_rejected_ratio"] = json.loads(plain(ratio).replace("None", "null"))
        fine = [number for number in range(1001) if not limit_exceeded(read=1000, rejected=number, **limits)]
        assert fine == list(range(int(most) + 1)), (count, ratio)


def test_the_numbers_are_those_of_the_code() -> None:
    """How many records the log names, and what counts as a wrong mapping."""
    text = BAD_RECORDS.read_text()
    assert f"first {NAMED_REJECTS} rejected records" in text
    assert f"{HOPELESS_AFTER:,} records without a valid one" in text
    assert f"a first batch of {TELLING_BATCH} records or more" in text
    assert f"after {EXTRA_REQUESTS} requests more" in text


# --- what comes in


def sent(entity: str, record: dict[str, Any], **how: Any) -> dict[str, Any]:
    """Return what ASAPP gets of a record, without its ids."""
    ids = dict.fromkeys(ENTITIES[entity].key_fields, "1")
    (page,) = pages_of([{**ids, **record}])
    (item,) = Validator(entity, **how).check(page, 1)
    assert isinstance(item, Item), item
    wire: dict[str, Any] = json.loads(item.body)
    return {name: value for name, value in wire.items() if name not in {"eventId", *ids}}


def of(field: str, *values: Any, entity: str = "conversation") -> list[Any]:
    """Return what ASAPP gets of some values of a field."""
    return [sent(entity, {field: value}).get(field) for value in values]


def pair(value: str, name: str = "a") -> list[dict[str, str]]:
    """Return attributes of one pair."""
    return [{"name": name, "value": value}]


UTC_PLUS_1 = datetime.timezone(datetime.timedelta(hours=1))
# By the beginning of each row of the table: what is asked, and the answer that the row promises.
COMES_IN: dict[str, tuple[Callable[[], Any], Any]] = {
    "column names in any case": (
        lambda: [
            sent("conversation", {"LOB_ID": 1}),
            sent("conversation", {"lobid": 1}),
            sent("conversation", {"x": 1}, field_map={"x": "lobId"}),
        ],
        [{"lobId": "1"}] * 3,
    ),
    "a column that is no field": (
        lambda: [sent("conversation", {"a": 1}, unknown=unknown) for unknown in ("exclude", "attributes")],
        [{}, {"attributes": pair("1")}],
    ),
    "NULL, NaN, NaT": (lambda: of("lobId", None, float("nan"), Decimal("NaN")), [None] * 3),
    "a whole number (also": (
        lambda: of("lobName", 1038, 1038.0, Decimal(1038), UUID(int=1)),
        ["1038", "1038", "1038", str(UUID(int=1))],
    ),
    '`"12"`, `12.0`': (lambda: of("ranking", "12", 12.0, entity="agent"), [12, 12]),
    "`ios`, `Mac OS`": (
        lambda: of("platform", "ios", "voice-ios") + of("operatingSystem", "Mac OS"),
        ["IOS", "VOICE_IOS", "MAC_OS"],
    ),
    "JSON text, or an array": (
        lambda: of("companySegment", '["a", "b"]', ("a", "b"), "a") + of("attributes", '{"a": "b"}', {"a": "b"}),
        [["a", "b"], ["a", "b"], ["a"], pair("b"), pair("b")],
    ),
    "a number, bool, date": (
        lambda: of("attributes", {"a": 1.5}, {"a": True}, {"a": datetime.date(2026, 3, 4)}),
        [pair("1.5"), pair("true"), pair("2026-03-04")],
    ),
    "a time with a zone": (
        lambda: of(
            "startTs",
            datetime.datetime(2026, 3, 4, 5, tzinfo=UTC_PLUS_1),
            datetime.date(2026, 3, 4),
            "2026-03-04T05:00:00+01:00",
            entity="agent",
        ),
        ["2026-03-04T04:00:00Z", "2026-03-04T00:00:00Z", "2026-03-04T04:00:00Z"],
    ),
    "a phone number": (lambda: of("phoneNumber", "+1 555 0100", entity="customer"), ["+15550100"]),
}


def test_what_comes_in_goes_out_as_the_page_says() -> None:
    """Each row of the table is asked here, and nothing is asked that has no row."""
    given = [cells[0] for cells in table_behind("## What comes in", BAD_RECORDS)]
    assert len(given) == len(COMES_IN)
    for row, (begins, (ask, answer)) in zip(given, COMES_IN.items(), strict=True):
        assert row.startswith(begins)
        assert ask() == answer, row


# --- the SQL


def errors_of(field: str, value: Any) -> str:
    """Return what is said of a value of a field, nothing if it is fine."""
    entity = next(entity for entity in ENTITIES.values() if field in entity.schema_class().fields)
    return str(entity.schema_class().validate({**dict.fromkeys(entity.key_fields, "1"), field: value}).get(field, ""))


@pytest.mark.parametrize("row", table_behind("## The SQL", BAD_RECORDS), ids=lambda row: row[0])
def test_the_sql_mends_it(row: list[str]) -> None:
    """The value breaks the rule with that message, and what SQLite makes of it is valid."""
    message, field, value, sql = row
    value = plain(value).replace("''", "")
    assert message in errors_of(plain(field), value)
    with closing(sqlite3.connect(":memory:")) as db:
        ((mended,),) = db.execute(f"SELECT {sql.split('`')[1]} FROM (SELECT ? AS col)", [value])
    assert errors_of(plain(field), mended) == ""
