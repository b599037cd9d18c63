"""How far a submission is confirmed, and the proof that the source still begins the same.

The proof is a running digest of what every record became; a resume reads the source again and sends nothing until
the digests agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from airflow_provider_asapp.accounting import Counts
from airflow_provider_asapp.pacing import Clock
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.validation import Item

log = logging.getLogger(__name__)

KEY = "asapp_checkpoint"
# A write is a call to Airflow's API server, some 10 ms: once a second costs a hundredth.
EVERY = 1.0
AFTER_TROUBLE = 60.0


class Store(Protocol):
    """The part of Airflow's task state store that is used: JSON values under a key, for one task of one run."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102
    def set(self, key: str, value: Any) -> None: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102


class Digest:
    """The running digest of what the records of a source became."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()  # By the processor's own instructions: twice as fast as BLAKE2.

    def add(self, checked: Sequence[Item | Rejection]) -> None:
        """Add the next records: the content of a valid one, position and errors of an invalid one."""
        self._hash.update("".join([record.proof for record in checked]).encode())

    def text(self) -> str:
        """Return the digest so far."""
        return self._hash.hexdigest()


def fingerprint(**settings: Any) -> str:
    """Return what tells submissions apart: a checkpoint of another one is of no use."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A confirmed prefix of the source.

    :param fingerprint: of the submission.
    :param position: of its last record; 0 is nothing.
    :param digest: of its records.
    :param sent: position of the last record that had been sent when this was written.
    :param counts: of its outcomes, over all tries.
    :param requests: made so far, over all tries.
    :param disagreed: the source did not begin the same once already.
    :param ended: the try ended in order: nothing was sent after this was written.
    """

    fingerprint: str
    position: int = 0
    digest: str = ""
    sent: int = 0
    counts: Counts = field(default_factory=Counts)
    requests: int = 0
    disagreed: bool = False
    ended: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as a store takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> State | None:
        """Return the state that a store held, None if it is none of ours."""
        try:
            state = cls(**{**value, "counts": Counts(**value["counts"])})
        except (TypeError, KeyError):
            return None
        return state if state._is_sound() else None

    def _is_sound(self) -> bool:
        """Tell whether another version, or somebody else, wrote what only looks like ours."""
        counts = asdict(self.counts).values()
        return (
            all(type(number) is int and number >= 0 for number in (self.position, self.sent, self.requests, *counts))
            and all(type(text) is str for text in (self.fingerprint, self.digest))
            and type(self.disagreed) is type(self.ended) is bool
            and self.counts.read == self.position
        )


class Checkpoint:
    """Keeps the state in a store, at a bounded pace. Trouble with the store costs a resume, never a submission.

    :param store: None where this Airflow has none.
    """

    def __init__(self, store: Store | None, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._not_before = clock.monotonic()

    def load(self, fingerprint: str) -> State:
        """Return the state of an earlier try of the same submission, an empty one if there is none."""
        found = None
        if self._store is not None:
            try:
                found = State.from_json(self._store.get(KEY, None))
            except Exception as error:  # noqa: BLE001 - whatever a store raises, the submission goes on
                self._say(error)
        if found and found.fingerprint != fingerprint:
            log.info(
                "The checkpoint is of another submission (domain, keys, entity, mapping or version): starting over."
            )
            return State(fingerprint=fingerprint)
        return found or State(fingerprint=fingerprint)

    def due(self) -> bool:
        """Tell whether a write is due."""
        return self._store is not None and self._clock.monotonic() >= self._not_before

    def save(self, state: State) -> None:
        """Write the state."""
        if self._store is None:
            return
        self._not_before = self._clock.monotonic() + EVERY
        try:
            self._store.set(KEY, state.to_json())
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the submission goes on
            self._say(error)

    def delete(self) -> None:
        """Forget: the whole source is accounted for, and a cleared task must send again."""
        if self._store is None:
            return
        try:
            self._store.delete(KEY)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the submission goes on
            self._say(error)
            self._overwrite()

    def _overwrite(self) -> None:
        """Where deleting fails: a state that is none of ours means to start over too."""
        try:
            if self._store is not None:
                self._store.set(KEY, {})
        except Exception:  # noqa: BLE001 - whatever a store raises, the submission goes on
            log.warning("The checkpoint could not be deleted: if this task is cleared, it may send nothing.")

    def _say(self, error: Exception) -> None:
        self._not_before = self._clock.monotonic() + AFTER_TROUBLE
        log.warning(
            "Airflow's task state store gives trouble (%s): the submission goes on, but a retry may send more again.",
            type(error).__name__,
        )
