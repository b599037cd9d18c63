"""What the contract takes and what it refuses."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_asapp.simulator.contract import CONTRACT, ENTITIES, OPERATIONS, RULES

GOOD = {
    "conversation": {"externalConversationId": "c-1_A"},
    "agent": {"externalAgentId": "a-1_A"},
    "customer": {"externalConversationId": "c-1", "externalCustomerId": "555.0100-j@example.com"},
}


def complaint(entity, **fields):
    """What is said of a good record with these fields."""
    return RULES[entity].complaint(GOOD[entity] | fields)


def anything():
    """Values of every JSON type, many of them near what some field takes."""
    near = ["", "TABLET", "ios", "a\n", "a b", "en-us", "a@b", "x" * 257, "2022-02-28T00:00:00Z", "(555)1+2"]
    flat = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(near) | st.text(max_size=5)
    pair = st.dictionaries(st.sampled_from(["name", "value", "other"]), flat, max_size=3)
    return flat | st.lists(flat | pair, max_size=12)


def test_the_contract_is_a_json_schema():
    """contract.json is valid JSON Schema 2020-12 and has ASAPP's 18, 22 and 11 properties."""
    Draft202012Validator.check_schema(CONTRACT)
    sizes = {entity: len(schema["properties"]) for entity, schema in CONTRACT["$defs"].items()}
    assert sizes == {"conversation": 18, "agent": 22, "customer": 11}


def test_exactly_the_key_fields_are_required():
    """What makes up a record's key is required and never null; all else may be absent or null."""
    for entity in ENTITIES:
        schema = CONTRACT["$defs"][entity]
        assert schema["required"] == CONTRACT["x-asapp"]["keys"][entity]
        for name, field in schema["properties"].items():
            assert ("null" in field["type"]) == (name not in schema["required"])
            assert None in field.get("enum", [None])


def test_there_are_six_operations():
    """Each entity has a path for one record and one for many."""
    assert {(operation.entity, operation.many) for operation in OPERATIONS.values()} == {
        (entity, many) for entity in ENTITIES for many in (False, True)
    }
    assert "/metadata-ingestion/v1/many-convo-metadata" in OPERATIONS


@given(data=st.data())
def test_the_fast_verdict_is_the_schemas_verdict(data):
    """Keeping compiled validators changes no verdict: plain jsonschema agrees on any item."""
    entity = data.draw(st.sampled_from(ENTITIES))
    schema = CONTRACT["$defs"][entity]
    fields = st.sampled_from([*schema["properties"], "unknown"])
    item = data.draw(st.just(GOOD[entity]) | st.just({})) | data.draw(st.dictionaries(fields, anything()))
    plain = Draft202012Validator(schema, format_checker=RULES[entity]._record.format_checker)
    assert (RULES[entity].complaint(item) == "") == plain.is_valid(item)


@given(entity=st.sampled_from(ENTITIES), item=anything())
def test_only_an_object_is_an_item(entity, item):
    """Anything but a JSON object is refused, and has neither key nor event id."""
    rules = RULES[entity]
    assert rules.complaint(item) == "item must be an object"
    assert rules.key(item) is None
    assert rules.event_id(item) is None


@pytest.mark.parametrize(
    ("entity", "fields", "expected"),
    [
        ("conversation", {"lobId": "New York"}, "lobId must match ^[a-zA-Z0-9_-]+$"),
        ("conversation", {"lobName": "x" * 257}, "lobName must have at most 256 characters"),
        ("conversation", {"lobName": 7}, "lobName must be of type string or null"),
        ("conversation", {"externalConversationId": None}, "externalConversationId must be of type string"),
        (
            "conversation",
            {"deviceType": "Phone"},
            "deviceType must be one of TABLET, PHONE, DESKTOP, WATCH, OTHER",
        ),
        ("conversation", {"attributes": [{}] * 11}, "attributes must have at most 10 entries"),
        (
            "conversation",
            {"attributes": [{}, {"value": "x" * 1025}]},
            "attributes[1].value must have at most 1024 characters",
        ),
        ("agent", {"languages": ["en", "en_us"]}, "languages[1] must match ^[a-zA-Z0-9-]+$"),
        ("agent", {"languages": ["e" * 17]}, "languages[0] must have at most 16 characters"),
        ("agent", {"concurrency": "3"}, "concurrency must be of type integer or null"),
        ("agent", {"concurrency": True}, "concurrency must be of type integer or null"),
        ("agent", {"startTs": "2023-02-29T00:00:00Z"}, "startTs must be a real date-time"),
    ],
)
def test_a_complaint_names_the_field_and_its_rule(entity, fields, expected):
    """The error of an item says which field breaks which rule."""
    assert complaint(entity, **fields) == expected


def test_all_complaints_come_at_once():
    """Every wrong field and every missing one is named, each once."""
    assert RULES["customer"].complaint({"userId": "a b", "status": 1}).split("; ") == [
        "status must be of type string or null",
        "userId must match ^[a-zA-Z0-9_-]+$",
        "externalConversationId is required",
        "externalCustomerId is required",
    ]


def test_depth_is_no_way_to_crash_it():
    """An item nested too deep for Python is a bad item."""
    value = []
    for _ in range(100_000):
        value = [value]
    assert complaint("conversation", lobName=value) == "item is nested too deep"
    while value:  # taken apart by hand: older Pythons overflow when they free it
        value = value.pop()


@pytest.mark.parametrize("entity", ENTITIES)
def test_unknown_keys_are_no_fault(entity):
    """An unknown key is taken, and left out of what is known."""
    item = GOOD[entity] | {"externlConversationId": "typo"}
    assert RULES[entity].complaint(item) == ""
    assert RULES[entity].known(item) == GOOD[entity]


@given(entity=st.sampled_from(ENTITIES), data=st.data())
def test_patterns_are_full_matches(entity, data):
    """No field with a pattern takes a text that holds anything else, a trailing newline included."""
    patterned = [name for name, rule in CONTRACT["$defs"][entity]["properties"].items() if "pattern" in rule]
    name = data.draw(st.sampled_from(patterned))
    text = data.draw(st.text(alphabet=string.ascii_letters + string.digits, min_size=1, max_size=8))
    bad = data.draw(st.sampled_from(["{}\n", "\n{}", " {}", "{} ", "{}é", "{}\u0660", "{}/.."]))
    assert f"{name} must match" in complaint(entity, **{name: bad.format(text)})


def test_blank_is_not_an_identifier():
    """A field with a pattern takes no empty text; one without does."""
    assert "lobId must match" in complaint("conversation", lobId="")
    assert complaint("conversation", lobName="") == ""


@given(when=st.datetimes(), digits=st.text(alphabet=string.digits, max_size=12))
@example(when=datetime.min, digits="")
@example(when=datetime.max, digits="9" * 12)
def test_start_takes_every_moment(when, digits):
    """Any UTC second of the years 1 to 9999 is taken, with up to 12 fractional digits."""
    text = when.replace(microsecond=0).isoformat() + (f".{digits}" if digits else "") + "Z"
    assert complaint("agent", startTs=text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "2022-04-31T00:00:00Z",
        "2022-13-01T00:00:00Z",
        "2022-07-08T24:00:00Z",
        "2022-07-08T23:59:60Z",
        "2022-07-08T11:15:53",
        "2022-07-08T11:15:53+00:00",
        "2022-07-08T11:15:53.Z",
        "2022-07-08T11:15:53.1234567890123Z",
        "2022-07-08 11:15:53Z",
        "2022-07-08t11:15:53z",
        "2022-07-08T11:15:53Z\n",
        "2022-07-08",
        "",
    ],
)
def test_start_takes_no_other_text(text):
    """No date that the calendar lacks, no offset, no other notation."""
    assert complaint("agent", startTs=text).startswith("startTs must")


@pytest.mark.parametrize("text", ["jdoe@example.com", "a@b", "o'neil+x@a-b.example", "x@" + "a" * 63 + ".com"])
def test_an_email_address_is_what_html_takes(text):
    """What a browser's e-mail input takes is taken."""
    assert complaint("customer", emailAddress=text) == ""


@pytest.mark.parametrize(
    "text", ["jdoe", "@b", "a@", "a@-b", "a@b-", "a@b..c", "a b@c", "a@b@c", "a@b.", "x@" + "a" * 64, "é@b", "a@b\n"]
)
def test_no_other_email_address_is_taken(text):
    """What a browser's e-mail input refuses is refused."""
    assert "emailAddress must match" in complaint("customer", emailAddress=text)


def test_keys_name_records():
    """A conversation or agent has its id as key, a customer both ids."""
    assert RULES["conversation"].key(GOOD["conversation"]) == "c-1_A"
    assert RULES["agent"].key(GOOD["agent"]) == "a-1_A"
    assert RULES["customer"].key(GOOD["customer"]) == ("c-1", "555.0100-j@example.com")
    assert RULES["customer"].key({"externalConversationId": "c-1"}) is None


def test_an_event_id_counts_only_if_it_is_valid():
    """A bad event id is none."""
    rules = RULES["agent"]
    assert rules.event_id({"eventId": "e-1"}) == "e-1"
    assert [rules.event_id({"eventId": bad}) for bad in (None, "", "a b", 5)] == [None] * 4


def test_asapps_own_moment_is_taken():
    """Nine fractional digits, as ASAPP's documentation writes them."""
    moment = datetime(2022, 7, 8, 11, 15, 53, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.237517000Z")
    assert complaint("agent", startTs=moment) == ""
