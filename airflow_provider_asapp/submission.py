"""Brings a source to ASAPP: batches, a bounded window of them in flight, one outcome for each record, the report.

One thread reads, validates and accounts; the others do nothing but wait for ASAPP.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any

from airflow_provider_asapp.accounting import Ledger, counts_of, plan, summary
from airflow_provider_asapp.checkpoint import Checkpoint, State, Store
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import AsappError, AsappTooManyRejected
from airflow_provider_asapp.isolation import Bounds, Delivery, Isolation
from airflow_provider_asapp.outcomes import Outcomes
from airflow_provider_asapp.pages import Source
from airflow_provider_asapp.policy import Options, limit_exceeded
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.resume import Resume
from airflow_provider_asapp.validation import Validator
from airflow_provider_asapp.window import Batch, Hopeless, Window

log = logging.getLogger(__name__)

# How soon a stop is noticed while all requests are under way, and how long those then get, in real seconds.
STOP_POLL = 0.5
STOP_GRACE = 2.0
# Real seconds in which a thread can write a batch to its connection.
HEAD_START = 0.002
# A checkpoint is written at most once a second, in which a client sends 100 requests: so many batches may have been
# sent that the checkpoint does not know of.
SENT_UNSEEN = 100


def submit(
    source: Source,
    *,
    client: AsappClient,
    validator: Validator,
    options: Options,
    rejects: RejectsFolder | None = None,
    store: Store | None = None,
    expected: int | None = None,
) -> dict[str, Any]:
    """Deliver every valid record of a source and return the report, in which every record is accounted for.

    :param source: opens the source from its start and yields its pages.
    :param client: the way to ASAPP; stopped by whoever must end the submission.
    :param validator: the entity's rules.
    :param options: sizes and limits.
    :param rejects: where rejected records go.
    :param store: keeps the checkpoint, so that a later try of the same run goes on instead of starting over.
    :param expected: records of the source, where that is known.
    :return: ``entity``, ``read``, ``accepted``, ``already_persisted``, ``invalid``, ``refused``, ``requests``, and
        ``rejects``: the folder of the rejected records, None if there are none or no folder was given. The numbers
        are those of all tries together.
    :raises AsappSourceError: a column is no field; nothing was sent. Or the source has no order.
    :raises AsappTooManyRejected: a limit is exceeded; the valid records were delivered. Or nothing at all is taken.
    :raises AsappAccessError: ASAPP does not let us in.
    :raises AsappUnavailableError: ASAPP gave no usable answer for too long.
    :raises AsappQuotaExhausted: the day's requests are used up.
    :raises AsappStopped: the client was stopped.
    """
    log.info("%s", plan(options, expected))
    return Submission(
        client=client, validator=validator, options=options, rejects=rejects, checkpoint=Checkpoint(store, client.clock)
    ).run(source)


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Keep what is loaded already out of the search for garbage: Airflow's modules took a third of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Submission:
    """One pass of :func:`submit` over a source."""

    def __init__(
        self,
        *,
        client: AsappClient,
        validator: Validator,
        options: Options,
        rejects: RejectsFolder | None,
        checkpoint: Checkpoint,
    ) -> None:
        self._client = client
        self._validator = validator
        self._options = options
        self._rejects = rejects
        self._checkpoint = checkpoint
        self._bounds = Bounds(options.max_isolation_requests)
        self._ledger = Ledger(validator.entity.name, rejects, client.clock)
        self._in_flight: dict[Future[Delivery], Batch] = {}
        self._noted = False
        self._requests_before = client.requests

    def run(self, source: Source) -> dict[str, Any]:
        """Deliver the source and return the report."""
        with closing(Resume(self._checkpoint, self._validator, self._client)) as resume, frozen_heap():
            self._start(resume, source)
            try:
                with ThreadPoolExecutor(self._options.max_in_flight) as pool:
                    self._deliver_or_drain(pool)
            except Hopeless as hopeless:
                raise self._hopeless(str(hopeless)) from None
            except BaseException:
                self._keep()
                raise
        return self._end()

    def _keep(self) -> None:
        """Leave to the next try what was achieved, also where the rejects can't be written."""
        try:
            self._ledger.confirm()
        finally:
            self._checkpoint.save(self._state(ended=True))
            if self._window.read:
                log.warning("Not finished. %s", counts_of(self._report()))

    def _start(self, resume: Resume, source: Source) -> None:
        """Open the source behind what an earlier try confirmed."""
        self._resumed = state = resume.open(source)
        if self._rejects:
            self._rejects.clear(after=state.position)
        self._ledger.resume(state.position, state.digest, state.counts)
        self._window = Window(
            resume.records,
            ledger=self._ledger,
            options=self._options,
            now=self._client.clock.monotonic,
            digest=resume.digest,
            breathe=self._breathe,
            sent_before=state.sent + (0 if state.ended or not state.sent else SENT_UNSEEN * self._options.batch_size),
        )
        taken = state.counts.read > state.counts.rejected
        self._outcomes = Outcomes(self._window, self._client.domain, taken=taken)

    def _deliver_or_drain(self, pool: ThreadPoolExecutor) -> None:
        try:
            self._deliver(pool)
        except BaseException as error:
            # What is under way may still be accepted, and its outcome belongs into the account. But somebody who stops
            # the task (Airflow's execution_timeout is no Exception) can't wait for it.
            if not isinstance(error, Exception):
                self._client.stop()
            self._drain()
            raise

    def _deliver(self, pool: ThreadPoolExecutor) -> None:
        while True:
            batch = self._window.next_batch(self._in_flight.values()) if self._may_send() else None
            if batch:
                self._note_first_batch()
                self._in_flight[pool.submit(self._send, batch)] = batch
            elif self._in_flight:
                if self._outcomes.taken:
                    # The threads that have just got a batch need the interpreter for a moment, and while the next one
                    # is composed they would wait several times as long for it.
                    wait(self._in_flight, timeout=HEAD_START, return_when=FIRST_COMPLETED)
                    self._window.prepare()
                self._collect(self._next_answers())
            elif self._window.finished:
                return
            else:
                self._client.wait(self._window.due_in)

    def _note_first_batch(self) -> None:
        """Write down that something is being sent: killed before anything is confirmed, the next try must know."""
        if not self._noted:
            self._noted = True
            self._checkpoint.save(self._state())

    def _breathe(self) -> None:
        """Between stretches of a long read: notice a stop, and keep the checkpoint young.

        :raises AsappStopped: the client was stopped.
        """
        self._client.wait(0)
        if self._checkpoint.due():
            self._checkpoint.save(self._state())

    def _may_send(self) -> bool:
        if self._outcomes.taken:
            return len(self._in_flight) < self._options.max_in_flight
        # One batch at a time until ASAPP takes an item: the first shows whether the mapping is right.
        return not self._in_flight and self._window.due_in <= 0

    def _send(self, batch: Batch) -> Delivery:
        """Send a batch. Runs in a thread of the pool, and so touches nothing that others do."""
        items = [entry.item for entry in batch.entries]
        return Isolation(self._client, self._validator.entity, items, self._bounds).run()

    def _next_answers(self) -> set[Future[Delivery]]:
        """Wait for an answer or more.

        :raises AsappStopped: the client was stopped meanwhile.
        """
        while True:
            done, _ = wait(self._in_flight, timeout=STOP_POLL, return_when=FIRST_COMPLETED)
            if done:
                return done
            self._client.wait(0)

    def _collect(self, done: Iterable[Future[Delivery]]) -> None:
        """Account for answered batches.

        :raises AsappError: what ended one of them.
        :raises Hopeless: ASAPP takes nothing of what it is sent.
        """
        failures: list[Exception] = []
        for future in done:
            failures += self._outcomes.account(self._in_flight.pop(future), future.result())
        self._ledger.confirm()
        if self._checkpoint.due():
            self._checkpoint.save(self._state())
        if failures:
            raise failures[0]

    def _drain(self) -> None:
        """Wait for the requests under way and account for them; if the client is stopped, only for a short time."""
        grace = STOP_GRACE
        late = set(self._in_flight)
        while late:
            _, late = wait(late, timeout=STOP_POLL)
            grace -= STOP_POLL if self._client.stopping else 0
            if grace <= 0:
                self._client.abort()
        for future in list(self._in_flight):
            try:
                self._collect([future])
            except (AsappError, Hopeless) as error:
                log.info("A request that was under way ended with %s.", type(error).__name__)

    def _hopeless(self, what: str) -> AsappTooManyRejected:
        self._ledger.confirm()
        self._ledger.say_end()
        self._checkpoint.delete()
        return AsappTooManyRejected(
            f"{what}: this is a wrong mapping rather than bad rows, so the rest was not tried.", report=self._report()
        )

    def _end(self) -> dict[str, Any]:
        self._ledger.confirm()
        self._ledger.say_end()
        report, counts = self._report(), self._ledger.confirmed
        if counts.read != self._window.read:
            raise AsappError(
                f"{self._window.read} records were read, but {counts.read} have an outcome: please report this."
            )
        # Also where the policy fails the task: what is accounted for must be sent again if somebody clears it.
        self._checkpoint.delete()
        log.info("%s", summary(report))
        exceeded = limit_exceeded(
            read=counts.read,
            rejected=counts.rejected,
            max_rejected=self._options.max_rejected,
            max_rejected_ratio=self._options.max_rejected_ratio,
        )
        if exceeded:
            where = f" The rejected ones are in {report['rejects']}." if report["rejects"] else ""
            raise AsappTooManyRejected(f"{exceeded}. All valid records were delivered.{where}", report=report)
        return report

    def _requests(self) -> int:
        return self._resumed.requests + self._client.requests - self._requests_before

    def _state(self, *, ended: bool = False) -> State:
        return State(
            fingerprint=self._resumed.fingerprint,
            position=self._ledger.position,
            digest=self._ledger.digest,
            sent=max(self._window.sent, self._resumed.sent),
            counts=self._ledger.confirmed,
            requests=self._requests(),
            disagreed=self._resumed.disagreed,
            ended=ended,
        )

    def _report(self) -> dict[str, Any]:
        counts = self._ledger.confirmed
        return {
            "entity": self._validator.entity.name,
            "read": counts.read,
            "accepted": counts.accepted,
            "already_persisted": counts.already_persisted,
            "invalid": counts.invalid,
            "refused": counts.refused,
            "requests": self._requests(),
            "rejects": str(self._rejects.folder) if self._rejects and counts.rejected else None,
        }
