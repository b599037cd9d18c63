"""Reads records from files, JSON lines and CSV, a page at a time and in an order that a retry finds again.

What can't be read as a record is one bad record in its place, never the end of the task.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import fields
from gzip import BadGzipFile, GzipFile
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import IO, Any, Literal, NamedTuple, Protocol

from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.pages import UNREADABLE, Page, Unreadable, pages_of
from airflow_provider_asapp.rejects import Rejection

log = logging.getLogger(__name__)

Format = Literal["jsonl", "csv"]
# What BigQuery and Spark call .json is one object a line too.
ENDINGS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv"}
PAGE_ROWS = 1000
MAGIC = re.compile(r"[*?\[]")
# Bytes that are not UTF-8, as "surrogateescape" reads them; UTF-8 itself can't write these.
NOT_UTF8 = re.compile("[\udc80-\udcff]")
REJECT = {part.name for part in fields(Rejection)}


class FileSystem(Protocol):
    """The part of an fsspec file system that is used."""

    def info(self, path: str) -> Mapping[str, Any]: ...  # noqa: D102
    def find(self, path: str) -> Iterable[str]: ...  # noqa: D102
    def glob(self, path: str, *, detail: Literal[True]) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102
    def open(self, path: str, mode: str) -> IO[bytes]: ...  # noqa: D102


class File(NamedTuple):
    """A file to be read.

    :param name: its path in its file system.
    :param format: how it is read.
    """

    name: str
    format: Format


def listed(fs: FileSystem, path: str, *, file_format: Format | None = None) -> list[File]:
    """Return the files at a path in the order of their names; those of folders and globs with a known ending.

    What begins with a dot or an underscore is taken only if it is named: it belongs to the program that wrote the rest.

    :param path: of a file, of a folder (all files below it) or a glob; what exists under that very name comes first.
    :param file_format: of all files, whatever their endings.
    :raises FileNotFoundError: there is nothing at the path; a glob without a match is an empty list.
    :raises AsappConfigurationError: files are there, but of none of them the ending says what it is.
    """
    names = _names(fs, path)
    files = [File(name, kind) for name in names if (kind := file_format or format_of(name))]
    if names and not files:
        raise AsappConfigurationError(
            f"Nothing at {path} ends in one of {', '.join(ENDINGS)} (or those with .gz): say file_format."
        )
    passed = len(names) - len(files)
    log.info("Files to read: %d%s.", len(files), f"; {passed} with other endings are passed over" if passed else "")
    return files


def _names(fs: FileSystem, path: str) -> list[str]:
    try:
        there = fs.info(path)
    except FileNotFoundError:
        if not MAGIC.search(path):
            raise FileNotFoundError(f"There is nothing at {path}.") from None
        found = list(fs.glob(path, detail=True).values())
    else:
        if there["type"] != "directory":
            return [there["name"]]
        found = [there]
    inner = [fs.find(info["name"]) if info["type"] == "directory" else [info["name"]] for info in found]
    return sorted(
        {name for info, names in zip(found, inner, strict=True) for name in names if not _is_aside(name, info["name"])}
    )


def _is_aside(name: str, named: str) -> bool:
    """Tell whether a name, or a folder on its way, is of the program that wrote the files beside it (``_temporary``).

    :param name: of a file; an object store's mark for a folder ends in a slash.
    :param named: the file or folder that was asked for, in whose own name nothing counts but the last part.
    """
    below = name.removeprefix(named).strip("/") or name.rpartition("/")[2]
    return name.endswith("/") or any(part.startswith((".", "_")) for part in below.split("/"))


def format_of(name: str) -> Format | None:
    """Return what a file's ending says, with or without a ``.gz``; None if it says nothing."""
    bare = name.lower().removesuffix(".gz")
    return next((kind for ending, kind in ENDINGS.items() if bare.endswith(ending)), None)


def read(fs: FileSystem, files: Iterable[File], *, delimiter: str = ",") -> Generator[Page, None, None]:
    """Yield the records of files, one file after the other.

    :param delimiter: between the cells of CSV.
    :raises OSError: a file can't be read to its end; also if it is not the gzip that its name says.
    """
    for file in files:
        with fs.open(file.name, "rb") as raw:
            unpacked: Any = GzipFile(fileobj=raw) if file.name.lower().endswith(".gz") else raw
            # An empty newline keeps line ends as they are, and takes all three kinds for one.
            text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline="")
            try:
                yield from _csv_pages(text, delimiter) if file.format == "csv" else _json_pages(text)
            except (BadGzipFile, EOFError, zlib.error):
                raise OSError(f"{file.name} is not a whole gzip file.") from None


# --- JSON lines


def _json_pages(lines: Iterable[str]) -> Generator[Page, None, None]:
    """Yield the records of JSON lines; of a line of our rejects it is the record in it. Blank lines are nothing."""
    return pages_of(_record(line) for line in lines if not line.isspace())


def _record(line: str) -> Any:
    value = _value(line)
    if isinstance(value, dict) and value.keys() == REJECT:
        value = value["record"]
    if isinstance(value, dict | Unreadable):
        return value
    return Unreadable("the line is not a JSON object", value)


def _value(line: str) -> Any:
    if has_other_bytes(line):
        return Unreadable("the line is not UTF-8", shown(line))
    try:
        return DECODER.decode(line)
    except KeyTwice:
        reason = "an object in the line has a key twice"
    except json.JSONDecodeError:
        reason = "the line is not JSON"
    except RecursionError:
        reason = "the line is nested too deeply"
    except ValueError:  # Python's limit for the digits of an integer
        reason = "the line holds a number of too many digits"
    return Unreadable(reason, shown(line))


class KeyTwice(ValueError):
    """An object has a key twice: which one counts is nowhere said."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise KeyTwice
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)


# --- CSV


class Row(NamedTuple):
    """A row of a CSV file.

    :param cells: None if its quotes do not match.
    :param text: as it stands in the file.
    """

    cells: list[str] | None
    text: str


class Lines:
    """The lines of a CSV file, those of a row that ran away in a wrong quote a second time.

    :param lines: of the file, with their ends.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        return line

    def row(self) -> str:
        """Return the text of all lines since the last row."""
        text = "".join(self._row)
        self._row = []
        return text

    def first_line(self) -> str:
        """Return the first line since the last row, and give the others again."""
        first, *others = self._row
        self._again.extendleft(reversed(others))
        self._row = []
        return first


def _csv_pages(lines: Iterable[str], delimiter: str) -> Generator[Page, None, None]:
    rows = _rows(Lines(lines), delimiter)
    header = next(rows, None)
    if header is None:
        return
    if header.cells is None:
        bad = chain([header], rows)
        yield from pages_of(Unreadable("the file's header can't be read as CSV", shown(row.text)) for row in bad)
        return
    columns = tuple(map(shown, header.cells))
    yield Page(columns, ())  # so that the columns are checked on empty days too
    values = (_values(row, columns) for row in rows)
    for given, group in groupby(values, itemgetter(0)):
        while part := [cells for _, cells in islice(group, PAGE_ROWS)]:
            yield Page(given, part)


def _rows(lines: Lines, delimiter: str) -> Iterator[Row]:
    """Yield the rows; where quotes do not match, the first line is a bad row, and reading goes on behind it."""
    while True:
        # A new one each time: after an error nothing is left of the row that it was in.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                text = lines.row()
                if cells:
                    yield Row(cells, text)
            return
        except csv.Error:
            yield Row(None, lines.first_line())


def _values(row: Row, columns: tuple[str, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return columns and values of a row; an empty cell is nothing."""
    if row.cells is None:
        reason = "the row can't be read as CSV: a quote has no other, or a cell is too long"
    elif has_other_bytes(row.text):
        reason = "the row is not UTF-8"
    elif len(row.cells) != len(columns):
        reason = f"the row has {'more' if len(row.cells) > len(columns) else 'fewer'} cells than the header"
    else:
        return columns, tuple([cell or None for cell in row.cells])
    return UNREADABLE, (Unreadable(reason, shown(row.text)),)


# --- text


def has_other_bytes(text: str) -> bool:
    """Tell whether bytes that are not UTF-8 were read as this."""
    return not text.isascii() and NOT_UTF8.search(text) is not None


def shown(text: str) -> str:
    """Return a line as it can be kept: without its end, replacement characters for what is not UTF-8."""
    text = text.rstrip("\r\n")
    return text.encode(errors="surrogateescape").decode(errors="replace") if has_other_bytes(text) else text
