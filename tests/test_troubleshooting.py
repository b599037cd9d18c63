"""`docs/troubleshooting.md` and the code tell the same messages, neither more than the other.

A message of the code is any text in it that reads as a sentence, wherever it stands, so that no way of building errors
can hide one. What differs from time to time is written `...` on the page, and here.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import PACKAGE, TROUBLESHOOTING, section

# Two words, or a word and what differs.
SENTENCE = re.compile(r"[A-Za-z]+,? ([a-z]+|\.\.\.)")
# What differs in a text of `str.format` or of a log line; in an f-string it has a node of its own.
DIFFERS = re.compile(r"\{\w+\}|%[.\d]*[a-z]")
# Calls whose texts are no messages: what goes to the log when all is well, and what can't happen.
SILENT = {"info", "debug", "AssertionError"}
# Texts that are no messages by themselves.
PARTS = {
    "no run": "in the scope of event ids",
    "syntax error pytz": "words that a database's error may show",
    "other fields": "in the log's counts",
    "other rules": "in the log's counts",
    "... without a valid key": "in the log, of a rejected record",
    "<...records, not shown>": "in the UI's rendered fields",
    "the same host": "in the message on a redirect",
    "an invalid address": "in the message on a redirect",
    "ASAPP's sandbox": "in the words on where records go",
    "ASAPP's production": "in the words on where records go",
    "neither ASAPP's sandbox nor its production": "in the words on where records go",
    "Records: .... Requests: ... of up to ... items, if all are valid.": "in the log, if all is well",
    "Number of records not known before: one request for each ... valid ones.": "in the log, if all is well",
    "The source holds no ...: nothing to send.": "in the log, if all is well",
    "Records accounted for: ... (... accepted, ... already persisted,": "in the log, if all is well",
    "... invalid, ... refused). Requests: ....": "how that goes on",
    "attribute ...": "which half of a pair is meant",
    "number ...": "which column is meant, if its name may be data",
    "a request takes 1 to ... items, not ...": "a mistake of ours; no user can cause it",
}
# The section that holds the words of others.
FOREIGN = "## Airflow's own words"


def said(path: Path) -> Iterator[ast.AST]:
    """Yield the parts of a module that may hold messages; of the simulator, which is a page too, what is raised."""
    tree = ast.parse(path.read_text())
    if "simulator" not in path.parts:
        yield tree
    for node in ast.walk(tree) if "simulator" in path.parts else ():
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "stderr.write" in ast.unparse(node.func)):
            yield node


def texts(node: ast.AST) -> Iterator[str]:
    """Yield all texts in a node, but for docstrings and silent calls; those inside of an f-string too."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in SILENT:
        return
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield DIFFERS.sub("...", node.value).strip()
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values).strip()
        children = [part for part in children if not isinstance(part, ast.Constant)]
    for child in children:
        yield from texts(child)


def messages() -> dict[str, str]:
    """Return the messages of the package, each with a module that says it."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "provider_info.py"]  # the form's words
    found = {text: path.name for path in paths for part in said(path) for text in texts(part)}
    return {text: name for text, name in found.items() if SENTENCE.search(text)}


def quotes() -> list[str]:
    """Return the messages that the page explains: what stands in code marks in the first cells of its tables."""
    page = TROUBLESHOOTING.read_text()
    foreign = section(FOREIGN, TROUBLESHOOTING)
    lines = [line for line in page.replace(foreign, "").splitlines() if line.startswith("| `")]
    return [quote for line in lines for quote in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def is_of(quote: str, message: str) -> bool:
    """Tell whether a quote is of that message: `...` in it stands for anything, all else must be the same."""
    return re.fullmatch(".*".join(map(re.escape, quote.split("..."))), message) is not None


MESSAGES, QUOTES = messages(), quotes()


def test_the_code_is_understood() -> None:
    """Messages are found wherever they are built: raised, returned, chosen, put together, of a field."""
    assert len(MESSAGES) > 150
    for text in (
        "The connection ... is of type ...: it must be of type asapp.",  # an f-string that is raised
        "sql must be a query: this statement gives no result.",  # a constant
        "... of ... records were rejected, and max_rejected is ...",  # returned, and raised elsewhere
        "these keys may not do this. Has ASAPP enabled Metadata Ingestion for the account?",  # from a dict
        "...; did you mean ...?",  # inside of another text
        "at most ... characters",  # of a field
        "HTTP ...",
    ):
        assert text in MESSAGES


def test_what_is_left_out_is_there() -> None:
    """Each text that counts as no message is still in the code."""
    assert set(PARTS) <= set(MESSAGES)


@pytest.mark.parametrize("message", sorted(set(MESSAGES) - set(PARTS)))
def test_every_message_is_explained(message: str) -> None:
    """Each message of the code stands on the page, whole or with `...`."""
    assert any(is_of(quote, message) for quote in QUOTES), f"{MESSAGES[message]}: add it to docs/troubleshooting.md"


@pytest.mark.parametrize("quote", QUOTES)
def test_every_explained_message_exists(quote: str) -> None:
    """Each message of the page is one of the code; none is so short that it could stand for any."""
    assert any(is_of(quote, message) for message in MESSAGES)
    assert len(re.findall(r"[A-Za-z]", quote)) >= 4


def test_nothing_stands_there_twice() -> None:
    """A message has one explanation."""
    assert len(QUOTES) == len(set(QUOTES))


def test_airflows_words_are_airflows() -> None:
    """What the page quotes of Airflow is in the Airflow that is installed."""
    from airflow.cli.commands import connection_command
    from airflow.models import connection

    theirs = inspect.getsource(connection_command) + inspect.getsource(connection)
    for words in ("Testing connections is disabled in Airflow configuration.", "isn't defined"):
        assert words in theirs
        assert words in section(FOREIGN, TROUBLESHOOTING)
