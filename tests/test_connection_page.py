"""`docs/connection.md` must be so: each of its connections is read by Airflow and by us."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowNotFoundException, BaseHook

from airflow_provider_asapp import provider_info
from airflow_provider_asapp.client import PRODUCTION, AsappClient
from airflow_provider_asapp.connections import client_of, environment, url_of
from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.hooks import AsappHook
from tests.documents import CONNECTION, blocks, marked, plain, section, table_behind

# What all examples of the page mean.
MEANT = ("your-api-id", "your/secret", PRODUCTION, 50.0)
KEYS = {"login": "your-api-id", "password": "your-secret"}


def exported(text: str) -> dict[str, str]:
    """Return what a shell's export lines set."""
    return dict(word.split("=", 1) for line in text.splitlines() for word in shlex.split(line)[1:])


EXPORTS = [exported(text) for text in blocks(CONNECTION, "sh")]
CONNECTIONS = [value for lines in EXPORTS for name, value in lines.items() if name == "AIRFLOW_CONN_ASAPP_DEFAULT"]
BACKENDS = [lines for lines in EXPORTS if "AIRFLOW__SECRETS__BACKEND" in lines]


@pytest.fixture
def made(mocker: Any) -> Callable[[], tuple[Any, ...]]:
    """Give a way to see what the last client was made with."""
    spy = mocker.patch("airflow_provider_asapp.connections.AsappClient", wraps=AsappClient)

    def last() -> tuple[Any, ...]:
        given = spy.call_args
        return (*given.args, given.kwargs["base_url"], given.kwargs["requests_per_second"])

    return last


def test_form_and_extras_are_the_real_ones() -> None:
    """The labels are those that people see; exactly the extras of the form, with the defaults of the client."""
    labels = {cells[0]: plain(cells[1]) for cells in table_behind("## In Airflow's UI", CONNECTION)}
    expected = {label: name for name, label in provider_info.UI_FIELD_BEHAVIOUR["relabeling"].items()}
    assert labels == {**expected, "Port": "port"}
    table = table_behind("The extras", CONNECTION)
    assert [plain(name) for name, *_ in table] == list(provider_info.CONN_FIELDS)
    defaults = {name: found.default for name, found in inspect.signature(AsappClient).parameters.items()}
    shown = {None: "none", False: "false"}
    for name, _, default, _ in table:
        real = defaults[plain(name)]
        assert default == shown.get(real, f"{real:g}" if isinstance(real, float) else str(real))


def test_host_and_port_mean_what_the_page_says() -> None:
    """Each row leads where it says."""
    table = table_behind("What host and port mean", CONNECTION)
    for host, port, url in table:
        given = (None if host == "none" else plain(host)), (None if port == "none" else int(port))
        assert url_of(*given) == plain(url)
    assert len(table) == 5


@pytest.mark.parametrize("value", CONNECTIONS, ids=["JSON", "URI"])
def test_the_environment_is_read(
    value: str, monkeypatch: pytest.MonkeyPatch, made: Callable[[], tuple[Any, ...]]
) -> None:
    """As JSON and as a URI: both mean the same client."""
    monkeypatch.setenv("AIRFLOW_CONN_ASAPP_DEFAULT", value)
    AsappHook().get_conn()
    assert made() == MEANT


def test_where_json_and_uri_differ(connect: Callable[..., None]) -> None:
    """Each row of the table: signs, a host with a scheme, extras, a path, a wrong key."""
    signs, host, extras, path, wrong = table_behind("As a URI:", CONNECTION)
    for sign, code in zip(signs[0].split("`")[1].split(), signs[2].split("`")[1].split(), strict=True):
        connect("a", f"asapp://id:a{code}b@")
        assert BaseHook.get_connection("a").password == f"a{sign}b"
    connect("a", f"asapp://your-api-id:your-secret@{plain(host[2])}")
    assert client_of(BaseHook.get_connection("a")).base_url == plain(host[1])
    connect("a", "asapp://your-api-id:your-secret@api.asapp.com/some/path?timeout=5")
    connection = BaseHook.get_connection("a")
    assert extras[2] == "always text, which means the same"
    assert str(connection.extra_dejson["timeout"]) == "5"  # Airflow 3.1 makes a number of it.
    assert (connection.schema, client_of(connection).base_url) == ("some/path", PRODUCTION)
    connect("a", conn_type="asapp", host="api.asapp.com/some/path", **KEYS)
    with pytest.raises(AsappConfigurationError, match="without path"):
        client_of(BaseHook.get_connection("a"))
    assert path[1] == "an error"
    connect("a", conn_type="asapp", **{wrong[0].split("`")[1]: "your-api-id"})
    with pytest.raises(AirflowNotFoundException, match="isn't defined"):
        BaseHook.get_connection("a")


def test_the_secrets_backend_is_read(tmp_path: Path) -> None:
    """A new process with just the settings of the page finds the connection in the file of the page."""
    ((name, text),) = marked("file", CONNECTION)
    (tmp_path / name).write_text(text)
    (settings,) = [
        {key: value.replace("/files/", f"{tmp_path}/") for key, value in backend.items()} for backend in BACKENDS
    ]
    code = "from airflow_provider_asapp.hooks import AsappHook; c = AsappHook().get_conn(); print(c.api_id, c.base_url)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "your-api-id https://api.asapp.com"


def test_a_variable_may_choose_the_environment(connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The example can be made, its connection is templated, and the log says in the page's words where that leads."""
    (code,) = blocks(CONNECTION, "python")
    with DAG("chosen", schedule=None) as dag:
        exec(code, {})  # noqa: S102
    (task,) = dag.tasks
    assert "asapp_conn_id" in task.template_fields
    connect("asapp_sandbox", conn_type="asapp", **KEYS)
    client = AsappHook("asapp_sandbox").get_conn()
    said = re.search(r"`Connection asapp_sandbox: (.+?)`", CONNECTION.read_text(), re.DOTALL)
    assert said
    assert " ".join(said[1].split()) == f"{environment(client)}."


def test_the_port_changes_nothing_else() -> None:
    """443, the way around Airflow's bug, means the same as none."""
    assert "put 443 there" in section("## Test it", CONNECTION)
    assert url_of("api.asapp.com", 443) == url_of("api.asapp.com", None) == PRODUCTION
    assert url_of("", 443) == url_of("", None)
