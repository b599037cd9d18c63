"""What a source yields: pages of rows, however many rows it has in all.

A source is a callable that opens it from its start and yields :class:`Page` after :class:`Page`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple


class Page(NamedTuple):
    """Some rows of a source, at most a few thousand.

    :param columns: their names, as the source writes them.
    :param rows: each with one value for each column.
    """

    columns: tuple[Any, ...]
    rows: Sequence[Sequence[Any]]


Source = Callable[[], Generator[Page, None, None]]

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
