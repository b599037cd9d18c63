"""What a warehouse driver may hand over, read as text, number or moment; anything unclear breaks a rule.

Pure functions of one raw value. None of them knows a field's limits.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Integral, Number
from typing import TypeGuard
from uuid import UUID

# From here on a float may have lost a digit on its way, so that an id read from it may be somebody else's.
FLOAT_LIMIT = 2**53
# 602 digits. Python may be set to refuse to write an int of more than 640 as text, not to less.
INT_BITS = 2000
INT_DIGITS = 602

# Nearly all values are of these, and the tests for the others take a microsecond.
NEVER_ABSENT = {str, int, bool, list, tuple, dict}

INTEGER_TEXT = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
MOMENT_TEXT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?P<fraction>\.[0-9]{1,12})?)?)"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?)?"
)


class RuleError(ValueError):
    """A raw value can't be sent.

    :param rules: keys of the field's messages, not texts, so that no value can get into one.
    """

    def __init__(self, *rules: str) -> None:
        super().__init__(*rules)
        self.rules = rules


def is_absent(value: object) -> bool:
    """Tell whether a driver means "nothing" by this: NULL, NaN, NaT, pandas.NA.

    :param value: any raw value; arrays are never absent.
    """
    kind = type(value)
    if value is None or kind in NEVER_ABSENT:
        return value is None
    if isinstance(value, Decimal):
        return value.is_nan()  # a comparison would raise for a signalling NaN
    if kind.__name__ in ("NaTType", "NAType"):
        return kind.__module__.startswith("pandas")
    if isinstance(value, Number) or kind.__name__ in ("datetime64", "timedelta64"):
        return bool(value != value)
    return False


def whole_number(value: object) -> int | None:
    """Return the integer that a number is exactly, or None: for a fraction, a bool, an infinity, no number.

    :param value: any raw value.
    """
    if isinstance(value, bool) or not _is_whole(value):
        return None
    number = int(value)
    return number if number.bit_length() <= INT_BITS else None


def _is_whole(value: object) -> TypeGuard[Integral | float | Decimal]:
    if isinstance(value, float):
        return value.is_integer() and abs(value) < FLOAT_LIMIT
    if isinstance(value, Decimal):
        # The size first: 1E+1000000 is a whole number too, of a million digits.
        return value.is_finite() and value.adjusted() < INT_DIGITS and value == value.to_integral_value()
    return isinstance(value, Integral)


def integer(value: object) -> int:
    """Return the integer that a number or a text of digits is; ``12`` and ``12.0``, not `` 12`` or ``1e3``.

    :param value: any raw value.
    :raises RuleError: ``type``.
    """
    number = whole_number(value)
    if isinstance(value, str) and (match := INTEGER_TEXT.fullmatch(value)) and len(match[1]) <= INT_DIGITS:
        number = int(match[1])
    if number is None:
        raise RuleError("type")
    return number


def plain_text(value: object) -> str:
    """Return text as it is, a UUID or a whole number as its text.

    :param value: any raw value.
    :raises RuleError: ``type``.
    """
    if isinstance(value, str):
        return str.__str__(value)  # of a subclass (numpy's str_, an Enum) the bare text
    if isinstance(value, UUID):
        return str(value)
    number = whole_number(value)
    if number is None:
        raise RuleError("type")
    return str(number)


def scalar_text(value: object) -> str:
    """Return a number or bool as its JSON text, a date, time or datetime as its ISO text, else :func:`plain_text`.

    :param value: any raw value.
    :raises RuleError: ``type``; so do infinities, which JSON can't write.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)  # every digit: 1.10 stays 1.10
    if isinstance(value, date | time):
        return value.isoformat()
    return plain_text(value)


def utc_text(value: object) -> str:
    """Return ISO 8601 with ``Z``: of an aware datetime, a date (its midnight UTC) or ISO 8601 text.

    :param value: any raw value.
    :raises RuleError: ``naive`` (no time zone), ``range`` (outside the years 1 to 9999 in UTC), ``type``.
    """
    if isinstance(value, datetime):
        return _utc_text_of_datetime(value)
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, str) and (match := MOMENT_TEXT.fullmatch(value)):
        return _utc_text_of_match(match)
    raise RuleError("type")


def _utc_text_of_datetime(value: datetime) -> str:
    try:
        if value.utcoffset() is None:
            raise RuleError("naive")
        utc = value.astimezone(UTC)
    except OverflowError:
        raise RuleError("range") from None
    # Its own isoformat() gives a pandas.Timestamp all nine digits, where strftime("%f") would give six.
    return f"{utc.replace(tzinfo=None).isoformat()}Z"


def _utc_text_of_match(match: re.Match[str]) -> str:
    day, clock, fraction = match["day"], match["time"] or "00:00", match["fraction"] or ""
    try:
        # Without the fraction, which no offset changes: datetime would cut it to six digits.
        moment = datetime.fromisoformat(f"{day}T{clock.removesuffix(fraction)}")
    except ValueError:
        raise RuleError("type") from None
    if match["time"] and not match["zone"]:
        raise RuleError("naive")
    try:
        return f"{(moment - _offset(match)).isoformat()}{fraction}Z"
    except OverflowError:
        raise RuleError("range") from None


def _offset(match: re.Match[str]) -> timedelta:
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    return -offset if match["sign"] == "-" else offset
