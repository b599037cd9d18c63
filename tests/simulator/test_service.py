"""What is answered to whom."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.simulator.contract import ENTITIES, OPERATIONS
from airflow_provider_asapp.simulator.service import Call

from .conftest import conversations

MANY = "/metadata-ingestion/v1/many-convo-metadata"
KEYS = {"asapp-api-id": "demo-api-id", "asapp-api-secret": "demo-api-secret"}
GOOD = {
    "conversation": {"externalConversationId": "c1"},
    "agent": {"externalAgentId": "a1"},
    "customer": {"externalConversationId": "c1", "externalCustomerId": "j@example.com"},
}


def error_of(answer: requests.Response) -> tuple[int, str]:
    """The status and the code of an envelope that is as documented."""
    error = answer.json()["error"]
    assert error.keys() == {"requestId", "message", "code"}
    assert UUID(error["requestId"])
    return answer.status_code, error["code"]


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_good_item_is_accepted(asapp, client, entity):
    """One or many: 200, a blank error, an event id, and the item is held under its key."""
    one = client.one(GOOD[entity], entity=entity)
    many = client.many(GOOD[entity], entity=entity)
    assert (one.status_code, many.status_code) == (200, 200)
    assert one.json()["result"]["error"] == many.json()["results"][0]["error"] == ""
    assert one.json().keys() == {"result"}
    assert many.json()["errorCount"] == 0
    assert list(asapp.ledger.held(entity).values()) == [GOOD[entity]]
    assert len(asapp.ledger.accepted(entity)) == 2


def test_some_good_items_make_a_200(asapp, client):
    """Partial success: the verdicts come in the order sent, and only good items are held."""
    good, bad = conversations(2)
    bad["deviceType"] = "phone"
    answer = client.many(bad, good, "no object")
    results = answer.json()["results"]
    assert (answer.status_code, answer.json()["errorCount"]) == (200, 2)
    assert [result["eventId"] for result in results[:2]] == ["e1", "e0"]
    assert results[0]["error"].startswith("FAIL_BAD_PARAMS: ERROR: deviceType must be one of TABLET,")
    assert results[1]["error"] == ""
    assert results[2]["error"] == "FAIL_BAD_PARAMS: ERROR: item must be an object"
    assert list(asapp.ledger.held("conversation")) == ["c0"]


def test_no_good_item_makes_a_400(asapp, client):
    """If every item is refused the status is 400 and the shape stays."""
    many = client.many({}, {"externalConversationId": "a b"})
    one = client.one({})
    assert (many.status_code, many.json()["errorCount"], len(many.json()["results"])) == (400, 2, 2)
    assert (one.status_code, one.json()["result"]["error"]) == (
        400,
        "FAIL_BAD_PARAMS: ERROR: externalConversationId is required",
    )
    assert asapp.ledger.counts()["refused"] == 3


def test_event_ids_come_back(client):
    """A valid event id is the one that comes back; otherwise each item gets a new UUID."""
    items = [*conversations(1), {"externalConversationId": "x"}, {"externalConversationId": "y", "eventId": "a b"}]
    ids = [result["eventId"] for result in client.many(*items).json()["results"]]
    assert ids[0] == "e0"
    assert UUID(ids[1]) != UUID(ids[2])


@pytest.mark.parametrize(
    "wrong",
    [
        {"asapp-api-id": "other"},
        {"asapp-api-secret": "other"},
        {"asapp-api-id": None},
        {"asapp-api-secret": None},
        {"asapp-api-secret": ""},
        {"asapp-api-secret": "é"},
    ],
)
def test_both_keys_must_match(asapp, client, wrong):
    """Without the right pair nothing is answered or accepted, the health check included."""
    headers = {name: value and value.encode() for name, value in wrong.items()}
    health = client.call("GET", "/v1/health", headers=headers)
    many = client.call("POST", MANY, headers=headers, json={"items": conversations(1)})
    assert error_of(health) == error_of(many) == (401, "401-01")
    assert asapp.ledger.counts()["items"] == 0


def test_health(asapp, client):
    """The health check says SUCCESS, or FAILED if it is told to."""
    assert client.call("GET", "/v1/health").json() == {"healthCheck": "SUCCESS"}
    asapp.healthy = False
    answer = client.call("GET", "/v1/health")
    assert (answer.status_code, answer.json()) == (200, {"healthCheck": "FAILED"})
    assert asapp.ledger.counts()["requests"] == 0


def test_unknown_paths_and_methods(client):
    """404 for a path that ASAPP does not have, 405 for a method that the path does not take."""
    assert error_of(client.call("POST", "/metadata-ingestion/v1/many-conversation-metadata")) == (404, "404-01")
    assert error_of(client.call("GET", "/v2/health")) == (404, "404-01")
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert error_of(client.call(method, MANY)) == (405, "405-01")
    assert error_of(client.call("POST", "/v1/health")) == (405, "405-01")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "400-02"),
        (b"{", "400-02"),
        (b"\xff{}", "400-02"),
        (b'{"items": [NaN]}', "400-02"),
        (b"[" * 100_000, "400-02"),
        (b"[]", "400-03"),
        (b"null", "400-03"),
        (b"{}", "400-04"),
        (b'{"items": {}}', "400-04"),
        (b'{"items": []}', "400-04"),
        (b'{"items": [' + b"{}," * 1000 + b"{}]}", "400-04"),
    ],
)
def test_a_body_that_is_no_batch(client, body, code):
    """What is not an object with 1 to 1000 items is refused as a whole."""
    answer = client.call("POST", MANY, data=body, headers={"Content-Type": "application/json"})
    assert error_of(answer) == (400, code)


def test_a_thousand_items_are_taken(asapp, client):
    """A full batch is 1000 items."""
    assert client.many(*conversations(1000)).json()["errorCount"] == 0
    assert asapp.ledger.counts()["accepted"] == 1000


def test_a_single_body_must_be_an_object(client):
    """For one record the body is the item itself."""
    assert error_of(client.one([{}])) == (400, "400-03")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_only_json_is_taken(client, content_type):
    """A body that does not say that it is JSON is refused, even if it is."""
    answer = client.call(
        "POST", MANY, data=b'{"items": [{"externalConversationId": "a"}]}', headers={"Content-Type": content_type}
    )
    assert error_of(answer) == (400, "400-01")


def test_the_content_type_may_name_its_charset(client):
    """`application/json; charset=utf-8`, in any case, is JSON."""
    answer = client.call(
        "POST", MANY, data=b'{"items": [{}]}', headers={"Content-Type": "Application/JSON; charset=UTF-8"}
    )
    assert "results" in answer.json()


def post(simulator: Simulator, path: str, body: bytes):
    """Past the socket, so that many examples take little time."""
    headers = KEYS | {"content-type": "application/json"}
    call = Call(method="POST", path=path, query="", headers=headers, body=body, size=len(body), unread=None)
    return simulator._service.answer(call)


@given(body=st.binary(max_size=40) | st.sampled_from([b"{}", b'{"items":[1]}', b'{"items":[{"eventId":[]}]}']))
def test_no_body_breaks_it(body):
    """Whatever the bytes are, the answer is a 400 that can be read, and the request is entered."""
    simulator = Simulator()
    for number, path in enumerate(OPERATIONS, 1):
        answer, request = post(simulator, path, body)
        assert json.loads(answer.body).keys() & {"error", "result", "results"}
        assert (answer.status, request.number, request.accepted) == (400, number, 0)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=12))
def test_every_item_has_exactly_one_verdict(rows):
    """Accepted and refused items add up to what was sent, and the answer agrees with the ledger."""
    items = [{"externalConversationId": key, "lobId": "ok" if good else "not ok"} for key, good in rows]
    simulator = Simulator()
    answer, request = post(simulator, MANY, json.dumps({"items": items}).encode())
    body = json.loads(answer.body)
    assert request.items == request.accepted + request.refused == len(body["results"]) == len(rows)
    assert request.refused == body["errorCount"] == sum(not good for _, good in rows)
    assert [result["error"] == "" for result in body["results"]] == [good for _, good in rows]
    assert answer.status == (200 if request.accepted else 400)
    assert set(simulator.ledger.held("conversation")) == {key for key, good in rows if good}


def test_unknown_keys_are_dropped_and_counted(asapp, client):
    """ASAPP drops an unknown key in silence; here it is counted, and not held."""
    items = conversations(3)
    items[0]["lobNmae"] = items[1]["lobNmae"] = items[1]["x"] = "y"
    items[2] |= {"lobId": "a b", "refused_anyway": 1}
    assert client.many(*items).json()["errorCount"] == 1
    assert asapp.ledger.counts()["unknown_keys_dropped"] == {"lobNmae": 2, "x": 1}
    assert asapp.ledger.accepted("conversation") == conversations(2)


def test_nulls_are_held_as_they_came(asapp, client):
    """An optional null is accepted and stays a null."""
    item = {"externalConversationId": "c", "eventId": None, "deviceType": None, "attributes": None}
    assert client.one(item).status_code == 200
    assert asapp.ledger.held("conversation") == {"c": item}


def limited(clock: list[float], **limits: int | None) -> Simulator:
    """A simulator by a clock that is set by hand."""
    return Simulator(clock=lambda: clock[0], **limits)


def codes(simulator: Simulator, count: int) -> list[str]:
    """The codes of so many requests in a row."""
    body = json.dumps({"items": conversations(1)}).encode()
    answers = [json.loads(post(simulator, MANY, body)[0].body) for _ in range(count)]
    return [answer["error"]["code"] if "error" in answer else "ok" for answer in answers]


def test_the_spike_limit():
    """The 101st request of a second is refused with 429-01; a second later all is well."""
    clock = [1000.0]
    simulator = limited(clock)
    assert codes(simulator, 101) == ["ok"] * 100 + ["429-01"]
    clock[0] += 1
    assert codes(simulator, 1) == ["ok"]
    assert simulator.ledger.counts()["accepted"] == 101


def test_the_daily_quota():
    """Once it is used up every request is refused with 429-02 until 00:00 UTC."""
    clock = [86_400.0 * 20_000]
    simulator = limited(clock, daily_quota=2)
    assert codes(simulator, 3) == ["ok", "ok", "429-02"]
    clock[0] += 86_399
    assert codes(simulator, 1) == ["429-02"]
    clock[0] += 1
    assert codes(simulator, 1) == ["ok"]


def test_a_limit_gives_no_retry_after():
    """ASAPP documents no such header, so none is sent unless a fault says so."""
    simulator = limited([0.0], requests_per_second=1)
    body = json.dumps({"items": conversations(1)}).encode()
    answers = [post(simulator, MANY, body)[0] for _ in range(2)]
    assert [(answer.status, dict(answer.headers)) for answer in answers] == [(200, {}), (429, {})]


def test_a_request_is_entered_without_secrets(asapp, client):
    """The ledger knows what came, when and how it ended, and neither key."""
    client.session.headers["Authorization"] = "Basic c2VjcmV0"
    customers = [
        {"externalConversationId": "c1", "externalCustomerId": "x@y", "eventId": "e1"},
        {"externalConversationId": "c1"},
    ]
    answer = client.many(*customers, entity="customer")
    (request,) = asapp.ledger.requests
    assert (request.number, request.method, request.path) == (1, "POST", MANY.replace("convo", "customer"))
    assert (request.status, request.items, request.accepted, request.refused) == (200, 2, 1, 1)
    assert (request.event_ids, request.keys) == (("e1", None), (("c1", "x@y"), None))
    assert request.bytes == len(answer.request.body)
    assert request.headers["content-type"] == "application/json"
    assert "demo-api" not in str(request.headers)
    assert "c2VjcmV0" not in str(request.headers)


def test_reset_gives_the_limits_back():
    """After a reset neither the second nor the day has been used."""
    simulator = limited([0.0], requests_per_second=1, daily_quota=1)
    assert codes(simulator, 2) == ["ok", "429-01"]
    simulator.reset()
    assert codes(simulator, 2) == ["ok", "429-01"]


def test_reset_begins_anew(asapp, client):
    """After a reset nothing is held, no fault is in force, and all is healthy."""
    asapp.misbehave(Fault(requests=range(2, 9), status=503))
    asapp.healthy = False
    client.many(*conversations(2))
    asapp.reset()
    assert asapp.healthy
    assert asapp.ledger.held("conversation") == {}
    assert [client.many(*conversations(1)).status_code for _ in range(2)] == [200, 200]
    assert [request.number for request in asapp.ledger.requests] == [1, 2]
