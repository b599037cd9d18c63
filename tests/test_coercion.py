"""Raw values as text, number and moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from uuid import UUID

import pytest

from airflow_provider_asapp.coercion import (
    RuleError,
    integer,
    is_absent,
    plain_text,
    scalar_text,
    utc_text,
    whole_number,
)


class Colour(StrEnum):
    """Text of another type."""

    RED = "red"


class Level(IntEnum):
    """A number of another type."""

    HIGH = 3


class NaTType:
    """As in pandas, where every comparison is False."""

    __module__ = "pandas._libs.tslibs.nattype"


class NAType:
    """As in pandas, where a comparison is NA and has no truth."""

    __module__ = "pandas._libs.missing"

    def __ne__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class Array:
    """As in numpy, where a comparison is an array and has no truth."""

    def __ne__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


INDIA = timezone(timedelta(hours=5, minutes=30))
AMSTERDAM_1900 = timezone(timedelta(minutes=19, seconds=32))


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), Decimal("NaN"), Decimal("sNaN"), complex("nan"), NaTType(), NAType()],
    ids=repr,
)
def test_what_drivers_write_for_null_is_absent(value: object) -> None:
    """Every kind of NULL is absence, and asking never raises."""
    assert is_absent(value)


@pytest.mark.parametrize("value", ["", "NaN", "null", 0, 0.0, False, float("inf"), [], {}, Array()], ids=repr)
def test_what_is_there_is_not_absent(value: object) -> None:
    """Zero, empty and array are values; so is text that only looks like NULL."""
    assert not is_absent(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (-7, -7),
        (Level.HIGH, 3),
        (7.0, 7),
        (-0.0, 0),
        (2.0**53 - 1, 2**53 - 1),
        (Decimal("7.00"), 7),
        (Decimal("7E+2"), 700),
        (Decimal(10**40 + 1), 10**40 + 1),
        (2**2000 - 1, 2**2000 - 1),
    ],
    ids=str,
)
def test_whole_numbers_of_every_kind_are_read(value: object, number: int) -> None:
    """A number that is exactly an integer is that integer, of whatever type."""
    assert (whole_number(value), type(whole_number(value))) == (number, int)


NOT_WHOLE = [
    True,
    False,
    7.5,
    2.0**53,
    float("inf"),
    Decimal("7.5"),
    Decimal("Infinity"),
    Decimal("1E+1000000"),
    Decimal("1E+999999999999999999"),
    Decimal("1E-1000000"),
    Fraction(7),
    7j,
    2**2000,
    10**5000,
    b"7",
    [],
    {},
    object(),
]


@pytest.mark.parametrize("value", NOT_WHOLE, ids=lambda value: type(value).__name__)
def test_what_is_not_exactly_an_integer_is_none(value: object) -> None:
    """Bools, fractions, floats that may have lost digits and monstrous numbers are refused, not rounded."""
    assert whole_number(value) is None


@pytest.mark.parametrize("value", NOT_WHOLE, ids=lambda value: type(value).__name__)
def test_what_has_no_text_of_its_own_is_no_text(value: object) -> None:
    """Nothing becomes text by ``str()`` alone."""
    with pytest.raises(RuleError, match="type"):
        plain_text(value)


@pytest.mark.parametrize(("value", "number"), [("12", 12), ("-3", -3), ("+3", 3), ("007", 7), ("12.0", 12), (12.0, 12)])
def test_text_of_an_integer_is_the_integer(value: object, number: int) -> None:
    """Drivers that give text for numbers are understood."""
    assert integer(value) == number


@pytest.mark.parametrize(
    "value", ["", " 12", "12 ", "12\n", "1_2", "1e3", "12.5", "12.", ".0", "0x1", "twelve", "١٢", "9" * 5000, True]
)
def test_text_of_anything_else_is_no_integer(value: object) -> None:
    """What Python's ``int()`` would wave through, and a warehouse would not write, is refused."""
    with pytest.raises(RuleError, match="type"):
        integer(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("New York ", "New York "),
        (Colour.RED, "red"),
        (1038, "1038"),
        (Decimal("1038.0"), "1038"),
        (1038.0, "1038"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
    ids=str,
)
def test_text_whole_numbers_and_uuids_have_a_text(value: object, text: str) -> None:
    """Ids come as numbers and UUIDs too; text comes through unchanged, as plain ``str``."""
    assert (plain_text(value), type(plain_text(value))) == (text, str)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (5.0, "5.0"),
        (1e22, "1e+22"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+1000000"), "1E+1000000"),
        (date(2022, 7, 8), "2022-07-08"),
        (time(11, 15), "11:15:00"),
        (time(11, 15, tzinfo=INDIA), "11:15:00+05:30"),
        (datetime(2022, 7, 8, 11, 15), "2022-07-08T11:15:00"),
        (datetime(2022, 7, 8, 11, 15, tzinfo=INDIA), "2022-07-08T11:15:00+05:30"),
        ("as it is", "as it is"),
    ],
    ids=str,
)
def test_scalars_have_their_json_or_iso_text(value: object, text: str) -> None:
    """An attribute's number, bool, date, time or datetime is written as JSON or ISO 8601 writes it, digits kept."""
    assert scalar_text(value) == text


@pytest.mark.parametrize("value", [float("inf"), Decimal("-Infinity"), b"x", [], {}, timedelta(1)], ids=repr)
def test_what_json_can_not_write_has_no_scalar_text(value: object) -> None:
    """Infinities, bytes and nested values are refused."""
    with pytest.raises(RuleError, match="type"):
        scalar_text(value)


@pytest.mark.parametrize(
    "text",
    [
        "2022-07-08T11:15:53Z",
        "2022-07-08T11:15:53.5Z",
        "2022-07-08T11:15:53.237517000Z",
        "2022-07-08T11:15:53.123456789012Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999999Z",
    ],
)
def test_a_moment_as_it_is_sent_stays_as_it_is(text: str) -> None:
    """No digit of the contract's own form is lost."""
    assert utc_text(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2022, 7, 8, 11, 15, 53, tzinfo=UTC), "2022-07-08T11:15:53Z"),
        (datetime(2022, 7, 8, 11, 15, 53, 5, tzinfo=INDIA), "2022-07-08T05:45:53.000005Z"),
        (datetime(1900, 1, 1, tzinfo=AMSTERDAM_1900), "1899-12-31T23:40:28Z"),
        (date(2022, 7, 8), "2022-07-08T00:00:00Z"),
        ("2022-07-08", "2022-07-08T00:00:00Z"),
        ("2022-07-08T11:15:53z", "2022-07-08T11:15:53Z"),
        ("2022-07-08t11:15Z", "2022-07-08T11:15:00Z"),
        ("2022-07-08 11:15:53+00", "2022-07-08T11:15:53Z"),
        ("2022-07-08 11:15:53.123456789+05:30", "2022-07-08T05:45:53.123456789Z"),
        ("2022-12-31T23:00:00-0130", "2023-01-01T00:30:00Z"),
        ("0001-01-01T05:30:00+05:30", "0001-01-01T00:00:00Z"),
    ],
    ids=str,
)
def test_moments_become_utc(value: object, text: str) -> None:
    """Aware datetimes, dates and ISO 8601 text are the same moment with a Z."""
    assert utc_text(value) == text


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (datetime(2022, 7, 8), "naive"),
        ("2022-07-08T11:15:53", "naive"),
        ("2022-07-08 11:15", "naive"),
        (datetime(1, 1, 1, tzinfo=INDIA), "range"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1))), "range"),
        ("0001-01-01T00:00:00+05:30", "range"),
        ("9999-12-31T23:59:59-01:00", "range"),
        ("2022-02-29T00:00:00Z", "type"),
        ("2022-02-29", "type"),
        ("0000-01-01T00:00:00Z", "type"),
        ("2022-07-08T24:00:00Z", "type"),
        ("2022-07-08T11:15:60Z", "type"),
        ("2022-07-08T11:15:53.1234567890123Z", "type"),
        ("2022-07-08T11:15:53.Z", "type"),
        ("2022-07-08T11:15:53+24:00", "type"),
        ("2022-07-08T11:15:53 +00:00", "type"),
        ("2022-07-08T11:15:53Z\n", "type"),
        ("2022-07-08Z", "type"),
        ("20220708T111553Z", "type"),
        ("٢٠٢٢-07-08", "type"),
        ("yesterday", "type"),
        (1657278953, "type"),
        (b"2022-07-08", "type"),
    ],
    ids=str,
)
def test_moments_that_are_not_clear_are_refused(value: object, rule: str) -> None:
    """No time zone is guessed, no calendar bent, no epoch supposed."""
    with pytest.raises(RuleError) as refused:
        utc_text(value)
    assert refused.value.rules == (rule,)
