"""Promises of the fast way: it agrees with marshmallow on every record, asks no question twice, and stays small."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from itertools import permutations
from typing import Any
from uuid import uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import junk, of_contract, properties, raw, records

from airflow_provider_asapp import columns
from airflow_provider_asapp.columns import Column, Columns, joined
from airflow_provider_asapp.event_ids import EVENT_IDS
from airflow_provider_asapp.fields import AttributeValue, Choice, Identifier, Integer, Phone, Text
from airflow_provider_asapp.pages import Page
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES, ConversationMetadataSchema, Entity
from airflow_provider_asapp.validation import Item, Validator, flat

entities = st.sampled_from(list(ENTITIES.values()))


class Platform(StrEnum):
    """Text of another type than ``str``, as a driver with enums may give it."""

    IOS = "ios"
    LISTS = '["ios"]'
    MAPS = '{"ios": "1"}'


class Unhashable:
    """A value that a memory can't look up, and that says so in its own way, as numpy's durations do."""

    def __hash__(self) -> int:
        raise ValueError("no hash for this")


NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
# Equal to another one, or as good as: what a careless memory would mistake for it.
TWINS: list[list[Any]] = [
    [1, True, 1.0, Decimal(1), Decimal("1.0"), "1"],
    [0, False, 0.0, -0.0, Decimal("-0"), None],
    ["ios", Platform.IOS, "IOS", "iOS"],
    ['["ios"]', Platform.LISTS, '["ios" ]', '["ios"]["ios"]', Platform.MAPS, '{"ios": "1"}', '{"ios": 1}'],
    [NOON, NOON.astimezone(timezone(timedelta(hours=2))), NOON.replace(tzinfo=None)],
    [Decimal("1.10"), Decimal("1.1"), 1.1],
    [float("nan"), None, "nan", Decimal("NaN")],
    [10**700, "1" * 700, 10**5000],
    [[], "[]", {}, "{}", (), None],
]


@pytest.fixture(params=[(1, 1_000_000), (1, 500), (0, 1_000_000)], ids=["bulk", "forgetful", "memory"], autouse=True)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every way through a column be taken within a few small pages."""
    pages_without, memory = request.param
    monkeypatch.setattr(columns, "PAGES_WITHOUT", pages_without)
    monkeypatch.setattr(columns, "MEMORY", memory)


def agree(entity: Entity, pages: list[Page]) -> None:
    """Assert that each row, checked among others, becomes what marshmallow says of it alone."""
    validator, schema, first = Validator(entity.name, scope="run"), entity.schema_class(), 1
    for page in pages:
        checked = validator.check(page, first)
        for position, (row, outcome) in enumerate(zip(page.rows, checked, strict=True), first):
            record = dict(zip(page.columns, row, strict=True))
            errors = schema.validate(record)
            assert outcome.position == position
            assert outcome.record == record or outcome.record != outcome.record or repr(outcome.record) == repr(record)
            if isinstance(outcome, Item):
                assert not errors
                wire = schema.load(record)
                text = json.dumps(wire, ensure_ascii=False, separators=(",", ":"))
                own = wire.pop("eventId", None) or str(uuid5(EVENT_IDS, f"run\n{entity.name}\n{text}"))
                assert outcome.event_id == own
                assert json.loads(outcome.body) == {"eventId": own, **wire}
                assert outcome.key == "\n".join(wire[name] for name in entity.key_fields)
            else:
                assert outcome.errors == flat(errors)
        first += len(page.rows)


@st.composite
def pages_of_columns(draw: st.DrawFn) -> tuple[Entity, list[Page]]:
    """Write pages of the same columns, each column with values of its own sort: few, many, alike or anything."""
    entity = draw(entities)
    rules = properties(entity)
    names = [*entity.key_fields, *draw(st.lists(st.sampled_from(list(rules)), max_size=4))]
    names = list(dict.fromkeys(names))
    pools = {name: draw(st.lists(draw(sorts(rules[name])), min_size=1, max_size=12)) for name in names}
    pages = []
    for size in draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)):
        values = [draw(st.lists(st.sampled_from(pools[name]), min_size=size, max_size=size)) for name in names]
        pages.append(Page(tuple(names), list(zip(*values, strict=True))))
    return entity, pages


def sorts(rule: dict[str, Any]) -> st.SearchStrategy[st.SearchStrategy[Any]]:
    """Write of what sort a column is."""
    valid = of_contract(rule)
    return st.sampled_from(
        [
            valid,
            valid | st.none(),
            valid | valid.map(str),
            valid | junk,
            raw(rule),
            junk,
            twins(),
            st.integers(),
            st.text(),
        ]
    )


def twins() -> st.SearchStrategy[Any]:
    return st.sampled_from(TWINS).flatmap(st.sampled_from)


@settings(max_examples=150)
@given(pages_of_columns())
def test_the_fast_way_agrees_with_marshmallow(drawn: tuple[Entity, list[Page]]) -> None:
    """Values, event ids and errors alike, whatever came in the same column before."""
    agree(*drawn)


@settings(max_examples=30)
@given(st.data(), entities)
def test_whole_records_agree_too(data: st.DataObject, entity: Entity) -> None:
    """All fields at once, valid ones, over several pages."""
    given = data.draw(st.lists(records(entity), min_size=1, max_size=6))
    names = tuple(properties(entity))
    rows = [tuple(record.get(name) for name in names) for record in given]
    agree(entity, [Page(names, rows), Page(names, rows[::-1]), Page(names, rows)])


@pytest.mark.parametrize("alike", TWINS, ids=lambda alike: repr(alike[0])[:20])
@pytest.mark.parametrize("field", ["lobId", "lobName", "startTs", "concurrency", "languages", "attributes"])
def test_equal_values_of_other_types_keep_their_own_answers(alike: list[Any], field: str) -> None:
    """In Python 1 == True == 1.0: in whatever order they come, none gets what was remembered for another."""
    for order in list(permutations(alike))[:24]:
        rows = [(f"a{at}", value) for at, value in enumerate(order)]
        agree(ENTITIES["agent"], [Page(("externalAgentId", field), [row]) for row in rows])
        agree(ENTITIES["agent"], [Page(("externalAgentId", field), rows * 3)] * 3)


# --- what a field says of many texts


TEXTS = [Text(5), AttributeValue(3), Identifier(4), Identifier(4, signs="-_.@"), Identifier(4, signs="-"), Phone(5)]
some_texts = st.text('aZ09-_.@ ()+\n"\\é\ud800\u0661]^[\x7f', max_size=6) | st.text(max_size=6)


@settings(max_examples=300)
@given(st.sampled_from(TEXTS), st.lists(some_texts, min_size=1, max_size=5))
def test_texts_that_are_sent_as_they_are(field: Text, texts: list[str]) -> None:
    """Said of many only if it is so of each, and of a single one always if it is so."""

    def unchanged(text: str) -> bool:
        try:
            return bool(field.deserialize(text) == text)
        except columns.ValidationError:
            return False

    assert field.sends_as_they_are(texts) == all(unchanged(text) for text in texts)


# --- memory


class Asked(Identifier):
    """A field that counts its questions."""

    def __init__(self) -> None:
        super().__init__(20, required=True)
        self.asked: list[Any] = []

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(value)
        return super().deserialize(value, *args, **kwargs)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use the sizes of real life."""
    monkeypatch.setattr(columns, "PAGES_WITHOUT", 63)
    monkeypatch.setattr(columns, "MEMORY", 3_000_000)
    return


def test_a_value_is_asked_about_once(roomy: None) -> None:
    """Good, bad or absent, over any number of pages."""
    column, field = Column("lobId", field := Asked()), field
    field.asked.clear()
    for _ in range(50):
        found = column.fragments(["a", "b", None, "a b", "a"] * 20)
        assert found[:5] == [',"lobId":"a"', ',"lobId":"b"', None, None, ',"lobId":"a"']
    assert sorted(field.asked) == ["a", "a b", "b"]


def test_a_column_of_different_texts_is_hardly_asked_about(roomy: None) -> None:
    """It gains nothing from a memory: the field looks at whole pages, and at one in 64 value by value."""
    column, field = Column("lobId", field := Asked()), field
    for page in range(128):
        texts = [f"x{page}-{at}" for at in range(100)]
        assert column.fragments(texts) == [f',"lobId":"{text}"' for text in texts]
    assert len(field.asked) < 300


def test_a_bad_text_among_different_ones_costs_few_questions(roomy: None) -> None:
    """The page is halved until what is left is small."""
    column, field = Column("lobId", field := Asked()), field
    column.fragments([f"x{at}" for at in range(1000)])
    field.asked.clear()
    found = column.fragments([f"y{at}" if at != 500 else "y y" for at in range(1000)])
    assert [at for at, fragment in enumerate(found) if fragment is None] == [500]
    assert len(field.asked) <= columns.FEW


def test_numbers_are_remembered_too(roomy: None) -> None:
    """Warehouses number their lines of business; a bool among them is no number."""
    column, field = Column("lobId", field := Asked()), field
    field.asked.clear()
    for _ in range(5):
        assert column.fragments([1038, None, 7] * 10)[:3] == [',"lobId":"1038"', None, ',"lobId":"7"']
    assert column.fragments([1, 7, True])[1:] == [',"lobId":"7"', None]
    assert len(field.asked) == 2 + 3


@pytest.mark.parametrize("field", [Choice("A"), Identifier(256), Integer(), Text(256)])
def test_a_memory_stays_small(roomy: None, field: Any) -> None:
    """However many values a column has: some megabytes at most."""
    column = Column("lobId", field)
    tracemalloc.start()
    try:
        for page in range(0, 120_000, 1000):
            # Half of each page is known, so that the memory goes on being used.
            column.fragments([str(page // 2 + at // 2) for at in range(1000)])
        assert tracemalloc.get_traced_memory()[0] < 2 * columns.MEMORY
    finally:
        tracemalloc.stop()


def test_a_value_that_can_t_be_looked_up_is_refused() -> None:
    """Whatever its hash raises: one bad row, and no end of the task."""
    page = Page(("externalConversationId", "lobName"), [("c1", "a"), ("c2", Unhashable())])
    good, bad = Validator("conversation").check(page, 1)
    assert isinstance(good, Item)
    assert isinstance(bad, Rejection)
    assert list(bad.errors) == ["lobName"]


def test_a_page_of_long_values_is_not_kept(roomy: None) -> None:
    """Once other values come, a memory forgets what took more room than it has."""
    column = Column("attributes", ConversationMetadataSchema().fields["attributes"])
    tracemalloc.start()
    try:
        column.fragments([f'{{"a":"{at}{"x" * 50_000}"}}' for at in range(1000)])
        column.fragments([f"v{at}" for at in range(1000)])
        assert tracemalloc.get_traced_memory()[0] < 2 * columns.MEMORY
    finally:
        tracemalloc.stop()


# --- rows


def test_fragments_make_the_schema_s_own_json() -> None:
    """In the schema's order, with nothing for what is absent; a row with a refused value is no text."""
    fast = Columns(ConversationMetadataSchema())
    given = {
        "lobName": ["é\n", None, "x"],
        "externalConversationId": ["c1", "c2", "c 3"],
        "platform": ["ios", None, "a"],
    }
    assert joined(fast.fragments(given)) == [
        '"externalConversationId":"c1","lobName":"é\\n","platform":"IOS"}',
        '"externalConversationId":"c2"}',
        "",
    ]
    assert fast.are_enough(given)
    assert not fast.are_enough({"lobName": ["x"]})
