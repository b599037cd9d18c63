"""The simulator's own paths: what it received, as a page and as JSON, and the switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from . import answers
from .answers import Answer, RefusedError
from .contract import ENTITIES
from .faults import Fault
from .page import render
from .service import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from .contract import Entity
    from .faults import FaultPlan
    from .ledger import Ledger
    from .service import Call

ROOT: Final = "/simulator/"
_RECEIVED: Final = "/simulator/received"
_MOST_ITEMS: Final = 1000


class Desk:
    """Answers without asking for keys: who can reach the simulator may see what it holds.

    :param reset: makes the simulator forget everything.
    """

    def __init__(self, *, ledger: Ledger, faults: FaultPlan, reset: Callable[[], None]) -> None:
        self._ledger = ledger
        self._faults = faults
        self._reset = reset

    def answer(self, call: Call) -> Answer:
        """Answer a request for the page, for what is held, or for one of the switches."""
        try:
            return self._answer(call)
        except RefusedError as refused:
            return answers.envelope(refused)

    def _answer(self, call: Call) -> Answer:
        match call.method, call.path:
            case "GET", "/":
                return answers.html_answer(render(self._ledger, faults=len(self._faults)))
            case "GET", "/simulator/received":
                return answers.json_answer(200, self._ledger.counts())
            case "POST", "/simulator/reset":
                self._reset()
                return answers.json_answer(200, {"reset": True})
            case "POST", "/simulator/faults":
                return self._change_faults(call)
        for entity in ENTITIES:
            if (call.method, call.path) == ("GET", f"{_RECEIVED}/{entity}"):
                return self._held(entity, call.query)
        raise RefusedError(404)

    def _held(self, entity: Entity, query: str) -> Answer:
        given = parse_qs(query)
        limit = min(_number(given, "limit", 100), _MOST_ITEMS)
        offset = _number(given, "offset", 0)
        items = [item for _, item in self._ledger.sample(entity, limit=limit, offset=offset)]
        held = self._ledger.counts()["entities"][entity]["held"]
        return answers.json_answer(200, {"held": held, "offset": offset, "items": items})

    def _change_faults(self, call: Call) -> Answer:
        wanted = read_json(call)
        if not isinstance(wanted, dict) or not wanted.keys() <= {"clear", "add"}:
            raise RefusedError(400, "03", 'The body must be {"clear": true or false, "add": [faults]}.')
        added = wanted.get("add", [])
        if not isinstance(added, list):
            raise RefusedError(400, "03", "add must be a list of faults.")
        try:
            faults = [Fault.from_json(fault) for fault in added]
        except ValueError as error:
            raise RefusedError(400, "04", str(error)) from error
        if wanted.get("clear"):
            self._faults.clear()
        self._faults.add(*faults)
        return answers.json_answer(200, {"faults": len(self._faults)})


def _number(given: dict[str, list[str]], name: str, default: int) -> int:
    text = given.get(name, [str(default)])[-1]
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RefusedError(400, "05", f"{name} must be a number, 0 or more.")
    return int(text)
