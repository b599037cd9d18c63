"""Which field each column of a source is, and why a source can't be mapped."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

from airflow_provider_asapp.errors import AsappConfigurationError, AsappSourceError
from airflow_provider_asapp.pages import NO_COLUMNS
from airflow_provider_asapp.schemas import Entity, api_name, suggestion

Unknown = Literal["raise", "exclude", "attributes"]

# What a column's name looks like. Else it may be a value, and is not told.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,63}\Z")
# Records from a task may each have other keys.
MOST_MAPPINGS = 1000


class ColumnMapping:
    """Finds fields for columns.

    :param entity: whose fields.
    :param field_map: source name to API name, for columns that are called otherwise.
    :param unknown: a column that is no field is refused (``raise``), left out (``exclude``), or becomes a name/value
        pair in ``attributes`` (``attributes``).
    :raises AsappConfigurationError: no such field or way with unknown columns.
    """

    def __init__(self, entity: Entity, field_map: Mapping[str, str], unknown: Unknown) -> None:
        if unknown not in ("raise", "exclude", "attributes"):
            raise AsappConfigurationError(f"unknown={unknown!r}: must be 'raise', 'exclude' or 'attributes'.")
        self.field_map = _checked_map(entity, field_map)
        self._entity = entity
        self._unknown = unknown
        self._names: dict[tuple[Any, ...], dict[Any, str | None]] = {}

    def names(self, columns: tuple[Any, ...]) -> dict[Any, str | None]:
        """Return the field that each column is, None for a column that is none."""
        if columns not in self._names:
            if len(self._names) >= MOST_MAPPINGS:
                self._names.clear()
            self._names[columns] = {
                column: self.field_map.get(_folded(column)) or api_name(self._entity, column) for column in columns
            }
        return self._names[columns]

    def check(self, columns: tuple[Any, ...]) -> None:
        """Return if these columns can be mapped.

        :raises AsappSourceError: names each column that is no field, and what it may have meant, or a field that two
            columns are.
        """
        problems = [text for texts in self.problems(columns).values() for text in texts]
        if problems:
            told = "; ".join(problems)
            told += "" if told.endswith("?") else "."
            raise AsappSourceError(
                f"The source does not fit the entity {self._entity.name}; nothing was sent. "
                f"{told} Rename it in the query, or use field_map; "
                "unknown='exclude' leaves columns out, unknown='attributes' sends them as name/value pairs."
            )

    def problems(self, columns: tuple[Any, ...]) -> dict[str, list[str]]:
        """Return by column or field why these columns can't be mapped."""
        if columns is NO_COLUMNS:
            return {"_schema": ["a record must be a mapping of field to value"]}
        names = self.names(columns)
        given: dict[str, list[str]] = defaultdict(list)
        for column in columns:
            # As a pair of its own name, a column that is no field can be there twice too.
            name = names[column] or (str(column) if self._unknown == "attributes" else None)
            if name is not None:
                given[name].append(str(column))
        problems = {
            name: [f"{name} is given by more than one column: {', '.join(several)}"]
            for name, several in given.items()
            if len(several) > 1
        }
        return problems | (self._strangers(names) if self._unknown == "raise" else {})

    def _strangers(self, names: Mapping[Any, str | None]) -> dict[str, list[str]]:
        """Return why the columns that are no fields can't be mapped; a name that may be data is not told.

        Without a header, the first row of a CSV stands where the names should: then no column is a field.
        """
        meant = {column: suggestion(self._entity, column) for column, name in names.items() if name is None}
        is_header = any(names.values()) or any(meant.values())
        problems: dict[str, list[str]] = {}
        for number, column in enumerate(names, 1):
            if column not in meant:
                continue
            told = str(column) if meant[column] or (is_header and NAME.match(str(column))) else f"number {number}"
            text = f"column {told!r} is no field of {self._entity.name}"
            text += f"; did you mean {meant[column]}?" if meant[column] else ""
            problems[told] = [text if is_header else f"{text}, nor is any other: has the source a header?"]
        return problems


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
