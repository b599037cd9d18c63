"""The schemas: names, errors of a whole record, and that they and the contract say the same."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import EXCLUDE, ValidationError
from strategies import ASCII, MARK, anything, broken, marked_values, properties, records

from airflow_provider_asapp.schemas import ENTITIES, Entity, api_name, suggestion
from airflow_provider_asapp.simulator.contract import CONTRACT, RULES

CONVERSATION, AGENT, CUSTOMER = ENTITIES["conversation"], ENTITIES["agent"], ENTITIES["customer"]
REQUIRED = {
    "conversation": {"externalConversationId": "issue1"},
    "agent": {"externalAgentId": "agent1"},
    "customer": {"externalConversationId": "issue1", "externalCustomerId": "c1"},
}


def load(entity: Entity, record: Any, **options: Any) -> Any:
    """Ask the schema."""
    return entity.schema_class().load(record, **options)


def refusal(entity: Entity, record: Any, **options: Any) -> dict[Any, Any]:
    """Return the messages of the one error that the schema may raise."""
    with pytest.raises(ValidationError) as refused:
        load(entity, record, **options)
    assert isinstance(refused.value.messages, dict)
    return refused.value.messages


# --- names and records, by example


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
def test_the_schemas_and_the_contract_know_the_same_fields(entity: Entity) -> None:
    """No field of ASAPP's is missing, none is invented, and the same ones are required."""
    fields = entity.schema_class().fields
    assert list(fields) == list(properties(entity))
    assert [name for name, field in fields.items() if field.required] == CONTRACT["$defs"][entity.name]["required"]
    assert list(entity.key_fields) == [name for name, field in fields.items() if field.required]
    assert f"-{entity.path_word}-" in CONTRACT["x-asapp"]["operations"][entity.name]["many"]


@pytest.mark.parametrize("key", ["lobId", "lob_id", "LOB_ID", "lobid", "LOBID", "LobID", "_lob__id_"], ids=repr)
def test_a_field_is_known_in_any_case_and_with_or_without_underscores(key: str) -> None:
    """The names that warehouses give are the API's names."""
    assert load(CONVERSATION, {"EXTERNAL_CONVERSATION_ID": "a", key: "x"}) == {
        "externalConversationId": "a",
        "lobId": "x",
    }
    assert api_name(CONVERSATION, key) == "lobId"


@pytest.mark.parametrize("column", ["lob id", "lob-id", "", "_", "bro\u212aserType", "platform ", 5, None], ids=repr)
def test_what_is_no_field_has_no_api_name(column: object) -> None:
    """Nothing but case and underscores is looked through."""
    assert api_name(CONVERSATION, column) is None


@pytest.mark.parametrize(
    ("entity", "column", "field"),
    [
        (CONVERSATION, "externlConversationId", "externalConversationId"),
        (CONVERSATION, "conversation_id", "externalConversationId"),
        (CONVERSATION, "PLATFROM", "platform"),
        (CUSTOMER, "email", "emailAddress"),
        (AGENT, "language", "languages"),
        (CONVERSATION, "created_at", None),
        (CONVERSATION, "id", None),
        (CONVERSATION, "", None),
        (CONVERSATION, "x" * 100_000, None),
        (CONVERSATION, 5, None),
    ],
)
def test_a_misspelt_column_has_a_suggestion(entity: Entity, column: object, field: str | None) -> None:
    """A column near a field's name is shown it; one that is not near is shown none."""
    assert suggestion(entity, column) == field


def test_an_unknown_column_is_refused_with_the_field_it_may_have_meant() -> None:
    """A misspelt column is not dropped in silence; unknown ones are named in order."""
    record = {"zzz": 1, "externlConversationId": "a", 7: 1}
    assert list(refusal(CONVERSATION, record).items()) == [
        ("externalConversationId", ["required, but missing or NULL"]),
        (7, ["Unknown field."]),
        ("externlConversationId", ["Unknown field; did you mean externalConversationId?"]),
        ("zzz", ["Unknown field."]),
    ]


def test_unknown_columns_can_be_excluded() -> None:
    """EXCLUDE works as everywhere in marshmallow."""
    record = {"external_agent_id": "a", "zzz": 1}
    assert load(AGENT, record, unknown=EXCLUDE) == {"externalAgentId": "a"}
    assert AGENT.schema_class(unknown=EXCLUDE).load(record) == {"externalAgentId": "a"}


def test_many_records_keep_their_errors_apart() -> None:
    """``many`` works as everywhere in marshmallow, with the hints too."""
    records = [{"externalAgentId": "a"}, {"externalAgentID": "b", "vendr": 1}, 5]
    assert refusal(AGENT, records, many=True) == {
        1: {"vendr": ["Unknown field; did you mean vendor?"]},
        2: {"_schema": ["Invalid input type."]},
    }


@pytest.mark.parametrize("other", [None, "y", "x"])
def test_a_field_given_twice_is_refused(other: object) -> None:
    """Which of two columns is meant is not guessed, not even if one is NULL or they agree."""
    record = {"externalConversationId": "a", "lobId": "x", "LOB_ID": other, "platform": "PALM"}
    errors = refusal(CONVERSATION, record, unknown=EXCLUDE)
    assert list(errors) == ["lobId", "platform"]
    assert errors["lobId"] == ["given more than once, as lobId and LOB_ID: keep one"]


def test_all_problems_of_a_record_are_named_at_once() -> None:
    """One run shows all that is to be mended."""
    record = {"lobId": "a b", "platform": "PALM", "attributes": "x", "browser_version": "1 " * 9, "zzz": 1}
    errors = refusal(CONVERSATION, record)
    assert list(errors) == [*("externalConversationId", "lobId", "platform", "browserVersion", "attributes", "zzz")]
    assert len(errors["browserVersion"]) == 2


@pytest.mark.parametrize("record", [None, [], "a", 5, object(), [("externalAgentId", "a")]], ids=repr)
def test_what_is_no_mapping_is_refused_the_marshmallow_way(record: object) -> None:
    """A record that is none is an error of the schema."""
    assert refusal(AGENT, record) == {"_schema": ["Invalid input type."]}


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
@pytest.mark.parametrize("value", [10**5000, Decimal(10) ** 5000, [10**5000], {10**5000: 1}], ids="ndlm")
def test_a_monstrous_number_is_refused_by_every_field(entity: Entity, value: Any) -> None:
    """What Python itself refuses to write as text is a broken rule like another."""
    record = dict.fromkeys(properties(entity), value)
    assert list(refusal(entity, record)) == list(record)


# --- the contract as judge: the one that the simulator judges by


def complaint(entity: Entity, item: object) -> str:
    """Ask the contract; nothing is no complaint."""
    return RULES[entity.name].complaint(item)


@settings(max_examples=400)
@given(anything())
def test_what_load_returns_is_valid_by_the_contract(given_record: tuple[Entity, Any]) -> None:
    """Whatever comes in, what comes out may be sent, and nothing but ValidationError is raised."""
    entity, record = given_record
    try:
        wire = load(entity, record)
    except ValidationError:
        return
    assert complaint(entity, wire) == ""
    assert load(entity, json.loads(json.dumps(wire, allow_nan=False).encode())) == wire


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
@given(st.data())
def test_a_record_by_the_contract_is_sent_as_it_is(entity: Entity, data: st.DataObject) -> None:
    """What is already right is not touched; null is absence."""
    record = data.draw(records(entity))
    assert complaint(entity, record) == ""
    assert load(entity, record) == {name: value for name, value in record.items() if value is not None}


BROKEN = [
    (entity, name, value)
    for entity in ENTITIES.values()
    for name, rule in properties(entity).items()
    for value in broken(rule)
]
REQUIRED_BUT_ABSENT = [(entity, name) for entity in ENTITIES.values() for name in entity.key_fields]


@settings(max_examples=300)
@given(st.sampled_from(BROKEN), st.data())
def test_one_broken_rule_is_an_error_of_that_field_alone(case: tuple[Entity, str, Any], data: st.DataObject) -> None:
    """A record that the contract refuses for one field is refused for that field."""
    entity, name, value = case
    record = data.draw(records(entity)) | {name: value}
    assert complaint(entity, record)
    assert list(refusal(entity, record)) == [name]


@pytest.mark.parametrize(("entity", "name", "value"), BROKEN, ids=lambda value: repr(value)[:30])
def test_each_broken_rule_is_refused(entity: Entity, name: str, value: Any) -> None:
    """None of the contract's rules is left out of a schema."""
    record = REQUIRED[entity.name] | {name: value}
    assert complaint(entity, record)
    assert list(refusal(entity, record)) == [name]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
def test_each_field_takes_the_characters_of_the_contract(entity: Entity) -> None:
    """Each ASCII character is taken where the contract takes it, and nowhere else."""
    mended = {("phoneNumber", "1 ")}
    for name, rule in properties(entity).items():
        for text in (f"1{character}" for character in ASCII if "maxLength" in rule):
            taken = not complaint(entity, REQUIRED[entity.name] | {name: text})
            assert ((name, text) in mended or taken) == is_taken(entity, name, text)
        for text in (f"1{character}" for character in ASCII if "maxLength" in rule.get("items", {})):
            assert (not complaint(entity, REQUIRED[entity.name] | {name: [text]})) == is_taken(entity, name, [text])


def is_taken(entity: Entity, name: str, value: Any) -> bool:
    """Ask the schema about one field."""
    return not entity.schema_class().validate({name: value}, partial=True)


@pytest.mark.parametrize(("entity", "name"), REQUIRED_BUT_ABSENT, ids=lambda value: getattr(value, "name", value))
def test_a_required_field_that_is_absent_or_null_is_an_error(entity: Entity, name: str) -> None:
    """A record without its key is not sent."""
    others = {key: value for key, value in REQUIRED[entity.name].items() if key != name}
    for record in (others, others | {name: None}, others | {name: float("nan")}):
        assert refusal(entity, record) == {name: ["required, but missing or NULL"]}


@settings(max_examples=300)
@given(st.sampled_from(list(ENTITIES.values())), st.data())
def test_no_message_holds_a_value(entity: Entity, data: st.DataObject) -> None:
    """Nothing that a record holds, not an attribute's name either, is in the text of an error."""
    record = {name: data.draw(marked_values) for name in properties(entity)}
    assert MARK not in repr(refusal(entity, record))
