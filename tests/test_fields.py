"""The fields that hold one value: what they mend, what they refuse and what they say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from marshmallow import ValidationError, missing

from airflow_provider_asapp.fields import (
    AttributeValue,
    Choice,
    Email,
    GivenTwice,
    Identifier,
    Integer,
    Phone,
    Text,
    Timestamp,
    WireField,
)

FIELDS = {
    "identifier": Identifier(8),
    "customer": Identifier(8, signs="-_.@"),
    "language": Identifier(8, signs="-"),
    "text": Text(8),
    "attribute": AttributeValue(8),
    "phone": Phone(8),
    "email": Email(),
    "choice": Choice("IOS", "MAC_OS"),
    "integer": Integer(),
    "timestamp": Timestamp(),
}
UUID_TEXT = "5484e507-feaf-41ec-bfc1-fda566fa9333"


def refusal(field: WireField, value: Any) -> list[str]:
    """Return the messages of the one error that the field may raise."""
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    assert isinstance(refused.value.messages, list)
    return refused.value.messages


@pytest.mark.parametrize(
    ("field", "value", "wire"),
    [
        ("identifier", "aZ09-_", "aZ09-_"),
        ("identifier", "a" * 8, "a" * 8),
        ("identifier", 1038, "1038"),
        ("identifier", Decimal("1038.0"), "1038"),
        ("customer", "5.5-j@e", "5.5-j@e"),
        ("language", "en-us", "en-us"),
        ("text", "", ""),
        ("text", " ß\n🎧 ", " ß\n🎧 "),
        ("text", 8.0, "8"),
        ("attribute", "", ""),
        ("attribute", 8.0, "8.0"),
        ("attribute", True, "true"),
        ("phone", "+1 (5) 55 0", "+1(5)550"),
        ("phone", "1 2 3 4 5 6 7 8", "12345678"),
        ("phone", 5550100, "5550100"),
        ("email", "j.d+x@mail.example.com", "j.d+x@mail.example.com"),
        ("email", "j@localhost", "j@localhost"),
        ("email", "j@" + "a" * 63, "j@" + "a" * 63),
        ("choice", "ios", "IOS"),
        ("choice", "Mac OS", "MAC_OS"),
        ("choice", "mac-os", "MAC_OS"),
        ("choice", "MAC_OS", "MAC_OS"),
        ("integer", "12", 12),
        ("integer", Decimal("-3.0"), -3),
        ("timestamp", datetime(2022, 7, 8, tzinfo=UTC), "2022-07-08T00:00:00Z"),
    ],
)
def test_a_value_in_the_table_becomes_its_wire_value(field: str, value: Any, wire: Any) -> None:
    """What the coercion table names is mended, what is right stays as it is."""
    assert FIELDS[field].deserialize(value) == wire


def test_a_uuid_is_its_text() -> None:
    """An id column of type UUID needs no cast."""
    assert Identifier(36).deserialize(UUID(UUID_TEXT)) == UUID_TEXT


@pytest.mark.parametrize(
    ("field", "value", "rules"),
    [
        ("identifier", "New York", ["pattern"]),
        ("identifier", "a\n", ["pattern"]),
        ("identifier", "é", ["pattern"]),
        ("identifier", "a.b", ["pattern"]),
        ("identifier", "", ["empty"]),
        ("identifier", "a" * 9, ["length"]),
        ("identifier", "a b" * 3, ["length", "pattern"]),
        ("identifier", 123456789, ["length"]),
        ("identifier", True, ["type"]),
        ("identifier", 1.5, ["type"]),
        ("identifier", b"a", ["type"]),
        ("customer", "a/b", ["pattern"]),
        ("language", "en_us", ["pattern"]),
        ("text", "a" * 9, ["length"]),
        ("text", "\ud800", ["unicode"]),
        ("text", "\ud800" * 9, ["length", "unicode"]),
        ("text", False, ["type"]),
        ("text", ["a"], ["type"]),
        ("attribute", {"a": 1}, ["type"]),
        ("attribute", float("inf"), ["type"]),
        ("phone", "555-CALL", ["pattern"]),
        ("phone", "555\u00a00100", ["pattern"]),
        ("phone", "555\n", ["pattern"]),
        ("phone", " ", ["pattern"]),
        ("phone", "", ["empty"]),
        ("phone", "123456789", ["length"]),
        ("phone", 5.5, ["type"]),
        ("email", "jdoe", ["email"]),
        ("email", "j doe@example.com", ["email"]),
        ("email", "jdoe@example.com\n", ["email"]),
        ("email", "jdoe@exam_ple.com", ["email"]),
        ("email", "jdoe@-a.com", ["email"]),
        ("email", "jdoe@a..com", ["email"]),
        ("email", "j@" + "a" * 64, ["email"]),
        ("email", "jörg@example.com", ["email"]),
        ("email", 5, ["email"]),
        ("email", "", ["empty"]),
        ("choice", "PALM", ["choice"]),
        ("choice", " ios", ["choice"]),
        ("choice", "mac_o\u017f", ["choice"]),
        ("choice", 1, ["choice"]),
        ("choice", ["IOS"], ["choice"]),
        ("choice", "", ["empty"]),
        ("integer", 1.5, ["type"]),
        ("integer", True, ["type"]),
        ("integer", "", ["empty"]),
        ("timestamp", "2022-07-08T11:15:53", ["naive"]),
        ("timestamp", "8 July", ["type"]),
        ("timestamp", "9999-12-31T23:59:59-01:00", ["range"]),
        ("timestamp", "", ["empty"]),
    ],
)
def test_every_broken_rule_is_named_and_no_other(field: str, value: Any, rules: list[str]) -> None:
    """A value that is not right is refused with all the rules it breaks; nothing is trimmed or cut."""
    tried = FIELDS[field]
    expected = [str(tried.error_messages[rule]).format_map(vars(tried)) for rule in rules]
    assert refusal(tried, value) == expected


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("identifier", "New York", "REPLACE(col, ' ', '-')"),
        ("identifier", "", "NULLIF(col, '')"),
        ("identifier", "a" * 9, "8 characters"),
        ("customer", "New York", "- _ . @"),
        ("identifier", 1.5, "CAST(col AS VARCHAR)"),
        ("choice", "PALM", "IOS, MAC_OS"),
        ("timestamp", datetime(2022, 7, 8), "CAST(col AS TIMESTAMP WITH TIME ZONE)"),
        ("timestamp", datetime(2022, 7, 8), "col AT TIME ZONE 'UTC'"),
    ],
)
def test_the_message_says_what_to_do(field: str, value: Any, advice: str) -> None:
    """The message holds the SQL, the limit or the choices that mend the value."""
    assert advice in refusal(FIELDS[field], value)[0]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("null", [None, float("nan"), Decimal("sNaN")], ids=repr)
def test_null_is_absence_for_every_field(field: str, null: Any) -> None:
    """NULL is nothing to send, never null."""
    assert FIELDS[field].deserialize(null) is missing


@pytest.mark.parametrize("null", [None, float("nan"), missing], ids=repr)
def test_null_is_missing_for_a_required_field(null: Any) -> None:
    """A required field that is NULL is missing."""
    assert refusal(Identifier(8, required=True), null) == ["required, but missing or NULL"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_given_twice_is_refused_by_every_field(field: str) -> None:
    """Which of two columns is meant is not guessed."""
    assert refusal(FIELDS[field], GivenTwice(("lobId", "LOB_ID"))) == [
        "given more than once, as lobId and LOB_ID: keep one"
    ]
