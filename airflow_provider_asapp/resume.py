"""Opens a source behind what an earlier try confirmed, once it is proved that the source still begins the same."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from importlib.metadata import version
from itertools import chain, islice

from airflow_provider_asapp.checkpoint import Checkpoint, Digest, State, fingerprint
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import AsappSourceError
from airflow_provider_asapp.pages import UNREADABLE, Source
from airflow_provider_asapp.rejects import Rejection
from airflow_provider_asapp.validation import Item, Validator

log = logging.getLogger(__name__)

# Records that are verified between two looks at whether the client was stopped.
PART = 1000


class Resume:
    """The checked records of a source, from the first that has no outcome yet.

    :param checkpoint: knows what an earlier try confirmed.
    :param validator: what the records become.
    :param client: whose stop ends the verification too.
    """

    records: Iterator[Item | Rejection]

    def __init__(self, checkpoint: Checkpoint, validator: Validator, client: AsappClient) -> None:
        self._checkpoint = checkpoint
        self._validator = validator
        self._client = client
        self._open: Generator[list[Item | Rejection], None, None] | None = None
        self.digest = Digest()

    def close(self) -> None:
        """Close the source."""
        if self._open:
            self._open.close()

    def open(self, source: Source) -> State:
        """Open the source; return the state to go on from, ``records`` being what comes after it.

        :raises AsappSourceError: it begins in another way for the second time.
        """
        state = self._checkpoint.load(self._fingerprint())
        self._from_start(source)
        if state.position and not self._agrees(state):
            state = self._start_over(state)
            self._from_start(source)
        elif state.position:
            log.info("Resumed: the first %d records were confirmed by an earlier try.", state.position)
        return state

    def _fingerprint(self) -> str:
        validator = self._validator
        return fingerprint(
            domain=self._client.domain,
            api_id=self._client.api_id,
            entity=validator.entity.name,
            field_map=validator.field_map,
            unknown=validator.unknown,
            version=version("airflow-provider-asapp"),
        )

    def _from_start(self, source: Source) -> None:
        self.close()
        self.digest = Digest()
        self._open = checked(source, self._validator)
        self.records = chain.from_iterable(self._open)

    def _agrees(self, state: State) -> bool:
        """Read the confirmed prefix and tell whether it is still what it was; nothing is sent meanwhile."""
        log.info("Verifying the %d records that an earlier try confirmed; nothing is sent meanwhile.", state.position)
        left = state.position
        while left and (part := list(islice(self.records, min(left, PART)))):
            self.digest.add(part)
            left -= len(part)
            self._client.wait(0)
        return not left and self.digest.text() == state.digest

    def _start_over(self, state: State) -> State:
        if state.disagreed:
            self._checkpoint.delete()
            raise AsappSourceError(
                "The source comes in another order each time, so a retry can't know what was sent. "
                "Give a query an ORDER BY over columns that make each row's place certain; leave files as they are "
                "until they are delivered."
            )
        log.warning("The source no longer begins as it did in an earlier try: sending it from the start, once.")
        again = State(fingerprint=state.fingerprint, requests=state.requests, disagreed=True)
        self._checkpoint.save(again)
        return again


def checked(source: Source, validator: Validator) -> Generator[list[Item | Rejection], None, None]:
    """Yield what the records of each page of a source become.

    :raises AsappSourceError: the first record that can be read, or the query, has a column that is no field.
    """
    first, mapped = 1, False
    with closing(source()) as pages:
        for page in pages:
            if not mapped and page.columns is not UNREADABLE:
                validator.check_columns(page.columns)
                mapped = bool(page.rows)
            yield validator.check(page, first)
            first += len(page.rows)
