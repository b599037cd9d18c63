"""The fields that hold a list: every packing, and every problem in it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, missing
from strategies import scalars

from airflow_provider_asapp.coercion import is_absent
from airflow_provider_asapp.list_fields import DECODER, Attributes, IdentifierList, ListField, _plain

SEGMENTS = IdentifierList(8)
ATTRIBUTES = Attributes(name_length=8, value_length=16, max_items=3)


class Array:
    """As in numpy and pyarrow: says its values by ``tolist()`` and has no truth."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        """Return the native values."""
        return self.values

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


def refusal(field: ListField, value: Any) -> list[str]:
    """Return the messages of the one error that the field may raise."""
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    assert isinstance(refused.value.messages, list)
    return refused.value.messages


def pairs(**texts: str) -> list[dict[str, str]]:
    """Write pairs as they are sent."""
    return [{"name": name, "value": text} for name, text in texts.items()]


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        (Array(["a", "b"]), ["a", "b"]),
        (["a", None, float("nan")], ["a"]),
        ([], []),
        ([1038, UUID(int=1).hex[:4], Decimal(7)], ["1038", "0000", "7"]),
        ("Sales", ["Sales"]),
        ('["a", null, 5, 7.0]', ["a", "5", "7"]),
        (' \n["a"]', ["a"]),
        ('"Sales"', ["Sales"]),
        ("[]", []),
        (["null"], ["null"]),
    ],
    ids=str,
)
def test_identifiers_come_in_every_packing(value: Any, wire: list[str]) -> None:
    """A native list, an array, JSON text or one plain text gives the same list, without its NULLs."""
    assert SEGMENTS.deserialize(value) == wire


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ([{"name": "a", "value": "b"}], pairs(a="b")),
        ([{"value": "b"}, {"name": "a"}, {}], [{"value": "b"}, {"name": "a"}, {}]),
        ([{"name": "a", "value": "b"}] * 2, pairs(a="b") * 2),
        ([{"name": None, "value": "b"}, None], [{"value": "b"}]),
        ([{"name": 5, "value": UUID(int=0).hex[:9]}], pairs(**{"5": "000000000"})),
        ({"a": "b", "c": "d"}, pairs(a="b", c="d")),
        (MappingProxyType({"a": "b"}), pairs(a="b")),
        ({"a": None, "b": float("nan"), "c": ""}, pairs(c="")),
        ({"a": None, "b": None, "c": None, "d": 1}, pairs(d="1")),
        ({5: True, "b": Decimal("1.10"), "c": date(2022, 7, 8)}, pairs(**{"5": "true"}, b="1.10", c="2022-07-08")),
        ('{"a": 1.10, "b": false, "c": null}', pairs(a="1.10", b="false")),
        ('[{"name": "a", "value": 1}]', pairs(a="1")),
        (Array([{"name": "a", "value": "b"}]), pairs(a="b")),
        ({"name": "a"}, pairs(name="a")),
        ({}, []),
    ],
    ids=str,
)
def test_attributes_come_in_every_packing(value: Any, wire: list[dict[str, str]]) -> None:
    """Pairs, a mapping, an array or JSON text gives the same pairs; a NULL is left out."""
    assert ATTRIBUTES.deserialize(value) == wire


@pytest.mark.parametrize("field", [SEGMENTS, ATTRIBUTES], ids=["identifiers", "attributes"])
@pytest.mark.parametrize("null", [None, "null", float("nan"), Array(None)], ids=["None", "null", "NaN", "array"])
def test_null_is_absence(field: ListField, null: Any) -> None:
    """NULL is nothing to send, also as JSON."""
    assert field.deserialize(null) is missing


ITEM_PATTERN = "item: only letters, digits and - _ (spaces? REPLACE(col, ' ', '-'))"
ITEM_TYPE = "item: must be text, a whole number or a UUID (CAST(col AS VARCHAR))"
NOT_A_LIST = "must be a list of identifiers, native or JSON, or one as text"
NOT_PAIRS = "must be a list of name/value pairs or a mapping, native or JSON"
NOT_A_PAIR = "each item must be a pair of name and value, without any other key"
NOT_JSON = "is not valid JSON"
NOT_JSON_LIST = "is not valid JSON (an array? CAST(col AS TEXT[]))"
EMPTY = "empty text is not allowed (to send nothing: NULLIF(col, ''))"
loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("New York", [ITEM_PATTERN]),
        ("", [EMPTY]),
        ([""], [f"item: {EMPTY}"]),
        (["a", "b c", "d e", True, "x" * 9], [ITEM_PATTERN, ITEM_TYPE, "item: at most 8 characters"]),
        ([["a"]], [ITEM_TYPE]),
        (loop, [ITEM_TYPE]),
        (Array([["a"]]), [ITEM_TYPE]),
        (['"a"'], [ITEM_PATTERN]),
        ("{a,b}", [NOT_JSON_LIST]),
        ('["a"', [NOT_JSON_LIST]),
        ("[" * 100_000, [NOT_JSON_LIST]),
        (f"[{'9' * 5000}]", [NOT_JSON_LIST]),
        ("[1e99999999999999999999]", [NOT_JSON_LIST]),
        ("[NaN]", ["is JSON with NaN or Infinity, which JSON has not"]),
        ('{"a": 1}', [NOT_A_LIST]),
        ({"a": "b"}, [NOT_A_LIST]),
        ({"a", "b"}, [NOT_A_LIST]),
        (5, [NOT_A_LIST]),
        (True, [NOT_A_LIST]),
        (b"a", [NOT_A_LIST]),
        (memoryview(b"a"), [NOT_A_LIST]),
        (Array, [NOT_A_LIST]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_list_of_identifiers_is_refused(value: Any, expected: list[str]) -> None:
    """Each distinct problem is named once, whatever is nested in it."""
    assert refusal(SEGMENTS, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", [EMPTY]),
        ("plain", [NOT_PAIRS]),
        ('"[]"', [NOT_PAIRS]),
        (5, [NOT_PAIRS]),
        (b"{}", [NOT_PAIRS]),
        ({"a"}, [NOT_PAIRS]),
        (["a"], [NOT_A_PAIR]),
        ([("a", "b")], [NOT_A_PAIR]),
        ([{"name": "a", "value": "b", "secret": 1}], [NOT_A_PAIR]),
        ([{"Name": "a"}], [NOT_A_PAIR]),
        ([{}, {}, {}, {}], ["at most 3 pairs"]),
        (dict.fromkeys("abcd", 1), ["at most 3 pairs"]),
        ({"x" * 9: "y" * 17}, ["attribute name: at most 8 characters", "attribute value: at most 16 characters"]),
        ({"a": "\ud800"}, ["attribute value: must be valid Unicode, without lone surrogates"]),
        ('{"a": "\\ud800"}', ["attribute value: must be valid Unicode, without lone surrogates"]),
        ({"a": [1]}, ["attribute value: must be text, a number, a bool, a date, a time, a datetime or a UUID"]),
        ({"a": {"b": 1}}, ["attribute value: must be text, a number, a bool, a date, a time, a datetime or a UUID"]),
        ({True: "b"}, ["attribute name: must be text, a whole number or a UUID (CAST(col AS VARCHAR))"]),
        ('{"a": 1, "a": 2}', ["is JSON with the same name twice in an object"]),
        ('{"a": Infinity}', ["is JSON with NaN or Infinity, which JSON has not"]),
        ('{"a": ' * 100_000, [NOT_JSON]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_pairs_is_refused(value: Any, expected: list[str]) -> None:
    """Each distinct problem is named once, and neither a name nor a value is."""
    assert refusal(ATTRIBUTES, value) == expected


def test_json_says_no_more_than_it_says() -> None:
    """A JSON number as long as a value may be is sent digit by digit."""
    assert ATTRIBUTES.deserialize(json.dumps({"a": 10**15})) == pairs(a=str(10**15))


texts = st.text('a"\\é{}[]:, \n', max_size=4)
small = texts | st.integers() | st.none() | st.booleans() | st.floats(-9, 9) | st.just(10**30)


@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=4) | st.integers() | st.dates() | st.none(), scalars, max_size=12))
def test_a_mapping_is_what_its_pairs_are(mapping: dict[Any, Any]) -> None:
    """The short way for plain mappings says what the long way for pairs says, values and errors alike."""
    field = Attributes(name_length=3, value_length=4, max_items=10)
    pairs = [{"name": name, "value": value} for name, value in mapping.items() if not is_absent(value)]
    assert outcome(field, mapping) == outcome(field, pairs)


@settings(max_examples=500)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["name", "value"]), st.text('a"\\é', max_size=5), min_size=2)
        | st.dictionaries(st.sampled_from(["name", "value", "n"]), small, max_size=3),
        max_size=4,
    ),
    st.booleans(),
)
def test_pairs_in_json_are_what_they_are_natively(given: list[dict[str, Any]], twice: bool) -> None:
    """The short way for JSON pairs says what the long way says, values and errors alike, also of a name given twice."""
    field = Attributes(name_length=3, value_length=4, max_items=3)
    text = json.dumps(given, ensure_ascii=False)
    if twice and '"name"' in text:
        text = text.replace('"name"', '"name": "b", "name"', 1)
        expected: Any = (False, [field.error_messages["json_duplicate"]])
    else:
        expected = outcome(field, DECODER.decode(text))
    assert outcome(field, text) == expected


@settings(max_examples=300)
@given(st.lists(st.text("aZ9-_ .é", max_size=5) | scalars, max_size=5))
def test_a_list_is_what_its_items_are(items: list[Any]) -> None:
    """The short way for lists of texts says what asking for each item says."""
    field = IdentifierList(4, signs="-")
    each = [outcome(field.item, item) for item in items if not is_absent(item)]
    told = {f"item: {text}" for sent, found in each if not sent for text in found}
    sent, found = outcome(field, items)
    assert sent is not bool(told)
    assert set(found) == told if told else found == [text for _, text in each]


def outcome(field: Any, value: Any) -> tuple[bool, Any]:
    """Return whether the value is sent, and what is, or the error's messages."""
    try:
        return True, field.deserialize(value)
    except ValidationError as error:
        return False, error.messages


def written(pairs: list[tuple[str, Any]], space: str) -> str:
    """Write an object as JSON, names twice if they are given twice."""
    members = [f"{json.dumps(name)}:{space}{json.dumps(value)}" for name, value in pairs]
    return "{" + f",{space}".join(members) + "}"


@settings(max_examples=500)
@given(
    st.one_of(
        st.builds(written, st.lists(st.tuples(texts, small), max_size=4), st.sampled_from(["", " ", "\n"])),
        st.lists(small, max_size=4).map(json.dumps),
        st.lists(texts, max_size=4).map(lambda given: json.dumps(given, ensure_ascii=False)),
        scalars.map(str),
        st.text('{}[]":,\\1.eE-tfn \ud800', max_size=12),
    )
)
def test_plain_json_is_read_as_any_other(text: str) -> None:
    """The quick reader says what the strict one says, or leaves it to that: names twice, big numbers, escapes."""
    quick = _plain(text)
    if quick is not None:
        strict = DECODER.decode(text)
        assert quick == strict
        assert repr(quick) == repr(strict)


cells = st.one_of(
    st.builds(written, st.lists(st.tuples(texts, small), max_size=4), st.sampled_from(["", " ", "\n"])),
    st.lists(st.fixed_dictionaries({"name": texts, "value": texts | small}), max_size=4).map(json.dumps),
    st.lists(texts | st.text("aZ9-", max_size=5), max_size=4).map(lambda given: json.dumps(given, ensure_ascii=False)),
    st.sampled_from(['{"a":"b","a":"c"}', '{"a":-0}', '[{"value":"b","name":"a"}]', '["a"]', '[["a"]]', '["a"]["b"]']),
    st.text('{}[]":,\\1.eE-tfn \ud800', max_size=12),
)


@settings(max_examples=500)
@given(st.lists(cells, min_size=1, max_size=3) | cells.map(lambda cell: [cell]))
def test_a_page_of_texts_is_what_each_is(page: list[str]) -> None:
    """Asked for at once, JSON texts say what the strict reader says of each, or are left to be asked one by one."""
    for field in (Attributes(name_length=3, value_length=4, max_items=3), IdentifierList(4)):
        for text, told in zip(page, field.json_of_texts(page), strict=True):
            if told is not None:
                assert (True, json.loads(told)) == outcome(field, DECODER.decode(text))


def test_a_page_of_texts_is_asked_for_at_once() -> None:
    """What warehouses hold in such columns is: lists of pairs, objects of texts and numbers, lists of texts."""
    page = ['[{"name": "csat", "value": "5"}]', '{"csat": 5, "account": "A1"}']
    assert ATTRIBUTES.json_of_texts(page) == [
        '[{"name":"csat","value":"5"}]',
        '[{"name":"csat","value":"5"},{"name":"account","value":"A1"}]',
    ]
    assert IdentifierList(9).json_of_texts(['["Consumer", "Prepaid"]', '["SMB"]']) == [
        '["Consumer","Prepaid"]',
        '["SMB"]',
    ]
    page = ['["Consumer"]', "SMB", '["New York"]', "[]"]
    assert IdentifierList(9).json_of_texts(page) == ['["Consumer"]', None, None, None]
    assert ATTRIBUTES.json_of_texts(['{"csat": 5}', '{"csat": null}']) == ['[{"name":"csat","value":"5"}]', None]
