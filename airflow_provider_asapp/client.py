"""Talks HTTP to ASAPP: sends one batch, waits as ASAPP asks, and turns the answer into one verdict for each item.

Threads may share a client: the rate, the pauses and the count of requests are the client's as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from airflow_provider_asapp import answers
from airflow_provider_asapp.answers import ALREADY_PERSISTED, Sent, Verdict
from airflow_provider_asapp.errors import AsappAccessError, AsappConfigurationError, AsappUnavailableError
from airflow_provider_asapp.pacing import LONGEST_WAIT, Clock, Pacer
from airflow_provider_asapp.policy import MAX_ITEMS
from airflow_provider_asapp.schemas import Entity
from airflow_provider_asapp.transport import Answer, AsappAuth, Transport, Trouble, check_bundle, check_url

SANDBOX = "https://api.sandbox.asapp.com"
PRODUCTION = "https://api.asapp.com"
# ASAPP's "Rate limits and retry logic" page, for 5xx answers.
WAITS = (0.25, 0.5, 1.0)
REFUSED_AS_A_WHOLE = {413, 422}
NO_ANSWER_AT_A_GATEWAY = {502, 504}


class Sendable(Sent, Protocol):
    """What the client needs of an item: its wire JSON, its event id, and whether it may have been sent before."""

    @property
    def maybe_sent(self) -> bool: ...  # noqa: D102


class AsappClient:
    """A client of ASAPP's Metadata Ingestion API: six POST operations and the health check.

    :param api_id: the API Id, sent as ``asapp-api-id``.
    :param api_secret: the API Secret, sent as ``asapp-api-secret``.
    :param base_url: scheme and domain; HTTPS, or HTTP to this machine.
    :param timeout: seconds to wait for each read of an answer; a connection gets at most 10 of them.
    :param requests_per_second: of this client, over all its threads. ASAPP takes 100 for the whole account.
    :param ca_bundle: path of a file of certificates to trust instead of the public ones.
    :param allow_plain_http: see :func:`check_url`.
    :param clock: the source of time; tests inject one.
    :raises AsappConfigurationError: a key is missing or malformed, the URL is not one to send keys to, or the
        certificates can't be read.
    """

    def __init__(
        self,
        api_id: str,
        api_secret: str,
        *,
        base_url: str = SANDBOX,
        timeout: float = 60.0,
        requests_per_second: float = 100.0,
        ca_bundle: str | None = None,
        allow_plain_http: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not timeout > 0 or not requests_per_second > 0:
            raise AsappConfigurationError("timeout and requests_per_second must be greater than 0.")
        url = check_url(base_url, allow_plain_http=allow_plain_http)
        auth = AsappAuth(api_id, api_secret)
        verify = check_bundle(ca_bundle) if ca_bundle else True
        self._transport = Transport(url, auth, timeout=timeout, verify=verify)
        self.base_url = url
        self.domain = self._transport.domain
        self.api_id = api_id
        self.requests = 0
        self.clock = clock or Clock()
        self._pacer = Pacer(requests_per_second, self.clock)
        self._lock = threading.Lock()

    def __enter__(self) -> AsappClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection of every thread."""
        self._transport.close()

    def stop(self) -> None:
        """End all waits and start no new request, from any thread."""
        self._pacer.stop()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._pacer.stopping.is_set()

    def abort(self) -> None:
        """Break off the requests under way; whether they were carried out is then unknown."""
        self.stop()
        self._transport.abort()

    def wait(self, seconds: float) -> None:
        """Wait, unless the client is stopped.

        :raises AsappStopped: it is.
        """
        self._pacer.wait(seconds)

    def health(self) -> None:
        """Return if ASAPP says it is healthy and knows the keys. Asks once, for at most 10 s.

        :raises AsappAccessError: wrong keys or domain.
        :raises AsappUnavailableError: it can't be reached, or says it is not healthy.
        """
        try:
            answer = self._transport.exchange("GET", "/v1/health", None, now=self.clock.now(), timeout=10.0)
            if answer.status != 200:
                raise self._error_of(answer)
        except Trouble as trouble:
            raise self._unavailable(trouble) from None
        value = answers.parse(answer.body)
        state = value.get("healthCheck") if isinstance(value, dict) else None
        if state != "SUCCESS":
            what = "reports that it is not healthy" if state == "FAILED" else "gave an answer that is not ASAPP's"
            raise AsappUnavailableError(f"{self.domain} {what}.", status=answer.status)

    def send(self, entity: Entity, items: Sequence[Sendable]) -> list[Verdict]:
        """Send 1 to 1000 items in one request and return one verdict for each, in order.

        One item goes to the entity's ``single-*`` operation, more to ``many-*``. Trouble at ASAPP's side is asked again
        after 0.25, 0.5 and 1 s, a 429 after the pauses of :mod:`~airflow_provider_asapp.pacing`.

        :raises AsappBatchRefused: 413, 422, a 409 that can't be believed, or a 400 that names no item.
        :raises AsappAccessError: 401, 403, 404, a redirect, another 4xx.
        :raises AsappUnavailableError: no usable answer after all waits.
        :raises AsappQuotaExhausted: the day's quota is used up.
        :raises AsappStopped: the client is being stopped.
        """
        if not 1 <= len(items) <= MAX_ITEMS:
            raise ValueError(f"a request takes 1 to {MAX_ITEMS} items, not {len(items)}")
        path, body = request_of(entity, items)
        unread = False
        for wait in (*WAITS, None):
            try:
                return self._verdicts(self._ask(path, body), items, sent_before=unread)
            except Trouble as trouble:
                unread = unread or trouble.unread
                if wait is None:
                    raise self._unavailable(trouble) from None
                self.wait(wait if trouble.wait is None else min(trouble.wait, LONGEST_WAIT))
        raise AssertionError("the last wait is None")

    def _verdicts(self, answer: Answer, items: Sequence[Sendable], *, sent_before: bool) -> list[Verdict]:
        if answer.status in {200, 400}:
            try:
                return answers.read_verdicts(answer.status, answer.body, items)
            except answers.UnreadableAnswer as error:
                raise Trouble(str(error), unread=True) from None
        if answer.status == 409 and (sent_before or len(items) == 1 or all(item.maybe_sent for item in items)):
            return [ALREADY_PERSISTED] * len(items)
        if answer.status == 409 or answer.status in REFUSED_AS_A_WHOLE:
            raise answers.refused_as_a_whole(answer.status, answer.body)
        raise self._error_of(answer)

    def _error_of(self, answer: Answer) -> Trouble | AsappAccessError:
        """Return what a status without verdicts means: trouble that may pass, or no way in."""
        code, request_id = answers.read_envelope(answer.body)
        details = {"status": answer.status, "code": code, "request_id": request_id}
        if answer.status < 300 or answer.status >= 500 or answer.status == 429:
            # Another 2xx than documented proves nothing, but may well mean that all was taken. And a gateway that got
            # no answer does not know either.
            unread = answer.status < 300 or answer.status in NO_ANSWER_AT_A_GATEWAY
            return Trouble(f"HTTP {answer.status}", unread=unread, wait=answer.retry_after, **details)
        text = f"{self.domain} answered {answer.status}: {self._advice(answer)}{_support(code, request_id)}"
        return AsappAccessError(text, status=answer.status, code=code, request_id=request_id)

    def _advice(self, answer: Answer) -> str:
        if 300 <= answer.status < 400:
            host = _host(answer.location)
            return f"a redirect to {host}, which is not followed since the keys would go along. Is the host right?"
        return {
            401: "the API Id or the API Secret is wrong, or belongs to ASAPP's other environment.",
            403: "these keys may not do this. Has ASAPP enabled Metadata Ingestion for the account?",
            404: "there is no such service. Is the host right, and has ASAPP enabled Metadata Ingestion?",
        }.get(answer.status, "not a documented answer of this service. Is the host right?")

    def _unavailable(self, trouble: Trouble) -> AsappUnavailableError:
        reason = str(trouble)
        text = f"{self.domain} gave no usable answer: {reason}" + ("" if reason.endswith("?") else ".")
        code, request_id = trouble.details.get("code"), trouble.details.get("request_id")
        return AsappUnavailableError(text + _support(code, request_id), **trouble.details)  # type: ignore[arg-type]

    def _ask(self, path: str, body: bytes) -> Answer:
        """Return the answer to one POST, asked again for as long as it is 429."""
        answer = self._paced(path, body)
        while answer.status == 429:
            last = answer

            def again() -> tuple[bool, float | None]:
                nonlocal last
                last = self._exchange(path, body)
                return last.status != 429, last.retry_after

            asked = self._pacer.pause(answer.retry_after, again)
            answer = last if asked else self._paced(path, body)
        return answer

    def _paced(self, path: str, body: bytes) -> Answer:
        self._pacer.turn()
        return self._exchange(path, body)

    def _exchange(self, path: str, body: bytes) -> Answer:
        with self._lock:
            self.requests += 1
        return self._transport.exchange("POST", path, body, now=self.clock.now())


def body_size(items: Sequence[Sendable]) -> int:
    """Return the bytes of the body that carries these items."""
    items_size = sum(len(item.body) for item in items)
    return items_size if len(items) == 1 else items_size + len(items) - 1 + len(b'{"items":[]}')


def request_of(entity: Entity, items: Sequence[Sendable]) -> tuple[str, bytes]:
    """Return path and body of the request that carries these items."""
    if len(items) == 1:
        return f"/metadata-ingestion/v1/single-{entity.path_word}-metadata", items[0].body
    body = b'{"items":[' + b",".join([item.body for item in items]) + b"]}"
    return f"/metadata-ingestion/v1/many-{entity.path_word}-metadata", body


def _support(code: object, request_id: object) -> str:
    named = [f"{name} {value}" for name, value in (("code", code), ("requestId", request_id)) if value]
    return f" ({', '.join(named)})" if named else ""


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or "the same host"
    except ValueError:
        return "an invalid address"
