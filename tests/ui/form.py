"""Adding and editing a connection. Each chapter is a promise: the first line of its docstring."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import expect

from airflow_provider_asapp.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from tests.ui.deployment import USER
from tests.ui.pages import Connections, Form, log_in
from tests.ui.stage import API_ID, API_SECRET, GOOD, WRONG, WRONG_SECRET, Stage

KIND = "ASAPP"
LABELS = {**UI_FIELD_BEHAVIOUR["relabeling"], "port": "Port"}
EXTRAS = {name: extra["label"] for name, extra in CONN_FIELDS.items()}
NOT_SET = dict.fromkeys(CONN_FIELDS)


def person_logs_in(on: Stage) -> None:
    """A person logs in with name and password."""
    log_in(on.page, on.airflow.url, USER, on.airflow.password)


def form_is_ours(on: Stage) -> None:
    """The form for ASAPP shows the labels, hints and extras of provider_info, and nothing else."""
    form = Connections(on.page).go().add().begin(GOOD, KIND)
    always = {"Connection ID", "Connection Type"}
    assert_equal(form.labels(), {*always, "Description", *LABELS.values()})
    for name, label in LABELS.items():
        expect(form.field(label)).to_have_attribute("placeholder", UI_FIELD_BEHAVIOUR["placeholders"][name])
    form.open("Extra Fields", EXTRAS["timeout"])
    expect(form.field("Description")).to_be_hidden()  # the other part closes in its own time
    assert_equal(form.labels(), {*always, *EXTRAS.values()})
    for extra in CONN_FIELDS.values():
        expect(form.dialog.get_by_text(extra["description"], exact=True)).to_be_visible()
    form.close()


def connection_is_added(on: Stage) -> None:
    """Filled in and saved, the connection is in the list."""
    form = filled(on, GOOD, API_SECRET, on.host, on.port)
    on.album.take("connection-form", form.dialog)
    form.open("Extra Fields", EXTRAS["timeout"])
    form.type(EXTRAS["timeout"], 30)
    form.type(EXTRAS["requests_per_second"], 50)
    form.look_away()
    on.album.take("connection-extras", form.dialog)
    form.save()
    row = Connections(on.page).row(GOOD)
    expect(row).to_contain_text(on.host)
    expect(row).to_contain_text(str(on.port))


def filled(on: Stage, conn_id: str, secret: str, host: str, port: int | None = None) -> Form:
    """Return the form of a new connection, filled in but for the extras, which were not opened."""
    form = Connections(on.page).go().add().begin(conn_id, KIND)
    for name, value in {"host": host, "login": API_ID, "password": secret, "port": port or ""}.items():
        form.type(LABELS[name], value)
    form.look_away()
    return form


def what_was_typed_is_stored(on: Stage) -> None:
    """The database holds what was typed, numbers as numbers, and null for the rest: no default was saved."""
    filled(on, WRONG, WRONG_SECRET, on.host, on.port).save()
    extras = {**NOT_SET, "timeout": 30, "requests_per_second": 50}
    assert_stored(on, GOOD, password=API_SECRET, extra=extras)
    assert_stored(on, WRONG, password=WRONG_SECRET, extra=NOT_SET)


def assert_equal(found: object, expected: object) -> None:
    """Assert it with words: pytest, which would find them, is not here."""
    assert found == expected, f"found {found}, expected {expected}"


def assert_stored(on: Stage, conn_id: str, **given: Any) -> None:
    """Assert what the database holds of a connection with the simulator's address."""
    common = {"conn_type": "asapp", "description": None, "schema": None, "login": API_ID}
    assert_equal(on.airflow.stored(conn_id), {**common, "host": on.host, "port": on.port, **given})


def secret_stays_secret(on: Stage) -> None:
    """Neither the form nor the REST API gives the secret back."""
    form = Connections(on.page).go().edit(GOOD)
    expect(form.field(LABELS["login"])).to_have_value(API_ID)
    form.dialog.get_by_role("button", name="Show value").click()
    secret = form.field(LABELS["password"])
    expect(secret).to_have_attribute("type", "text")
    expect(secret).to_have_value("***")
    form.close()
    answer = on.airflow.get("/connections")
    assert {one["connection_id"] for one in answer["connections"]} == {GOOD, WRONG}
    assert not [secret for secret in (API_SECRET, WRONG_SECRET) if secret in json.dumps(answer)]


def edit_changes_what_was_edited(on: Stage) -> None:
    """An edit saves a switch as true, an emptied number as null, one that is too large as its limit; the rest stays."""
    form = Connections(on.page).go().edit(WRONG)
    form.open("Extra Fields", EXTRAS["timeout"])
    form.type(EXTRAS["timeout"], 20)
    form.type(EXTRAS["timeout"], "")
    form.type(EXTRAS["requests_per_second"], 5000)
    form.switch(EXTRAS["allow_plain_http"])
    form.save()
    most = CONN_FIELDS["requests_per_second"]["schema"]["maximum"]
    extras = {**NOT_SET, "requests_per_second": most, "allow_plain_http": True}
    assert_stored(on, WRONG, password=WRONG_SECRET, extra=extras)
