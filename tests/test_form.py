"""The connection form, as each Airflow makes it of what this package tells it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_asapp.simulator import Simulator
from tests.versions import before, since

PAGE = before(3, 0, why="the form is a page of Flask-AppBuilder")
DATA = since(3, 0, why="the form is made by the UI, of data")
# No other process may keep what Airflow puts in the place of modules that it lacks.
ASK = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = [one for one in HookMetaService.hook_meta_data() if one.connection_type == "asapp"]
print(form.model_dump_json())
"""


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    """Give what Airflow 3 sends to its UI about connections of our type."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@DATA
def test_the_form_has_each_extra(form: dict[str, Any]) -> None:
    """Each extra has its label, its kind, and no default, and none is required."""
    assert form["hook_name"] == "ASAPP"
    assert list(form["extra_fields"]) == list(CONN_FIELDS)
    for name, field in CONN_FIELDS.items():
        shown = form["extra_fields"][name]
        assert shown["value"] is None
        assert shown["description"] == field["description"]
        assert (shown["schema"]["title"], shown["schema"]["type"]) == (field["label"], field["schema"]["type"])


@DATA
def test_the_form_relabels_airflows_own_fields(form: dict[str, Any]) -> None:
    """Login, password and host have ASAPP's names, the schema is hidden, the port is there."""
    fields = form["standard_fields"]
    assert {name: fields[name]["title"] for name in ("login", "password", "host")} == UI_FIELD_BEHAVIOUR["relabeling"]
    assert {name for name, field in fields.items() if field and field["hidden"]} == {"url_schema"}
    assert fields["port"]["placeholder"] == UI_FIELD_BEHAVIOUR["placeholders"]["port"]


Fill = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def fill(airflow_db: None, tmp_path: Path) -> Fill:
    """Give a way to send forms to Airflow 2.11, which returns its page and its answers."""

    def fill(*forms: dict[str, str]) -> tuple[str, list[str]]:
        (tmp_path / "open.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n")
        file = tmp_path / "forms.json"
        file.write_text(json.dumps(forms))
        environment = os.environ | {"AIRFLOW__WEBSERVER__CONFIG_FILE": str(tmp_path / "open.py")}
        command = [sys.executable, "-m", "tests.form_2_11", str(file)]
        subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, check=True)
        told = json.loads(file.read_text())
        return told["page"], told["answers"]

    return fill


@PAGE
def test_a_connection_made_on_the_page_works(fill: Fill, asapp: Simulator) -> None:
    """The page offers each field; what it saves, all empty or all filled in, is read; a wrong number is refused."""
    keys = {"conn_type": "asapp", "login": asapp.api_id, "password": asapp.api_secret}
    address, port = asapp.url.rsplit(":", 1)
    filled = {"timeout": "10", "requests_per_second": "5", "ca_bundle": "", "allow_plain_http": "y"}
    page, (empty, full, wrong, other) = fill(
        keys | {"conn_id": "form_empty", "host": asapp.url, "port": ""},
        keys
        | {"conn_id": "form_full", "host": address, "port": port}
        | {f"extra__asapp__{name}": value for name, value in filled.items()},
        keys | {"conn_id": "form_wrong", "extra__asapp__timeout": "0"},
        {"conn_id": "form_other", "conn_type": "sqlite", "host": "/nowhere"},
    )
    assert re.findall(r'name="extra__asapp__(\w+)"', page) == list(CONN_FIELDS)
    assert all(label in page for label in ("API Id", "API Secret", "API domain", "Timeout (seconds)"))
    assert '<option value="asapp">ASAPP</option>' in page
    assert all("alert-success" in answer for answer in (empty, full, other))
    assert "Number must be between 1 and 3600." in wrong
    for conn_id in ("form_empty", "form_full"):
        assert AsappHook(conn_id).test_connection()[0]
