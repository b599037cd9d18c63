"""Promises of reading an answer: one verdict for each item, and nothing counts as delivered without its proof."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.answers import (
    ACCEPTED,
    BLANK_IN_400,
    COUNTS_DISAGREE,
    NO_ANSWER,
    UnreadableAnswer,
    Verdict,
    leading_code,
    parse,
    read_envelope,
    read_verdicts,
    refused_as_a_whole,
)
from airflow_provider_asapp.errors import AsappBatchRefused

BAD = "FAIL_BAD_PARAMS: ERROR: lobId"
BUSY = "FAIL_TIMEOUT: try later"


@dataclass(frozen=True)
class Item:
    """An item that was sent."""

    event_id: str
    body: bytes = b"{}"


def items(*ids: str) -> list[Item]:
    """Return items of different content."""
    return [Item(id_, f'{{"n":{place}}}'.encode()) for place, id_ in enumerate(ids)]


THREE = items("a", "b", "c")


def result(id_: Any, error: Any = "") -> dict[str, Any]:
    """Return one result of an answer."""
    return {"eventId": id_, "error": error}


def says_yes(entry: Any) -> bool:
    """Tell whether a result has a blank error."""
    error = entry.get("error", "?") if isinstance(entry, dict) else "?"
    return error is None or (isinstance(error, str) and not error.strip())


def many(*results: Any, count: Any = None) -> bytes:
    """Return the documented answer to a request of many; its count is right if none is given."""
    right = sum(not says_yes(entry) for entry in results)
    return json.dumps({"errorCount": right if count is None else count, "results": list(results)}).encode()


def kinds(verdicts: list[Verdict]) -> list[str]:
    """Return the kinds alone."""
    return [verdict.kind for verdict in verdicts]


# --- each row of what can come back


@pytest.mark.parametrize("blank", ["", " ", "\t\n", None])
def test_a_blank_error_is_accepted(blank: str | None) -> None:
    """ASAPP's way to say yes: a 200 in which the item's error is blank."""
    assert read_verdicts(200, many(*(result(item.event_id, blank) for item in THREE)), THREE) == [ACCEPTED] * 3


def test_each_item_has_its_own_verdict() -> None:
    """In a partial success the accepted, the bad and those with a passing error are told apart."""
    answer = many(result("a"), result("b", BAD), result("c", BUSY))
    assert read_verdicts(200, answer, THREE) == [ACCEPTED, Verdict("refused", BAD), Verdict("again", BUSY)]


def test_every_item_of_a_400_is_told_apart_too() -> None:
    """A 400 with results refuses what is bad and lets the others try again."""
    answer = many(result("a", BAD), result("b", BUSY), result("c", BAD))
    assert kinds(read_verdicts(400, answer, THREE)) == ["refused", "again", "refused"]


def test_a_blank_error_inside_a_400_is_no_delivery() -> None:
    """A 400 says that no item was taken, so a blank error there proves nothing."""
    assert read_verdicts(400, many(result("a"), result("b", BAD), result("c", BAD)), THREE)[0] is BLANK_IN_400
    single = json.dumps({"result": result("a")}).encode()
    assert read_verdicts(400, single, THREE[:1]) == [BLANK_IN_400]


def test_an_item_without_an_answer_goes_again() -> None:
    """Silence about an item is neither yes nor no; those with an answer keep theirs."""
    assert read_verdicts(200, many(result("a"), result("c", BAD)), THREE) == [
        ACCEPTED,
        NO_ANSWER,
        Verdict("refused", BAD),
    ]
    assert read_verdicts(200, many(), THREE) == [NO_ANSWER] * 3


def test_more_answers_than_items_prove_nothing() -> None:
    """An answer to something that nobody sent makes the whole doubtful."""
    answer = many(result("a"), result("b"), result("c"), result("d"))
    assert read_verdicts(200, answer, THREE) == [COUNTS_DISAGREE] * 3


def test_a_foreign_answer_beside_ours_stands_for_nothing() -> None:
    """Where ASAPP gives our ids back, an answer under another id does not deliver the item that has none."""
    assert read_verdicts(200, many(result("a"), result("x"), result("c")), THREE) == [ACCEPTED, NO_ANSWER, ACCEPTED]
    assert kinds(read_verdicts(200, many(result("a"), result(None, BAD), result("c")), THREE)) == [
        "accepted",
        "again",
        "accepted",
    ]


def test_an_id_answered_twice_does_not_deliver_another_item() -> None:
    """Two answers for one item leave the other item without one; if they differ, neither counts."""
    assert read_verdicts(200, many(result("a"), result("a"), result("c")), THREE) == [ACCEPTED, NO_ANSWER, ACCEPTED]
    answer = many(result("a"), result("a", BAD), result("c"))
    assert read_verdicts(200, answer, THREE) == [COUNTS_DISAGREE, NO_ANSWER, ACCEPTED]


@pytest.mark.parametrize("count", [0, 2, 3, -1, 10**30])
def test_a_count_that_disagrees_delivers_nothing(count: int) -> None:
    """If the answer contradicts itself, what it calls accepted goes again; what is bad stays refused."""
    answer = many(result("a"), result("b", BAD), result("c"), count=count)
    assert read_verdicts(200, answer, THREE) == [COUNTS_DISAGREE, Verdict("refused", BAD), COUNTS_DISAGREE]


def test_foreign_ids_that_all_say_the_same_are_enough() -> None:
    """Where no id is ours, equal verdicts and the right number leave no doubt."""
    assert read_verdicts(200, many(*map(result, "xyz")), THREE) == [ACCEPTED] * 3
    refused = read_verdicts(400, many(*(result(id_, BAD) for id_ in "xyz")), THREE)
    assert refused == [Verdict("refused", BAD)] * 3


@pytest.mark.parametrize("status", [200, 400])
def test_mixed_verdicts_under_foreign_ids_refuse_the_batch(status: int) -> None:
    """Nobody can tell which item is meant, so the caller has to find out."""
    errors = ["", BAD, BAD] if status == 200 else [BUSY, BAD, BAD]
    with pytest.raises(AsappBatchRefused, match=r"^FOREIGN_IDS: ") as refused:
        read_verdicts(status, many(*map(result, "xyz", errors)), THREE)
    assert refused.value.status == status


def test_foreign_ids_in_the_wrong_number_prove_nothing() -> None:
    """Too few answers under ids that are not ours: each item goes again."""
    assert read_verdicts(200, many(result("x"), result("y")), THREE) == [NO_ANSWER] * 3


def test_the_order_of_answers_does_not_matter() -> None:
    """ASAPP does not promise an order; the id decides."""
    answer = many(result("c", BUSY), result("a"), result("b", BAD))
    assert kinds(read_verdicts(200, answer, THREE)) == ["accepted", "refused", "again"]


def test_identical_records_share_their_answers() -> None:
    """Equal records have an equal id, and any of its answers is as good as the other."""
    twins = [Item("a", b"{}"), Item("b", b"1"), Item("a", b"{}")]
    answer = many(result("b", BAD), result("a"), result("a", BUSY))
    assert sorted(kinds(read_verdicts(200, answer, twins))) == ["accepted", "again", "refused"]
    assert read_verdicts(200, many(result("a"), result("b")), twins) == [ACCEPTED, ACCEPTED, NO_ANSWER]


def test_one_id_on_different_records_is_as_good_as_foreign() -> None:
    """A user's own id on two records does not say which of them is meant."""
    sent = items("a", "a", "b")
    assert read_verdicts(200, many(result("a"), result("a"), result("b")), sent) == [ACCEPTED] * 3
    with pytest.raises(AsappBatchRefused, match="FOREIGN_IDS"):
        read_verdicts(200, many(result("a"), result("a", BAD), result("b")), sent)


@pytest.mark.parametrize(("error", "kind"), [("", "accepted"), (BAD, "refused"), (BUSY, "again"), (0, "again")])
@pytest.mark.parametrize("id_", ["a", "foreign", None])
def test_a_single_item_needs_no_id(id_: str | None, error: Any, kind: str) -> None:
    """One question, one answer: it can only mean that item."""
    assert kinds(read_verdicts(200, json.dumps({"result": result(id_, error)}).encode(), THREE[:1])) == [kind]


@pytest.mark.parametrize("error", [0, 1, False, True, [], ["x"], {}, 1.5])
def test_an_error_that_is_no_text_is_no_answer(error: Any) -> None:
    """What is not documented is not taken for blank."""
    assert read_verdicts(200, many(result("a"), result("b", error), result("c")), THREE)[1] is NO_ANSWER


def test_a_result_without_an_error_is_no_answer() -> None:
    """Only an error that is there and blank says yes."""
    answer = many(result("a"), {"eventId": "b"}, result("c"))
    assert read_verdicts(200, answer, THREE) == [ACCEPTED, NO_ANSWER, ACCEPTED]


@pytest.mark.parametrize("entry", [None, 5, "ok", [], True])
def test_a_result_that_is_no_object_is_no_answer(entry: Any) -> None:
    """The items beside it keep their answers."""
    assert read_verdicts(200, many(result("a"), entry, result("c")), THREE) == [ACCEPTED, NO_ANSWER, ACCEPTED]


UNDOCUMENTED = {
    "empty": b"",
    "html": b"<!doctype html>",
    "half": many(result("a"), result("b"))[:-5],
    "not UTF-8": b'{"errorCount": 0, "results": ["\xff"]}',
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "an empty object": b"{}",
    "results are an object": b'{"errorCount": 0, "results": {}}',
    "results are null": b'{"errorCount": 0, "results": null}',
    "no count": b'{"results": [{"eventId": "a", "error": ""}]}',
    "count is a bool": many(result("a"), result("b"), result("c"), count=False),
    "count is text": many(result("a"), result("b"), result("c"), count="0"),
    "count is a float": many(result("a"), result("b"), result("c"), count=0.0),
    "count is NaN": many(result("a"), count=float("nan")),
    "the answer to a single one": json.dumps({"result": result("a")}).encode(),
    "deep": b"[" * 100_000,
    "deep and closed": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "a number of 5000 digits": b'{"errorCount": ' + b"1" * 5000 + b', "results": []}',
    "an envelope": b'{"error": {"requestId": "r", "message": "m", "code": "400-01"}}',
}


@pytest.mark.parametrize("body", UNDOCUMENTED.values(), ids=UNDOCUMENTED)
def test_a_200_of_another_shape_proves_nothing(body: bytes) -> None:
    """It is trouble at their side, for many as for one."""
    with pytest.raises(UnreadableAnswer):
        read_verdicts(200, body, THREE)
    if body != UNDOCUMENTED["the answer to a single one"]:
        with pytest.raises(UnreadableAnswer):
            read_verdicts(200, body, THREE[:1])


@pytest.mark.parametrize("body", [*UNDOCUMENTED.values(), many()], ids=[*UNDOCUMENTED, "no results"])
def test_a_400_without_results_refuses_the_batch(body: bytes) -> None:
    """It does not say which item is bad, so the caller has to find out."""
    with pytest.raises(AsappBatchRefused, match=r"^HTTP_400: ") as refused:
        read_verdicts(400, body, THREE)
    assert refused.value.status == 400
    assert refused.value.code == ("400-01" if b"400-01" in body else None)


def test_a_refusal_as_a_whole_carries_what_support_asks_for() -> None:
    """Status, code and requestId, and nothing else of the body."""
    body = b'{"error": {"requestId": "r-1", "message": "secret New York", "code": "422-01"}}'
    error = refused_as_a_whole(422, body)
    assert (error.status, error.code, error.request_id) == (422, "422-01", "r-1")
    assert str(error) == "HTTP_422: ASAPP refused the request as a whole"


# --- what may be shown


@pytest.mark.parametrize(
    "reason", [BAD, "FAIL_X", "HTTP_413: a", NO_ANSWER.reason, COUNTS_DISAGREE.reason, BLANK_IN_400.reason]
)
def test_the_leading_code_of_an_error_is_shown(reason: str) -> None:
    """ASAPP's codes and ours are words in capitals."""
    assert leading_code(reason) == reason.partition(":")[0]


@pytest.mark.parametrize(
    "reason",
    ["", ":", "555-123-4567: invalid", "john@example.com", "New York", "CUST_12345: unknown", "SMITH", "A_" * 50 + "A"],
)
def test_a_value_at_the_head_of_an_error_is_not_shown(reason: str) -> None:
    """An error text may begin with what a record holds: a log must not show that."""
    assert leading_code(reason) == "an error without a code"


@pytest.mark.parametrize("error", [None, 5, [], "text", {}, {"code": 5, "requestId": ["r"]}, {"code": "a b\n"}])
def test_an_odd_envelope_has_no_code(error: Any) -> None:
    """What is missing or odd is None."""
    assert read_envelope(json.dumps({"error": error}).encode()) == (None, None)


# --- for every answer

ids = st.sampled_from(["a", "b", "c", "d", "x", "y", "", None, 5])
errors = st.sampled_from(["", " ", BAD, BUSY, None, 0, "x" * 3]) | st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
entries = st.builds(result, ids, errors) | st.just({"eventId": "a"}) | junk
documents = st.builds(
    lambda count, results, single: {"errorCount": count, "results": results, "result": single},
    st.integers(-1, 6) | scalars,
    st.lists(entries, max_size=6) | junk,
    entries,
)
honest = st.lists(st.builds(result, ids, errors), max_size=6).map(lambda results: json.loads(many(*results)))
bodies = (documents | honest | junk).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)
sent_items = st.lists(
    st.builds(Item, st.sampled_from("abcd"), st.sampled_from([b"1", b"2"])) | st.builds(Item, st.sampled_from("abcd")),
    min_size=1,
    max_size=6,
)
statuses = st.sampled_from([200, 400])


@settings(max_examples=500)
@given(statuses, bodies, sent_items)
def test_any_answer_gives_each_item_one_verdict(status: int, body: bytes, sent: list[Item]) -> None:
    """Or it is called unreadable, or a refusal of the batch: never anything else."""
    try:
        verdicts = read_verdicts(status, body, sent)
    except (AsappBatchRefused, UnreadableAnswer):
        return
    assert len(verdicts) == len(sent)
    assert {verdict.kind for verdict in verdicts} <= {"accepted", "refused", "again"}
    assert all(verdict.reason for verdict in verdicts if verdict.kind != "accepted")


@settings(max_examples=500)
@given(statuses, honest | documents, sent_items)
def test_nothing_is_accepted_without_its_proof(status: int, value: dict[str, Any], sent: list[Item]) -> None:
    """A 200, a count that agrees, and a blank error under the item's own id; or, where no id helps, all blank."""
    try:
        verdicts = read_verdicts(status, json.dumps(value).encode(), sent)
    except (AsappBatchRefused, UnreadableAnswer):
        return
    accepted = Counter(item.event_id for item, verdict in zip(sent, verdicts, strict=True) if verdict is ACCEPTED)
    if not accepted:
        return
    assert status == 200
    if len(sent) == 1:
        assert says_yes(value["result"])
        return
    blanks = [entry["eventId"] for entry in value["results"] if says_yes(entry)]
    assert value["errorCount"] == len(value["results"]) - len(blanks)
    all_alike = len(blanks) == len(value["results"]) == len(sent)
    assert all_alike or all(count <= blanks.count(id_) for id_, count in accepted.items())


@settings(max_examples=300)
@given(st.data(), statuses, st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True), st.randoms())
def test_shuffled_answers_mean_the_same(
    data: st.DataObject, status: int, names: list[str], chance: random.Random
) -> None:
    """Under our own ids the order of the results never changes a verdict, whatever is missing or foreign."""
    sent = items(*names)
    results = [result(name, data.draw(errors)) for name in names if data.draw(st.booleans())]
    results += data.draw(st.lists(st.builds(result, st.just("foreign"), errors), max_size=1)) if results else []
    shuffled = chance.sample(results, len(results))
    count = data.draw(st.none() | st.integers(0, 6))

    def read(order: list[Any]) -> Any:
        try:
            return read_verdicts(status, many(*order, count=count), sent)
        except AsappBatchRefused as error:
            return str(error)

    assert read(results) == read(shuffled)


@given(st.binary() | junk.map(lambda value: json.dumps({"error": value}).encode()))
def test_an_envelope_shows_nothing_but_tokens(body: bytes) -> None:
    """A body can't reach a log by way of a code or a requestId."""
    for part in read_envelope(body):
        assert part is None or re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", part)


@given(st.text() | st.from_regex(r"[A-Z0-9_]{1,80}(:.*)?"))
def test_a_leading_code_is_in_capitals_or_not_shown(reason: str) -> None:
    """Nothing else of an error text gets through."""
    shown = leading_code(reason)
    assert shown == "an error without a code" or re.fullmatch(r"([A-Z]+_)+([A-Z]+|[1-5][0-9]{2})", shown)


@given(st.binary())
def test_parsing_never_fails(body: bytes) -> None:
    """What is no JSON is None."""
    parse(body)
