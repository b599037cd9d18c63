"""A whole submission against the simulator, as often as a test likes, and what proves that nothing was lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.simulator import Simulator
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.validation import Validator
from tests.clocks import FakeClock

BAD_CAMPAIGN = "New York"
OUTCOMES = ("accepted", "already_persisted", "invalid", "refused")


class MemoryStore(dict[str, Any]):
    """A task state store that lasts for a test."""

    def set(self, key: str, value: Any) -> None:
        """Keep what JSON can hold."""
        self[key] = json.loads(json.dumps(value, allow_nan=False))

    def delete(self, key: str) -> None:
        """Forget."""
        self.pop(key, None)

    @property
    def position(self) -> int:
        """How far the checkpoint says that all is confirmed."""
        position: int = self.get("asapp_checkpoint", {"position": 0})["position"]
        return position


@dataclass
class Bench:
    """A simulator, a clock that both sides share, and what one task of one run keeps."""

    asapp: Simulator
    clock: FakeClock
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    requests_per_second: float = 100.0
    url: str = ""
    api_id: str = "demo-api-id"
    api_secret: str = "demo-api-secret"

    def client(self) -> AsappClient:
        return AsappClient(
            self.api_id,
            self.api_secret,
            base_url=self.url or self.asapp.url,
            clock=self.clock,
            requests_per_second=self.requests_per_second,
        )

    def submit(
        self,
        records: Any,
        *,
        entity: str = "conversation",
        scope: str = "run",
        field_map: dict[str, str] | None = None,
        unknown: Any = "raise",
        **options: Any,
    ) -> dict[str, Any]:
        source = records if callable(records) else lambda: pages_of(records)
        with self.client() as client:
            return submit(
                source,
                client=client,
                validator=Validator(entity, scope=scope, field_map=field_map, unknown=unknown),
                options=Options(**{"batch_size": 10, "max_rejected": None, **options}),
                rejects=RejectsFolder(self.folder),
                store=self.store,
            )

    def rejected(self) -> dict[int, dict[str, Any]]:
        """Return the rejects by position; a position twice is a failure."""
        return by_position(line for path in self.folder.glob("*") for line in path.read_text().splitlines())

    def arrivals(self) -> Counter[str]:
        """Return how often each conversation was accepted, by its key."""
        return Counter(item["externalConversationId"] for item in self.asapp.ledger.accepted("conversation"))

    def assert_accounted(self, report: dict[str, Any], records: list[dict[str, Any]]) -> None:
        """Hold report, rejects and the simulator's own ledger together, record by record."""
        assert_sum(report, len(records))
        rejects = self.rejected()
        assert Counter(line["stage"] for line in rejects.values()) == +Counter(
            {stage: report[stage] for stage in ("invalid", "refused")}
        )
        expected = {record["externalConversationId"] for at, record in enumerate(records, 1) if at not in rejects}
        assert set(self.arrivals()) == expected


def assert_sum(report: dict[str, Any], read: int) -> None:
    """Hold the sum: each record read has one outcome."""
    assert report["read"] == read == sum(report[name] for name in OUTCOMES)


def by_position(lines: Iterable[str]) -> dict[int, dict[str, Any]]:
    """Return rejects by position; a position twice is a failure."""
    rejects = [json.loads(line) for line in lines]
    found = {reject["position"]: reject for reject in rejects}
    assert len(found) == len(rejects), "a rejected record stands there twice"
    return found


def conversations(count: int, bad: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return records; those at the positions `bad` break a rule."""
    return [
        {"externalConversationId": f"c{at}", **({"campaign": BAD_CAMPAIGN} if at in bad else {})}
        for at in range(1, count + 1)
    ]
