"""A run of the sample DAG with the connection that was made. Each chapter is a promise: its docstring's first line."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from playwright.sync_api import FloatRect, Locator, Page, expect

from dags_examples.demo import telling, warehouse
from tests.ui.browser import WIDE, resize
from tests.ui.pages import Run, words
from tests.ui.stage import DAG_ID, TASK_ID, Stage

DAY, RUN_ON = warehouse.DAYS[1:3]
RUN_TIME = 180_000  # ms


def run_is_triggered(on: Stage) -> None:
    """The sample DAG, copied into the DAGs folder, is started for a day in the past."""
    on.run = Run.trigger(on.page, DAG_ID, f"{RUN_ON:%Y/%m/%d}")
    run = on.airflow.get(f"/dags/{DAG_ID}/dagRuns/{on.run.id}")
    assert run["data_interval_start"] == f"{DAY}T00:00:00Z"


def run_succeeds(on: Stage) -> None:
    """The task delivers with the stored connection; its report agrees with warehouse, ASAPP and rejects."""
    for task_id in (TASK_ID, "summarize"):
        expect(on.run.state(task_id, "Success")).to_be_visible(timeout=RUN_TIME)
    rejects = (on.airflow.home.parent / "asapp-rejects" / DAG_ID / on.run.id).rglob("*.jsonl")
    wrong = telling.disagreements(
        on.report,
        ended=warehouse.count_ended(on.warehouse, DAY),
        held=on.asapp.get("/simulator/received")["entities"]["conversation"]["held"],
        kept=sum(len(file.read_text().splitlines()) for file in rejects),
    )
    assert not wrong, wrong
    on.run.go()
    expect(on.run.state(TASK_ID, "Success")).to_be_visible()
    (table,) = boxes(on.page.get_by_role("table").last)
    # Not the bars on the left: Airflow writes lengths such as 00:00:32.488.99999999999636 beside them.
    on.album.take("run", on.page, clip={"x": 330, "y": 64, "width": 942, "height": table["y"] + table["height"] - 60})


def report_is_shown(on: Stage) -> None:
    """Each count of the report can be read among the task's XComs."""
    on.run.open_task(TASK_ID, "Storage", "XCom")
    on.page.get_by_role("button", name="Expand all").click()
    value = on.page.locator(".view-lines").first
    for key, number in on.report.items():
        if isinstance(number, int):
            expect(value).to_contain_text(re.compile(rf'"{key}":\s*{number}\b'))
    on.album.take("run-report", on.page, clip=below_the_tabs(on.page))


def below_the_tabs(page: Page) -> FloatRect:
    """Return where a task's tabs and the table under them are."""
    tabs, table = boxes(page.get_by_role("link", name="Logs", exact=True), page.get_by_role("table").last)
    height = table["y"] + table["height"] - tabs["y"]
    return {"x": table["x"] - 6, "y": tabs["y"], "width": table["width"] + 14, "height": height}


def boxes(*shown: Locator) -> list[FloatRect]:
    """Return where each of them is."""
    found = [one.bounding_box() for one in shown]
    assert all(found), found
    return [box for box in found if box]


def log_is_shown(on: Stage) -> None:
    """The log counts every record and names each rejected one, and shows no value that was wrong."""
    on.run.open_task(TASK_ID, "Logs")
    lines = on.page.locator("code").first
    expect(lines).to_contain_text("Records accounted for")
    text, report = words(lines), on.report
    total = f"{report['read']} ({report['accepted']} accepted, {report['already_persisted']} already persisted"
    assert f"Records accounted for: {total}" in text, text
    assert text.count("is invalid: ") == report["invalid"]
    values = {str(flaw.value) for flaws in warehouse.FLAWS for flaw in flaws if flaw.value}
    assert not [value for value in values if value in text]
    picture_of_the_log(on)


def picture_of_the_log(on: Stage) -> None:
    """Take the log with its long lines wrapped, which needs a window as wide as a README."""
    resize(on.page, 1000, WIDE[1])
    on.page.get_by_role("button", name="fullscreen").click()
    dialog = on.page.get_by_role("dialog")
    on.page.keyboard.press("t")  # no times
    on.page.keyboard.press("w")  # wrapped
    dialog.get_by_role("heading", name=TASK_ID).click()
    (end,) = boxes(dialog.get_by_text("Post Execute"))
    on.album.take("run-log", on.page, clip={"x": 0, "y": 0, "width": 1000, "height": end["y"] + 48})
    resize(on.page, *WIDE)


def sql_is_shown(on: Stage) -> None:
    """The rendered templates show the very SQL that ran, and no conversation."""
    on.run.open_task(TASK_ID, "Rendered Templates")
    table = on.page.get_by_role("table").last
    expect(table).to_contain_text("ORDER BY")
    text = words(table)
    assert f"c.ended_at >= '{DAY} 00:00:00'" in text, text
    assert f"c.ended_at < '{RUN_ON} 00:00:00'" in text, text
    with closing(sqlite3.connect(on.warehouse)) as db:
        chats = [str(chat) for (chat,) in db.execute("SELECT chat_id FROM conversations WHERE chat_id IS NOT NULL")]
    assert not [chat for chat in chats if chat in text]


def arrival_is_shown(on: Stage) -> None:
    """The simulator's page shows how many conversations arrived."""
    resize(on.page, 1000, WIDE[1])
    on.page.goto(on.asapp.url)
    card = on.page.locator(".card").filter(has_text="accepted")
    expect(card).to_contain_text(f"{on.report['accepted']:,}")
    (table,) = boxes(on.page.get_by_role("table").first)
    on.album.take(
        "simulator", on.page, clip={"x": 0, "y": 0, "width": 1000, "height": table["y"] + table["height"] + 24}
    )
    resize(on.page, *WIDE)
    on.run.go()
