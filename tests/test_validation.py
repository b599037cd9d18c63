"""Promises of validation: each record becomes one item or one rejection, by the schemas' word and no other."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MARK, anything, junk, marked_values, properties, records

from airflow_provider_asapp.errors import AsappConfigurationError, AsappSourceError
from airflow_provider_asapp.pages import Page, pages_of
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES, Entity
from airflow_provider_asapp.simulator.contract import RULES
from airflow_provider_asapp.validation import Item, Validator, flat

KEYS = {
    "conversation": {"externalConversationId": "c1"},
    "agent": {"externalAgentId": "a1"},
    "customer": {"externalConversationId": "c1", "externalCustomerId": "u1@example.com"},
}
entities = st.sampled_from(list(ENTITIES.values()))


def outcomes(entity: str, *given: Any, first: int = 1, **options: Any) -> list[Item | Rejection]:
    """Return what becomes of these records."""
    validator = Validator(entity, **options)
    found: list[Item | Rejection] = []
    for page in pages_of(given):
        found += validator.check(page, first + len(found))
    return found


def item(entity: str, record: Any, **options: Any) -> Item:
    """Return the item of a valid record."""
    (outcome,) = outcomes(entity, record, **options)
    assert isinstance(outcome, Item), outcome.errors
    return outcome


def rejection(entity: str, record: Any, **options: Any) -> Rejection:
    """Return the rejection of an invalid record."""
    (outcome,) = outcomes(entity, record, **options)
    assert isinstance(outcome, Rejection)
    return outcome


def wire(found: Item) -> dict[str, Any]:
    """Return what is sent, without the event id."""
    sent: dict[str, Any] = json.loads(found.body)
    del sent["eventId"]
    return sent


# --- pages


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_hold_records_in_order(size: int) -> None:
    """Rows of the same fields go together, at most so many; nothing is lost, and none overtakes another."""
    given = [{"a": place} if place % 5 else {"b": place, "c": None} for place in range(20)]
    pages = list(pages_of(given, size))
    assert all(1 <= len(page.rows) <= size for page in pages)
    assert [dict(zip(page.columns, row, strict=True)) for page in pages for row in page.rows] == given


def test_no_records_are_no_pages() -> None:
    """An empty source has none."""
    assert list(pages_of([])) == []


@pytest.mark.parametrize("make", [dict, OrderedDict, MappingProxyType])
def test_any_mapping_is_a_record(make: Any) -> None:
    """What a driver gives need not be a dict."""
    assert item("agent", make({"externalAgentId": "a1"})).key == "a1"


@pytest.mark.parametrize("record", [None, 5, "text", b"bytes", [], ("a", "b"), {"<not a mapping>"}, object()])
def test_a_record_that_is_no_mapping_is_rejected(record: Any) -> None:
    """It has its position like any other, and the record itself goes to the rejects."""
    other = {"<not a mapping>": 1}
    before, strange, found, after, last = outcomes("agent", KEYS["agent"], other, record, other, KEYS["agent"])
    assert isinstance(before, Item)
    assert isinstance(found, Rejection)
    assert isinstance(last, Item)
    assert strange.record == after.record == other
    assert found.errors == {"_schema": ["a record must be a mapping of field to value"]}
    assert found.record is record
    assert [outcome.position for outcome in (before, strange, found, after, last)] == [1, 2, 3, 4, 5]
    with pytest.raises(AsappSourceError, match="mapping"):
        Validator("agent").check_columns(next(pages_of([record])).columns)


def test_positions_count_from_the_first_row() -> None:
    """Over pages, valid or not."""
    given = [{"externalAgentId": "a b" if place % 3 else "a"} for place in range(7)]
    assert [outcome.position for outcome in outcomes("agent", *given, first=11)] == list(range(11, 18))


# --- columns


@pytest.mark.parametrize(
    "column", ["externalAgentId", "EXTERNALAGENTID", "external_agent_id", "EXTERNAL_AGENT_ID", "External_agentId"]
)
@pytest.mark.parametrize("unknown", ["raise", "exclude", "attributes"])
def test_a_column_is_known_in_any_spelling(column: str, unknown: Any) -> None:
    """Case and underscores are the warehouse's own affair."""
    assert wire(item("agent", {column: "a1"}, unknown=unknown)) == {"externalAgentId": "a1"}
    Validator("agent", unknown=unknown).check_columns((column,))


@pytest.mark.parametrize("source", ["Agent Key", "AGENT KEY", "agent key"])
@pytest.mark.parametrize("field", ["externalAgentId", "external_agent_id", "EXTERNALAGENTID"])
def test_a_field_map_names_other_columns(source: str, field: str) -> None:
    """Source name to API name, in whatever case the warehouse returns the first."""
    options = {"field_map": {"Agent Key": field, "lobId": "groupId"}}
    found = item("agent", {source: 7, "LOBID": "x"}, **options)
    assert wire(found) == {"externalAgentId": "7", "groupId": "x"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("externlAgentId", " Did you mean externalAgentId?"), ("xyzzy", ""), ("", ""), (None, ""), (5, "")],
)
def test_a_field_map_to_no_field_is_a_mistake(name: Any, hint: str) -> None:
    """It is told before anything is read, with what it may have meant."""
    with pytest.raises(AsappConfigurationError) as refused:
        Validator("agent", field_map={"a": name})
    assert str(refused.value) == f"field_map: {name!r} is no field of agent.{hint}"


def test_an_unknown_entity_or_way_is_a_mistake() -> None:
    """The message lists what there is."""
    with pytest.raises(AsappConfigurationError, match="conversation, agent, customer"):
        Validator("Agent")
    with pytest.raises(AsappConfigurationError, match="'raise', 'exclude' or 'attributes'"):
        Validator("agent", unknown="drop")  # type: ignore[arg-type]


def test_a_misspelt_column_stops_before_anything_is_sent() -> None:
    """All of them at once, with what each may have meant and what can be done."""
    columns = ("externalConversationId", "externlCustomerId", "xyzzy")
    with pytest.raises(AsappSourceError) as refused:
        Validator("customer").check_columns(columns)
    assert "column 'externlCustomerId' is no field of customer; did you mean externalCustomerId?" in str(refused.value)
    assert "column 'xyzzy' is no field of customer. Rename" in str(refused.value)
    assert "nothing was sent" in str(refused.value)


def test_a_later_record_with_a_strange_field_is_rejected() -> None:
    """The first record set the columns; another one is invalid by itself, and its other errors are told too."""
    first, second, third = outcomes("agent", KEYS["agent"], {"externalAgentId": "a b", "xyzzy": 1}, KEYS["agent"])
    assert isinstance(first, Item)
    assert isinstance(third, Item)
    assert isinstance(second, Rejection)
    assert second.errors["xyzzy"] == ["column 'xyzzy' is no field of agent"]
    assert len(second.errors["externalAgentId"]) == 1


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (("externalAgentId", "lobId", "LOB_ID"), {}),
        (("externalAgentId", "lobId", "lobId"), {}),
        (("externalAgentId", "lobId", "line"), {"field_map": {"line": "lobId"}}),
        (("externalAgentId", "lobId", "lobId"), {"unknown": "exclude"}),
        (("externalAgentId", "lobId", "LOBID"), {"unknown": "attributes"}),
    ],
)
def test_two_columns_for_one_field_are_refused(columns: tuple[str, ...], options: dict[str, Any]) -> None:
    """Nobody can know which of them was meant."""
    validator = Validator("agent", **options)
    with pytest.raises(AsappSourceError, match="lobId is given by more than one column: lobId, "):
        validator.check_columns(columns)
    (found,) = validator.check(Page(columns, [("a1", "a b", "c")]), 1)
    assert isinstance(found, Rejection)
    assert found.errors["lobId"][0].startswith("lobId is given by more than one column")


def test_the_same_strange_column_twice() -> None:
    """As an attribute one of the two would be lost; left out it does no harm."""
    columns = ("externalAgentId", "tier", "tier")
    with pytest.raises(AsappSourceError, match="tier is given by more than one column"):
        Validator("agent", unknown="attributes").check_columns(columns)
    Validator("agent", unknown="exclude").check_columns(columns)


def test_a_field_given_twice_keeps_its_other_error() -> None:
    """All problems of a record at once."""
    (found,) = Validator("agent").check(Page(("externalAgentId", "lobId", "lobId"), [("a", "b", "c d")]), 1)
    assert isinstance(found, Rejection)
    assert len(found.errors["lobId"]) == 2


def test_strange_columns_can_be_left_out() -> None:
    """``exclude``: also if they hold what could not be sent."""
    assert wire(item("agent", {**KEYS["agent"], "xyzzy": object(), 5: b""}, unknown="exclude")) == KEYS["agent"]


@pytest.mark.parametrize(
    "given",
    [
        [{"name": "a", "value": "1"}],
        '[{"name": "a", "value": "1"}]',
        {"a": "1"},
        {"a": 1, "b": None},
        '{"a": "1"}',
        ({"name": "a", "value": "1"},),
    ],
)
def test_strange_columns_can_become_attributes(given: Any) -> None:
    """``attributes``: behind the record's own, in whatever form those come; NULL is absent."""
    record = {**KEYS["agent"], "tier": 3, "attributes": given, "vip": True, "empty": None, "nan": float("nan")}
    assert wire(item("agent", record, unknown="attributes"))["attributes"] == [
        {"name": "a", "value": "1"},
        {"name": "tier", "value": "3"},
        {"name": "vip", "value": "true"},
    ]


@pytest.mark.parametrize("given", [None, float("nan"), "null", [], {}, "[]"])
def test_strange_columns_need_no_attributes_beside_them(given: Any) -> None:
    """Absent or empty attributes are no obstacle."""
    record = {**KEYS["agent"], "attributes": given, "tier": "gold"}
    assert wire(item("agent", record, unknown="attributes"))["attributes"] == [{"name": "tier", "value": "gold"}]


def test_without_strange_values_there_are_no_attributes() -> None:
    """Columns that are all NULL leave no trace."""
    assert wire(item("agent", {**KEYS["agent"], "tier": None}, unknown="attributes")) == KEYS["agent"]


@pytest.mark.parametrize("own", [0, 4, 10])
@pytest.mark.parametrize("pack", [list, json.dumps, lambda pairs: {pair["name"]: pair["value"] for pair in pairs}])
def test_at_most_ten_attributes_all_together(own: int, pack: Any) -> None:
    """Ten pass and eleven don't, whichever of them were columns."""
    pairs = [{"name": f"a{place}", "value": "x"} for place in range(own)]
    columns = {f"column{place}": 1 for place in range(10 - own)}
    record = {**KEYS["agent"], "attributes": pack(pairs), **columns}
    assert len(wire(item("agent", record, unknown="attributes"))["attributes"]) == 10
    assert rejection("agent", {**record, "more": 1}, unknown="attributes").errors == {
        "attributes": ["at most 10 pairs"]
    }


@pytest.mark.parametrize("given", [5, "text", "[1", b"a", [5], '{"a": NaN}'])
def test_attributes_that_can_not_be_read_are_an_error(given: Any) -> None:
    """Strange columns beside them don't hide that."""
    record = {**KEYS["agent"], "attributes": given, "tier": "gold"}
    assert rejection("agent", record, unknown="attributes").errors.keys() == {"attributes"}


# --- event ids, keys, labels


def test_an_event_id_is_made_of_content_and_scope() -> None:
    """A retry of the same run repeats it; another run, entity or content has another."""
    record = {"externalConversationId": "c1", "externalCustomerId": "u1"}
    first = item("customer", record, scope="run 1")
    assert item("customer", record, scope="run 1").event_id == first.event_id
    others = [
        item("customer", record, scope="run 2"),
        item("customer", record),
        item("customer", {**record, "userId": "x"}, scope="run 1"),
        item("conversation", {"externalConversationId": "c1"}, scope="run 1"),
        item("agent", {"externalAgentId": "c1"}, scope="run 1"),
    ]
    ids = {first.event_id, *(other.event_id for other in others)}
    assert len(ids) == 6
    assert all(UUID(id_).version == 5 for id_ in ids)
    assert json.loads(first.body)["eventId"] == first.event_id


def test_an_event_id_never_changes() -> None:
    """ASAPP may recognise a repeat by it, also after an upgrade of ours."""
    assert item("agent", {"externalAgentId": "a1"}, scope="run").event_id == "dbe5f532-7a95-563e-a0c1-be9a535d6a5b"


def test_an_own_event_id_is_kept() -> None:
    """As text on the wire, whatever it was."""
    own = UUID("6f2b7bd5-5b1c-4c43-9b5c-0d9d7f0a4f11")
    found = item("agent", {"externalAgentId": "a1", "event_id": own})
    assert found.event_id == str(own)
    assert json.loads(found.body) == {"externalAgentId": "a1", "eventId": str(own)}
    assert len(item("agent", {"externalAgentId": "a1", "event_id": None}).event_id) == 36


@settings(max_examples=100)
@given(st.data(), entities, st.randoms(), st.sampled_from([str, str.upper, str.lower]))
def test_how_a_source_spells_its_columns_changes_nothing(
    data: st.DataObject, entity: Entity, chance: random.Random, spell: Any
) -> None:
    """Order, case, and NULL or absent: the same bytes are sent."""
    record = data.draw(records(entity))
    names = chance.sample(list(record), len(record))
    other = {spell(name): record[name] for name in names if record[name] is not None}
    other |= {name: None for name in properties(entity) if name not in record}
    assert item(entity.name, other).body == item(entity.name, record).body


def test_the_key_of_a_customer_is_both_ids() -> None:
    """The same person in another conversation is another record; ids can't run into each other."""
    record = {"externalConversationId": "c1", "externalCustomerId": "u1"}
    keys = [item("customer", record | change).key for change in ({}, {"externalConversationId": "c1u1"})]
    keys += [item("customer", {"externalConversationId": "c1u", "externalCustomerId": "1"}).key]
    assert len(set(keys)) == 3
    assert item("conversation", {"externalConversationId": "c1", "lobId": "x"}).key == "c1"


def test_a_customer_is_never_named_by_its_own_id() -> None:
    """It may be a phone number or an e-mail address: logs get the conversation's."""
    assert item("customer", KEYS["customer"]).label == "c1"
    assert rejection("customer", {**KEYS["customer"], "phoneNumber": "x"}).key == "c1"
    assert rejection("customer", {"externalCustomerId": "u1"}).key is None


@pytest.mark.parametrize("value", [None, "a b", "", [], "x" * 257])
def test_only_a_valid_key_names_a_record(value: Any) -> None:
    """Anything else might be some other value."""
    assert rejection("conversation", {"externalConversationId": value}).key is None


# --- for every record


@settings(max_examples=100)
@given(st.lists(anything(), min_size=1, max_size=5), st.sampled_from(["raise", "exclude", "attributes"]))
def test_each_record_has_exactly_one_outcome(given: list[tuple[Entity, Any]], unknown: Any) -> None:
    """An item that keeps the contract, or a rejection that says which rules are broken."""
    entity = given[0][0]
    raw = [record for _, record in given]
    found = outcomes(entity.name, *raw, unknown=unknown)
    assert [outcome.position for outcome in found] == list(range(1, len(raw) + 1))
    for record, outcome in zip(raw, found, strict=True):
        if isinstance(record, Mapping):
            assert list(outcome.record) == list(record)
        if isinstance(outcome, Item):
            sent = json.loads(outcome.body)
            assert RULES[entity.name].complaint(sent) == ""  # type: ignore[index]
            assert sent["eventId"] == outcome.event_id
            assert outcome.key == "\n".join(sent[name] for name in entity.key_fields)
            assert outcome.label == sent[entity.key_fields[0]]
            assert not outcome.maybe_sent
        else:
            assert outcome.stage == "invalid"
            assert outcome.errors
            assert all(rules and all(isinstance(rule, str) for rule in rules) for rules in outcome.errors.values())


@settings(max_examples=100)
@given(st.data(), entities)
def test_what_is_sent_is_what_the_schema_says(data: st.DataObject, entity: Entity) -> None:
    """No authority beside marshmallow: the wire JSON is its ``load``, and the errors are its own."""
    record = data.draw(records(entity))
    if data.draw(st.booleans()):
        record |= {data.draw(st.sampled_from(list(properties(entity)))): data.draw(junk)}
    schema = entity.schema_class()
    (outcome,) = outcomes(entity.name, record)
    if isinstance(outcome, Item):
        sent = json.loads(outcome.body)
        assert {"eventId": outcome.event_id, **schema.load(record)} == sent
    else:
        assert outcome.errors == flat(schema.validate(record))


@settings(max_examples=100)
@given(st.data(), entities, st.sampled_from(["raise", "attributes"]))
def test_an_error_holds_no_value(data: st.DataObject, entity: Entity, unknown: Any) -> None:
    """Errors go to logs: they name fields and rules."""
    names = data.draw(st.lists(st.sampled_from(list(properties(entity))), min_size=1, max_size=4))
    record = {**KEYS[entity.name], **{name: data.draw(marked_values) for name in names}}
    (outcome,) = outcomes(entity.name, {**record, "strange": MARK}, unknown=unknown)
    told = repr(outcome.errors) if isinstance(outcome, Rejection) else ""
    assert MARK not in told
    if isinstance(outcome, Rejection) and not (outcome.key and MARK in outcome.key):
        assert MARK not in repr(outcome)


def test_a_repr_holds_no_record() -> None:
    """A traceback with local variables would show it."""
    assert "secret" not in repr(rejection("agent", {"externalAgentId": "a", "lobId": "secret x"}))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ({"a": ["x", "y"]}, {"a": ["x", "y"]}),
        ({"a": {2: {"name": ["x"]}, 3: ["y"]}}, {"a[2].name": ["x"], "a[3]": ["y"]}),
        (["x"], {"_schema": ["x"]}),
        ({}, {}),
    ],
)
def test_messages_are_told_by_place(messages: Any, expected: dict[str, list[str]]) -> None:
    """One level deep, with the way to the value."""
    assert flat(messages) == expected


def test_a_missing_header_tells_no_value() -> None:
    """Where the first row of a CSV stands for its header, the error says so and names no cell of it."""
    cells = ("conv-1", "Jane.Doe@x.example", "+1-555-0100", "Jane Doe")
    with pytest.raises(AsappSourceError, match="has the source a header") as refused:
        Validator("customer").check_columns(cells)
    assert not any(cell in str(refused.value) for cell in cells)


def test_a_column_that_looks_like_data_is_told_by_its_number() -> None:
    """Beside real columns a strange one is named if its name looks like one, else counted."""
    with pytest.raises(AsappSourceError, match=r"column 'number 2'.*column 'notes'") as refused:
        Validator("customer").check_columns(("externalCustomerId", "jane@x.example", "notes"))
    assert "jane" not in str(refused.value)
