"""Three data sets: conversations of all 18 fields in SQLite, made of their number alone, so always the same.

``ordinary`` is what a contact centre's warehouse holds: few different values in most columns. In ``distinct`` no value
comes twice in any column, as far as a field permits. ``bad`` is ``ordinary`` with one record in a hundred broken.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

COLUMNS = (
    *("external_conversation_id", "event_id", "lob_id", "lob_name", "group_id", "group_name", "agent_routing_code"),
    *("campaign", "device_type", "platform", "company_segment", "company_subdivision", "business_rule", "entry_type"),
    *("operating_system", "browser_type", "browser_version", "attributes"),
)
LISTS = ("company_segment", "attributes")
WIRE_LISTS = ("companySegment", "attributes")
PAGE_ROWS = 1000
Row = dict[str, object]

DEVICES = ("TABLET", "PHONE", "DESKTOP", "WATCH", "OTHER")
PLATFORMS = ("SMS", "WEB", "IOS", "ANDROID", "APP", "VOICE", "VOICE_IOS", "VOICE_ANDROID", "APPLEBIZ", "WAB")
SYSTEMS = ("MAC_OS", "LINUX", "WINDOWS", "ANDROID", "IOS", "OTHER")
BROWSERS = ("chrome", "safari", "firefox", "edge", "opera", "samsung")
BAD_EVERY = 100
# Each breaks another rule.
FLAWS: tuple[Row, ...] = (
    {"campaign": "Spring sale"},
    {"external_conversation_id": None},
    {"device_type": "FAX"},
    {"browser_version": "17.4.1-beta-20260304"},
    {"company_segment": '["Consumer"'},
    {"attributes": '[{"name": "csat", "score": "5"}]'},
    {"entry_type": ""},
    {"lob_name": "x" * 257},
)


def ordinary(number: int) -> Row:
    """Return a conversation as they mostly are: 40 lines of business, 300 groups, 5,000 pairs of attributes."""
    lob, group, pairs = number * 7 % 40, number * 13 % 300, number * 37 % 5000
    browser = number * 11 % 50
    return {
        "external_conversation_id": f"conversation-{number:09d}",
        "event_id": None,
        "lob_id": f"LOB-{lob}",
        "lob_name": f"Line of business {lob}",
        "group_id": group,
        "group_name": f"Group {group} in building {group % 9}",
        "agent_routing_code": f"route-{number * 17 % 90}",
        "campaign": None if number % 5 == 0 else f"campaign-{number * 3 % 200}",
        "device_type": DEVICES[number % 5],
        "platform": PLATFORMS[number * 3 % 10],
        "company_segment": json.dumps([f"Segment-{number % 5}", f"Plan-{number * 3 % 20 // 5}"]),
        "company_subdivision": None if number % 3 == 0 else f"office-{number * 29 % 70}",
        "business_rule": None if number % 2 else f"Calls of kind {number * 7 % 30} go to the next agent.",
        "entry_type": ("reactive", "proactive")[number % 2],
        "operating_system": SYSTEMS[number % 6],
        "browser_type": None if number % 4 == 0 else BROWSERS[browser % 6],
        "browser_version": None if number % 4 == 0 else f"{100 + browser}.{browser % 7}",
        "attributes": attributes(csat=pairs % 5, account=f"A{pairs // 5:05d}"),
    }


def distinct(number: int) -> Row:
    """Return a conversation that shares no value with another, but for those of the fields with fixed values."""
    return ordinary(number) | {
        "lob_id": f"LOB-{number}",
        "lob_name": f"Line of business {number}",
        "group_id": number,
        "group_name": f"Group {number} in building {number}",
        "agent_routing_code": f"route-{number}",
        "campaign": f"campaign-{number}",
        "company_segment": json.dumps([f"Segment-{number}", f"Plan-{number}"]),
        "company_subdivision": f"office-{number}",
        "business_rule": f"Calls of kind {number} go to the next agent.",
        "entry_type": f"entry-{number}",
        "browser_type": f"browser-{number}",
        "browser_version": f"17.{number}",
        "attributes": attributes(csat=number, account=f"A{number:09d}"),
    }


def bad(number: int) -> Row:
    """Return an ordinary conversation, but each hundredth breaks a rule, and each of those the next one."""
    turn, place = divmod(number, BAD_EVERY)
    return ordinary(number) | (FLAWS[turn % len(FLAWS)] if place == BAD_EVERY // 2 else {})


def attributes(**values: object) -> str:
    """Return name/value pairs as JSON text, in the form that is sent."""
    return json.dumps([{"name": name, "value": str(value)} for name, value in values.items()])


KINDS: dict[str, Callable[[int], Row]] = {"ordinary": ordinary, "distinct": distinct, "bad": bad}


def bad_among(rows: int) -> int:
    """Return how many of the first so many rows of ``bad`` break a rule."""
    return (rows + BAD_EVERY // 2 - 1) // BAD_EVERY


def build(path: Path, kind: str, rows: int) -> None:
    """Write a data set of so many rows; they are made as SQLite asks for them."""
    marks = ", ".join("?" * len(COLUMNS))
    make = KINDS[kind]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE conversations (row INTEGER PRIMARY KEY, {', '.join(COLUMNS)})")
        db.executemany(
            f"INSERT INTO conversations ({', '.join(COLUMNS)}) VALUES ({marks})",
            (tuple(make(number).values()) for number in range(rows)),
        )


def query(rows: int) -> str:
    """Return the SQL for the first rows, columns named as in the warehouse."""
    return f"SELECT {', '.join(COLUMNS)} FROM conversations ORDER BY row LIMIT {rows}"


def wire_query(rows: int, *, without: tuple[str, ...] = ()) -> str:
    """Return the SQL for the first rows, columns named and typed as ASAPP has them, for tools that send what they get.

    :param without: columns to leave out.
    """
    columns = [f'CAST({name} AS TEXT) AS "{api_name(name)}"' for name in COLUMNS if name not in without]
    return f"SELECT {', '.join(columns)} FROM conversations ORDER BY row LIMIT {rows}"


def api_name(column: str) -> str:
    """Return ASAPP's name of a column."""
    first, *rest = column.split("_")
    return first + "".join(word.capitalize() for word in rest)


def wire_pages(path: str, rows: int) -> Iterator[list[Row]]:
    """Yield the first rows in pages, as ASAPP's records: what a user's own script would make of them, unvalidated."""
    with closing(sqlite3.connect(path)) as db:
        cursor = db.execute(wire_query(rows))
        names = [column[0] for column in cursor.description]
        while page := cursor.fetchmany(PAGE_ROWS):
            yield [_with_lists(dict(zip(names, row, strict=True))) for row in page]


def _with_lists(record: Row) -> Row:
    for name in WIRE_LISTS:
        text = record[name]
        record[name] = json.loads(text) if isinstance(text, str) else None
    return record
