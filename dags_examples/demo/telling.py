"""What the demo tells a person, as lines of plain text, at most 110 columns wide."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WIDTH = 110
OUTCOMES = {
    "accepted": "new at ASAPP",
    "already_persisted": "ASAPP had them before",
    "invalid": "broke a rule of ASAPP's; not sent",
    "refused": "sent, but ASAPP said no",
}


def title(text: str) -> str:
    """Return a heading with air above it."""
    return f"\n{text}\n{'-' * len(text)}"


def of_log(line: str) -> str:
    """Return a line of a log, set in; a long one goes on below itself."""
    return textwrap.fill(
        line, WIDTH, initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False, break_long_words=False
    )


def of_report(report: Mapping[str, Any], day: object) -> Iterator[str]:
    """Explain each count, and show that they add up."""
    yield f"  {'read':18}{report['read']:>7,}   rows of {day} in the warehouse"
    for outcome, meaning in OUTCOMES.items():
        yield f"  {outcome.replace('_', ' '):18}{report[outcome]:>7,}   {meaning}"
    yield f"  {'requests':18}{report['requests']:>7,}   of at most 1,000 conversations each"
    terms = " + ".join(f"{report[outcome]:,}" for outcome in OUTCOMES)
    yield f"\n  {terms} = {sum(report[outcome] for outcome in OUTCOMES):,}"


def of_rejects(rejects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Name each rejected row and all that is wrong with it, in the order of the source."""
    yield f"  {'row':>5}  {'conversation':14}{'field':24}rule"
    for reject in rejects:
        place = f"  {reject['position']:>5}  {reject['key'] or '-':14}"
        for field, rules in reject["errors"].items():
            yield cell(f"{place}{field:24}", "; ".join(rules))
            place = " " * len(place)


def of_conversation(conversation: Mapping[str, Any]) -> Iterator[str]:
    """Show one record as ASAPP holds it."""
    for field, value in conversation.items():
        yield cell(f"  {field:24}", json.dumps(value, ensure_ascii=False))


def disagreements(report: Mapping[str, Any], *, ended: int, held: int, kept: int) -> list[str]:
    """Say in one sentence each what does not fit together: nothing where all is well.

    :param ended: conversations of that day in the warehouse.
    :param held: conversations that the simulator says it holds.
    :param kept: rejected rows that were found in the rejects.
    """
    read, accepted = report["read"], report["accepted"]
    outcomes = sum(report[outcome] for outcome in OUTCOMES)
    rejected = report["invalid"] + report["refused"]
    pairs = [
        (ended, read, f"{ended:,} conversations of that day are in the warehouse, but the task read {read:,}."),
        (read, outcomes, f"The task read {read:,} rows, but its outcomes add up to {outcomes:,}."),
        (held, accepted, f"The simulator holds {held:,} conversations, but the report says {accepted:,} accepted."),
        (kept, rejected, f"{kept:,} rejected rows were kept, but the report counts {rejected:,}."),
    ]
    return [sentence for one, other, sentence in pairs if one != other]


def cell(before: str, text: str) -> str:
    """Return `text` after `before`; where it is too long for the line, it goes on below itself."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=before,
        subsequent_indent=" " * len(before),
        break_on_hyphens=False,
    )
