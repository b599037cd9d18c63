"""ASAPP's field rules as marshmallow fields: from any warehouse driver's raw value to what is sent.

Every field is a pure function of its limits and one raw value: it returns the wire value, ``missing`` for NULL,
or raises ``ValidationError``. A message is constant for its rule and limits, so that messages can be counted,
and holds nothing of the value. Patterns are full matches, as ASAPP means them.
"""

# ruff: noqa: RUF012 - marshmallow declares default_error_messages as an instance variable

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted
from typing import Any

from marshmallow import ValidationError, fields, missing

from airflow_provider_asapp.coercion import RuleError, integer, is_absent, plain_text, scalar_text, utc_text

LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# The rule of HTML's <input type="email"> (HTML standard, "Valid e-mail address").
EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@"
    r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class GivenTwice:
    """Stands for the value of a field that a record gives under several keys; every field refuses it."""

    keys: tuple[str, ...]


class WireField(fields.Raw):
    """The base: NULL is absence, and a broken rule becomes its message.

    ``Raw`` and not ``Field``, which is generic in marshmallow 4 and not in 3.
    """

    empty_allowed = False
    default_error_messages = {
        "required": "required, but missing or NULL",
        "empty": "empty text is not allowed (to send nothing: NULLIF(col, ''))",
        "given_twice": "given more than once, as {keys}: keep one",
    }

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Return the wire value, or ``missing`` where there is nothing to send.

        :param value: any raw value.
        :param attr: as in marshmallow.
        :param data: as in marshmallow.
        :raises ValidationError: with every rule that the value breaks.
        """
        if isinstance(value, GivenTwice):
            raise self.make_error("given_twice", keys=" and ".join(value.keys))
        if value is missing or is_absent(value):
            return super().deserialize(missing, attr, data, **kwargs)
        # Without validators, marshmallow does no more with a value that is there, in twice the time.
        return super().deserialize(value, attr, data, **kwargs) if self.validators else self.checked(value)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return self.checked(value)

    def checked(self, value: Any) -> Any:
        """Return the wire value of a raw value that is there.

        :param value: any but NULL.
        :raises ValidationError: with every rule that the value breaks.
        """
        try:
            if isinstance(value, str) and not value and not self.empty_allowed:
                raise RuleError("empty")
            return self._wire(value)
        except RuleError as error:
            raise ValidationError([self._message(rule) for rule in error.rules]) from None

    def _message(self, rule: str) -> str:
        return str(self.error_messages[rule]).format_map(vars(self))

    def _wire(self, value: Any) -> Any:
        """Turn a raw value that is there into what is sent, or raise RuleError with the rules it breaks."""
        raise NotImplementedError

    def json_of_texts(self, texts: Sequence[str]) -> Sequence[str | None] | None:  # noqa: ARG002
        """Return the wire JSON of each text, asked for all at once; None of one that must be asked for by itself.

        None instead of a list says that for one of them at least this is so.

        :param texts: of the exact type ``str``, at least one.
        """
        return None


class Text(WireField):
    """Any text up to a length, the empty one too; of a whole number or UUID its text.

    :param max_length: in characters.
    """

    empty_allowed = True
    default_error_messages = {
        "type": "must be text, a whole number or a UUID (CAST(col AS VARCHAR))",
        "length": "at most {max_length} characters",
        "unicode": "must be valid Unicode, without lone surrogates",
    }

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def _wire(self, value: Any) -> str:
        text = self._read(value)
        if broken := tuple(self._broken_rules(text)):
            raise RuleError(*broken)
        return text

    def _read(self, value: Any) -> str:
        return plain_text(value)

    def _broken_rules(self, text: str) -> Iterator[str]:
        if len(text) > self.max_length:
            yield "length"
        if SURROGATE.search(text):
            yield "unicode"

    def json_of_texts(self, texts: Sequence[str]) -> list[str] | None:
        """Return each text in quotes, if all are sent as they are.

        :param texts: as in the base.
        """
        return list(map(quoted, texts)) if self.sends_as_they_are(texts) else None

    def sends_as_they_are(self, texts: Sequence[str]) -> bool:
        """Tell whether each of these texts is valid and sent unchanged, at the price of one look at all of them.

        :param texts: of the exact type ``str``, at least one.
        """
        if not self.empty_allowed and not all(texts):
            return False
        return max(map(len, texts)) <= self.max_length and self._has_no_other_characters("".join(texts))

    def _has_no_other_characters(self, text: str) -> bool:
        return text.isascii() or not SURROGATE.search(text)


class AttributeValue(Text):
    """The text of an attribute: of a number or bool its JSON text, of a date or datetime its ISO text."""

    default_error_messages = {"type": "must be text, a number, a bool, a date, a time, a datetime or a UUID"}

    def _read(self, value: Any) -> str:
        return scalar_text(value)


class PlainText(Text):
    """Text of certain ASCII characters, at least one of them.

    :param characters: the ones that may occur.
    :param max_length: in characters.
    """

    empty_allowed = False

    def __init__(self, characters: str, max_length: int, **kwargs: Any) -> None:
        super().__init__(max_length, **kwargs)
        self._pattern = re.compile(f"[{re.escape(characters)}]+")
        self._characters = characters.encode()

    def _broken_rules(self, text: str) -> Iterator[str]:
        if len(text) > self.max_length:
            yield "length"
        if not self._pattern.fullmatch(text):
            yield "pattern"

    def json_of_texts(self, texts: Sequence[str]) -> list[str] | None:
        """Return each text in quotes, if all are sent as they are: there is nothing to escape in them.

        :param texts: as in the base.
        """
        return [f'"{text}"' for text in texts] if self.sends_as_they_are(texts) else None

    def _has_no_other_characters(self, text: str) -> bool:
        # Ten times as fast as a regular expression.
        return text.isascii() and not text.encode().translate(None, self._characters)


class Identifier(PlainText):
    """ASCII letters, digits and a few signs.

    :param max_length: in characters.
    :param signs: the signs.
    """

    default_error_messages = {"pattern": "only letters, digits and {signs} (spaces? REPLACE(col, ' ', '-'))"}

    def __init__(self, max_length: int, *, signs: str = "-_", **kwargs: Any) -> None:
        super().__init__(LETTERS_AND_DIGITS + signs, max_length, **kwargs)
        self.signs = " ".join(signs)


class Phone(PlainText):
    """A telephone number; its spaces are left out.

    :param max_length: in characters, spaces not counted.
    """

    default_error_messages = {
        "type": "must be text or a whole number (CAST(col AS VARCHAR))",
        "length": "at most {max_length} characters, spaces not counted",
        "pattern": "only digits, spaces and . ( ) + -",
    }

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(string.digits + ".()+-", max_length, **kwargs)

    def _read(self, value: Any) -> str:
        return plain_text(value).replace(" ", "")


class Email(WireField):
    """An e-mail address, as a browser would take it in a form."""

    default_error_messages = {"email": "must be an e-mail address like name@example.com"}

    def _wire(self, value: Any) -> str:
        if not isinstance(value, str) or not EMAIL.fullmatch(value):
            raise RuleError("email")
        return plain_text(value)


class Choice(WireField):
    """One of a few names, compared without case, and with spaces and hyphens as ``_``.

    :param names: as ASAPP writes them, in capitals.
    """

    default_error_messages = {"choice": "must be one of: {choices}"}

    def __init__(self, *names: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = frozenset(names)
        self.choices = ", ".join(names)

    def _wire(self, value: Any) -> str:
        # ASCII only: elsewhere in Unicode upper() is not one to one (it makes an S of the long s).
        if not isinstance(value, str) or not value.isascii():
            raise RuleError("choice")
        name = value.upper().replace(" ", "_").replace("-", "_")
        if name not in self.names:
            raise RuleError("choice")
        return name


class Integer(WireField):
    """A whole number, also as text."""

    default_error_messages = {"type": "must be a whole number"}

    def _wire(self, value: Any) -> int:
        return integer(value)


class Timestamp(WireField):
    """A moment, sent as ISO 8601 with ``Z``; of a date its midnight UTC."""

    default_error_messages = {
        "type": "must be a date, or an ISO 8601 date and time with a time zone",
        "naive": "has no time zone (CAST(col AS TIMESTAMP WITH TIME ZONE), or col AT TIME ZONE 'UTC')",
        "range": "must be in the years 0001 to 9999 of UTC",
    }

    def _wire(self, value: Any) -> str:
        return utc_text(value)
