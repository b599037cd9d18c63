"""What the simulator received and what it holds: the proof of what a DAG delivered."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .contract import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .contract import Entity, Item, Key


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedRequest:
    """One request as it arrived, and how it was answered.

    :param number: counts POST requests from 1; 0 for any other method.
    :param method: such as POST.
    :param path: without its query.
    :param headers: names in small letters; those that carry secrets are left out.
    :param status: as answered; None where the connection was closed without an answer.
    :param event_ids: for each item, the valid event id that it brought, or None.
    :param keys: for each item, its record's key, or None where it has none.
    :param items: how many items it held; 0 for a body that was refused unread.
    :param accepted: how many of them are accepted, whatever the answer said.
    :param refused: how many have an error of their own.
    :param bytes: length of the body.
    :param time: of arrival, in seconds since the epoch, by the simulator's clock.
    :param milliseconds: that it took to answer, delays included.
    """

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    status: int | None
    event_ids: tuple[str | None, ...]
    keys: tuple[Key | None, ...]
    items: int
    accepted: int
    refused: int
    bytes: int
    time: float
    milliseconds: float


class Accepted(NamedTuple):
    """An accepted item with what is asked about it later."""

    key: Key
    event_id: str | None
    item: Item


class _Arrival(NamedTuple):
    request: int
    # As JSON text: a fifth of the memory of a dict, and no caller can alter it.
    text: str


class Ledger:
    """Keeps every accepted item in order of arrival, and the latest of each key. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, and count requests from 1 again."""
        with self._lock:
            self._numbers = itertools.count(1)
            self._requests: list[ReceivedRequest] = []
            self._arrivals: dict[Entity, list[_Arrival]] = {entity: [] for entity in ENTITIES}
            self._held: dict[Entity, dict[Key, _Arrival]] = {entity: {} for entity in ENTITIES}
            self._event_ids: set[tuple[Entity, str]] = set()
            self._unknown: Counter[str] = Counter()
            self._repeated = 0

    def next_number(self) -> int:
        """Give the number of the POST request that has just arrived."""
        with self._lock:
            return next(self._numbers)

    def record(
        self,
        request: ReceivedRequest,
        *,
        entity: Entity | None = None,
        accepted: Sequence[Accepted] = (),
        unknown: Iterable[str] = (),
    ) -> None:
        """Enter a request with its accepted items, in one step.

        :param entity: of the items; None for a request without any.
        :param accepted: the items that are kept, without their unknown keys.
        :param unknown: the names of these keys, each as often as it was dropped.
        """
        with self._lock:
            self._requests.append(request)
            self._unknown.update(unknown)
            if entity is not None:
                for item in accepted:
                    self._keep(request.number, entity, item)

    def _keep(self, request: int, entity: Entity, accepted: Accepted) -> None:
        arrival = _Arrival(request, json.dumps(accepted.item, separators=(",", ":")))
        self._arrivals[entity].append(arrival)
        self._held[entity][accepted.key] = arrival
        if accepted.event_id is not None:
            event = (entity, accepted.event_id)
            self._repeated += event in self._event_ids
            self._event_ids.add(event)

    @property
    def requests(self) -> list[ReceivedRequest]:
        """All requests but those to the simulator's own pages, in the order in which they were answered."""
        with self._lock:
            return list(self._requests)

    def accepted(self, entity: Entity, *, request: int | None = None) -> list[Item]:
        """Give every accepted item in order of arrival; each call makes new dicts.

        :param entity: "conversation", "agent" or "customer".
        :param request: only the items of the request with this number.
        """
        with self._lock:
            arrivals = list(self._arrivals[entity])
        return [json.loads(text) for number, text in arrivals if request in (None, number)]

    def held(self, entity: Entity) -> dict[Key, Item]:
        """Give the latest accepted item of each key.

        :return: by conversation id, by agent id, or by the pair of conversation and customer id.
        """
        with self._lock:
            held = dict(self._held[entity])
        return {key: json.loads(arrival.text) for key, arrival in held.items()}

    def sample(self, entity: Entity, *, limit: int, offset: int = 0) -> list[tuple[int, Item]]:
        """Give some of what is held, each with the number of the request that brought it."""
        with self._lock:
            some = list(itertools.islice(self._held[entity].values(), offset, offset + limit))
        return [(request, json.loads(text)) for request, text in some]

    def counts(self) -> dict[str, Any]:
        """Count what came in, as the page and `GET /simulator/received` show it.

        :return: `requests` (POST), `items`, `accepted`, `refused`; `repeated_event_ids`: accepted items whose event id
            had been accepted before; `unknown_keys_dropped`: how often, by name; `entities`: for each
            entity, how many items are `accepted` and how many records `held`. Items of a request that failed as
            a whole are neither accepted nor refused.
        """
        with self._lock:
            return {
                "requests": sum(request.method == "POST" for request in self._requests),
                "items": sum(request.items for request in self._requests),
                "accepted": sum(request.accepted for request in self._requests),
                "refused": sum(request.refused for request in self._requests),
                "repeated_event_ids": self._repeated,
                "unknown_keys_dropped": dict(self._unknown),
                "entities": {
                    entity: {"accepted": len(self._arrivals[entity]), "held": len(self._held[entity])}
                    for entity in ENTITIES
                },
            }
