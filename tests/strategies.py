"""What hypothesis writes records from: the contract's own words, what drivers may give instead, and junk."""

from __future__ import annotations

import json
import string
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_asapp.schemas import ENTITIES, Entity
from airflow_provider_asapp.simulator.contract import CONTRACT


def properties(entity: Entity) -> dict[str, Any]:
    """Return the contract's fields of an entity."""
    fields: dict[str, Any] = CONTRACT["$defs"][entity.name]["properties"]
    return fields


MARK = "q7Zmark"
ASCII = string.ascii_letters + string.digits + string.punctuation + " \n"
moments = st.builds(
    lambda moment, fraction: f"{moment.isoformat()}{fraction}Z",
    st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    st.just("") | st.from_regex(r"\.[0-9]{1,12}", fullmatch=True),
)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", fullmatch=True)
emails = st.builds(
    lambda local, domain: f"{local}@{'.'.join(domain)}",
    st.text("azAZ09.!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=9),
    st.lists(labels, min_size=1, max_size=3),
)


def of_contract(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Write what a field's rule in the contract allows, null left out."""
    if "enum" in rule:
        return st.sampled_from([name for name in rule["enum"] if name is not None])
    if rule.get("format") == "date-time":
        return moments
    if "@[" in rule.get("pattern", ""):
        return emails
    if "properties" in rule:
        parts = {key: of_contract(part) for key, part in rule["properties"].items()}
        return st.fixed_dictionaries({}, optional=parts)
    kinds = rule["type"]
    if "array" in kinds:
        return st.lists(of_contract(rule["items"]), max_size=rule.get("maxItems", 12))
    if "integer" in kinds:
        return st.integers() | st.integers(-(10**600), 10**600)
    return texts(rule.get("pattern"), rule["maxLength"])


def texts(pattern: str | None, longest: int) -> st.SearchStrategy[str]:
    """Write text of the characters that a pattern takes, the longest too."""
    if pattern is None:
        return st.text(max_size=longest) | st.text("é", min_size=longest, max_size=longest)
    allowed = characters(pattern)
    return st.text(allowed, min_size=1, max_size=longest) | st.just(allowed[0] * longest)


def characters(pattern: str) -> str:
    """List the characters of ASCII that a pattern of repeated characters takes."""
    one = Draft202012Validator({"pattern": pattern})
    return "".join(char for char in ASCII if one.is_valid(char))


def records(entity: Entity) -> st.SearchStrategy[dict[str, Any]]:
    """Write records that the contract allows, with nulls."""
    rules = properties(entity)
    return st.fixed_dictionaries(
        {name: of_contract(rules[name]) for name in entity.key_fields},
        optional={name: st.none() | of_contract(rule) for name, rule in rules.items() if name not in entity.key_fields},
    )


zones = st.none() | st.just(UTC) | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.text(),
    st.text(st.characters()),
    st.binary(),
    st.uuids(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.datetimes(timezones=zones),
    st.sampled_from(
        [10**4000, -(2**2000), Decimal("1E+1000000"), Decimal("sNaN"), object(), type, frozenset("a"), bytearray()]
    ),
    st.sampled_from(["", "null", "[[", '{"a": NaN}', "[" * 5000, '"\\ud800"', "ios", "Mac OS", "12.0", "a b"]),
    st.datetimes(timezones=zones).map(str),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=12),
        st.tuples(inner),
        st.dictionaries(st.sampled_from(["name", "value"]), inner),
        st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=12),
    ),
    max_leaves=8,
)


def as_json(value: Any) -> str:
    """Write what JSON can't hold as its repr."""
    try:
        return json.dumps(value, default=repr, skipkeys=True)
    except ValueError:
        return "[]"


def raw(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Write what a driver may give for a field: right, mendable or junk."""
    return st.one_of(of_contract(rule), of_contract(rule).map(as_json), junk, junk.map(as_json), st.lists(scalars))


@st.composite
def anything(draw: st.DrawFn) -> tuple[Entity, Any]:
    """Write an entity and a record with one or two fields of anything, or no record at all."""
    entity = draw(st.sampled_from(list(ENTITIES.values())))
    if draw(st.integers(0, 9)) == 0:
        return entity, draw(junk)
    rules = properties(entity)
    record = {name: draw(of_contract(rules[name])) for name in entity.key_fields}
    for name in draw(st.lists(st.sampled_from(list(rules)), min_size=1, max_size=2)):
        record[name] = draw(raw(rules[name]))
    spell = draw(st.sampled_from([str, str.upper, str.lower]))
    return entity, {spell(name): value for name, value in record.items()}


def broken(rule: dict[str, Any]) -> list[Any]:
    """List values that break one rule of the contract and that no coercion mends."""
    kinds = rule["type"]
    if "integer" in kinds:
        return [1.5, True, "one", "1 ", [], {}]
    if "array" in kinds:
        items = [[item] for item in broken(rule["items"])] if "properties" not in rule["items"] else []
        return [5, True, b"a", [{"name": "a"}] * 11, [{"name": "a" * 257}], [{"value": "a" * 1025}], [5.5], *items]
    values: list[Any] = [True, 1.5, b"a", [], {}]
    if "maxLength" in rule:
        values.append("1" * (rule["maxLength"] + 1))
    if "pattern" in rule or "enum" in rule:
        values += ["", "\n", "a\n", "1\n", "é", "a/b", "/", "\u0661"]
    if rule.get("format") == "date-time":
        values += [
            "2022-02-30T00:00:00Z",
            "2022-07-08T00:00:00",
            "2022-07-08T24:00:00Z",
            f"2022-07-08T00:00:00.{'1' * 13}Z",
        ]
    return values


def marked(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Put a marked value into something."""
    return st.one_of(
        inner.map(lambda value: [value, "a b", 5.5]),
        inner.map(lambda value: {"name": value, "value": [value]}),
        inner.map(lambda value: [{"name": value, "value": value, MARK: value}]),
        inner.map(lambda value: {MARK: value}),
        inner.map(lambda value: {MARK * 99: value}),
        inner.map(as_json),
        inner.map(lambda value: as_json(value)[:-1]),
    )


marked_values = st.recursive(
    st.sampled_from([MARK, f"{MARK} {MARK}", MARK * 200, MARK.encode(), f"{MARK}@", f"[{MARK}", f"\ud800{MARK}"])
    | st.text(max_size=5).map(lambda text: text + MARK),
    marked,
    max_leaves=3,
)
