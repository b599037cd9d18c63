"""The sample backfill: days side by side, each row of them at ASAPP once, and the account's rate never broken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_asapp.simulator import Simulator
from dags_examples.demo import warehouse
from tests.airflow_runs import bag_of
from tests.test_dags_examples import BAD, DAGS, bad_rows, fields_by_row, query, rows_of, wire
from tests.versions import WITH_SDK

if TYPE_CHECKING:
    from airflow.sdk import DAG

pytestmark = [
    WITH_SDK,
    # Airflow's own, each time it reads an .airflowignore or starts its API in the process.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]

DAYS = [str(day) for day in warehouse.DAYS]
# Days whose bad rows stay in the table: of all rows they are less than one in a hundred.
FLAWED = [DAYS[1], DAYS[3]]
PER_DAY = 600


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a warehouse in which two of five days have bad rows."""
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.db"
    warehouse.build(path, per_day=PER_DAY)
    bad = " OR ".join(f"({condition})" for condition in BAD.values())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"DELETE FROM conversations WHERE date(ended_at) NOT IN (?, ?) AND ({bad})", FLAWED)
    return path


@pytest.fixture(scope="module")
def sample() -> DAG:
    """Read the sample as Airflow does."""
    found: DAG = bag_of(DAGS).dags["backfill"]
    return found


@dataclass(frozen=True)
class Run:
    """What a run of the backfill left.

    :param days: of each of its mapped tasks: label, state and report, in the order of their numbers.
    :param sent: all that was accepted, in order of arrival.
    :param requests: how many reached ASAPP.
    :param rejects: folder of all rejects.
    """

    state: str
    days: list[tuple[str | None, str, dict[str, Any]]]
    summary: str | None
    sent: list[dict[str, Any]]
    requests: int
    rejects: Path


@pytest.fixture(scope="module")
def run(airflow_db: None, sample: DAG, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Give a function that runs the sample for a period, by default at the rate that its workers may have together."""

    def run(first_day: str, last_day: str, **extra: Any) -> Run:
        rejects = tmp_path_factory.mktemp("rejects")
        with Simulator() as asapp, pytest.MonkeyPatch.context() as patch:
            keys = {"login": asapp.api_id, "password": asapp.api_secret}
            to_asapp = {"conn_type": "asapp", "host": asapp.url, "extra": {"requests_per_second": 20} | extra, **keys}
            patch.setenv("AIRFLOW_CONN_ASAPP_DEFAULT", json.dumps(to_asapp))
            patch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
            patch.setenv("AIRFLOW_VAR_ASAPP_REJECTS_PATH", rejects.as_uri())
            ended = sample.test(run_conf={"first_day": first_day, "last_day": last_day})
            tasks = {(ti.task_id, ti.map_index): ti for ti in ended.get_task_instances()}
            mapped = [tasks[key] for key in sorted(tasks) if key[0] == "push_day"]
            days = [
                (ti.rendered_map_index, str(ti.state), ti.xcom_pull("push_day", map_indexes=ti.map_index))
                for ti in mapped
            ]
            summary = tasks["summarize", -1].xcom_pull("summarize")
            sent = asapp.ledger.accepted("conversation")
            return Run(str(ended.state), days, summary, sent, len(asapp.ledger.requests), rejects)

    return run


@pytest.fixture(scope="module")
def whole(run: Callable[..., Run]) -> Run:
    """Deliver all days of the warehouse."""
    return run(DAYS[0], DAYS[-1])


def good_rows(database: Path) -> list[dict[str, Any]]:
    """Return all rows of all days that ASAPP takes."""
    bad = {key for day in DAYS for key in fields_by_row(bad_rows(database, day))}
    return [row for day in DAYS for row in rows_of(database, day) if row["conversation_key"] not in bad]


def test_all_days_arrive_once(whole: Run, database: Path) -> None:
    """Each good row of the period, and no other, is at ASAPP as it should be, and came once."""
    assert whole.state == "success"
    sent = {item["externalConversationId"]: item for item in whole.sent}
    assert len(sent) == len(whole.sent)
    assert sent == {
        (key := str(row["chat_id"])): wire(row, sent.get(key, {"eventId": "none"})["eventId"])
        for row in good_rows(database)
    }
    assert len({item["eventId"] for item in whole.sent}) == len(whole.sent)


def test_the_grid_shows_days(whole: Run, database: Path) -> None:
    """Each day has one task, with its date for a label and a report of its own rows."""
    assert [(label, state) for label, state, _ in whole.days] == [(day, "success") for day in DAYS]
    for day, _, report in whole.days:
        invalid = len(fields_by_row(bad_rows(database, day)))
        rows = len(rows_of(database, day))
        assert (report["read"], report["accepted"], report["invalid"]) == (rows, rows - invalid, invalid)


def test_the_summary_adds_up(whole: Run, database: Path) -> None:
    """The last task says how many arrived of how many, and names the days with rejected rows and where these are."""
    read = {day: len(rows_of(database, day)) for day in DAYS}
    folders = {day: report["rejects"] for day, _, report in whole.days}
    rejected = len(warehouse.FLAWS)
    first, *others = (whole.summary or "").splitlines()
    delivered = f"{len(whole.sent):,} of {sum(read.values()):,} conversations of 5 days are at ASAPP"
    assert first == f"{delivered}, {2 * rejected} were rejected; {whole.requests} requests"
    assert others == [f"{day}: {rejected} of {read[day]} were rejected, see {folders[day]}" for day in FLAWED]


def test_each_day_has_its_own_rejects(whole: Run, database: Path) -> None:
    """The rejected rows of a day are in a folder of that day's task, and the other days have none."""
    assert {path.parent.name for path in whole.rejects.rglob("*.jsonl")} == {"1", "3"}
    for day, _, report in whole.days:
        found = [path for path in whole.rejects.rglob("*.jsonl") if report["rejects"] == f"file://{path.parent}"]
        lines = [json.loads(line) for path in found for line in path.read_text().splitlines()]
        places = {number: row["conversation_key"] for number, row in enumerate(rows_of(database, day), 1)}
        kept = {places[line["position"]]: set(line["errors"]) for line in lines}
        assert kept == fields_by_row(bad_rows(database, day))


def test_too_many_rejects_fail_the_run(run: Callable[..., Run], database: Path) -> None:
    """A period of which more than one in a hundred is rejected fails at its end, its good rows delivered."""
    day = FLAWED[0]
    ended = run(day, day)
    assert (ended.state, ended.summary) == ("failed", None)
    assert [(label, state) for label, state, _ in ended.days] == [(day, "success")]
    bad = fields_by_row(bad_rows(database, day))
    expected = [str(row["chat_id"]) for row in rows_of(database, day) if row["conversation_key"] not in bad]
    assert [item["externalConversationId"] for item in ended.sent] == expected


def test_a_rate_that_is_too_high(run: Callable[..., Run]) -> None:
    """Where the workers together could break ASAPP's limit the run fails, and nothing is sent."""
    ended = run(DAYS[0], DAYS[-1], requests_per_second="21")
    assert (ended.state, ended.requests) == ("failed", 0)
    assert [state for _, state, _ in ended.days] == ["upstream_failed"]


@pytest.mark.parametrize("extra", [{}, {"requests_per_second": None}, {"requests_per_second": ""}])
def test_without_a_rate_the_right_one_is_told(sample: DAG, connect: Callable[..., None], extra: dict[str, Any]) -> None:
    """A connection as it is at first, whose tasks would each make 100 requests a second, is met with what to set."""
    connect("asapp_default", conn_type="asapp", extra=extra)
    with pytest.raises(AirflowFailException, match="set requests_per_second of the connection asapp_default to 20"):
        sample.get_task("list_days").python_callable(DAYS[0], DAYS[-1])


def test_a_period_without_a_day(run: Callable[..., Run]) -> None:
    """Days in the wrong order are a mistake, and no success that sent nothing."""
    assert run(DAYS[1], DAYS[0]).state == "failed"


def test_what_airflow_holds_to(sample: DAG) -> None:
    """The mapped task is bounded by workers and pool, and has the DAG's retries, which must reach it."""
    push = sample.get_task("push_day")
    assert (push.pool, push.max_active_tis_per_dagrun, sample.max_active_runs) == ("asapp", 4, 1)
    assert (push.retries, push.retry_delay) == (4, timedelta(minutes=2))
    assert push.partial_kwargs["deferrable"] is True


def test_the_nightly_sql_with_other_days(database: Path) -> None:
    """The backfill delivers what the nightly DAG would: its SQL differs in the comment and in the days alone."""
    nightly, backfill = (
        (DAGS / "sql" / name).read_text().partition("SELECT\n")[2]
        for name in ("conversation_metadata.sql", "backfill.sql")
    )
    assert backfill.partition("WHERE ")[0] == nightly.partition("WHERE ")[0]
    assert backfill.partition("\n--")[2] == nightly.partition("\n--")[2]
    days = {"day": DAYS[2], "next_day": DAYS[3]}
    where = backfill.partition("WHERE ")[2].partition("\n--")[0]
    with closing(sqlite3.connect(database)) as db:
        found = db.execute(f"SELECT conversation_key FROM conversations c WHERE {where}", days).fetchall()
    expected = query(database, f"SELECT conversation_key FROM conversations WHERE date(ended_at) = '{DAYS[2]}'")
    assert sorted(found) == sorted(expected)
