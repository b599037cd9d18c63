"""Records in, wire JSON or a rejection out. What is valid, marshmallow alone says.

A source is a callable that opens it from its start and yields :class:`Page` after :class:`Page`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import marshmallow

from airflow_provider_asapp.coercion import RuleError, is_absent
from airflow_provider_asapp.errors import AsappConfigurationError, AsappSourceError
from airflow_provider_asapp.list_fields import unpacked
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.schemas import ENTITIES, Entity, api_name, suggestion

Unknown = Literal["raise", "exclude", "attributes"]

# Names the scope of our event ids among all UUIDs; any constant would do, but it must never change.
EVENT_IDS = UUID("5b0d6c0e-6d0a-5f5c-9a3e-2f6c1d0b7a41")
NO_RUN = "no run"


class Page(NamedTuple):
    """Some rows of a source, at most a few thousand.

    :param columns: their names, as the source writes them.
    :param rows: each with one value for each column.
    """

    columns: tuple[Any, ...]
    rows: Sequence[Sequence[Any]]


Source = Callable[[], Generator[Page, None, None]]

# What a column's name looks like. Else it may be a value, and is not told.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,63}\Z")

# The columns of a page whose rows are not mappings of field to value; no mapping has an equal key.
NO_COLUMNS: tuple[Any, ...] = (object(),)
# The columns of a page whose rows each hold one Unreadable.
UNREADABLE: tuple[Any, ...] = (object(),)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What a source gives in the place of a record that it can't read: one bad record, and no sign of a wrong mapping.

    :param reason: for the log too, so without a value.
    :param raw: what stands there.
    """

    reason: str
    raw: Any = field(repr=False)


@dataclass(slots=True)
class Item:
    """A valid record, ready to be sent.

    :param position: in its source, counted from 1.
    :param key: what ASAPP tells records apart by; a later record of a key replaces an earlier one.
    :param label: the part of the key that logs may show.
    :param event_id: the record's own, or one that is the same whenever this run sends this content.
    :param body: its wire JSON, the event id in it.
    :param record: as its source gave it.
    :param maybe_sent: ASAPP may have it although no answer said so.
    """

    position: int
    key: str
    label: str
    event_id: str
    body: bytes
    record: Any = field(repr=False)
    maybe_sent: bool = False


def pages_of(records: Iterable[Any], size: int = 1000) -> Generator[Page, None, None]:
    """Yield records (mappings of field to value) as pages of rows that have the same fields.

    :param records: anything that is not a mapping becomes a row that validation refuses.
    :param size: most rows of a page.
    """
    for columns, group in groupby(records, _columns):
        named = columns is not NO_COLUMNS and columns is not UNREADABLE
        rows: list[tuple[Any, ...]] = []
        for record in group:
            rows.append(tuple(record.values()) if named else (record,))
            if len(rows) == size:
                yield Page(columns, rows)
                rows = []
        if rows:
            yield Page(columns, rows)


def _columns(record: Any) -> tuple[Any, ...]:
    if isinstance(record, Mapping):
        return tuple(record)
    return UNREADABLE if isinstance(record, Unreadable) else NO_COLUMNS


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
        if unknown not in ("raise", "exclude", "attributes"):
            raise AsappConfigurationError(f"unknown={unknown!r}: must be 'raise', 'exclude' or 'attributes'.")
        self.unknown = unknown
        self.field_map = _checked_map(self.entity, field_map or {})
        self._scope = f"{scope}\n{entity}\n"
        self._schema = self.entity.schema_class()
        self._names: dict[tuple[Any, ...], dict[Any, str | None]] = {}

    def check_columns(self, columns: tuple[Any, ...]) -> None:
        """Return if these columns can be mapped; asked of a query, or of the first record, before anything is sent.

        :raises AsappSourceError: names each column that is no field, and what it may have meant, or a field that two
            columns are.
        """
        problems = [text for texts in self._problems(columns).values() for text in texts]
        if problems:
            raise AsappSourceError(
                f"The source does not fit the entity {self.entity.name}; nothing was sent. "
                f"{'; '.join(problems)} - rename it in the query, or use field_map; "
                "unknown='exclude' leaves columns out, unknown='attributes' sends them as name/value pairs."
            )

    def check(self, page: Page, first: int) -> Iterator[Item | Rejection]:
        """Yield one item or rejection for each row of a page.

        :param first: position of its first row.
        """
        if page.columns is UNREADABLE:
            for position, (bad,) in enumerate(page.rows, first):
                yield Rejection(position, None, "invalid", {"_schema": [bad.reason]}, bad.raw)
            return
        names = self._names_of(page.columns)
        problems = self._problems(page.columns)
        for position, row in enumerate(page.rows, first):
            if page.columns is NO_COLUMNS:
                yield Rejection(position, None, "invalid", problems, row[0])
                continue
            record = dict(zip(page.columns, row, strict=True))
            yield self._check(position, self._named(record, names), record, problems)

    def _check(
        self, position: int, named: dict[str, Any], record: dict[Any, Any], problems: Mapping[str, list[str]]
    ) -> Item | Rejection:
        errors: dict[str, list[str]] = {}
        try:
            wire = self._schema.load(named)
        except marshmallow.ValidationError as error:
            wire = error.valid_data
            errors = flat(error.messages)
        for name, texts in problems.items():
            errors[name] = texts + errors.get(name, [])
        if errors:
            return Rejection(position, _label(self.entity, wire), "invalid", errors, record)
        return self._item(position, wire, record)

    def _item(self, position: int, wire: dict[str, Any], record: dict[Any, Any]) -> Item:
        text = json.dumps(wire, ensure_ascii=False, separators=(",", ":"))
        event_id = wire.get("eventId")
        if event_id is None:
            event_id = str(uuid5(EVENT_IDS, self._scope + text))
            text = f'{{"eventId":"{event_id}",{text[1:]}'
        keys = [wire[name] for name in self.entity.key_fields]
        return Item(position, "\n".join(keys), keys[0], event_id, text.encode(), record)

    def _named(self, record: dict[Any, Any], names: dict[Any, str | None]) -> dict[str, Any]:
        """Return the record under API names; what has none is left out or among the attributes."""
        named = {name: record[column] for column, name in names.items() if name is not None}
        if self.unknown == "attributes":
            extra = {str(column): record[column] for column, name in names.items() if name is None}
            named["attributes"] = _with_pairs(named.get("attributes"), extra)
        return named

    def _names_of(self, columns: tuple[Any, ...]) -> dict[Any, str | None]:
        """Return the field that each column is, None for a column that is none."""
        if columns not in self._names:
            if len(self._names) > 1000:  # records from a task may each have other keys
                self._names.clear()
            self._names[columns] = {
                column: self.field_map.get(_folded(column)) or api_name(self.entity, column) for column in columns
            }
        return self._names[columns]

    def _problems(self, columns: tuple[Any, ...]) -> dict[str, list[str]]:
        """Return by column or field why these columns can't be mapped."""
        if columns is NO_COLUMNS:
            return {"_schema": ["a record must be a mapping of field to value"]}
        names = self._names_of(columns)
        problems: dict[str, list[str]] = {}
        given: dict[str, list[str]] = defaultdict(list)
        for column in columns:
            # As a pair of its own name, a column that is no field can be there twice too.
            name = names[column] or (str(column) if self.unknown == "attributes" else None)
            if name is not None:
                given[name].append(str(column))
        for name, several in given.items():
            if len(several) > 1:
                problems[name] = [f"{name} is given by more than one column: {', '.join(several)}"]
        return problems | (self._strangers(names) if self.unknown == "raise" else {})

    def _strangers(self, names: Mapping[Any, str | None]) -> dict[str, list[str]]:
        """Return why the columns that are no fields can't be mapped; a name that may be data is not told.

        Without a header, the first row of a CSV stands where the names should: then no column is a field.
        """
        meant = {column: suggestion(self.entity, column) for column, name in names.items() if name is None}
        is_header = any(names.values()) or any(meant.values())
        problems: dict[str, list[str]] = {}
        for number, column in enumerate(names, 1):
            if column not in meant:
                continue
            told = str(column) if meant[column] or (is_header and NAME.match(str(column))) else f"number {number}"
            text = f"column {told!r} is no field of {self.entity.name}"
            text += f"; did you mean {meant[column]}?" if meant[column] else ""
            problems[told] = [text if is_header else f"{text}, nor is any other: has the source a header?"]
        return problems


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


def _checked_map(entity: Entity, field_map: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(field_map, Mapping):
        raise AsappConfigurationError("field_map must be a mapping of your name to ASAPP's name.")
    checked: dict[str, str] = {}
    for column, name in field_map.items():
        field_name = api_name(entity, name)
        if field_name is None:
            meant = suggestion(entity, name)
            hint = f" Did you mean {meant}?" if meant else ""
            raise AsappConfigurationError(f"field_map: {name!r} is no field of {entity.name}.{hint}")
        checked[_folded(column)] = field_name
    return checked


def _folded(column: object) -> str:
    # Warehouses change the case of a column's name: Snowflake to upper, Postgres to lower.
    return str(column).casefold()


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
