"""What the tests of the documents share: where they are, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

import airflow_provider_asapp

REPOSITORY = Path(__file__).parents[1]
PACKAGE = Path(airflow_provider_asapp.__file__).parent
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
ARCHITECTURE = DOCS / "architecture.md"
BAD_RECORDS = DOCS / "bad-records.md"
CONNECTION = DOCS / "connection.md"
CONTRIBUTING = DOCS / "contributing.md"
GUARANTEES = DOCS / "guarantees.md"
OPERATORS_PAGE = DOCS / "operators.md"
SIMULATOR = DOCS / "simulator.md"
TROUBLESHOOTING = DOCS / "troubleshooting.md"
DOCUMENTS = [README, REPOSITORY / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(document: Path, kind: str) -> list[str]:
    """Return the code blocks of a kind, such as ``python``."""
    return [text for found, text in FENCE.findall(document.read_text()) if found == kind]


def marked(marker: str, document: Path = README) -> list[tuple[str, str]]:
    """Return name and code of a document's blocks that stand behind ``<!-- marker: name -->``."""
    return re.findall(rf"<!-- {marker}: (.+?) -->\n```\w+\n(.*?)```", document.read_text(), re.DOTALL)


def section(heading: str, document: Path) -> str:
    """Return what stands under a heading, up to the next one of the same level."""
    found = document.read_text().partition(f"\n{heading}\n")[2]
    assert found, f"{document.name} has no {heading}"
    return found.partition(f"\n{heading.split()[0]} ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def table_behind(heading: str, document: Path = README) -> list[list[str]]:
    """Return the rows of the first table that comes after a text."""
    lines = document.read_text().partition(heading)[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| "))
    last = next((number for number in range(first, len(lines)) if not lines[number].startswith("|")), len(lines))
    return rows("\n".join(lines[first:last]))


def plain(cell: str) -> str:
    """Return a cell without its code marks and its dagger."""
    return cell.replace("†", "").strip().strip("`")
