"""The simulator's own paths."""

from __future__ import annotations

import pytest
import requests

from .conftest import conversations, raw


def test_what_was_received_needs_no_keys(asapp, client):
    """The counts are there as JSON for anyone, the same as in Python."""
    client.many(*conversations(2))
    answer = requests.get(asapp.url + "/simulator/received", timeout=10)
    assert answer.json() == asapp.ledger.counts()
    assert answer.json()["accepted"] == 2


def test_what_is_held_comes_in_pages(client):
    """`limit` and `offset` page through the records held."""
    client.many(*conversations(5))
    path = "/simulator/received/conversation"
    assert client.call("GET", path).json() == {"held": 5, "offset": 0, "items": conversations(5)}
    assert client.call("GET", f"{path}?limit=2&offset=4").json()["items"] == conversations(5)[4:]
    assert client.call("GET", "/simulator/received/agent").json() == {"held": 0, "offset": 0, "items": []}


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "offset=1.5", "limit=\u0661", "offset=" + "9" * 99])
def test_a_page_that_can_not_be(client, query):
    """A limit or offset that is no number is an error, not a guess."""
    assert client.call("GET", f"/simulator/received/agent?{query}").json()["error"]["code"] == "400-05"


def test_faults_from_outside(asapp, client):
    """Faults can be added and cleared over HTTP."""
    path = "/simulator/faults"
    assert client.call("POST", path, json={"add": [{"status": 503}]}).json() == {"faults": 1}
    assert client.call("POST", path, json={"add": [{"delay": 0.0, "html": True}]}).json() == {"faults": 2}
    assert client.many(*conversations(1)).status_code == 503
    assert client.call("POST", path, json={"clear": True}).json() == {"faults": 0}
    assert client.many(*conversations(1)).status_code == 200


@pytest.mark.parametrize("wrong", [[], {"ad": []}, {"add": [{}]}, {"add": [{"statu": 1}]}, {"add": 1}, {"add": [1]}])
def test_a_wrong_fault_changes_nothing(asapp, client, wrong):
    """If one fault is no good, none is added and none cleared."""
    client.call("POST", "/simulator/faults", json={"add": [{"status": 503}]})
    body = wrong if isinstance(wrong, list) else wrong | {"clear": True}
    assert client.call("POST", "/simulator/faults", json=body).status_code == 400
    assert client.many(*conversations(1)).status_code == 503


def test_reset_from_outside(asapp, client):
    """A reset over HTTP needs no body and is not itself a request that counts."""
    client.many(*conversations(1))
    assert client.call("POST", "/simulator/reset").json() == {"reset": True}
    assert asapp.ledger.counts()["requests"] == 0
    assert asapp.ledger.requests == []


def test_other_paths_of_its_own_are_404(client):
    """A mistyped path of the simulator is an error."""
    for method, path in [("GET", "/simulator/"), ("GET", "/simulator/reset"), ("GET", "/simulator/received/x")]:
        assert client.call(method, path).status_code == 404


def test_the_page_shows_counts_requests_and_records(asapp, client):
    """A person sees what came, how it ended and what is held."""
    items = conversations(30)
    items[0]["lobId"] = "a b"
    items[1] |= {"lobNmae": "x", "companySegment": ["Sales", "Care"]}
    items[29]["attributes"] = [{"name": "tier", "value": "gold"}]
    client.many(*items)
    client.call("POST", "/simulator/faults", json={"add": [{"requests": [9], "drop": "before"}]})
    answer = client.call("GET", "/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for expected in [
        "<b>30</b>items received",
        "<b>29</b>accepted",
        '<span class="bad">1</span>',
        "POST /metadata-ingestion/v1/many-convo-metadata",
        "10 of 29 held",
        "<code>lobNmae</code> (1)",
        "1 fault in force",
        "tier: gold",
        ">c29<",
        "Agents <small>none held",
    ]:
        assert expected in answer.text
    assert ">c1<" not in answer.text


def test_the_empty_page(client):
    """Before anything came the page says so."""
    assert "none yet" in client.call("GET", "/").text


def test_the_page_escapes_everything(asapp, client):
    """No value, key or path from outside becomes HTML; half a surrogate pair breaks nothing."""
    evil = "<script>\"'&\ud800"
    client.one(
        {
            "externalConversationId": "c",
            "lobName": evil,
            "attributes": [{"name": evil, "value": evil}, {"name": "only"}],
            "<script>": 1,
        }
    )
    assert b" 404 " in raw(asapp, "POST /<script>'\" HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    page = client.call("GET", "/").text
    assert "<script" not in page.lower()
    assert "&lt;script&gt;&quot;&#x27;&amp;?" in page
