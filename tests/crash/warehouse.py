"""The source: 50,000 conversations in SQLite, 25 of them bad, each in a way that is known."""

from __future__ import annotations

import random
import sqlite3
from bisect import bisect_right
from contextlib import closing
from pathlib import Path
from typing import Any

ROWS = 50_000
BAD = 25
GOOD = ROWS - BAD
# Which column is bad, what stands there instead, and the field that the reason must name.
FLAWS = (
    ("external_conversation_id", None, "externalConversationId"),
    ("external_conversation_id", "merged: 31/32", "externalConversationId"),
    ("campaign", "spring sale!", "campaign"),
    ("lob_id", "", "lobId"),
)
SCHEMA = (
    "CREATE TABLE conversations (position INTEGER PRIMARY KEY, external_conversation_id TEXT, campaign TEXT, lob_id)"
)


class Warehouse:
    """What stands in the source, so that what arrives can be held against it.

    :param seed: decides which rows are bad.
    """

    def __init__(self, seed: int) -> None:
        places = sorted(random.Random(seed).sample(range(1, ROWS + 1), BAD))
        self._flaws = {place: FLAWS[number % len(FLAWS)] for number, place in enumerate(places)}
        self._good = [place for place in range(1, ROWS + 1) if place not in self._flaws]
        self.bad = {place: field for place, (_, _, field) in self._flaws.items()}
        self.ranks = {key_of(place): rank for rank, place in enumerate(self._good, 1)}

    def rank_at(self, position: int) -> int:
        """Return the rank of the last good row up to a position; 0 if there is none."""
        return bisect_right(self._good, position)

    def expected(self) -> dict[str, dict[str, str]]:
        """Return what ASAPP must hold in the end, by conversation; event ids left out."""
        rows = map(good_row, self._good)
        return {
            row["external_conversation_id"]: {
                "externalConversationId": row["external_conversation_id"],
                "campaign": row["campaign"],
                "lobId": str(row["lob_id"]),
            }
            for row in rows
        }

    def build(self, path: Path) -> None:
        """Write it to a file."""
        rows = {place: good_row(place) for place in range(1, ROWS + 1)}
        for place, (column, value, _) in self._flaws.items():
            rows[place][column] = value
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(SCHEMA)
            db.executemany(
                "INSERT INTO conversations VALUES (?, ?, ?, ?)",
                ((place, *row.values()) for place, row in rows.items()),
            )


def key_of(place: int) -> str:
    """Return the conversation id of a row."""
    return f"c-{place}"


def good_row(place: int) -> dict[str, Any]:
    """Return the row of that position as it is if nothing is wrong with it."""
    return {
        "external_conversation_id": key_of(place),
        "campaign": f"campaign-{place % 1000}",
        "lob_id": 1000 + place % 7,
    }
