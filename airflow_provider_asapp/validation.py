"""Records in, wire JSON or a rejection out. What is valid, marshmallow alone says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, repeat
from typing import Any

import marshmallow
import msgspec

from airflow_provider_asapp.coercion import RuleError, is_absent
from airflow_provider_asapp.columns import Columns, joined
from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.event_ids import EventIds
from airflow_provider_asapp.list_fields import unpacked
from airflow_provider_asapp.mapping import ColumnMapping, Unknown
from airflow_provider_asapp.pages import NO_COLUMNS, UNREADABLE, Page
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES, Entity

NO_RUN = "no run"


class Item(msgspec.Struct, eq=False, gc=False):
    """A valid record, ready to be sent. One is made for each record: a ``Struct`` takes half a dataclass's time.

    :param position: in its source, counted from 1.
    :param key: what ASAPP tells records apart by; a later record of a key replaces an earlier one.
    :param label: the part of the key that logs may show.
    :param event_id: the record's own, or one that is the same whenever this run sends this content.
    :param body: its wire JSON, the event id in it.
    :param proof: differs where the content does: an event id that was made from it, or the content itself.
    :param columns: their names, as its source gave them.
    :param row: their values, as its source gave them.
    :param maybe_sent: ASAPP may have it although no answer said so.
    """

    position: int
    key: str
    label: str
    event_id: str
    body: bytes
    proof: str
    columns: tuple[Any, ...] = ()
    row: Sequence[Any] = ()
    maybe_sent: bool = False

    def __repr__(self) -> str:
        """Return no more of it than a log may show."""
        return f"Item({self.position}, {self.label!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return as much to rich, which shows what a traceback's variables hold."""
        return [("position", self.position), ("label", self.label)]

    @property
    def record(self) -> dict[Any, Any]:
        """The record as its source gave it."""
        return dict(zip(self.columns, self.row, strict=True))


class Validator:
    """Turns rows into items and rejections, by the rules of one entity.

    :param entity: ``conversation``, ``agent`` or ``customer``.
    :param field_map: source name to API name, for columns that are called otherwise.
    :param unknown: a column that is no field is refused (``raise``), left out (``exclude``), or becomes a name/value
        pair in ``attributes`` (``attributes``).
    :param scope: of the event ids: the run. Equal content in the same scope gets an equal id.
    :raises AsappConfigurationError: no such entity, field or way with unknown columns.
    """

    def __init__(
        self,
        entity: str,
        *,
        field_map: Mapping[str, str] | None = None,
        unknown: Unknown = "raise",
        scope: str = NO_RUN,
    ) -> None:
        self.entity = entity_named(entity)
        self.unknown = unknown
        self._mapping = ColumnMapping(self.entity, field_map or {}, unknown)
        self.field_map = self._mapping.field_map
        self._schema = self.entity.schema_class()
        self._columns = Columns(self._schema)
        self._event_ids = EventIds(scope, entity)

    def check_columns(self, columns: tuple[Any, ...]) -> None:
        """Return if these columns can be mapped; asked of a query, or of the first record, before anything is sent.

        :raises AsappSourceError: see :meth:`~airflow_provider_asapp.mapping.ColumnMapping.check`.
        """
        self._mapping.check(columns)

    def check(self, page: Page, first: int) -> list[Item | Rejection]:
        """Return one item or rejection for each row of a page.

        :param first: position of its first row.
        """
        if page.columns is UNREADABLE:
            return [
                Rejection(position, None, "invalid", {"_schema": [bad.reason]}, bad.raw)
                for position, (bad,) in enumerate(page.rows, first)
            ]
        problems = self._mapping.problems(page.columns)
        if page.columns is NO_COLUMNS:
            return [
                Rejection(position, None, "invalid", problems, given)
                for position, (given,) in enumerate(page.rows, first)
            ]
        given = {} if problems or not page.rows else self._by_field(page)
        if not self._columns.are_enough(given):
            return [self._refused_whole(at, page.columns, row, problems) for at, row in enumerate(page.rows, first)]
        return self._checked(page, first, given)

    def _by_field(self, page: Page) -> dict[str, Sequence[Any]]:
        """Return a page's values by field; what has none is left out or among the attributes."""
        names = self._mapping.names(page.columns)
        values = dict(zip(page.columns, zip(*page.rows, strict=True), strict=True))
        given: dict[str, Sequence[Any]] = {name: values[column] for column, name in names.items() if name}
        extra = {str(column): values[column] for column, name in names.items() if not name}
        if extra and self.unknown == "attributes":
            own = given.get("attributes") or [None] * len(page.rows)
            others = (dict(zip(extra, row, strict=True)) for row in zip(*extra.values(), strict=True))
            given["attributes"] = list(map(_with_pairs, own, others))
        return given

    def _checked(self, page: Page, first: int, given: Mapping[str, Sequence[Any]]) -> list[Item | Rejection]:
        fragments = self._columns.fragments(given)
        labels, *others = (self._columns.texts(name, fragments[name]) for name in self.entity.key_fields)
        keys = list(map("\n".join, zip(labels, *others, strict=True))) if others else labels
        contents = joined(fragments)
        own = self._columns.texts("eventId", fragments["eventId"]) if "eventId" in fragments else []
        ids = proofs = self._ids(own, contents)
        bodies = [f'{{"eventId":"{id_}",{content}'.encode() for id_, content in zip(ids, contents, strict=True)]
        if any(own):
            # A record's own stands among its other fields.
            told = list(zip(own, contents, strict=True))
            bodies = [
                f"{{{content}".encode() if id_ else body for body, (id_, content) in zip(bodies, told, strict=True)
            ]
            proofs = [content if id_ else made for made, (id_, content) in zip(ids, told, strict=True)]
        items = map(Item, count(first), keys, labels, ids, bodies, proofs, repeat(page.columns), page.rows)
        found: list[Item | Rejection] = list(items)
        for at, content in enumerate(contents):
            if not content:
                refused = [name for name, column in fragments.items() if column[at] is None]
                errors = flat({name: self._columns.errors(name, given[name][at]) for name in refused})
                record = dict(zip(page.columns, page.rows[at], strict=True))
                found[at] = Rejection(first + at, labels[at] or None, "invalid", errors, record)
        return found

    def _ids(self, own: list[str], contents: list[str]) -> list[str]:
        """Return the event id of each record: its own, or one that is made."""
        if not any(own):
            return self._event_ids.of(contents)
        made = iter(self._event_ids.of([content for id_, content in zip(own, contents, strict=True) if not id_]))
        return [id_ or next(made) for id_ in own]

    def _refused_whole(
        self, position: int, columns: tuple[Any, ...], row: Sequence[Any], problems: Mapping[str, list[str]]
    ) -> Rejection:
        """Return all that is wrong with a row: in the schema's own words, and with its columns."""
        given = {name: value for name, (value,) in self._by_field(Page(columns, [row])).items()}
        errors: dict[str, list[str]] = {}
        try:
            wire = self._schema.load(given)
        except marshmallow.ValidationError as error:
            wire = error.valid_data
            errors = flat(error.messages)
        for name, texts in problems.items():
            errors[name] = texts + errors.get(name, [])
        record = dict(zip(columns, row, strict=True))
        return Rejection(position, _label(self.entity, wire), "invalid", errors, record)


def entity_named(name: str) -> Entity:
    """Return the entity.

    :raises AsappConfigurationError: there is none of that name.
    """
    if name not in ENTITIES:
        raise AsappConfigurationError(f"entity={name!r}: must be one of {', '.join(ENTITIES)}.")
    return ENTITIES[name]


def flat(messages: Any, at: str = "") -> dict[str, list[str]]:
    """Return marshmallow's messages by field, one level deep: ``attributes[2].name``."""
    if not isinstance(messages, dict):
        return {at or "_schema": [str(message) for message in messages]}
    found: dict[str, list[str]] = {}
    for name, inner in messages.items():
        path = f"{at}[{name}]" if isinstance(name, int) else f"{at}.{name}" if at else str(name)
        found |= flat(inner, path)
    return found


def _label(entity: Entity, wire: Any) -> str | None:
    value = wire.get(entity.key_fields[0]) if isinstance(wire, dict) else None
    return value if isinstance(value, str) else None


def _with_pairs(attributes: Any, extra: Mapping[str, Any]) -> Any:
    """Return the record's attributes and the extra columns as one list; what can't be read is left to the schema."""
    pairs = _pairs(extra)
    if not pairs:
        return attributes
    try:
        native = unpacked(attributes)
    except RuleError:
        return attributes
    if isinstance(native, Mapping):
        native = _pairs(native)
    if is_absent(native):
        return pairs
    return [*native, *pairs] if isinstance(native, list | tuple) else attributes


def _pairs(values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items() if not is_absent(value)]
