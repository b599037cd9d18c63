"""HTTP, connections and threads."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_asapp.simulator import Fault, Simulator

from .conftest import Client, conversations, raw

MANY = "/metadata-ingestion/v1/many-convo-metadata"
KEYS = "asapp-api-id: demo-api-id\r\nasapp-api-secret: demo-api-secret\r\nContent-Type: application/json\r\n"


def threads() -> list[str]:
    """The simulator's threads: one that listens, and one for each connection."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("asapp-simulator")]


def test_nothing_is_left_after_stop():
    """Stopping ends all threads and connections, kept-alive ones and one in the middle of a delay included."""
    with Simulator() as asapp, requests.Session() as session, ThreadPoolExecutor() as pool:
        client = Client(asapp, session)
        asapp.misbehave(Fault(requests={2}, delay=3600))
        assert client.many(*conversations(1)).status_code == 200
        with requests.Session() as other:
            waiting = pool.submit(Client(asapp, other).many, *conversations(1))
            while len(threads()) < 3:
                time.sleep(0.001)
            asapp.stop()
            with contextlib.suppress(requests.RequestException):
                waiting.result(timeout=10)
        assert threads() == []
        with pytest.raises(requests.ConnectionError):
            client.many(*conversations(1))


def test_an_outage_can_end():
    """Started again it has the same port and all that it held."""
    with Simulator() as asapp, requests.Session() as session:
        client = Client(asapp, session)
        client.many(*conversations(2))
        url = asapp.url
        asapp.stop()
        asapp.start()
        assert asapp.url == url
        assert client.many({"externalConversationId": "new"}).status_code == 200
        assert list(asapp.ledger.held("conversation")) == ["c0", "c1", "new"]
        asapp.misbehave(Fault(delay=0.02))
        client.many(*conversations(1))
        assert asapp.ledger.requests[-1].milliseconds >= 20


def test_stopping_twice_is_no_harm():
    """Whoever stops last need not know who stopped first."""
    asapp = Simulator()
    asapp.stop()
    with asapp:
        asapp.stop()
    assert threads() == []


def test_a_port_in_use_is_an_error(asapp):
    """Two can't have one port, and the first goes on."""
    with pytest.raises(OSError, match="in use"):
        Simulator(port=asapp.port).start()
    assert requests.get(asapp.url, timeout=10).status_code == 200


@pytest.fixture
def opened(monkeypatch) -> list[object]:
    """The addresses of the connections opened so far."""
    opened: list[object] = []
    connect = socket.socket.connect

    def noted(own, address):
        opened.append(address)
        return connect(own, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return opened


def test_a_connection_is_kept_alive(asapp, client, opened):
    """Requests follow each other on one connection, also after refusals of every kind."""
    client.many(*conversations(2))
    client.many({})
    client.call("POST", "/nowhere", data=b"x" * 100)
    client.call("HEAD", MANY)
    client.call("GET", MANY, data=b"x" * 100)
    client.call("POST", MANY, data=b"x", headers={"asapp-api-id": "wrong"})
    assert client.many(*conversations(2)).status_code == 200
    assert len(opened) == 1


def test_the_answer_to_head_has_no_body(asapp):
    """A body that nobody expects would be taken for the next answer."""
    answer = raw(asapp, f"HEAD {MANY} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_body_that_is_too_long(opened):
    """Longer bodies are refused with 413 after they have been taken off the connection, which stays usable."""
    with Simulator(max_body_bytes=10_000) as asapp, requests.Session() as session:
        client = Client(asapp, session)
        answer = client.call("POST", MANY, data=b"x" * 5_000_000, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "413-01")
        assert client.many(*conversations(100)).status_code == 200
        assert client.many(*conversations(1000)).status_code == 413
        assert [request.status for request in asapp.ledger.requests] == [413, 200, 413]
        assert asapp.ledger.counts()["items"] == 100
        assert len(opened) == 1


def test_exactly_the_limit_is_taken():
    """A body as long as the limit passes, one byte more does not."""
    body = json.dumps({"items": conversations(1)})
    with Simulator(max_body_bytes=len(body)) as asapp, requests.Session() as session:
        client = Client(asapp, session)
        statuses = [
            client.call("POST", MANY, data=text, headers={"Content-Type": "application/json"}).status_code
            for text in (body, body + " ")
        ]
        assert statuses == [200, 413]


@pytest.mark.parametrize(
    "length",
    [
        "",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: x\r\n",
    ],
)
def test_a_length_is_required(asapp, length):
    """Without a plain length the request is refused with 411 and the connection closed."""
    answer = raw(asapp, f"POST {MANY} HTTP/1.1\r\nHost: x\r\n{KEYS}{length}\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"Connection: close" in answer


def test_a_length_beyond_all_memory_is_not_read(asapp):
    """A terabyte is refused at once."""
    answer = raw(asapp, f"POST {MANY} HTTP/1.1\r\nHost: x\r\n{KEYS}Content-Length: {2**40}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_a_client_that_hangs_up_leaves_no_trace(asapp, client, capfd):
    """Half a request is none, and nothing is printed."""
    assert raw(asapp, f"POST {MANY} HTTP/1.1\r\nHost: x\r\n{KEYS}Content-Length: 50\r\n\r\n{{") == b""
    assert client.many(*conversations(1)).status_code == 200
    assert [request.number for request in asapp.ledger.requests] == [1]
    assert capfd.readouterr() == ("", "")


def test_many_connections_at_once(asapp):
    """Requests of many threads are each numbered once, and all their items are held."""

    def send(number: int) -> int:
        with requests.Session() as session:
            items = [{"externalConversationId": f"c{number}-{place}"} for place in range(50)]
            return Client(asapp, session).many(*items).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, range(48))) == {200}
    assert len(asapp.ledger.held("conversation")) == 48 * 50
    assert sorted(request.number for request in asapp.ledger.requests) == list(range(1, 49))


def test_the_log_has_a_line_for_each_request_and_no_value():
    """One line says what happened; neither a record's value nor a terminal's control code is in it."""
    lines: list[str] = []
    with Simulator(log=lines.append) as asapp, requests.Session() as session:
        client = Client(asapp, session)
        client.many({"externalConversationId": "secret-id", "lobName": "secret"}, {})
        client.call("GET", "/v1/health")
        raw(asapp, "GET /\x1b[31m HTTP/1.0\r\n\r\n")
        client.call("GET", "/simulator/received")
        asapp.stop()
    assert lines[0].startswith(f"#1 POST {MANY} 200: 2 items, 1 accepted, 1 refused, ")
    assert lines[1].startswith("- GET /v1/health 200: ")
    assert lines[2].startswith("- GET /\\x1b[31m 404: ")
    assert len(lines) == 3
    assert not any("secret" in line for line in lines)
