"""What the ledger keeps and counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.simulator.ledger import Accepted, Ledger, ReceivedRequest


def request(number: int, items: int = 0, accepted: int = 0) -> ReceivedRequest:
    """A request of which only the counts matter."""
    return ReceivedRequest(
        number=number,
        method="POST" if number else "GET",
        path="/",
        headers={},
        status=200,
        event_ids=(),
        keys=(),
        items=items,
        accepted=accepted,
        refused=items - accepted,
        bytes=0,
        time=0.0,
        milliseconds=0.0,
    )


def agent(key: str, event_id: str | None = None, **fields: object) -> Accepted:
    """An accepted agent."""
    return Accepted(key, event_id, {"externalAgentId": key, **fields})


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=4), max_size=6))
def test_the_last_writer_wins(batches):
    """Everything accepted is there in order of arrival, and of each key the latest is held."""
    ledger = Ledger()
    for number, batch in enumerate(batches, 1):
        accepted = [agent(key, ranking=ranking) for key, ranking in batch]
        ledger.record(request(number, len(batch), len(batch)), entity="agent", accepted=accepted)
    flat = [pair for batch in batches for pair in batch]
    assert [(item["externalAgentId"], item["ranking"]) for item in ledger.accepted("agent")] == flat
    assert {key: item["ranking"] for key, item in ledger.held("agent").items()} == dict(flat)
    assert ledger.counts()["entities"]["agent"] == {"accepted": len(flat), "held": len(dict(flat))}
    assert ledger.counts()["items"] == len(flat)


def test_entities_do_not_mix():
    """The same key or event id of another entity is another record, and no repeat."""
    ledger = Ledger()
    ledger.record(request(1), entity="agent", accepted=[agent("x", "e")])
    ledger.record(request(2), entity="conversation", accepted=[agent("x", "e")])
    assert ledger.counts()["repeated_event_ids"] == 0
    assert list(ledger.held("agent")) == list(ledger.held("conversation")) == ["x"]
    assert ledger.held("customer") == {}


def test_repeats_are_counted():
    """An item counts as a repeat if its event id had been accepted before, in the same request or not."""
    ledger = Ledger()
    ledger.record(request(1), entity="agent", accepted=[agent("a", "e1"), agent("a", "e1"), agent("b", None)])
    ledger.record(request(2), entity="agent", accepted=[agent("a", "e1"), agent("b", None), agent("c", "e2")])
    assert ledger.counts()["repeated_event_ids"] == 2


def test_items_can_be_asked_by_request():
    """Each accepted item is known to have come with its request."""
    ledger = Ledger()
    ledger.record(request(1), entity="agent", accepted=[agent("a")])
    ledger.record(request(2), entity="agent", accepted=[agent("b"), agent("c")])
    assert [item["externalAgentId"] for item in ledger.accepted("agent", request=2)] == ["b", "c"]


def test_nobody_alters_what_is_held():
    """What the ledger gives out is a copy, all the way down."""
    ledger = Ledger()
    ledger.record(request(1), entity="agent", accepted=[agent("a", languages=["en"])])
    ledger.held("agent")["a"]["languages"].append("de")
    ledger.accepted("agent")[0].clear()
    assert ledger.held("agent") == {"a": {"externalAgentId": "a", "languages": ["en"]}}


def test_a_sample_pages_through_what_is_held():
    """Pages follow on each other and together are everything."""
    ledger = Ledger()
    ledger.record(request(7), entity="agent", accepted=[agent(key) for key in "abcde"])
    pages = [ledger.sample("agent", limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[item["externalAgentId"] for _, item in page] for page in pages] == [["a", "b"], ["c", "d"], ["e"], []]
    assert pages[0][0][0] == 7


def test_reset_forgets_everything():
    """After a reset the ledger is as new, and counts requests from 1."""
    ledger = Ledger()
    assert [ledger.next_number(), ledger.next_number()] == [1, 2]
    ledger.record(request(1, 1, 1), entity="agent", accepted=[agent("a", "e")], unknown=["x"])
    ledger.reset()
    assert ledger.counts() == Ledger().counts()
    assert ledger.requests == ledger.accepted("agent") == []
    assert ledger.next_number() == 1
    ledger.record(request(1, 1, 1), entity="agent", accepted=[agent("a", "e")])
    assert ledger.counts()["repeated_event_ids"] == 0


def test_only_posts_count_as_requests():
    """A health check is listed among the requests, and not counted."""
    ledger = Ledger()
    ledger.record(request(0))
    ledger.record(request(1))
    assert ledger.counts()["requests"] == 1
    assert len(ledger.requests) == 2
