"""The sample DAGs and the demo around one of them: what people copy must work as it stands."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_asapp.simulator import Simulator
from dags_examples.demo import telling, warehouse
from tests.airflow_runs import bag_of
from tests.versions import WITH_SDK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.models.dagbag import DagBag

pytestmark = [
    # Airflow's own, each time it reads an .airflowignore or starts its API in the process.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]

DAGS = Path(warehouse.__file__).parents[1]
# Each file is a DAG of its name.
SAMPLES = {path.stem for path in DAGS.glob("*.py")}
DAY = warehouse.DAYS[1]
# The dozen bad rows of a day must stay under the one in a hundred that the DAG lets pass.
PER_DAY = 1_500

# What is wrong with each bad row, found in the warehouse by other means than those that made it.
BAD = {
    "externalConversationId": "chat_id IS NULL OR typeof(chat_id) = 'text'",
    "agentRoutingCode": "routing_code = ''",
    "platform": "channel IN ('fax', 'pager')",
    "campaign": "length(utm_campaign) > 256",
    "companySubdivision": "office = 'New York' OR office = 'Köln'",
    "attributes": "context IS NOT NULL AND (NOT json_valid(context) OR length(context) > 1024"
    " OR (SELECT COUNT(*) FROM json_each(context)) > 10)",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small warehouse of the demo's making."""
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.db"
    warehouse.build(path, per_day=PER_DAY)
    return path


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def bad_rows(path: Path, day: object) -> dict[str, set[int]]:
    """Return the keys of the rows of that day that ASAPP would refuse, by field."""
    where = f"date(ended_at) = '{day}'"
    return {
        field: {key for (key,) in query(path, f"SELECT conversation_key FROM conversations WHERE {where} AND ({bad})")}
        for field, bad in BAD.items()
    }


def fields_by_row(rows: dict[str, set[int]]) -> dict[int, set[str]]:
    """Turn keys by field into fields by key."""
    keys = set().union(*rows.values())
    return {key: {field for field, bad in rows.items() if key in bad} for key in keys}


def rows_of(path: Path, day: object) -> list[dict[str, Any]]:
    """Return a day's rows with all that they point to, in the order in which the DAG must send them."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        rows = db.execute(
            "SELECT * FROM conversations NATURAL LEFT JOIN LINES_OF_BUSINESS NATURAL LEFT JOIN agent_groups"
            " NATURAL LEFT JOIN campaigns NATURAL LEFT JOIN accounts NATURAL LEFT JOIN DEVICES"
            " WHERE date(ended_at) = ? ORDER BY ended_at, conversation_key",
            [str(day)],
        )
        return [dict(row) for row in rows]


def wire(row: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Return what ASAPP should hold of a good row, worked out by hand."""
    segments, context = row["SEGMENTS"], json.loads(row["context"] or "null")
    pairs = context.items() if isinstance(context, dict) else [(pair["name"], pair["value"]) for pair in context or ()]
    fields = {
        "externalConversationId": str(row["chat_id"]),
        "eventId": event_id,
        "lobId": str(int(row["lob_id"])),
        "lobName": row["LOB_NAME"],
        "groupId": str(row["group_id"]),
        "groupName": row["group_name"],
        "agentRoutingCode": row["routing_code"],
        "campaign": row["campaign_code"] or row["utm_campaign"],
        "deviceType": {"smartphone": "PHONE", "pc": "DESKTOP", "Tablet": "TABLET", "watch": "WATCH"}.get(row["DEVICE"]),
        "platform": row["channel"] and row["channel"].upper().replace(" ", "_"),
        "companySegment": [segments] if segments == "Consumer" else json.loads(segments or "null"),
        "companySubdivision": row["office"],
        "businessRule": row["business_rule"],
        "entryType": {"customer": "reactive", "agent": "proactive"}.get(row["opened_by"]),
        "operatingSystem": row["OS"] and row["OS"].upper().replace(" ", "_"),
        "browserType": row["BROWSER"] or None,
        "browserVersion": row["BROWSER_VERSION"],
        "attributes": context
        and [{"name": name, "value": as_text(value)} for name, value in pairs if value is not None],
    }
    return {name: value for name, value in fields.items() if value is not None}


def as_text(value: object) -> str:
    """Return a text as it is, a number or bool as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def test_same_seed_same_warehouse(database: Path, tmp_path: Path) -> None:
    """Equal seeds give equal bytes, another seed gives other rows."""
    again, other = tmp_path / "again.db", tmp_path / "other.db"
    warehouse.build(again, per_day=PER_DAY)
    warehouse.build(other, per_day=PER_DAY, seed=7)
    assert again.read_bytes() == database.read_bytes()
    assert other.read_bytes() != database.read_bytes()


@pytest.mark.parametrize("day", warehouse.DAYS)
def test_every_day_holds_the_flaws(database: Path, day: object) -> None:
    """Each day holds each flaw, in as many rows as promised."""
    found = {field: len(keys) for field, keys in bad_rows(database, day).items()}
    promised = dict.fromkeys(BAD, 0)
    for flaw in (flaw for flaws in warehouse.FLAWS for flaw in flaws):
        promised[flaw.field] += 1
    assert found == promised


@pytest.mark.parametrize(
    "mess",
    [
        "SELECT 1 FROM conversations WHERE typeof(chat_id) = 'integer'",
        "SELECT 1 FROM LINES_OF_BUSINESS WHERE typeof(LOB_ID) = 'real'",
        "SELECT 1 FROM conversations WHERE ended_at IS NULL",
        "SELECT 1 FROM conversations WHERE time(ended_at) = '00:00:00'",
        "SELECT 1 FROM conversations WHERE channel IS NULL",
        "SELECT 1 FROM conversations WHERE channel = 'Voice iOS'",
        "SELECT 1 FROM conversations WHERE json_valid(context) AND json_type(context) = 'array'",
        "SELECT 1 FROM conversations WHERE json_valid(context) AND json_type(context) = 'object'",
        "SELECT 1 FROM accounts WHERE json_valid(SEGMENTS)",
        "SELECT 1 FROM accounts WHERE SEGMENTS = 'Consumer'",
        "SELECT 1 FROM DEVICES WHERE OS = 'Mac OS'",
        "SELECT 1 FROM DEVICES WHERE BROWSER = ''",
    ],
)
def test_warehouse_is_messy(database: Path, mess: str) -> None:
    """The mess that the demo promises is there."""
    assert query(database, mess)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """Read the folder as Airflow does."""
    return bag_of(DAGS)


@WITH_SDK
def test_dags_import(bag: DagBag) -> None:
    """All that Airflow takes for a DAG in the folder imports, and that is the samples alone."""
    assert bag.import_errors == {}
    assert set(bag.dags) == SAMPLES


@WITH_SDK
def test_parsing_is_light() -> None:
    """Reading the DAGs' files loads nothing of what only a running task needs."""
    code = "import sys\n" + "".join(f"import dags_examples.{name}\n" for name in SAMPLES) + "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "airflow_provider_asapp.transfers" in loaded
    assert not loaded & {
        f"airflow_provider_asapp.{module}" for module in ("client", "files", "hooks", "schemas", "sql")
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, []),
        ({"ended": 11}, ["11 conversations of that day are in the warehouse, but the task read 10."]),
        ({"held": 7}, ["The simulator holds 7 conversations, but the report says 8 accepted."]),
        ({"kept": 1}, ["1 rejected rows were kept, but the report counts 2."]),
    ],
)
def test_the_demo_notices_a_row_that_is_lost(change: dict[str, int], sentence: list[str]) -> None:
    """The demo fails with a sentence where the warehouse, the report, the simulator and the rejects disagree."""
    report = {"read": 10, "accepted": 8, "already_persisted": 0, "invalid": 2, "refused": 0}
    assert telling.disagreements(report, **({"ended": 10, "held": 8, "kept": 2} | change)) == sentence


@dataclass(frozen=True)
class Run:
    """What a run of the sample DAG left."""

    state: str
    report: dict[str, Any]
    summary: str
    held: dict[str, dict[str, Any]]
    rejects: list[dict[str, Any]]


@pytest.fixture
def run(
    airflow_db: None, bag: DagBag, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[datetime | None], Run]]:
    """Give a function that runs the sample DAG for a logical date, against a simulator of its own."""
    rejects = tmp_path / "rejects"
    with Simulator(port=0) as asapp:
        connection = {"conn_type": "asapp", "host": asapp.url, "login": asapp.api_id, "password": asapp.api_secret}
        monkeypatch.setenv("AIRFLOW_CONN_ASAPP_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
        monkeypatch.setenv("AIRFLOW_VAR_ASAPP_REJECTS_PATH", rejects.as_uri())

        def run(logical_date: datetime | None) -> Run:
            dag = bag.dags["conversation_metadata"]
            for task in dag.tasks:
                task.retries = 0  # or a test that fails would wait half an hour for it
            dag_run = dag.test(logical_date=logical_date)
            push = dag_run.get_task_instance("push_conversations")
            return Run(
                dag_run.state,
                push.xcom_pull("push_conversations"),
                push.xcom_pull("summarize"),
                asapp.ledger.held("conversation"),
                [
                    json.loads(line)
                    for path in sorted(rejects.rglob("*.jsonl"))
                    for line in path.read_text().splitlines()
                ],
            )

        yield run


@WITH_SDK
def test_a_day_arrives_whole(run: Callable[[datetime | None], Run], database: Path) -> None:
    """Each row of the day, and of no other, is at ASAPP as it should be, or once in the rejects with its fields."""
    day = run(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1))

    bad = fields_by_row(bad_rows(database, DAY))
    good = [row for row in rows_of(database, DAY) if row["conversation_key"] not in bad]
    assert day.state == "success"
    assert day.held.keys() == {str(row["chat_id"]) for row in good}
    assert day.held == {str(row["chat_id"]): wire(row, day.held[str(row["chat_id"])]["eventId"]) for row in good}

    position = {number: row["conversation_key"] for number, row in enumerate(rows_of(database, DAY), 1)}
    rejected = [(position[reject["position"]], set(reject["errors"]), reject["stage"]) for reject in day.rejects]
    assert sorted(rejected) == [(key, fields, "invalid") for key, fields in sorted(bad.items())]

    counts = {"read": len(good) + len(bad), "accepted": len(good), "invalid": len(bad)}
    assert day.report.items() >= (counts | {"already_persisted": 0, "refused": 0, "requests": 2}).items()
    assert day.summary.startswith(f"{len(good):,} of {len(good) + len(bad):,} conversations are at ASAPP; {len(bad)} ")


@WITH_SDK
def test_a_run_by_hand_takes_the_day_before(run: Callable[[datetime | None], Run], database: Path) -> None:
    """A logical date within a day, as the UI proposes it, delivers the whole day before."""
    by_hand = run(datetime(DAY.year, DAY.month, DAY.day, 13, 37, tzinfo=UTC) + timedelta(days=1))
    assert by_hand.report["read"] == warehouse.count_ended(database, DAY)


@WITH_SDK
def test_a_run_without_logical_date_succeeds(run: Callable[[datetime | None], Run]) -> None:
    """A run that has no data interval takes the 24 hours before it: here none, which is a success that says so."""
    undated = run(None)
    assert (undated.state, undated.report["read"]) == ("success", 0)
    assert undated.summary == "0 of 0 conversations are at ASAPP"


def mend(reject: dict[str, Any]) -> dict[str, Any]:
    """Empty the columns of a rejected record that its errors name, as a person would who has no better value."""
    wrong = {field.casefold() for field in reject["errors"]}
    record = {name: None if name.replace("_", "").casefold() in wrong else v for name, v in reject["record"].items()}
    return {**reject, "record": record}


@WITH_SDK
def test_mended_rejects_of_a_day_are_replayed(
    run: Callable[[datetime | None], Run], bag: DagBag, database: Path, tmp_path: Path
) -> None:
    """What a day left in its rejects arrives once it is mended, by a run that was given the folder of the copy."""
    day = run(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1))
    mended = [mend(reject) for reject in day.rejects if "externalConversationId" not in reject["errors"]]
    copy = tmp_path / "mended"
    copy.mkdir()
    (copy / "mended.jsonl").write_text("".join(json.dumps(reject) + "\n" for reject in mended))

    replay = bag.dags["replay_rejects"].test(run_conf={"folder": copy.as_uri()})

    assert replay.state == "success"
    report = replay.get_task_instance("replay").xcom_pull("replay")
    assert (report["read"], report["accepted"], report["rejects"]) == (len(mended), len(mended), None)
    bad = bad_rows(database, DAY)
    lost = bad["externalConversationId"]
    rows = [row for row in rows_of(database, DAY) if row["conversation_key"] in set().union(*bad.values()) - lost]
    assert sorted(reject["key"] for reject in mended) == sorted(str(row["chat_id"]) for row in rows)
