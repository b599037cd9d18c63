"""Promises of the checkpoint: it says how far all is confirmed, it survives JSON, and it never stands in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_asapp.accounting import Counts
from airflow_provider_asapp.checkpoint import AFTER_TROUBLE, EVERY, KEY, Checkpoint, Digest, State, fingerprint
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.validation import Item
from tests.bench import Bench, MemoryStore, conversations
from tests.clocks import FakeClock

numbers = st.integers(0, 10**12)
counts = st.builds(Counts, accepted=numbers, already_persisted=numbers, invalid=numbers, refused=numbers)
states = counts.flatmap(
    lambda counts: st.builds(
        State,
        fingerprint=st.text(),
        position=st.just(counts.read),
        digest=st.text(),
        sent=numbers,
        counts=st.just(counts),
        requests=numbers,
        disagreed=st.booleans(),
        ended=st.booleans(),
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
GOOD = State(fingerprint="f", position=3, digest="d", sent=5, counts=Counts(accepted=2, invalid=1), requests=1)


class BrokenStore(MemoryStore):
    """A store that always raises, and counts how often it was asked."""

    calls = 0

    def set(self, key: str, value: Any = None) -> None:
        """Fail."""
        self.calls += 1
        raise ConnectionError("no API server")

    get = delete = set  # type: ignore[assignment]


def loaded(value: Any) -> State:
    """Return what a submission finds if a store holds that value."""
    store = MemoryStore()
    store[KEY] = value
    return Checkpoint(store, FakeClock()).load("f")


# --- what is kept


@given(states)
def test_a_state_survives_json(state: State) -> None:
    """What a store gives back is what was kept."""
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "text",
        7,
        {"position": 3},
        {"fingerprint": "f"},
        {"fingerprint": "f", "counts": None},
        {**GOOD.to_json(), "position": None},
        {**GOOD.to_json(), "position": "3"},
        {**GOOD.to_json(), "position": 3.0},
        {**GOOD.to_json(), "position": True},
        {**GOOD.to_json(), "position": -3},
        {**GOOD.to_json(), "position": 4},
        {**GOOD.to_json(), "digest": None},
        {**GOOD.to_json(), "sent": -1},
        {**GOOD.to_json(), "sent": [5]},
        {**GOOD.to_json(), "requests": "many"},
        {**GOOD.to_json(), "disagreed": "no"},
        {**GOOD.to_json(), "ended": 1},
        {**GOOD.to_json(), "counts": {}},
        {**GOOD.to_json(), "counts": {"accepted": 3, "lost": 0}},
        {**GOOD.to_json(), "counts": {"accepted": "2", "already_persisted": 0, "invalid": 1, "refused": 0}},
        {**GOOD.to_json(), "counts": {"accepted": 4, "already_persisted": 0, "invalid": -1, "refused": 0}},
        {**GOOD.to_json(), "written_by": "a later version"},
        {name: value for name, value in GOOD.to_json().items() if name != "fingerprint"},
    ],
    ids=str,
)
def test_what_is_not_ours_starts_over(value: Any) -> None:
    """Values of another version, of somebody else, or broken ones are as if there were none."""
    assert loaded(value) == State(fingerprint="f")


@given(json_values, st.sampled_from([*GOOD.to_json(), *GOOD.to_json()["counts"]]))
def test_no_value_of_a_store_is_an_error(value: Any, name: str) -> None:
    """Anything in the place of the checkpoint, or of one value in it, is either sound or as if there were none."""
    whole = GOOD.to_json()
    (whole["counts"] if name in whole["counts"] else whole)[name] = value
    for held in (value, whole):
        state = loaded(held)
        assert state.counts.read == state.position >= 0
        assert state.requests >= 0


@pytest.mark.parametrize("value", [None, {}, {**GOOD.to_json(), "position": -3}, "text"], ids=str)
def test_a_submission_goes_on_whatever_the_store_holds(bench: Bench, value: Any) -> None:
    """With rubbish in the store everything is sent from the start."""
    bench.store[KEY] = value
    records = conversations(30)
    bench.assert_accounted(bench.submit(records), records)


def test_a_state_of_another_submission_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """Another fingerprint starts over, and the log says so."""
    store = MemoryStore()
    Checkpoint(store, FakeClock()).save(GOOD)
    with caplog.at_level("INFO"):
        assert Checkpoint(store, FakeClock()).load("other") == State(fingerprint="other")
    assert "starting over" in caplog.text
    assert Checkpoint(store, FakeClock()).load("f") == GOOD


@pytest.mark.parametrize("name", ["domain", "api_id", "entity", "field_map", "unknown", "version"])
def test_any_setting_makes_another_fingerprint(name: str) -> None:
    """Of what tells submissions apart each one counts, and no key can be read from it."""
    settings: dict[str, Any] = {"domain": "d", "api_id": "i", "entity": "e", "field_map": {}, "unknown": "u"}
    assert fingerprint(**settings) == fingerprint(**dict(reversed(settings.items())))
    assert fingerprint(**settings) != fingerprint(**{**settings, name: "other"})
    assert "secret-api-id" not in fingerprint(**{**settings, "api_id": "secret-api-id"})


# --- the proof


def digest_of(*checked: Item | Rejection) -> str:
    """Return the digest of these."""
    digest = Digest()
    for one in checked:
        digest.add([one])
    return digest.text()


def test_a_digest_tells_what_was_and_in_which_order() -> None:
    """Content and order of valid records, place and errors of invalid ones; nothing else."""
    first, second = (Item(at, f"c{at}", f"c{at}", "e", f"body{at}".encode(), f"body{at}") for at in (1, 2))
    wrong = Rejection(3, "c3", "invalid", {"campaign": ["too long"]}, {"campaign": "x"})
    whole = digest_of(first, second, wrong)
    assert digest_of(first, second, Rejection(3, "c3", "invalid", {"campaign": ["too long"]}, "y")) == whole
    others = [
        (second, first, wrong),
        (first, wrong, second),
        (first, second),
        (first, second, wrong, wrong),
        (first, second, Rejection(4, "c3", "invalid", {"campaign": ["too long"]}, {})),
        (first, second, Rejection(3, "c3", "invalid", {"lobId": ["too long"]}, {})),
        (first, second, Rejection(3, "c3", "invalid", {"campaign": ["no text"]}, {})),
    ]
    assert whole not in {digest_of(*other) for other in others}


# --- the store's trouble


def test_it_is_written_at_most_once_a_second(bench: Bench) -> None:
    """500 batches at 100 a second take 5 seconds and cost about as many writes."""
    writes: list[int] = []

    class Counting(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            writes.append(value["position"])

    bench.store = Counting()
    bench.submit(conversations(5000))
    assert 3 <= len(writes) <= 6
    assert writes == sorted(writes)


def test_store_trouble_never_fails_a_submission(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """With a store that always raises, all arrives; the log says so, and it is not asked for each batch."""
    bench.store = store = BrokenStore()
    assert bench.submit(conversations(500))["accepted"] == 500
    assert "task state store gives trouble" in caplog.text
    assert "no API server" not in caplog.text
    assert store.calls <= 4


def test_after_trouble_the_store_is_left_alone_for_a_minute() -> None:
    """A write that fails is tried again after 60 s, one that succeeds after one."""
    for store, pause in ((BrokenStore(), AFTER_TROUBLE), (MemoryStore(), EVERY)):
        clock = FakeClock()
        checkpoint = Checkpoint(store, clock)
        assert checkpoint.due()
        checkpoint.save(GOOD)
        assert not checkpoint.due()
        clock.advance(pause - 0.1)
        assert not checkpoint.due()
        clock.advance(0.1)
        assert checkpoint.due()


def test_without_a_store_nothing_is_kept() -> None:
    """Where Airflow has none, there is nothing to load, to write or to forget."""
    checkpoint = Checkpoint(None, FakeClock())
    checkpoint.save(GOOD)
    checkpoint.delete()
    assert not checkpoint.due()
    assert checkpoint.load("f") == State(fingerprint="f")


def test_a_delete_that_fails_is_no_failure(bench: Bench) -> None:
    """A report is a report, also if the store can't forget."""

    class Stubborn(MemoryStore):
        def delete(self, key: str) -> None:
            raise ConnectionError("no API server")

    bench.store = Stubborn()
    assert bench.submit(conversations(20))["accepted"] == 20
