"""The page: what arrived and what is held, for a person. No scripts and nothing from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

from .contract import CONTRACT, ENTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .contract import Entity
    from .ledger import Ledger, ReceivedRequest

_REQUESTS_SHOWN: Final = 12
_RECORDS_SHOWN: Final = 10

_STYLE: Final = """
:root { --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --paper: #fff; --good: #067647; --bad: #b42318; }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem; background: #f5f6f8; color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 2rem 0 .6rem; font-size: 1.05rem; }
h2 small, .soft { color: var(--soft); font-weight: normal; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin-top: 1.2rem; }
.card, .table { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; }
.card { padding: .8rem 1rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card.bad b, span.bad { color: var(--bad); }
.card.good b { color: var(--good); }
.notice { margin-top: .8rem; padding: .6rem 1rem; background: #fffaeb; border: 1px solid #fedf89; border-radius: 8px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; white-space: nowrap; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: left; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .85rem; }
td.number, th.number { text-align: right; }
td div { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; }
code { font-size: .92em; }
"""


def render(ledger: Ledger, *, faults: int) -> str:
    """Give the page as HTML; every text that came from outside is escaped.

    :param faults: how many are in force.
    """
    counts = ledger.counts()
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="5">',
            # The empty icon keeps browsers from asking for one.
            '<title>ASAPP simulator</title><link rel="icon" href="data:,">',
            f"<style>{_STYLE}</style></head><body><main><h1>ASAPP simulator</h1>",
            '<div class="soft">What Metadata Ingestion received here. Also as JSON: ',
            '<a href="/simulator/received">/simulator/received</a></div>',
            _cards(counts),
            _notices(counts["unknown_keys_dropped"], faults),
            _requests(ledger.requests[-_REQUESTS_SHOWN:], counts["requests"]),
            *(_records(ledger, entity, counts["entities"][entity]["held"]) for entity in ENTITIES),
            "</main></body></html>",
        ]
    )


def _cards(counts: dict[str, Any]) -> str:
    cards = [
        ("requests", counts["requests"], ""),
        ("items received", counts["items"], ""),
        ("accepted", counts["accepted"], "good"),
        ("refused", counts["refused"], "bad"),
        ("event ids repeated", counts["repeated_event_ids"], ""),
    ]
    shown = (f'<div class="card {kind if value else ""}"><b>{value:,}</b>{label}</div>' for label, value, kind in cards)
    return f'<div class="cards">{"".join(shown)}</div>'


def _notices(unknown: dict[str, int], faults: int) -> str:
    notices = []
    if unknown:
        names = ", ".join(f"<code>{escape(name)}</code> ({count:,})" for name, count in unknown.items())
        notices.append(f"Unknown keys dropped: {names}. ASAPP would drop them in silence.")
    if faults:
        notices.append(f"Told to misbehave: {faults} fault{'s' if faults > 1 else ''} in force.")
    return "".join(f'<div class="notice">{notice}</div>' for notice in notices)


def _requests(requests: Sequence[ReceivedRequest], total: int) -> str:
    columns = ["#", "time (UTC)", "request", "status", "items", "accepted", "refused", "ms"]
    rows = [_request(request) for request in reversed(requests)]
    title = f"Requests <small>the latest of {total:,}</small>" if rows else "Requests <small>none yet</small>"
    return f"<h2>{title}</h2>" + _table(columns, rows, numbers={"#", "items", "accepted", "refused", "ms"})


def _request(request: ReceivedRequest) -> list[str]:
    return [
        str(request.number or ""),
        datetime.fromtimestamp(request.time, UTC).strftime("%H:%M:%S.%f")[:-3],
        f"{escape(request.method)} {escape(request.path)}",
        _red(request.status or "no answer", when=request.status is None or request.status >= 400),
        f"{request.items:,}",
        f"{request.accepted:,}",
        _red(f"{request.refused:,}", when=request.refused > 0),
        f"{request.milliseconds:,.0f}",
    ]


def _red(text: object, *, when: bool) -> str:
    return f'<span class="bad">{text}</span>' if when else str(text)


def _records(ledger: Ledger, entity: Entity, held: int) -> str:
    if not held:
        return f"<h2>{entity.capitalize()}s <small>none held</small></h2>"
    latest = ledger.sample(entity, limit=_RECORDS_SHOWN, offset=max(0, held - _RECORDS_SHOWN))
    used = {name for _, item in latest for name, value in item.items() if value is not None}
    columns = [name for name in CONTRACT["$defs"][entity]["properties"] if name in used]
    rows = [[str(request), *(_value(item.get(name)) for name in columns)] for request, item in reversed(latest)]
    link = f'<a href="/simulator/received/{entity}">as JSON</a>'
    title = f"<h2>{entity.capitalize()}s <small>{len(rows)} of {held:,} held, {link}</small></h2>"
    return title + _table(["#", *columns], rows, numbers={"#"})


def _value(value: Any) -> str:
    match value:
        case None:
            text = ""
        case [{}, *_]:
            text = ", ".join(f"{pair.get('name')}: {pair.get('value')}" for pair in value)
        case list():
            text = ", ".join(map(str, value))
        case _:
            text = str(value)
    return f'<div title="{escape(text)}">{escape(text)}</div>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: set[str]) -> str:
    """Lay out cells that are HTML already."""
    if not rows:
        return ""
    classes = ['class="number"' if name in numbers else "" for name in columns]
    head = "".join(f"<th {kind}>{name}</th>" for name, kind in zip(columns, classes, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td {kind}>{cell}</td>' for cell, kind in zip(row, classes, strict=True))}</tr>"
        for row in rows
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
