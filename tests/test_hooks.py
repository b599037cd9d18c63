"""The connection of type ASAPP as people really write it, and what a task does with it."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, redact

from airflow_provider_asapp.client import PRODUCTION, SANDBOX, AsappClient
from airflow_provider_asapp.errors import (
    AsappConfigurationError,
    AsappSourceError,
    AsappStopped,
    AsappTooManyRejected,
)
from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.pages import Page
from airflow_provider_asapp.simulator import Simulator
from tests.airflow_runs import run
from tests.versions import AIRFLOW

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG
    from pytest_mock import MockerFixture

Connect = Callable[..., None]
KEYS = {"login": "id-of-a-test", "password": "secret-of-a-test"}
CONVERSATION = {"externalConversationId": "c-1"}
READS_ANY_EXTRA = pytest.mark.skipif(
    (3, 0) <= AIRFLOW < (3, 2), reason="Airflow 3.0 and 3.1: they can't read a connection with such extras themselves"
)


@pytest.fixture
def connect_asapp(connect: Connect) -> Connect:
    """Give a way to define `asapp_default` by what differs from a sound connection."""

    def define(**parts: Any) -> None:
        connect("asapp_default", **({"conn_type": "asapp"} | KEYS | parts))

    return define


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({}, SANDBOX),
        ({"host": None}, SANDBOX),
        ({"host": ""}, SANDBOX),
        ({"host": " "}, SANDBOX),
        ({"host": "", "port": 443}, SANDBOX),
        ({"host": "api.asapp.com"}, PRODUCTION),
        ({"host": " api.asapp.com "}, PRODUCTION),
        ({"host": "https://api.asapp.com/"}, PRODUCTION),
        ({"host": "https://api.asapp.com", "port": 443}, PRODUCTION),
        ({"host": "api.asapp.com", "port": "443"}, PRODUCTION),
        ({"host": "asapp.example", "port": 8443}, "https://asapp.example:8443"),
        ({"host": "https://asapp.example/", "port": 8443}, "https://asapp.example:8443"),
        ({"host": "asapp.example:8443"}, "https://asapp.example:8443"),
        ({"host": "asapp.example:8443", "port": 443}, "https://asapp.example:8443"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "http://localhost", "port": 8080}, "http://localhost:8080"),
        ({"host": "http://[::1]", "port": 8080}, "http://[::1]:8080"),
    ],
)
def test_host_becomes_url(connect_asapp: Connect, parts: dict[str, Any], url: str) -> None:
    """A host with or without scheme, port and trailing slash means one URL; none means the sandbox."""
    connect_asapp(**parts)
    assert AsappHook().get_conn().base_url == url


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("asapp://id-of-a-test:secret-of-a-test@", SANDBOX),
        ("asapp://id-of-a-test:secret-of-a-test@api.asapp.com", PRODUCTION),
        ("asapp://id-of-a-test:secret-of-a-test@api.asapp.com:443/", PRODUCTION),
        ("asapp://https://id-of-a-test:secret-of-a-test@api.asapp.com", PRODUCTION),
        ("asapp://http://id-of-a-test:secret-of-a-test@127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("asapp://id-of-a-test:secret-of-a-test@http%3A%2F%2F127.0.0.1%3A8080/?timeout=10", "http://127.0.0.1:8080"),
    ],
)
def test_uri_becomes_url(connect: Connect, mocker: MockerFixture, uri: str, url: str) -> None:
    """A connection written as a URI says the same as one written as JSON."""
    made = mocker.patch("airflow_provider_asapp.connections.AsappClient", wraps=AsappClient)
    connect("asapp_default", uri)
    assert AsappHook().get_conn().base_url == url
    assert made.call_args.args == ("id-of-a-test", "secret-of-a-test")


DEFAULTS = {"timeout": 60.0, "requests_per_second": 100.0, "ca_bundle": None, "allow_plain_http": False}


@pytest.mark.parametrize(
    ("extra", "differs"),
    [
        ({}, {}),
        (dict.fromkeys(DEFAULTS), {}),
        (dict.fromkeys(DEFAULTS, ""), {}),
        ({"timeout": 10, "requests_per_second": 2.5}, {"timeout": 10.0, "requests_per_second": 2.5}),
        ({"timeout": "10", "requests_per_second": "25"}, {"timeout": 10.0, "requests_per_second": 25.0}),
        ({"allow_plain_http": True}, {"allow_plain_http": True}),
        ({"allow_plain_http": "True"}, {"allow_plain_http": True}),
        ({"allow_plain_http": "y"}, {"allow_plain_http": True}),
        ({"allow_plain_http": 1}, {"allow_plain_http": True}),
        ({"allow_plain_http": "false"}, {}),
        ({"allow_plain_http": 0}, {}),
        ({"extra__asapp__timeout": "10"}, {"timeout": 10.0}),
        ({"timeout": None, "extra__asapp__timeout": 10}, {"timeout": 10.0}),
        ({"timeout": 20, "extra__asapp__timeout": ""}, {"timeout": 20.0}),
        ({"of another tool": [1]}, {}),
    ],
)
def test_extras_in_any_form(
    connect_asapp: Connect, mocker: MockerFixture, extra: dict[str, Any], differs: dict[str, Any]
) -> None:
    """Extras mean the same as real types, as text and as the form's copies; null and empty are not set."""
    made = mocker.patch("airflow_provider_asapp.connections.AsappClient", wraps=AsappClient)
    connect_asapp(extra=extra)
    AsappHook().get_conn()
    assert {name: made.call_args.kwargs[name] for name in DEFAULTS} == DEFAULTS | differs


def test_extras_of_a_uri(connect: Connect, mocker: MockerFixture) -> None:
    """The query of a URI is read as extras."""
    made = mocker.patch("airflow_provider_asapp.connections.AsappClient", wraps=AsappClient)
    connect("asapp_default", "asapp://id-of-a-test:secret-of-a-test@asapp.example/?timeout=10&allow_plain_http=false")
    AsappHook().get_conn()
    assert made.call_args.kwargs["timeout"] == 10.0
    assert made.call_args.kwargs["allow_plain_http"] is False


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"extra": {"timeout": "soon"}}, "extra timeout must be a number greater than 0"),
        ({"extra": {"timeout": 0}}, "extra timeout must be a number greater than 0"),
        ({"extra": {"timeout": "nan"}}, "extra timeout must be a number greater than 0"),
        ({"extra": {"timeout": True}}, "extra timeout must be a number greater than 0"),
        ({"extra": {"timeout": [10]}}, "extra timeout must be a number greater than 0"),
        ({"extra": {"requests_per_second": -1}}, "extra requests_per_second must be a number greater than 0"),
        ({"extra": {"requests_per_second": "inf"}}, "extra requests_per_second must be a number greater than 0"),
        ({"extra": {"allow_plain_http": "perhaps"}}, "extra allow_plain_http must be true or false"),
        ({"extra": {"ca_bundle": "/no/such/file.pem"}}, "ca_bundle"),
        pytest.param({"extra": "[1, 2]"}, "extras must be a JSON object", marks=READS_ANY_EXTRA),
        ({"conn_type": "http"}, "is of type http: it must be of type asapp"),
        ({"login": None}, "no API Id"),
        ({"login": ""}, "no API Id"),
        ({"password": None}, "no API Secret"),
        ({"login": "id-of-a-test "}, "API Id .* white space"),
        ({"password": "\tsecret-of-a-test"}, "API Secret .* white space"),
        ({"password": "secret-of-a-test\n"}, "API Secret .* white space"),
        ({"password": "sécret-of-a-test"}, "API Secret .* character that no HTTP header can carry"),
        ({"host": "http://api.asapp.com"}, "Plain HTTP to api.asapp.com"),
        ({"host": "http://asapp.example"}, "Plain HTTP to asapp.example"),
        ({"host": "http://api.asapp.com", "extra": {"allow_plain_http": True}}, "Plain HTTP to api.asapp.com"),
        ({"host": "http://API.ASAPP.COM", "extra": {"allow_plain_http": True}}, "Plain HTTP to api.asapp.com"),
        ({"host": "http://asapp.com", "extra": {"allow_plain_http": True}}, "Plain HTTP to asapp.com"),
        ({"host": "ftp://api.asapp.com"}, "only https"),
        ({"host": "https://api.asapp.com/metadata-ingestion/v1"}, "without path"),
        ({"host": "api.asapp.com/v1", "port": 8443}, "without path"),
        ({"host": "https://someone:else@api.asapp.com"}, "credentials"),
        ({"host": "https://api.asapp.com:port"}, "not a valid domain"),
        ({"host": "api asapp com"}, "must be a domain"),
    ],
)
def test_wrong_connection(connect_asapp: Connect, parts: dict[str, Any], says: str) -> None:
    """What is wrong with a connection is said in one line, in the task and by the test, and without a secret."""
    connect_asapp(**parts)
    with pytest.raises(AsappConfigurationError, match=says) as caught:
        AsappHook().get_conn()
    well, text = AsappHook().test_connection()
    assert not well
    assert str(caught.value) == f"Connection asapp_default: {text}"
    assert "\n" not in text
    assert not any(secret in text for secret in ("secret-of", "sécret", "id-of-a-test", "someone"))


def test_plain_http_where_allowed(connect_asapp: Connect) -> None:
    """Plain HTTP to another machine takes the extra `allow_plain_http`."""
    connect_asapp(host="http://simulator:8080", extra={"allow_plain_http": "true"})
    assert AsappHook().get_conn().base_url == "http://simulator:8080"


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("", "api.sandbox.asapp.com (ASAPP's sandbox)"),
        ("api.asapp.com", "api.asapp.com (ASAPP's production)"),
        ("API.asapp.com:443", "ASAPP's production"),
        ("asapp.example:8443", "asapp.example:8443 (neither ASAPP's sandbox nor its production)"),
    ],
)
def test_environment_is_logged(connect_asapp: Connect, caplog: pytest.LogCaptureFixture, host: str, says: str) -> None:
    """The log says which environment is called, once a task."""
    connect_asapp(host=host)
    hook = AsappHook()
    with caplog.at_level(logging.INFO, "airflow_provider_asapp"):
        hook.get_conn()
        hook.get_conn()
    assert [says in record.getMessage() for record in caplog.records] == [True]


def test_keys_are_masked(connect: Connect) -> None:
    """From the moment a client is made, Airflow's masker hides the API Secret and the API Id, whatever the text."""
    connect("asapp_default", conn_type="asapp", login="id-never-seen-before", password="key-never-seen-before")
    AsappHook().get_conn()
    assert redact("First id-never-seen-before, then key-never-seen-before.") == "First ***, then ***."


def test_keys_are_masked_even_if_malformed(connect: Connect) -> None:
    """Keys of a connection that can't be used are masked as well."""
    connect("asapp_default", conn_type="asapp", login="id-ohne-Schlüssel", password="geheim-ohne-Schlüssel")
    with pytest.raises(AsappConfigurationError):
        AsappHook().get_conn()
    assert redact("id-ohne-Schlüssel, geheim-ohne-Schlüssel") == "***, ***"


def test_get_conn_is_one_client(asapp: Simulator) -> None:
    """`get_conn` gives the same client each time, ready to be used."""
    hook = AsappHook()
    with hook.get_conn() as client:
        client.health()
        assert hook.get_conn() is client


def test_constructor_asks_for_nothing() -> None:
    """A hook can be made where its connection does not exist: Airflow does so for its form."""
    with pytest.raises(AirflowNotFoundException):
        AsappHook("no_such_connection").get_conn()


def test_submit_takes_a_generator(asapp: Simulator) -> None:
    """`submit` takes any iterable of mappings and returns the report, a flat dict whose sum holds."""
    report = AsappHook().submit(({"externalConversationId": f"c-{n}"} for n in range(2500)), entity="conversation")
    assert report["read"] == report["accepted"] == 2500
    assert report["requests"] == 3
    assert len(asapp.ledger.held("conversation")) == 2500
    assert json.loads(json.dumps(report)) == report
    assert not any(isinstance(value, dict | list) for value in report.values())


def test_submit_takes_a_source(asapp: Simulator) -> None:
    """`submit` takes a callable that opens pages."""

    def pages() -> Iterator[Page]:
        yield Page(("EXTERNAL_AGENT_ID", "AGENT_NAME"), [(7, "A"), (8, None)])

    assert AsappHook().submit(pages, entity="agent")["accepted"] == 2
    assert set(asapp.ledger.held("agent")) == {"7", "8"}


def test_submit_twice_with_one_hook(asapp: Simulator) -> None:
    """A hook serves more than one submission, and each report counts its own requests."""
    hook = AsappHook()
    reports = [hook.submit([CONVERSATION], entity="conversation") for _ in range(2)]
    assert [report["requests"] for report in reports] == [1, 1]


@pytest.mark.parametrize("records", ["c-1", b"c-1", {"externalConversationId": "c-1"}, None, 1])
def test_submit_refuses_what_holds_no_records(asapp: Simulator, records: Any) -> None:
    """What is no iterable of records is refused by its type, and nothing is sent."""
    with pytest.raises(AsappConfigurationError, match=f"records is a {type(records).__name__}: it must be a list"):
        AsappHook().submit(records, entity="conversation")
    assert not asapp.ledger.requests


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"entity": "chat"}, "must be one of conversation, agent, customer"),
        ({"unknown": "ignore"}, "unknown"),
        ({"field_map": {"id": "externlConversationId"}}, "externalConversationId"),
        ({"batch_size": 1001}, "batch_size"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"max_rejected": -1}, "max_rejected"),
        ({"max_rejected_ratio": 1.5}, "max_rejected_ratio"),
    ],
)
def test_submit_refuses_wrong_arguments(asapp: Simulator, arguments: dict[str, Any], says: str) -> None:
    """A wrong argument is named, and nothing is sent."""
    with pytest.raises(AsappConfigurationError, match=says):
        AsappHook().submit([CONVERSATION], **({"entity": "conversation"} | arguments))
    assert not asapp.ledger.requests


def test_submit_names_a_misspelt_field(asapp: Simulator) -> None:
    """A field of the first record that is none stops before anything is sent, and says what it may have meant."""
    with pytest.raises(AsappSourceError, match="did you mean externalConversationId"):
        AsappHook().submit([{"externlConversationId": "c-1"}], entity="conversation")
    assert not asapp.ledger.requests


def test_submit_in_a_task(asapp: Simulator, dag: DAG, tmp_path: Path) -> None:
    """Called in a `@task`, event ids are the same again within a run and others in the next; rejects lie by run."""
    from airflow.providers.common.compat.sdk import task

    with dag:

        @task
        def push() -> dict[str, Any]:
            hook = AsappHook()
            rows = [CONVERSATION, {"externalConversationId": "c 2"}]
            hook.submit(rows, entity="conversation", max_rejected=1)
            return hook.submit(rows, entity="conversation", max_rejected=1, rejects_path=str(tmp_path))

        push()
    first, second = run(dag), run(dag)
    assert first.state == second.state == "success"
    assert first.xcom("push")["accepted"] == 1
    ids = [item["eventId"] for item in asapp.ledger.accepted("conversation")]
    assert len(ids) == 4
    assert ids[0] == ids[1] != ids[2] == ids[3]
    for each in (first, second):
        folder = tmp_path / each.dag_id / each.run_id / "push"
        assert each.xcom("push")["rejects"] == str(folder)
        (line,) = "".join(path.read_text() for path in folder.iterdir()).splitlines()
        assert json.loads(line)["position"] == 2


def test_submit_outside_of_a_task(asapp: Simulator, tmp_path: Path) -> None:
    """Called outside of a task, event ids are still the same again, and rejects lie in the folder itself."""
    for _ in range(2):
        with pytest.raises(AsappTooManyRejected):
            AsappHook().submit([CONVERSATION, {}], entity="conversation", rejects_path=str(tmp_path))
    assert len({item["eventId"] for item in asapp.ledger.accepted("conversation")}) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_stop_before_and_after(asapp: Simulator) -> None:
    """A hook that has no client yet can be stopped; one that has sends nothing more."""
    hook = AsappHook()
    hook.stop()
    hook.get_conn()
    hook.stop()
    with pytest.raises(AsappStopped):
        hook.submit([CONVERSATION], entity="conversation")
    assert not asapp.ledger.requests


def test_connection_is_well(asapp: Simulator) -> None:
    """With the right keys the test succeeds and says where it asked."""
    assert AsappHook().test_connection() == (
        True,
        f"{asapp.url[7:]} (neither ASAPP's sandbox nor its production) is healthy and accepts these keys.",
    )


def test_connection_with_wrong_keys(asapp: Simulator, connect: Connect) -> None:
    """Wrong keys: the test says so."""
    connect("asapp_default", conn_type="asapp", host=asapp.url, **KEYS)
    well, text = AsappHook().test_connection()
    assert not well
    assert "401" in text
    assert "API Secret is wrong" in text


class Odd(BaseHTTPRequestHandler):
    """Answers as something that is not ASAPP, or is in trouble."""

    status: int | None
    body: bytes
    headers_: dict[str, str]

    def do_GET(self) -> None:
        if self.status is None:
            self.close_connection = True
            return
        self.send_response(self.status)
        for name, value in (self.headers_ | {"Content-Length": str(len(self.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (404, b"<h1>secret-of-a-test</h1>", {}, "Is the host right"),
        (403, b'{"error": {"code": "403-01", "message": "secret-of-a-test"}}', {}, "403"),
        (200, b"<h1>Welcome, secret-of-a-test</h1>", {}, "not ASAPP's"),
        (200, b'["secret-of-a-test"]', {}, "not ASAPP's"),
        (204, b"", {}, "204"),
        (200, b"not gzip", {"Content-Encoding": "gzip"}, "can't be decoded"),
        (302, b"", {"Location": "https://elsewhere.example/?key=secret-of-a-test"}, "elsewhere.example"),
        (418, b"", {}, "418"),
        (429, b"", {}, "429"),
        (503, b"", {}, "503"),
        (None, b"", {}, "the connection broke"),
    ],
)
def test_connection_to_something_else(
    connect: Connect, status: int | None, body: bytes, headers: dict[str, str], says: str
) -> None:
    """A domain that is not ASAPP's, or a service in trouble: the test says so in one line that quotes nothing."""
    handler = type("Handler", (Odd,), {"status": status, "body": body, "headers_": headers})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        connect("asapp_default", conn_type="asapp", host=f"http://127.0.0.1:{server.server_port}", **KEYS)
        well, text = AsappHook().test_connection()
        server.shutdown()
        thread.join()
    assert not well
    assert says in text
    assert "\n" not in text
    assert "secret-of-a-test" not in text


def test_connection_to_a_sick_service(asapp: Simulator) -> None:
    """Keys and domain are right, the service says it is not healthy: the test says so."""
    asapp.healthy = False
    assert AsappHook().test_connection() == (
        False,
        f"{asapp.url.removeprefix('http://')} reports that it is not healthy.",
    )


def test_connection_to_nothing(connect: Connect) -> None:
    """Nothing listens there: the test says so."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        connect("asapp_default", conn_type="asapp", host=f"http://127.0.0.1:{unused.getsockname()[1]}", **KEYS)
        well, text = AsappHook().test_connection()
    assert not well
    assert "refuses connections" in text


def test_connection_to_a_name_of_nobody(connect: Connect) -> None:
    """The name can't be resolved: the test says so."""
    connect("asapp_default", conn_type="asapp", host="asapp.invalid", **KEYS)
    well, text = AsappHook().test_connection()
    assert not well
    assert "can't be resolved" in text


def test_connection_that_does_not_exist() -> None:
    """There is no such connection: the test says so and does not raise."""
    assert AsappHook("nowhere").test_connection() == (False, "The conn_id `nowhere` isn't defined")


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError])
def test_connection_that_can_not_be_read(mocker: MockerFixture, error: type[Exception]) -> None:
    """Whatever a secrets backend raises, the test does not raise, and does not repeat the text: it may quote a URI."""
    mocker.patch.object(AsappHook, "get_connection", side_effect=error("asapp://id:secret@host"))
    well, text = AsappHook().test_connection()
    assert not well
    assert text == f"The connection asapp_default can't be read or used: {error.__name__}."


def test_connection_from_the_command_line(asapp: Simulator, tmp_path: Path) -> None:
    """`airflow connections test` finds the hook by its type and asks it."""
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    command = [sys.executable, "-m", "airflow", "connections", "test", "asapp_default"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Connection success!" in done.stdout
    assert asapp.api_secret not in done.stdout + done.stderr
    assert done.returncode == 0


def test_rejects_of_an_earlier_submit_are_not_replaced(asapp: Simulator, tmp_path: Path) -> None:
    """Two submissions of one hook can't share a folder: the second would delete the rejects of the first."""
    hook = AsappHook()
    hook.submit([{"externalConversationId": "c 1"}], entity="conversation", max_rejected=1, rejects_path=str(tmp_path))
    with pytest.raises(AsappConfigurationError, match="give each its own"):
        hook.submit([{"externalAgentId": "a 1"}], entity="agent", max_rejected=1, rejects_path=str(tmp_path))
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_a_rehearsal_leaves_the_rejects_of_a_submission_alone(asapp: Simulator, tmp_path: Path) -> None:
    """What `validate_only` rejects lies in a folder of its own."""
    bad = [{"externalConversationId": "c 1"}]
    AsappHook().submit(bad, entity="conversation", max_rejected=1, rejects_path=str(tmp_path))
    report = AsappHook().submit(
        bad, entity="conversation", max_rejected=1, rejects_path=str(tmp_path), validate_only=True
    )
    assert report["rejects"] == str(tmp_path / "validate_only")
    assert len(list(tmp_path.glob("*.jsonl"))) == len(list(tmp_path.glob("validate_only/*.jsonl"))) == 1


@pytest.mark.parametrize("validate_only", [False, True])
def test_a_stop_before_the_first_request_is_kept(asapp: Simulator, validate_only: bool) -> None:
    """A task that is killed while its source is being opened sends nothing."""
    hook = AsappHook()
    hook.stop()
    with pytest.raises(AsappStopped):
        hook.submit([{"externalConversationId": "c1"}], entity="conversation", validate_only=validate_only)
    assert asapp.ledger.counts()["requests"] == 0


@pytest.mark.parametrize("opened", [list, iter, lambda records: (record for record in records)])
def test_a_callable_opens_records_anew(asapp: Simulator, opened: Callable[[Any], Any]) -> None:
    """What the error about a spent iterator advises works: a callable that returns the records."""
    records = [{"externalConversationId": "c1"}, {"externalConversationId": "c2"}]
    assert AsappHook().submit(lambda: opened(records), entity="conversation")["accepted"] == 2
