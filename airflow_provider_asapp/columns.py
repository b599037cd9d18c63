"""The fast way to wire JSON: a page's values column by column, with a memory of what marshmallow's fields said.

Why it exists: `Schema.load` and `json.dumps`, record by record, are what a submission would spend most of its time on
(`docs/speed.md` has the numbers of the last `make bench`). A warehouse's columns hold few different values, or texts
that go as they are, so the same questions come again.

Nothing here knows a rule. A field is asked what becomes of a value, and the answer, a fragment of JSON, is remembered;
or it is asked whether it sends a whole column of texts as they are. A value that its field refuses has no fragment:
its row has no text, and the field is asked for its errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from json.encoder import encode_basestring as quoted
from operator import itemgetter
from sys import getsizeof
from typing import Any

from marshmallow import Schema, ValidationError, missing

from airflow_provider_asapp.fields import Text, WireField
from airflow_provider_asapp.list_fields import encoded

# Only these are remembered, by their exact type. For others, being equal does not mean to be written alike: 1 == True,
# Decimal("1.10") == Decimal("1.1"), and a moment equals itself in another zone.
REMEMBERED = {str, int, type(None)}
# Bytes that a field's memory may hold: values and fragments, and what an entry takes beside them.
MEMORY = 3_000_000
ENTRY = 100
# So many pages of a column go by without a look into the memory, once a page held mostly new values: of texts that are
# asked for as quickly as they are looked up, or when the memory is full.
PAGES_WITHOUT = 63
# So few texts are asked one by one rather than halved again.
FEW = 4

Fragment = str | None


def to_json(wire: str | int | list[Any]) -> str:
    """Return the JSON that ``json.dumps`` would write, without spaces and with letters as they are, but sooner.

    :param wire: a field's wire value.
    """
    if type(wire) is str:
        return quoted(wire)
    return encoded(wire) if type(wire) is list else str(wire)


class Column:
    """The fragments of one field's values: ``,"lobId":"1038"``, empty for what is absent, None for what is refused.

    :param name: the field's, as ASAPP writes it.
    :param field: the marshmallow field whose word it is.
    :param first: its fragments begin a text, so without the comma.
    """

    def __init__(self, name: str, field: Any, *, first: bool = False) -> None:
        self.prefix = f"{'' if first else ','}{to_json(name)}:"
        self._field = field
        self._is_asked_for_all = type(field).json_of_texts is not WireField.json_of_texts
        self._pages_without = 0
        self._forget()

    def _forget(self) -> None:
        self._room = MEMORY
        # The first is looked into without a look at types, so no number gets into it; and what says that it equals a
        # text is taken for that text.
        self._texts: dict[Any, Fragment] = {None: self._ask(None)}
        self._values: dict[Any, Fragment] = {None: self._ask(None)}

    def errors(self, value: Any) -> Any:
        """Return the messages for a value that the field refuses, as marshmallow gives them."""
        try:
            self._field.deserialize(value)
        except ValidationError as error:
            return error.messages
        raise AssertionError("a field refused a value and then took it")

    def _ask(self, value: Any) -> Fragment:
        try:
            wire = self._field.deserialize(value)
        except ValidationError:
            return None
        return "" if wire is missing else self.prefix + to_json(wire)

    def fragments(self, values: Sequence[Any]) -> list[Fragment]:
        """Return the fragment of each value.

        :param values: raw, one for each row of a page.
        """
        if self._pages_without:
            self._pages_without -= 1
            return self._asked(values)
        try:
            return _looked_up(self._texts, values)
        except Exception:  # noqa: BLE001 - KeyError, but a list can't be looked up, and others raise what they like
            return self._learn(values)

    def _learn(self, values: Sequence[Any]) -> list[Fragment]:
        kinds = set(map(type, values))
        if not kinds <= REMEMBERED:
            return [self._ask(value) for value in values]
        known = self._values if int in kinds else self._texts
        new = list(set(values).difference(known))
        is_quickly_asked = known is self._texts and isinstance(self._field, Text)
        is_full = self._room < 0
        if is_full:
            self._forget()
        if len(new) > len(values) // 2 and (is_full or is_quickly_asked):
            self._pages_without = PAGES_WITHOUT
            return self._asked(values)
        if is_full:
            return self._learn(values)
        for value, fragment in zip(new, self._asked(new), strict=True):
            known[value] = fragment
            self._room -= ENTRY + getsizeof(value) + getsizeof(fragment)
        return _looked_up(known, values)

    def _asked(self, values: Sequence[Any]) -> list[Fragment]:
        """Ask for all at once, where all are texts or absent."""
        texts = [value for value in values if value is not None]
        if not self._is_asked_for_all or set(map(type, texts)) != {str}:
            return [self._ask(value) for value in values]
        found = self._of_texts(texts)
        if len(texts) == len(values):
            return found
        absent, rest = self._texts[None], iter(found)
        return [absent if value is None else next(rest) for value in values]

    def _of_texts(self, texts: list[str]) -> list[Fragment]:
        if (found := self._field.json_of_texts(texts)) is not None:
            try:
                return [self.prefix + told for told in found]
            except TypeError:  # there is a None
                pairs = zip(texts, found, strict=True)
                return [self._ask(text) if told is None else self.prefix + told for text, told in pairs]
        if len(texts) <= FEW:
            return [self._ask(text) for text in texts]
        half = len(texts) // 2
        return self._of_texts(texts[:half]) + self._of_texts(texts[half:])


def _looked_up(known: Mapping[Any, Fragment], values: Sequence[Any]) -> list[Fragment]:
    # Takes four fifths of what map(known.__getitem__, values) does.
    return list(itemgetter(*values)(known)) if len(values) > 1 else [known[value] for value in values]


class Columns:
    """The fast way for one schema.

    :param schema: its fields are asked, and set the order of what is sent. The first must be a required one: a text
        always begins with it.
    """

    def __init__(self, schema: Schema) -> None:
        first = next(iter(schema.fields))
        self._columns = {name: Column(name, field, first=name == first) for name, field in schema.fields.items()}
        self._required = {name for name, field in schema.fields.items() if field.required}

    def fragments(self, given: Mapping[str, Sequence[Any]]) -> dict[str, list[Fragment]]:
        """Return the fragments of each field that is given, in the schema's order.

        :param given: raw values by field, one for each row; of each required field at least.
        """
        return {name: column.fragments(given[name]) for name, column in self._columns.items() if name in given}

    def are_enough(self, given: Mapping[str, Any]) -> bool:
        """Tell whether no required field is missing as a whole."""
        return self._required <= given.keys()

    def errors(self, name: str, value: Any) -> Any:
        """Return the messages for a value that this field refuses, as marshmallow gives them."""
        return self._columns[name].errors(value)

    def texts(self, name: str, fragments: Sequence[Fragment]) -> list[str]:
        """Return the texts that an identifier's fragments carry, which hold nothing that JSON escapes; else empty."""
        begin = len(self._columns[name].prefix) + 1
        return [fragment[begin:-1] if fragment else "" for fragment in fragments]


def joined(fragments: Mapping[str, list[Fragment]]) -> list[str]:
    """Return each row's JSON without its opening brace, an empty text for a row that has a refused value."""
    columns: Any = (*fragments.values(), repeat("}"))
    try:
        return list(map("".join, zip(*columns, strict=False)))
    except TypeError:  # there is a None
        return list(map(_text, zip(*columns, strict=False)))


def _text(row: Iterable[Any]) -> str:
    try:
        return "".join(row)
    except TypeError:  # At a row in a hundred this costs less than a look at each fragment of all.
        return ""
