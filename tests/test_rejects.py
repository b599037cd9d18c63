"""Promises of the rejects: every rejected record is there once, as JSON, and a replay of it means the same."""

from __future__ import annotations

import json
from array import array
from collections import ChainMap
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import anything, junk, of_contract, properties

from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.rejects import Rejection, RejectsFolder, plain
from airflow_provider_asapp.schemas import ENTITIES, Entity
from airflow_provider_asapp.validation import Item, Validator


def rejected(position: int, record: Any = "a record", reason: str = "wrong") -> Rejection:
    """Return a rejection."""
    return Rejection(position, "c1", "invalid", {"lobId": [reason]}, record)


@pytest.fixture(params=["pathlib", "ObjectStoragePath"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Give a folder that is not there yet, as both kinds of path."""
    path = tmp_path / "dag" / "run"
    if request.param == "pathlib":
        return path
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(f"file://{path}")


def lines(folder: Any) -> list[dict[str, Any]]:
    """Return all lines, file by file."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        with path.open("rb") as file:
            found += [json.loads(line, parse_constant=pytest.fail) for line in file.read().splitlines()]
    return found


# --- the folder


def test_a_line_says_all_that_is_needed_to_mend_a_record(folder: Any) -> None:
    """Position, key, stage, errors by field, and the record."""
    record = {"externalConversationId": "c1", "lobId": "a b"}
    RejectsFolder(folder).write(1, [rejected(3, record)])
    assert lines(folder) == [
        {"position": 3, "key": "c1", "stage": "invalid", "errors": {"lobId": ["wrong"]}, "record": record}
    ]


def test_each_stretch_is_a_file_in_the_order_of_the_source(folder: Any) -> None:
    """Its name is its first position, so that names sort as positions do."""
    rejects = RejectsFolder(folder)
    rejects.write(1001, [rejected(1001), rejected(1500)])
    rejects.write(1, [rejected(2)])
    rejects.write(99_999_999, [rejected(100_000_000)])
    assert [path.name for path in sorted(folder.iterdir(), key=lambda path: path.name)] == [
        "000000000001.jsonl",
        "000000001001.jsonl",
        "000099999999.jsonl",
    ]
    assert [line["position"] for line in lines(folder)] == [2, 1001, 1500, 100_000_000]
    assert rejects.written == 4


def test_a_stretch_without_rejects_leaves_nothing(folder: Any) -> None:
    """Not even the folder."""
    rejects = RejectsFolder(folder)
    rejects.write(1, [])
    assert not folder.exists()
    assert rejects.written == 0


def test_writing_again_replaces(folder: Any) -> None:
    """A try that repeats a stretch doubles no line."""
    for tries in range(3):
        RejectsFolder(folder).write(1, [rejected(1, {"try": tries}), rejected(2)])
    assert [line["position"] for line in lines(folder)] == [1, 2]
    assert lines(folder)[0]["record"] == {"try": 2}


def test_clearing_removes_what_an_earlier_try_left(folder: Any) -> None:
    """All of it, or what lies beyond a confirmed prefix; a stranger's file stays."""
    rejects = RejectsFolder(folder)
    rejects.clear()
    for first in (1, 1001, 2001):
        rejects.write(first, [rejected(first)])
    with (folder / "mended.jsonl").open("wb") as file:
        file.write(b"{}\n")
    with (folder / "5000.csv").open("wb") as file:
        file.write(b"a\n")
    rejects.clear(after=1000)
    assert {path.name for path in folder.iterdir()} == {"000000000001.jsonl", "mended.jsonl", "5000.csv"}
    rejects.clear()
    assert {path.name for path in folder.iterdir()} == {"mended.jsonl", "5000.csv"}


# --- the lines


class NaTType:
    """Stands for pandas.NaT, which is known by name and module."""


NaTType.__module__ = "pandas._libs.tslibs.nattype"


class Color(Enum):
    """Something that JSON does not know."""

    RED = "red"


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
RING: dict[str, Any] = {}
RING["itself"] = RING

WRITTEN: list[tuple[Any, Any]] = [
    (None, None),
    ("é\ud800\n", "é\ud800\n"),
    (True, True),
    (12, 12),
    (10**600, 10**600),
    (10**5000, hex(10**5000)),
    (1.5, 1.5),
    (12.0, 12.0),
    (float("nan"), None),
    (float("inf"), None),
    (NaTType(), None),
    (Decimal("1.10"), "1.10"),
    (Decimal("1E-10"), "1E-10"),
    (Decimal("12.00"), 12),
    (Decimal("1E+3"), 1000),
    (Decimal("1E+1000000"), "1E+1000000"),
    (Decimal("NaN"), None),
    (Decimal("sNaN"), None),
    (Decimal("-Infinity"), None),
    (date(2026, 3, 4), "2026-03-04"),
    (datetime(2026, 3, 4, 5, 6, 7, 800, UTC), "2026-03-04T05:06:07.000800+00:00"),
    (datetime(2026, 3, 4), "2026-03-04T00:00:00"),
    (time(5, 6), "05:06:00"),
    (timedelta(hours=1), "1:00:00"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Fraction(1, 3), "1/3"),
    (1j, "1j"),
    (b"\xff", "b'\\xff'"),
    (Color.RED, "Color.RED"),
    (range(2), "range(0, 2)"),
    ((1, [2, {"a": Decimal(3)}]), [1, [2, {"a": 3}]]),
    ({5}, [5]),
    ({5: 1, None: 2, (1, 2): 3, 10**5000: 4}, {"5": 1, "None": 2, "[1, 2]": 3, hex(10**5000): 4}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (ChainMap({"a": 1}), {"a": 1}),
    (array("d", [1.0, float("nan")]), [1.0, None]),
    (array, "<class 'array.array'>"),
]


@pytest.mark.parametrize(("value", "written"), WRITTEN, ids=[repr(written)[:40] for _, written in WRITTEN])
def test_any_value_can_be_written(tmp_path: Path, value: Any, written: Any) -> None:
    """As JSON that says the same, or at least as text for a person; a reject is never lost for its form."""
    RejectsFolder(tmp_path).write(1, [rejected(1, {"field": value}), rejected(2, value)])
    assert [line["record"] for line in lines(tmp_path)] == [{"field": written}, written]


@pytest.mark.parametrize("record", [DEEP, RING, {"field": DEEP}], ids=["deep", "ring", "deep field"])
def test_a_record_without_end_is_a_line_too(tmp_path: Path, record: Any) -> None:
    """What nothing can write is said to be so; position and errors are there all the same."""
    RejectsFolder(tmp_path).write(1, [rejected(1, record)])
    (line,) = lines(tmp_path)
    assert line["record"] == "<nested too deeply to be written>"
    assert line["errors"]


@settings(max_examples=80)
@given(st.lists(junk | anything().map(lambda given: given[1]), max_size=4), st.text())
def test_every_line_is_json(tmp_path_factory: pytest.TempPathFactory, given: list[Any], reason: str) -> None:
    """Whatever a record holds and whatever ASAPP says: a line for each, and nothing that JSON has not."""
    folder = tmp_path_factory.mktemp("rejects")
    found = [rejected(place, record, reason) for place, record in enumerate(given, 1)]
    RejectsFolder(folder).write(1, found)
    assert [(line["position"], line["errors"]) for line in lines(folder)] == [
        (rejection.position, {"lobId": [reason]}) for rejection in found
    ]


# --- replay

offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
whole = st.integers(-(2**52), 2**52)
ids = st.one_of(
    whole.map(abs),
    whole.map(abs).map(float),
    whole.map(abs).map(lambda number: Decimal(number).quantize(Decimal("1.00"))),
    st.uuids(),
)
texts = whole | whole.map(float) | whole.map(lambda number: Decimal(f"{number}.0")) | st.uuids()
# Of a whole Decimal a replay sends the integer: see `plain`.
fractions = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: number != number.to_integral())
attribute_values = st.one_of(
    *(st.integers(), st.booleans(), st.floats(allow_infinity=False), fractions, st.uuids(), st.none()),
    *(st.dates(), st.datetimes(), st.datetimes(timezones=offsets), st.text(max_size=5)),
)
ATTRIBUTES = st.one_of(
    st.dictionaries(st.text(max_size=5), attribute_values, max_size=10),
    st.lists(st.fixed_dictionaries({"name": st.text(max_size=5), "value": attribute_values}), max_size=10),
)
MOMENTS = st.one_of(st.dates(), st.datetimes(timezones=offsets), st.datetimes(timezones=offsets).map(str))
NUMBERS = whole | whole.map(str) | whole.map(float) | whole.map(Decimal)


def native(name: str, rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Write what a driver may give for a field and the coercion table takes."""
    if name == "attributes":
        given = ATTRIBUTES
    elif name in ("companySegment", "languages"):
        given = st.lists(st.none() | whole.map(abs) | whole.map(abs).map(Decimal), max_size=5)
    elif name == "startTs":
        given = MOMENTS
    elif name in ("concurrency", "ranking"):
        given = NUMBERS
    elif "enum" in rule or name == "emailAddress":
        given = of_contract(rule).map(lambda text: text.lower().replace("_", " "))
    elif "pattern" in rule:
        given = ids
    else:
        given = texts
    return st.one_of(given, given, of_contract(rule), st.sampled_from([None, float("nan"), Decimal("NaN")]))


@st.composite
def native_records(draw: st.DrawFn) -> tuple[Entity, dict[str, Any]]:
    """Write an entity and a record as a driver may give it."""
    entity = draw(st.sampled_from(list(ENTITIES.values())))
    rules = properties(entity)
    record = {name: draw(of_contract(rules[name])) for name in entity.key_fields}
    for name in draw(st.lists(st.sampled_from(list(rules)), min_size=1, max_size=4)):
        record[name] = draw(native(name, rules[name]))
    return entity, record


def sent(entity: Entity, record: Any) -> bytes | None:
    """Return the wire JSON of a record, None if it is invalid."""
    (page,) = pages_of([record])
    (outcome,) = Validator(entity.name, unknown="raise").check(page, 1)
    return outcome.body if isinstance(outcome, Item) else None


@settings(max_examples=250)
@given(native_records())
def test_a_replay_sends_the_same(given: tuple[Entity, dict[str, Any]]) -> None:
    """A record that ASAPP refused, read back from its line, has the same wire JSON."""
    entity, record = given
    body = sent(entity, record)
    replayed = json.loads(json.dumps(plain(record)))
    assert body is None or sent(entity, replayed) == body


@settings(max_examples=100)
@given(junk)
def test_what_was_written_is_written_the_same_again(value: Any) -> None:
    """A replay that is rejected again changes nothing of the record."""
    once = json.loads(json.dumps(plain(value), allow_nan=False))
    assert plain(once) == once
