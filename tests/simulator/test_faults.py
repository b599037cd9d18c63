"""Each way to misbehave, as a client meets it."""

from __future__ import annotations

import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.simulator.faults import FaultPlan

from .conftest import conversations

KEYS = ("a", "b", ("c", "d"), None)


@given(share=st.floats(0, 1), seed=st.integers(), number=st.integers(1))
def test_the_same_seed_strikes_the_same_places(share, seed, number):
    """Chances hang on seed and request number only, so a failing run can be repeated."""
    fault, twin = (Fault(share=share, seed=seed, item_error="FAIL_TIMEOUT") for _ in range(2))
    assert fault.strikes(number, KEYS) == twin.strikes(number, KEYS)
    assert set(fault.strikes(number, KEYS)) <= set(range(len(KEYS)))


def test_another_seed_or_request_strikes_elsewhere():
    """Neither two requests nor two seeds share their chances."""
    keys = ["a"] * 100
    struck = [Fault(share=0.5, seed=seed, item_error="x").strikes(number, keys) for seed in (0, 1) for number in (1, 2)]
    assert len(set(map(tuple, struck))) == 4


def test_a_share_is_about_that_share():
    """Half of the requests are about half, and half of the items too; none and all are exact."""
    half = Fault(share=0.5, status=503)
    assert 400 < sum(bool(half.strikes(number, ["a"])) for number in range(1, 1001)) < 600
    assert 400 < len(Fault(share=0.5, item_error="x").strikes(1, ["a"] * 1000)) < 600
    assert Fault(share=0, status=503).strikes(1, KEYS) == []
    assert Fault(share=1, item_error="x").strikes(1, KEYS) == [0, 1, 2, 3]


def test_all_conditions_must_hold():
    """Request numbers and keys narrow each other."""
    fault = Fault(requests=range(2, 4), keys=["b", ("c", "d")], status=503)
    assert fault.strikes(1, KEYS) == []
    assert fault.strikes(2, KEYS) == [1, 2]
    assert fault.strikes(3, ["a", "x"]) == []


def test_times_counts_requests_that_were_struck():
    """A fault is spent after so many requests, and passing ones use up nothing."""
    plan = FaultPlan()
    plan.add(Fault(keys={"a"}, times=2, status=503))
    assert [bool(plan.due(number, keys)) for number, keys in enumerate(["a", "b", "a", "a"])] == [
        True,
        False,
        True,
        False,
    ]
    assert len(plan) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"requests": {1}},
        {"status": 503, "share": 1.5},
        {"status": 200},
        {"accept": True},
        {"accept": True, "shuffle": True},
        {"retry_after": 5, "delay": 1.0},
    ],
)
def test_a_fault_that_makes_no_sense_is_an_error(wrong):
    """A fault that would do nothing, or that is out of range, can't be made."""
    with pytest.raises(ValueError, match=r"\w"):
        Fault(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"statu": 503},
        {"status": "503"},
        {"status": 503, "requests": [0]},
        {"status": 503, "keys": [["a"]]},
        {"drop": "later"},
        {"garbage": 1},
        {"missing": -1},
        {"delay": -1},
        {"times": 1},
    ],
)
def test_json_that_is_no_fault_is_an_error(wrong):
    """From outside nothing is guessed."""
    with pytest.raises(ValueError, match=r"\w"):
        Fault.from_json(wrong)


def test_a_fault_can_be_written_as_json():
    """JSON says the same as Python, pairs of ids being lists."""
    text = '{"requests": [1, 2], "keys": ["a", ["c", "d"]], "times": 3, "status": 429, "retry_after": 7}'
    assert Fault.from_json(json.loads(text)) == Fault(
        requests=[1, 2], keys={"a", ("c", "d")}, times=3, status=429, retry_after=7
    )
    for flag in ("garbage", "html", "not_documented", "wrong_count", "shuffle", "foreign_ids"):
        assert Fault.from_json({flag: True}) == Fault(**{flag: True})


def test_a_status_accepts_nothing(asapp, client):
    """A fault's status comes with the envelope and its code; Retry-After only if it was asked for."""
    asapp.misbehave(Fault(requests={1}, status=503), Fault(requests={2}, status=429, retry_after=7))
    first, second, third = (client.many(*conversations(2)) for _ in range(3))
    assert (first.status_code, first.json()["error"]["code"]) == (503, "503-01")
    assert "Retry-After" not in first.headers
    assert (second.status_code, second.headers["Retry-After"]) == (429, "7")
    assert third.status_code == 200
    counts = asapp.ledger.counts()
    assert (counts["items"], counts["accepted"], counts["refused"]) == (6, 2, 0)
    assert [request.event_ids for request in asapp.ledger.requests] == [("e0", "e1")] * 3


def test_a_status_can_hide_that_items_are_accepted(asapp, client):
    """With `accept` the items are held although the answer says something else: what a 409 is about."""
    asapp.misbehave(Fault(times=1, status=409, accept=True))
    assert client.one(conversations(1)[0]).status_code == 409
    assert list(asapp.ledger.held("conversation")) == ["c0"]


def test_item_errors_strike_items_only(asapp, client):
    """The items struck are refused with the text, the others are handled as ever, bad ones included."""
    asapp.misbehave(Fault(keys={"c1", "c3"}, item_error="FAIL_TIMEOUT: try later"))
    items = conversations(4)
    items[3]["lobId"] = "a b"
    answer = client.many(*items)
    errors = [result["error"] for result in answer.json()["results"]]
    assert answer.status_code == 200
    assert answer.json()["errorCount"] == 2
    assert errors[:3] == ["", "FAIL_TIMEOUT: try later", ""]
    assert errors[3].startswith("FAIL_BAD_PARAMS: ERROR: lobId")
    assert list(asapp.ledger.held("conversation")) == ["c0", "c2"]


def test_item_errors_on_all_items_make_a_400(asapp, client):
    """If no item is left the answer is a 400 of the documented shape."""
    asapp.misbehave(Fault(item_error="FAIL_TIMEOUT: try later"))
    assert client.many(*conversations(3)).status_code == 400
    assert client.one(conversations(1)[0]).status_code == 400
    assert asapp.ledger.held("conversation") == {}


@pytest.mark.parametrize(("drop", "held"), [("before", 0), ("after", 2), ("mid-body", 2)])
def test_a_dropped_connection(asapp, client, drop, held):
    """The client gets no whole answer; whether the items are held depends on when the connection broke."""
    asapp.misbehave(Fault(times=1, drop=drop))
    with pytest.raises(requests.RequestException):
        client.many(*conversations(2))
    assert len(asapp.ledger.held("conversation")) == held
    assert asapp.ledger.requests[0].status == (200 if drop == "mid-body" else None)
    assert client.many(*conversations(2)).status_code == 200


def test_half_a_body_is_cut_where_it_says_it_is_whole(asapp, client):
    """With "mid-body" the header announces all of it and half arrives."""
    asapp.misbehave(Fault(drop="mid-body"))
    path = "/metadata-ingestion/v1/many-convo-metadata"
    with client.call("POST", path, json={"items": conversations(5)}, stream=True) as answer:
        arrived = answer.raw.read1(-1)
        assert arrived.startswith(b'{"errorCount": 0')
        assert len(arrived) == int(answer.headers["Content-Length"]) // 2


@pytest.mark.parametrize("accept", [False, True])
@pytest.mark.parametrize("what", [{"garbage": True}, {"html": True}, {"not_documented": True}])
def test_a_200_that_is_not_the_documented_json(asapp, client, what, accept):
    """The status says success and the body can't be read as an answer."""
    asapp.misbehave(Fault(**what, accept=accept))
    answer = client.many(*conversations(1))
    assert answer.status_code == 200
    if "not_documented" in what:
        assert not answer.json().keys() & {"result", "results", "errorCount"}
    else:
        with pytest.raises(ValueError, match=r"\w"):
            answer.json()
    assert answer.headers["Content-Type"].startswith("text/html" if "html" in what else "application/json")
    assert len(asapp.ledger.held("conversation")) == accept


def test_a_redirect(asapp, client):
    """The answer points elsewhere, and nothing is accepted."""
    asapp.misbehave(Fault(redirect="https://elsewhere.example/login"))
    answer = client.many(*conversations(1))
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://elsewhere.example/login")
    assert asapp.ledger.held("conversation") == {}


def results_of(answer):
    """The event ids of an answer, in order."""
    return [result["eventId"] for result in answer.json()["results"]]


def test_results_that_do_not_add_up(asapp, client):
    """Results can be missing or too many, and the count can be wrong; the items are accepted all the same."""
    asapp.misbehave(
        Fault(requests={1}, missing=2),
        Fault(requests={2}, keys={"c1"}, missing=2),
        Fault(requests={3}, extra=2),
        Fault(requests={4}, wrong_count=True),
    )
    answers = [client.many(*conversations(3)) for _ in range(4)]
    assert results_of(answers[0]) == ["e2"]
    assert results_of(answers[1]) == ["e0", "e2"]
    assert results_of(answers[2])[:3] == ["e0", "e1", "e2"]
    assert len(set(results_of(answers[2]))) == 5
    assert [answer.json()["errorCount"] for answer in answers] == [0, 0, 0, 1]
    assert asapp.ledger.counts()["accepted"] == 12


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_shuffled_results_keep_no_place(asapp, client, count):
    """Each result is there, with its error, and none at the place of its item."""
    asapp.misbehave(Fault(shuffle=True))
    items = conversations(count)
    items[0]["lobId"] = "a b"
    results = {result["eventId"]: result["error"] for result in client.many(*items).json()["results"]}
    assert sorted(results) == sorted(f"e{number}" for number in range(count))
    assert [event_id for event_id, error in results.items() if error] == ["e0"]
    if count > 1:
        assert all(event_id != f"e{place}" for place, event_id in enumerate(results))


def test_foreign_ids_keep_the_order(asapp, client):
    """No event id is the client's, for one and for many, and the errors stay in their places."""
    asapp.misbehave(Fault(foreign_ids=True))
    items = conversations(3)
    items[1]["lobId"] = "a b"
    answer = client.many(*items)
    assert not {"e0", "e1", "e2"} & set(results_of(answer))
    assert [bool(result["error"]) for result in answer.json()["results"]] == [False, True, False]
    assert client.one(conversations(1)[0]).json()["result"]["eventId"] != "e0"


def test_delays_and_latency_are_slept(client_with_naps):
    """Latency is slept at each request, delays on top of it and added up; no real second passes."""
    asapp, client, naps = client_with_naps
    asapp.misbehave(Fault(requests={2}, delay=3.0), Fault(requests={2}, delay=4.0))
    client.many(*conversations(1))
    client.many(*conversations(1))
    assert naps == [0.5, 0.5, 7.0]
    assert asapp.ledger.counts()["accepted"] == 2


@pytest.fixture
def client_with_naps():
    """A slow simulator whose sleep is only noted."""
    from .conftest import Client

    naps: list[float] = []
    with Simulator(latency=0.5, sleep=naps.append) as asapp, requests.Session() as session:
        yield asapp, Client(asapp, session), naps


def test_the_first_fault_that_replaces_wins(asapp, client):
    """Of two answers in place of the documented one, the first that was given is sent."""
    asapp.misbehave(Fault(status=503, times=1), Fault(html=True))
    assert client.many(*conversations(1)).status_code == 503
    assert client.many(*conversations(1)).headers["Content-Type"].startswith("text/html")
