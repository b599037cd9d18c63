"""The sample DAGs for agents and customers, run as they stand: what people copy must work."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_asapp.simulator import Simulator
from dags_examples.demo import people, warehouse
from tests.airflow_runs import bag_of, tables_with
from tests.servers import HttpServer, Received, Reply
from tests.versions import WITH_SDK

if TYPE_CHECKING:
    from airflow.models.dagbag import DagBag

pytestmark = [
    WITH_SDK,
    # Airflow's own, each time it reads an .airflowignore or starts its API in the process.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]

DAGS = Path(warehouse.__file__).parents[1]
DAY = warehouse.DAYS[1]
# A day's run begins when the day is over.
RUN_ON = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """Read the folder as Airflow does."""
    return bag_of(DAGS)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small warehouse of the demo's making."""
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.db"
    warehouse.build(path, per_day=1_000)
    return path


@pytest.fixture
def asapp(
    airflow_db: None, asapp: Simulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Simulator:
    """Run a simulator, beside which rejects have a place."""
    monkeypatch.setenv("AIRFLOW_VAR_ASAPP_REJECTS_PATH", (tmp_path / "rejects").as_uri())
    return asapp


@pytest.fixture
def filled(connect: Callable[..., None], database: Path) -> Path:
    """Let the connection `warehouse` lead to the warehouse."""
    connect("warehouse", conn_type="sqlite", host=str(database))
    return database


def run(bag: DagBag, dag_id: str, task_id: str, *, retries: int = 0) -> tuple[str, dict[str, Any] | None, int]:
    """Run a sample; return its state, the report of a task, and how often that was tried."""
    dag = bag.dags[dag_id]
    for task in dag.tasks:
        task.retries, task.retry_delay = retries, timedelta(0)  # or a test would wait for the night's delays
    dag_run = dag.test(logical_date=RUN_ON)
    ti = dag_run.get_task_instance(task_id)
    return dag_run.state, ti.xcom_pull(task_id), ti.try_number


def rows(path: Path, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a statement."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql, parameters)]


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, "")}


def agent(row: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Return what ASAPP should hold of an agent, worked out by hand."""
    languages, supervisor = row["LANGUAGES"], row["SUPERVISOR_ID"]
    fields = {
        "externalAgentId": str(row["AGENT_ID"]),
        "eventId": event_id,
        "startTs": row["STARTED_AT"].replace(" ", "T") + "Z",
        "lobId": str(int(row["lob_id"])),
        "lobName": row["LOB_NAME"],
        "groupId": str(row["group_id"]),
        "groupName": row["group_name"],
        "agentName": row["NAME"],
        "agentLocation": row["SITE"],
        "supervisorId": supervisor and str(int(supervisor)),
        "supervisorName": row["supervisor"],
        "languages": [languages] if languages == "de" else json.loads(languages or "null"),
        "concurrency": row["MAX_CHATS"] and int(row["MAX_CHATS"]),
        "vendor": row["EMPLOYER"],
        "jobTitle": row["TITLE"] and row["TITLE"].replace(" ", "-"),
        "workShift": row["SHIFT"],
        "emailAddress": row["EMAIL"],
        "attributes": [{"name": "employment", "value": "left" if row["LEFT_AT"] else "active"}],
    }
    return without_empty(fields)


def test_the_roster_arrives_whole(asapp: Simulator, bag: DagBag, filled: Path, tmp_path: Path) -> None:
    """Each agent, and each who left within 30 days, is at ASAPP as it should be, or once in the rejects."""
    state, report, _ = run(bag, "agent_roster", "push_agents")
    roster = rows(
        filled,
        "SELECT a.*, s.NAME AS supervisor, LOB_NAME, group_name FROM AGENTS a LEFT JOIN AGENTS s"
        " ON s.AGENT_ID = a.SUPERVISOR_ID LEFT JOIN LINES_OF_BUSINESS USING (lob_id) LEFT JOIN agent_groups"
        " USING (group_id) WHERE ifnull(julianday(?) - julianday(a.LEFT_AT), 0) <= 30",
        str(RUN_ON.date()),
    )
    gone = people.AGENTS - len(roster)
    good = [row for row in roster if "@" in row["EMAIL"]]
    held = asapp.ledger.held("agent")
    assert 0 < gone < sum(1 for _ in roster)
    assert any(row["LEFT_AT"] for row in roster)
    assert held == {str(row["AGENT_ID"]): agent(row, held[str(row["AGENT_ID"])]["eventId"]) for row in good}
    assert state == "success"
    assert report
    assert (report["read"], report["accepted"], report["invalid"]) == (len(roster), len(good), 1)
    (reject,) = (json.loads(path.read_text()) for path in (tmp_path / "rejects").rglob("*.jsonl"))
    assert (reject["record"]["email_address"], list(reject["errors"])) == ("n/a", ["emailAddress"])


def test_an_empty_roster_fails(
    asapp: Simulator, bag: DagBag, filled: Path, connect: Callable[..., None], tmp_path: Path
) -> None:
    """A warehouse that was not filled is a failure, and not a company without agents."""
    empty = tmp_path / "empty.db"
    empty.write_bytes(filled.read_bytes())
    with closing(sqlite3.connect(empty)) as db, db:
        db.execute("DELETE FROM AGENTS")
    connect("warehouse", conn_type="sqlite", host=str(empty))
    assert run(bag, "agent_roster", "push_agents", retries=2) == ("failed", None, 1)
    assert not asapp.ledger.requests


def customer(row: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Return what ASAPP should hold of a customer, worked out by hand."""
    fields = {
        "externalConversationId": str(row["chat_id"]),
        "externalCustomerId": str(row["customer_id"]),
        "eventId": event_id,
        "status": row["status"] and row["status"].replace(" ", "-"),
        "phoneNumber": row["PHONE"] and row["PHONE"].replace(" ", ""),
        "emailAddress": row["EMAIL"],
        "userId": row["login"],
        "addressCountry": row["COUNTRY"],
        "addressState": row["STATE"],
        "addressZipcode": row["ZIP"],
    }
    return without_empty(fields)


def test_the_customers_of_a_day_arrive(
    asapp: Simulator, bag: DagBag, filled: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each customer of the day's conversations is at ASAPP as it should be; no log or table of Airflow's shows one."""
    state, report, _ = run(bag, "customer_metadata", "push_customers")
    day = rows(
        filled,
        "SELECT * FROM conversations JOIN participants USING (conversation_key) JOIN customers USING (customer_id)"
        " WHERE date(ended_at) = ?",
        str(DAY),
    )
    good = [row for row in day if isinstance(row["chat_id"], int) and "," not in (row["EMAIL"] or "")]
    held = {(item["externalConversationId"], item["externalCustomerId"]): item for item in all_held(asapp)}
    keys = {(str(row["chat_id"]), str(row["customer_id"])): row for row in good}
    assert held == {key: customer(row, held[key]["eventId"]) for key, row in keys.items()}
    assert state == "success"
    assert report
    assert (report["read"], report["accepted"], report["rejects"]) == (len(day), len(good), None)
    assert report["invalid"] == len(day) - len(good) > 0
    shown = caplog.text + "".join(capfd.readouterr())
    assert not re.search(r"customer\.\d+@|555.01\d\d|asked, not given|user_\d", shown)
    assert tables_with("555-01") | tables_with("asked, not given") == set()


def all_held(asapp: Simulator) -> list[dict[str, Any]]:
    """Return all customers that ASAPP holds."""
    return list(asapp.ledger.held("customer").values())


PAGE = 400
TOKEN = "token-of-the-workforce-tool"
STAFF = [
    {"id": f"w-{number:04}", "name": f"Agent {number}", "shift": "late", "languages": ["en"], "max_chats": number % 3}
    for number in range(1, 1_001)
]


class Workforce:
    """The API of a workforce tool.

    :param breaks_at: the page at whose first request it breaks down.
    """

    def __init__(self, breaks_at: int = 0) -> None:
        self.breaks_at = breaks_at
        self.staff = STAFF

    def answer(self, request: Received) -> Reply:
        """Return a page."""
        url = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qs(url.query)
        page = int(query["page"][0])
        if (url.path, query["sort"], request.headers["authorization"]) != ("/agents", ["id"], f"Bearer {TOKEN}"):
            return Reply(403)
        if page == self.breaks_at:
            self.breaks_at = 0
            return Reply(500)
        more = page + 1 if page * PAGE < len(self.staff) else None
        return Reply(
            body=json.dumps({"agents": self.staff[(page - 1) * PAGE : page * PAGE], "next_page": more}).encode()
        )


@pytest.fixture
def workforce(connect: Callable[..., None]) -> Iterator[Workforce]:
    """Run the API, to which the connection `workforce` leads."""
    tool = Workforce()
    with HttpServer(tool.answer) as server:
        connect("workforce", conn_type="http", host=server.url, password=TOKEN)
        yield tool


def test_records_of_python_arrive(asapp: Simulator, bag: DagBag, workforce: Workforce) -> None:
    """All pages of the API arrive in full batches, and no record is in Airflow's database."""
    state, report, _ = run(bag, "python_records", "push_agents")
    assert (state, report and report["requests"]) == ("success", 1)
    assert {key: item["agentName"] for key, item in asapp.ledger.held("agent").items()} == {
        person["id"]: person["name"] for person in STAFF
    }
    assert asapp.ledger.held("agent")["w-0002"]["concurrency"] == 2
    assert tables_with("w-0002") == set()


def test_an_api_that_breaks_off_is_asked_again(asapp: Simulator, bag: DagBag, workforce: Workforce) -> None:
    """When the API fails in the middle, a retry reads it from the start, and all is accounted for once."""
    workforce.breaks_at = 3
    state, report, tries = run(bag, "python_records", "push_agents", retries=1)
    assert (state, tries, report and report["read"]) == ("success", 2, len(STAFF))
    assert len(asapp.ledger.held("agent")) == len(STAFF)


def test_bad_records_of_python_are_not_retried(asapp: Simulator, bag: DagBag, workforce: Workforce) -> None:
    """Where too many records are bad, the good ones are delivered, and the task fails at its first try."""
    workforce.staff = [
        {**person, "languages": ["not a language"]} if n % 10 == 0 else person for n, person in enumerate(STAFF)
    ]
    assert run(bag, "python_records", "push_agents", retries=2) == ("failed", None, 1)
    assert len(asapp.ledger.held("agent")) == len(STAFF) * 9 // 10
