"""The fields that hold a list: native, an array, or JSON text. Two of ASAPP's are identifiers, one is pairs."""

# ruff: noqa: RUF012 - marshmallow declares default_error_messages as an instance variable

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, NoReturn

import msgspec
from marshmallow import ValidationError, missing

from airflow_provider_asapp.coercion import RuleError, is_absent
from airflow_provider_asapp.fields import AttributeValue, Identifier, Text, WireField


class ListField(WireField):
    """The base: takes what packs the list off, and leaves out what is NULL in it."""

    default_error_messages = {
        "json": "is not valid JSON",
        "json_duplicate": "is JSON with the same name twice in an object",
        "json_constant": "is JSON with NaN or Infinity, which JSON has not",
    }

    def _wire(self, value: Any) -> Any:
        native = unpacked(value)
        return missing if is_absent(native) else self._items(native)

    def _items(self, value: Any) -> list[Any]:
        """Turn a native value into the list that is sent, or raise RuleError or ValidationError."""
        raise NotImplementedError

    def json_of_texts(self, texts: Sequence[str]) -> Sequence[str | None]:
        """Return the JSON of each list, None of what is not clearly one that is sent as it is.

        :param texts: as in the base.
        """
        rows = list(map(self._clear, texts))
        if self._are_sent(list(filter(None, rows))):
            return [encoded(row) if row else None for row in rows]
        return [encoded(row) if row and self._are_sent([row]) else None for row in rows]

    def _clear(self, text: str) -> list[Any]:
        """Return the items that JSON lists; none where it is not clear."""
        raise NotImplementedError

    def _are_sent(self, rows: Sequence[list[Any]]) -> bool:
        """Tell whether there are rows, all with items, and all of these are sent as they are."""
        raise NotImplementedError


class IdentifierList(ListField):
    """A list of identifiers; a plain text is a list of one.

    :param max_length: of each, in characters.
    :param signs: as for :class:`~airflow_provider_asapp.fields.Identifier`.
    """

    default_error_messages = {
        "type": "must be a list of identifiers, native or JSON, or one as text",
        # Of an array of an enum or citext, Postgres' drivers make {a,b}.
        "json": "is not valid JSON (an array? CAST(col AS TEXT[]))",
    }

    def __init__(self, max_length: int, *, signs: str = "-_", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = Identifier(max_length, signs=signs)

    def _items(self, value: Any) -> list[str]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            raise RuleError("type")
        if all_texts(value) and self.item.sends_as_they_are(value):
            return list(value)
        return every(present(value), lambda item: part("item", self.item, item))

    def _clear(self, text: str) -> list[str]:
        try:
            return _decode_texts(text)
        except UNDECODABLE:
            return []

    def _are_sent(self, rows: Sequence[list[str]]) -> bool:
        return bool(rows) and self.item.sends_as_they_are(list(chain.from_iterable(rows)))


class Attributes(ListField):
    """Pairs of a name and a value; a mapping is a pair for each value that is not NULL.

    :param name_length: in characters.
    :param value_length: in characters.
    :param max_items: how many pairs.
    """

    default_error_messages = {
        "type": "must be a list of name/value pairs or a mapping, native or JSON",
        "items": "at most {max_items} pairs",
        "pair": "each item must be a pair of name and value, without any other key",
    }

    def __init__(self, *, name_length: int, value_length: int, max_items: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_items = max_items
        self.pair = {"name": Text(name_length), "value": AttributeValue(value_length)}

    def _clear(self, text: str) -> list[Pair]:
        """Return the pairs that JSON lists or maps, at a fifth of the price; none where it is not clear.

        The decoder takes a name twice. But each text in JSON has its two quotes.
        """
        try:
            found = _decode_pairs(text)
        except UNDECODABLE:
            return []
        pairs = _plain_pairs(found) if type(found) is dict else found
        texts = 4 * len(pairs) if pairs is found else 2 * len(pairs) - list(map(type, found.values())).count(int)
        return pairs if "\\" not in text and text.count('"') == 2 * texts else []

    def _are_sent(self, rows: Sequence[list[Pair]]) -> bool:
        if not rows or not all(rows) or max(map(len, rows)) > self.max_items:
            return False
        pairs = list(chain.from_iterable(rows))
        names, values = [pair.name for pair in pairs], [pair.value for pair in pairs]
        return self.pair["name"].sends_as_they_are(names) and self.pair["value"].sends_as_they_are(values)

    def _wire(self, value: Any) -> Any:
        if type(value) is str and self._are_sent([pairs := self._clear(value)]):
            return msgspec.to_builtins(pairs)
        return super()._wire(value)

    def _items(self, value: Any) -> list[dict[str, str]]:
        if type(value) is dict and self._are_sent([pairs := _plain_pairs(value)]):
            return list(msgspec.to_builtins(pairs))
        if isinstance(value, Mapping):
            value = [{"name": name, "value": text} for name, text in value.items() if not is_absent(text)]
        if not isinstance(value, (list, tuple)):
            raise RuleError("type")
        pairs = present(value)
        if len(pairs) > self.max_items:
            raise RuleError("items")
        return every(pairs, self._pair)

    def _pair(self, pair: Any) -> dict[str, str]:
        # A key that is too much may be data, so the message can't name it.
        if not isinstance(pair, Mapping) or not pair.keys() <= self.pair.keys():
            raise ValidationError([self._message("pair")])
        keys = [key for key in self.pair if not is_absent(pair.get(key))]
        texts = every(keys, lambda key: part(f"attribute {key}", self.pair[key], pair[key]))
        return dict(zip(keys, texts, strict=True))


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """A pair of :class:`Attributes` as it is sent."""

    name: str
    value: str


UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_pairs = msgspec.json.Decoder(list[Pair] | dict[str, str | int]).decode
_encode = msgspec.json.Encoder().encode


def encoded(items: Sequence[Any]) -> str:
    """Return a wire list as JSON.

    :param items: of texts or pairs.
    """
    return _encode(items).decode()


def _plain_pairs(mapping: dict[Any, Any]) -> list[Pair]:
    """Return the pairs of texts and ordinary whole numbers; none where there are others."""
    names = list(mapping)
    values = [str(value) if type(value) is int and value.bit_length() < 64 else value for value in mapping.values()]
    return list(map(Pair, names, values)) if all_texts(names) and all_texts(values) else []


def all_texts(values: Sequence[Any]) -> bool:
    """Tell whether these are texts of the exact type ``str``, and at least one.

    :param values: raw values.
    """
    return set(map(type, values)) == {str}


def present(values: Iterable[Any]) -> list[Any]:
    """Leave out what is NULL, NaN or NaT.

    :param values: raw values.
    """
    return [value for value in values if not is_absent(value)]


def every(values: Iterable[Any], convert: Callable[[Any], Any]) -> list[Any]:
    """Convert all values, or raise one error with each distinct message.

    :param values: what to convert.
    :param convert: returns a wire value or raises ValidationError.
    :raises ValidationError: if any does.
    """
    done, messages = [], dict[str, None]()
    for value in values:
        try:
            done.append(convert(value))
        except ValidationError as error:
            messages |= dict.fromkeys(error.messages)
    if messages:
        raise ValidationError(list(messages))
    return done


def part(label: str, field: WireField, value: Any) -> Any:
    """Ask a field about a part of a value; the messages say which part.

    :param label: the part.
    :param field: whose rules hold for it.
    :param value: any raw value but NULL.
    :raises ValidationError: if the field does.
    """
    try:
        return field.checked(value)
    except ValidationError as error:
        raise ValidationError([f"{label}: {text}" for text in error.messages]) from None


def unpacked(value: object) -> object:
    """Return the native value that a JSON text or an array holds; anything else as it is.

    :param value: any raw value; a text is JSON if it begins with ``[``, ``{`` or ``"``, or is ``null``.
    :raises RuleError: ``json``, ``json_duplicate`` (a name twice in an object), ``json_constant`` (NaN).
    """
    if isinstance(value, str):
        is_json = value == "null" or value.lstrip(" \t\r\n").startswith(("[", "{", '"'))
        return parsed(value) if is_json else value
    # numpy, pandas and pyarrow arrays. A memoryview has the method too, but is bytes to whoever made it.
    if hasattr(value, "tolist") and not isinstance(value, (type, memoryview)):
        return value.tolist()
    return value


def parsed(text: str) -> object:
    """Return what a JSON text says, if it says it clearly; fractions keep their digits.

    :param text: JSON.
    :raises RuleError: as :func:`unpacked`.
    """
    text = str.__str__(text)  # of a subclass the bare text: the decoder takes no other
    if quick := _plain(text):
        return quick
    try:
        return DECODER.decode(text)
    except RuleError:
        raise
    # Also what is nested too deeply, and numbers beyond what Python reads.
    except (ValueError, RecursionError, ArithmeticError):
        raise RuleError("json") from None


def _plain(text: str) -> object:
    """Return what JSON says that holds texts and whole numbers, each name once; None where that is not clear.

    Read in a third of the time, by a decoder that takes a name twice. But each text in it has its two quotes.
    """
    try:
        found = msgspec.json.decode(text)
    except UNDECODABLE:
        return None
    values = [*found, *found.values()] if type(found) is dict else found
    if type(values) is not list:
        return None
    kinds = list(map(type, values))
    texts = kinds.count(str)
    is_clear = texts + kinds.count(int) == len(kinds) and "\\" not in text and text.count('"') == 2 * texts
    return found if is_clear else None


def _no_constant(_: str) -> NoReturn:
    raise RuleError("json_constant")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise RuleError("json_duplicate")
    return names


# Made once: that takes as long as reading a short text.
DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unique_names)
