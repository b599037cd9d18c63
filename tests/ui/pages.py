"""Airflow's pages, and what a person does on each: clicks, typing, reading. No knowledge of how it should come out."""

from __future__ import annotations

from typing import Self

from playwright.sync_api import Locator, Page, expect


def log_in(page: Page, url: str, user: str, password: str) -> None:
    """Sign in and wait for the home page."""
    page.goto(url)
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()


class Form:
    """The dialog in which a connection is added or edited."""

    def __init__(self, dialog: Locator) -> None:
        self.dialog = dialog

    def begin(self, conn_id: str, kind: str) -> Self:
        """Give the id, and pick the type by the first letters of its name."""
        self.dialog.get_by_role("textbox", name="Connection ID").fill(conn_id)
        self.dialog.get_by_role("combobox").fill(kind[:3])
        self.dialog.page.get_by_role("option", name=kind, exact=True).click()
        expect(self.part("Standard Fields")).to_be_visible()
        return self

    def part(self, name: str) -> Locator:
        """Return the header of one of the parts that open and close."""
        return self.dialog.get_by_role("button", name=name, exact=True)

    def open(self, name: str, shows: str) -> None:
        """Open a part and wait for a text in it."""
        self.part(name).click()
        expect(self.dialog.get_by_text(shows, exact=True)).to_be_visible()

    def field(self, label: str) -> Locator:
        """Return the field with this label."""
        return self.dialog.get_by_label(label, exact=True)

    def type(self, label: str, value: object) -> None:
        """Replace what stands in a field."""
        self.field(label).fill(str(value))

    def switch(self, label: str) -> None:
        """Flip a switch."""
        self.dialog.get_by_role("group").filter(has_text=label).locator("[data-part=control]").click()

    def labels(self) -> set[str]:
        """Return the labels of the fields that can be seen, without the mark of those that must be filled in."""
        found = self.dialog.locator("[data-part=label]").all()
        return {label.inner_text().strip("\n *") for label in found if label.is_visible()}

    def look_away(self) -> None:
        """Leave the field that was typed in, so that nothing is marked."""
        self.dialog.get_by_role("heading").click()

    def save(self) -> None:
        """Press the button and wait until the dialog is gone."""
        self.dialog.get_by_role("button", name="Save").click()
        expect(self.dialog).to_be_hidden()

    def close(self) -> None:
        """Leave without saving."""
        self.dialog.get_by_role("button", name="Close").click()
        expect(self.dialog).to_be_hidden()


class Connections:
    """The list of connections."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go(self) -> Self:
        """Come to the list through the menu, on a page without old messages."""
        self.page.get_by_role("button", name="Admin").click()
        self.page.get_by_role("menuitem", name="Connections").click()
        self.page.wait_for_url("**/connections")
        self.page.reload()
        return self

    def row(self, conn_id: str) -> Locator:
        """Return the line of a connection."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=conn_id, exact=True))

    def add(self) -> Form:
        """Open the empty form."""
        self.page.get_by_role("button", name="Add Connection").click()
        return self._form("Add Connection")

    def edit(self, conn_id: str) -> Form:
        """Open the form of a connection."""
        self.row(conn_id).get_by_role("button", name="Edit Connection").click()
        return self._form("Edit Connection")

    def _form(self, title: str) -> Form:
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_role("heading", name=title)).to_be_visible()
        return Form(dialog)

    def test(self, conn_id: str) -> tuple[str, str]:
        """Press the button that tests a connection; return title and text of the message that comes up."""
        self.row(conn_id).get_by_role("button", name="Test Connection").click()
        self.page.mouse.move(0, 0)  # or the button's tooltip stays in the way
        message = self.page.get_by_role("status").filter(has_text="Test Connection")
        expect(message).to_be_visible()
        title, _, text = message.inner_text().partition("\n")
        return title, text.strip()


class Run:
    """A run of a DAG."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.id = url.rpartition("/")[2]

    @classmethod
    def trigger(cls, page: Page, dag_id: str, day: str) -> Self:
        """Find a DAG through the menu, and start it for a logical date, written YYYY/MM/DD."""
        page.get_by_role("link", name="Dags", exact=True).first.click()
        expect(page.get_by_role("heading", name="1 Dag", exact=True)).to_be_visible()
        page.get_by_role("link", name=dag_id, exact=True).click()
        # The list has such a button on each line, too.
        expect(page.get_by_role("link", name="Backfills", exact=True)).to_be_visible()
        page.get_by_role("button", name="Trigger").click()
        dialog = page.get_by_role("dialog").filter(has_text="Trigger Dag")
        dialog.get_by_role("group").filter(has_text="Logical Date").locator("p").click()
        page.get_by_placeholder("YYYY/MM/DD").fill(day)
        page.get_by_placeholder("HH:mm").fill("00:00")
        page.keyboard.press("Escape")
        expect(page.get_by_placeholder("HH:mm")).to_be_hidden()
        dialog.get_by_role("button", name="Trigger").click()
        page.wait_for_url("**/runs/manual__*")
        return cls(page, page.url)

    def go(self) -> Self:
        """Open its page."""
        self.page.goto(self.url)
        return self

    def state(self, task_id: str, state: str) -> Locator:
        """Return the badge of a task in the table of the run's tasks."""
        return self.page.get_by_role("row").filter(has_text=task_id).get_by_text(state, exact=True)

    def open_task(self, task_id: str, tab: str, *inner: str) -> None:
        """Open a tab of a task, and a tab in that one."""
        self.go()
        self.page.get_by_role("row").get_by_role("link", name=task_id, exact=True).click()
        for name in (tab, *inner):
            self.page.get_by_role("link", name=name, exact=True).click()


def words(locator: Locator) -> str:
    """Return a text in one line."""
    return " ".join(locator.inner_text().split())
