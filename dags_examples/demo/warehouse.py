"""A small SQLite warehouse, the same one each time, with the mess that real ones hold.

About 4,000 conversations a day over five days, in a normalised schema: ids that are numbers, numbers that
became floats, JSON in text columns, enums in any case, names in capital letters, NULLs everywhere, and on
each day the few rows of `FLAWS` that ASAPP would refuse. Nobody in it is a real person.
"""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from dags_examples.demo import people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 2026
DAYS = tuple(date(2026, 3, 2) + timedelta(days=n) for n in range(5))

SCHEMA = """
CREATE TABLE LINES_OF_BUSINESS (LOB_ID REAL PRIMARY KEY, LOB_NAME TEXT);
CREATE TABLE agent_groups (group_id INTEGER PRIMARY KEY, group_name TEXT);
CREATE TABLE campaigns (campaign_id INTEGER PRIMARY KEY, campaign_code TEXT, business_rule TEXT);
CREATE TABLE accounts (account_id INTEGER PRIMARY KEY, SEGMENTS TEXT);
CREATE TABLE DEVICES (
    DEVICE_ID INTEGER PRIMARY KEY, DEVICE TEXT, OS TEXT, BROWSER TEXT, BROWSER_VERSION TEXT
);
CREATE TABLE conversations (
    conversation_key INTEGER PRIMARY KEY, chat_id INTEGER, ended_at TEXT, opened_by TEXT,
    lob_id REAL, group_id INTEGER, campaign_id INTEGER, account_id INTEGER, device_id INTEGER,
    routing_code TEXT, utm_campaign TEXT, channel TEXT, office TEXT, context TEXT
);
CREATE INDEX conversations_by_end ON conversations (ended_at);
"""

# A spreadsheet once stood between the source and the warehouse: the ids came out of it as floats.
LINES_OF_BUSINESS = [
    (1038.0, "Manufacturing"),
    (1040.0, "Retail"),
    (1041.0, "Travel & Leisure"),
    (1055.0, None),
]
GROUPS = [
    (59, "Billing, first line"),
    (60, "Billing, second line"),
    (71, "Réclamations"),
    (72, None),
    (80, "Sales"),
]
CAMPAIGNS = [
    (1, "spring-2026", "Apply customer's discount"),
    (2, "winback_B", "Offer the annual plan first"),
    (3, "onboarding", None),
]
SEGMENTS = ['["Sales","Marketing"]', '["Enterprise"]', "[]", "Consumer", None]
DEVICES = [
    ("smartphone", "iOS", "Safari", "17.4.1"),
    ("smartphone", "android", "Chrome", "122.0.6261.90"),
    ("Tablet", "ios", "Safari", "14.1.2"),
    ("pc", "Mac OS", "Safari", "17.4"),
    ("pc", "Windows", "Edge", "122.0.2365.59"),
    ("pc", "linux", "Firefox", "123.0"),
    ("watch", "Other", "", None),
    (None, None, None, None),
]
CHANNELS = ["ios", "Android", "WEB", "web", "Sms", "voice", "Voice iOS", "applebiz", "WAB", None]
OFFICES = ["Operating", "Berlin", "Sao-Paulo", "remote_1", None]


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a row of the table conversations; `field` is where ASAPP would see it."""

    column: str
    value: object
    field: str


# What each day holds besides its good rows: one tuple is one row, and the last breaks two rules at once.
FLAWS: tuple[tuple[Flaw, ...], ...] = (
    (Flaw("office", "New York", "companySubdivision"),),
    (Flaw("office", "New York", "companySubdivision"),),
    (Flaw("office", "Köln", "companySubdivision"),),
    (Flaw("routing_code", "", "agentRoutingCode"),),
    (Flaw("routing_code", "", "agentRoutingCode"),),
    (Flaw("channel", "fax", "platform"),),
    (Flaw("chat_id", None, "externalConversationId"),),
    (Flaw("utm_campaign", "mail-" + "x" * 300, "campaign"),),
    (Flaw("context", json.dumps({f"step_{n}": n for n in range(11)}), "attributes"),),
    (Flaw("context", '{"csat": 4, "langu', "attributes"),),
    (Flaw("context", json.dumps({"transcript": "bla " * 300}), "attributes"),),
    (Flaw("chat_id", "merged: 31/32", "externalConversationId"), Flaw("channel", "pager", "platform")),
)


def build(path: Path, *, per_day: int = 4_000, seed: int = SEED) -> None:
    """Write the warehouse to `path`, which must not exist: equal `per_day` and `seed` give equal bytes."""
    rng = random.Random(seed)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
        fill_dimensions(db, rng)
        rows = (row for day in DAYS for row in a_day(rng, day, per_day))
        db.executemany(f"INSERT INTO conversations VALUES ({'?, ' * 13}?)", numbered(rng, rows))
        lobs, groups = [lob for lob, _ in LINES_OF_BUSINESS], [group for group, _ in GROUPS]
        people.fill(db, random.Random(f"people {seed}"), lobs=lobs, groups=groups)
        db.commit()


def fill_dimensions(db: sqlite3.Connection, rng: random.Random) -> None:
    """Fill the tables that a conversation points to."""
    accounts = [(n, rng.choice(SEGMENTS)) for n in range(1, 301)]
    db.executemany("INSERT INTO LINES_OF_BUSINESS VALUES (?, ?)", LINES_OF_BUSINESS)
    db.executemany("INSERT INTO agent_groups VALUES (?, ?)", GROUPS)
    db.executemany("INSERT INTO campaigns VALUES (?, ?, ?)", CAMPAIGNS)
    db.executemany("INSERT INTO accounts VALUES (?, ?)", accounts)
    db.executemany("INSERT INTO DEVICES VALUES (?, ?, ?, ?, ?)", [(n, *row) for n, row in enumerate(DEVICES, 1)])


def a_day(rng: random.Random, day: date, per_day: int) -> list[dict[str, object]]:
    """Return the day's conversations in no order: the good, the flawed, and a few that have not ended yet."""
    size = per_day + rng.randint(-per_day // 20, per_day // 20)
    good = [conversation(rng, moment(day, rng.randrange(86_400))) for _ in range(size)]
    # The first and the last second of the day are its own, midnight after it is the next day's.
    good[0]["ended_at"], good[1]["ended_at"] = moment(day, 0), moment(day, 86_399)
    still_open = [conversation(rng, None) for _ in range(size // 200)]
    rows = good + still_open + [flawed(rng, day, flaws) for flaws in FLAWS]
    rng.shuffle(rows)
    return rows


def conversation(rng: random.Random, ended_at: str | None) -> dict[str, object]:
    """Return a conversation that ASAPP takes, still without its two ids."""
    campaign = rng.choice([1, 2, 3, None, None])
    return {
        "ended_at": ended_at,
        "opened_by": rng.choice(["customer", "customer", "agent", None]),
        "lob_id": rng.choice(LINES_OF_BUSINESS)[0],
        "group_id": rng.choice(GROUPS)[0],
        "campaign_id": campaign,
        "account_id": rng.randint(1, 300),
        "device_id": rng.randint(1, len(DEVICES)),
        "routing_code": f"route-{rng.randint(13_000, 13_999)}" if rng.random() < 0.9 else None,
        "utm_campaign": None if campaign else rng.choice(["newsletter", "partner_7", None]),
        "channel": rng.choice(CHANNELS),
        "office": rng.choice(OFFICES),
        "context": context(rng),
    }


def context(rng: random.Random) -> str | None:
    """Return what the chat tool noted, as JSON: an object, in older rows a list of pairs, or nothing."""
    notes = {"csat": rng.choice([1, 3, 4, 5, None]), "language": rng.choice(["en", "de", "pt-BR"])}
    notes |= {"first_contact": rng.random() < 0.5, "wait_seconds": rng.randint(0, 900)}
    pairs = [{"name": name, "value": value} for name, value in notes.items() if value is not None]
    return rng.choice([json.dumps(notes), json.dumps(notes), json.dumps(pairs), None])


def flawed(rng: random.Random, day: date, flaws: tuple[Flaw, ...]) -> dict[str, object]:
    """Return a conversation of that day with just these flaws."""
    row = conversation(rng, moment(day, rng.randrange(86_400)))
    # A campaign of the table would hide the flawed text beside it.
    return row | {"campaign_id": None} | {flaw.column: flaw.value for flaw in flaws}


def numbered(rng: random.Random, rows: Iterator[dict[str, object]]) -> Iterator[tuple[object, ...]]:
    """Give each row its key and, unless a flaw took its place, the number that the chat tool knows it by."""
    chat_id = 31_000_000
    for key, row in enumerate(rows, 1):
        chat_id += rng.randint(1, 40)
        yield (key, row.get("chat_id", chat_id), *(value for name, value in row.items() if name != "chat_id"))


def moment(day: date, second: int) -> str:
    """Return a second of the day as the warehouse writes it, in UTC."""
    return f"{datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"


def count_ended(path: Path, day: date) -> int:
    """Count the conversations that ended on `day`: what a run for that day must account for."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT COUNT(*) FROM conversations WHERE date(ended_at) = ?", [str(day)])
        return int(rows.fetchone()[0])
