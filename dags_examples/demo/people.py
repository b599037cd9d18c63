"""The people of the demo's warehouse, all made up: agents, and the customers that conversations were held with.

Numbers end in 555-01xx and addresses in example.com: both are reserved, and lead to nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    import sqlite3

SCHEMA = """
CREATE TABLE AGENTS (
    AGENT_ID INTEGER PRIMARY KEY, NAME TEXT, EMAIL TEXT, SITE TEXT, SUPERVISOR_ID REAL, lob_id REAL, group_id INTEGER,
    LANGUAGES TEXT, MAX_CHATS TEXT, TITLE TEXT, SHIFT TEXT, EMPLOYER TEXT, STARTED_AT TEXT, LEFT_AT TEXT
);
CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY, status TEXT, PHONE TEXT, EMAIL TEXT, login TEXT,
    COUNTRY TEXT, STATE TEXT, ZIP TEXT
);
CREATE TABLE participants (conversation_key INTEGER, customer_id INTEGER);
"""

AGENTS = 240
SUPERVISORS = 12
CUSTOMERS = 2_000
FIRST_NAMES = ["Ada", "Bao", "Chiara", "Dmitri", "Esi", "Farid", "Grete", "Hana", "Iñigo", "Jun", "Kofi", "Lena"]
LAST_NAMES = ["Abbot", "Brandt", "Costa", "Dufour", "Eze", "Fischer", "Gupta", "Holm", "Ito", "Jansen"]
SITES = ["Berlin", "São Paulo", "Remote", None]
LANGUAGES = ['["en"]', '["en", "de"]', '["pt-BR", "en"]', "de", None]
TITLES = ["Agent", "Senior Agent", "Back Office", None]
STATUSES = ["active", "past due", "closed", None]
PHONES = ["+1 212 555 01{:02}", "(212) 555-01{:02}", "212.555.01{:02}"]
PLACES = [("US", "NY", "10001"), ("US", "MA", "02108"), ("DE", None, "10115"), ("BR", "SP", "01001-000"), (None,) * 3]
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def fill(db: sqlite3.Connection, rng: random.Random, *, lobs: list[float], groups: list[int]) -> None:
    """Make and fill the tables of people, for the conversations that are there."""
    db.executescript(SCHEMA)
    agents = [agent(rng, number, rng.choice(lobs), rng.choice(groups)) for number in range(1, AGENTS + 1)]
    db.executemany(f"INSERT INTO AGENTS VALUES ({'?, ' * 13}?)", agents)
    customers = [customer(rng, number) for number in range(1, CUSTOMERS + 1)]
    db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", customers)
    keys = [key for (key,) in db.execute("SELECT conversation_key FROM conversations ORDER BY 1")]
    # Nobody said who they were in the others.
    known = [(key, rng.randint(1, CUSTOMERS)) for key in keys if rng.random() < 0.9]
    db.executemany("INSERT INTO participants VALUES (?, ?)", known)


def agent(rng: random.Random, number: int, lob: float, group: int) -> tuple[object, ...]:
    """Return an agent; one has an e-mail address that is none, and the first few supervise the others."""
    name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    started = NOW - timedelta(days=rng.randint(400, 3_000))
    left = NOW - timedelta(days=rng.choice([5, 20, 200])) if rng.random() < 0.1 else None
    return (
        4_000 + number,
        name,
        "n/a" if number == AGENTS else f"agent.{number}@example.com",
        rng.choice(SITES),
        4_000.0 + rng.randint(1, SUPERVISORS) if number > SUPERVISORS else None,
        lob,
        group,
        rng.choice(LANGUAGES),
        rng.choice(["1", "3", "4", None]),
        rng.choice(TITLES),
        rng.choice(["early", "late", "night"]),
        rng.choice(["own staff", "Call & Co.", None]),
        f"{started:%Y-%m-%d %H:%M:%S}",
        f"{left:%Y-%m-%d %H:%M:%S}" if left else None,
    )


def customer(rng: random.Random, number: int) -> tuple[object, ...]:
    """Return a customer; one in a thousand has an e-mail address that is none."""
    address = rng.choice([f"customer.{number}@example.com", "", None])
    return (
        number,
        rng.choice(STATUSES),
        rng.choice(PHONES).format(rng.randint(0, 99)) if rng.random() < 0.7 else None,
        "asked, not given" if number % 1_000 == 0 else address,
        rng.choice([f"user_{number}", None]),
        *rng.choice(PLACES),
    )
