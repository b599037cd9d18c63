"""Promises of the client, over real HTTP: the right request, the documented waits, and what each answer comes to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from airflow_provider_asapp.answers import ACCEPTED, ALREADY_PERSISTED, Verdict
from airflow_provider_asapp.client import AsappClient, body_size, request_of
from airflow_provider_asapp.errors import (
    AsappAccessError,
    AsappBatchRefused,
    AsappConfigurationError,
    AsappError,
    AsappQuotaExhausted,
    AsappStopped,
    AsappUnavailableError,
)
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.simulator.contract import CONTRACT
from airflow_provider_asapp.validation import Item, Validator
from tests.clocks import FakeClock
from tests.servers import HttpServer, RawServer, Received, Reply

CONVERSATION = ENTITIES["conversation"]
MARK = "q7Zmark"
SECRET = "demo-api-secret"


class SharedSimulator(Simulator):
    """A simulator for many tests, each with a clock of its own: to start and stop it takes longer than a test."""

    def __init__(self) -> None:
        self.of_test = FakeClock()
        super().__init__(clock=lambda: self.of_test.now().timestamp(), sleep=lambda _: None)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SharedSimulator]:
    with SharedSimulator() as simulator:
        yield simulator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def asapp(simulator: SharedSimulator, clock: FakeClock) -> Simulator:
    simulator.of_test = clock
    simulator.reset()
    return simulator


@pytest.fixture
def client(asapp: Simulator, clock: FakeClock) -> Iterator[AsappClient]:
    with client_of(asapp.url, clock) as client:
        yield client


def client_of(url: str, clock: FakeClock, **options: Any) -> AsappClient:
    """Return a client for any server."""
    return AsappClient("demo-api-id", SECRET, base_url=url, clock=clock, **options)


def items(count: int, entity: str = "conversation") -> list[Item]:
    """Return valid items."""
    both = {"externalConversationId": "c{}", "externalCustomerId": "u{}", "externalAgentId": "a{}"}
    names = ENTITIES[entity].key_fields
    records = [{name: both[name].format(place) for name in names} for place in range(1, count + 1)]
    (page,) = pages_of(records)
    checked = list(Validator(entity).check(page, 1))
    return [item for item in checked if isinstance(item, Item)]


def waits(clock: FakeClock) -> list[float]:
    """Return the waits that are not the rate's."""
    return [wait for wait in clock.waits if wait > 0.1]


def failure(call: Callable[[], object], kind: type[AsappError]) -> AsappError:
    """Return the error of a call, after a look for what it must not tell."""
    with pytest.raises(kind) as failed:
        call()
    assert type(failed.value) is kind
    told = str(failed.value) + repr(vars(failed.value))
    assert SECRET not in told
    assert MARK not in told
    return failed.value


# --- requests


@pytest.mark.parametrize("count", [1, 2, 1000])
@pytest.mark.parametrize("entity", ENTITIES)
def test_the_six_operations(asapp: Simulator, client: AsappClient, entity: str, count: int) -> None:
    """One item goes to ``single-*``, more to ``many-*``, and all of them arrive as they are."""
    sent = items(count, entity)
    assert client.send(ENTITIES[entity], sent) == [ACCEPTED] * count
    (request,) = asapp.ledger.requests
    operations = CONTRACT["x-asapp"]["operations"][entity]
    assert (request.method, request.path) == ("POST", operations["single" if count == 1 else "many"])
    assert asapp.ledger.accepted(entity) == [json.loads(item.body) for item in sent]  # type: ignore[arg-type]
    assert request.event_ids == tuple(item.event_id for item in sent)
    assert client.requests == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_body_is_the_items_own_text(count: int) -> None:
    """Nothing is encoded twice, and the size is known beforehand."""
    sent = items(count)
    _, body = request_of(CONVERSATION, sent)
    assert body_size(sent) == len(body)
    if count == 1:
        assert body == sent[0].body
    else:
        assert body == b'{"items":[' + b",".join(item.body for item in sent) + b"]}"
        assert json.loads(body) == {"items": [json.loads(item.body) for item in sent]}


@pytest.mark.parametrize("count", [0, 1001])
def test_a_request_takes_1_to_1000_items(asapp: Simulator, client: AsappClient, count: int) -> None:
    """ASAPP's limit is kept before anything is sent."""
    with pytest.raises(ValueError, match=f"1 to 1000 items, not {count}"):
        client.send(CONVERSATION, items(1) * count)
    assert asapp.ledger.requests == []
    assert client.requests == 0


def test_a_client_sends_no_faster_than_asapp_takes(asapp: Simulator, client: AsappClient) -> None:
    """With the default rate ASAPP's limit for a second is never met."""
    for _ in range(250):
        client.send(CONVERSATION, items(1))
    assert {request.status for request in asapp.ledger.requests} == {200}
    assert client.requests == 250


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"requests_per_second": 0}])
def test_a_limit_of_zero_is_refused(clock: FakeClock, options: dict[str, Any]) -> None:
    """It would wait for ever, or not at all."""
    with pytest.raises(AsappConfigurationError):
        client_of("http://localhost", clock, **options)


def test_a_bundle_that_is_not_there_is_refused(clock: FakeClock) -> None:
    """At once, not with the first request."""
    with pytest.raises(AsappConfigurationError, match="ca_bundle"):
        client_of("https://api.asapp.com", clock, ca_bundle="/nowhere/ca.pem")


# --- answers for each item


def test_a_partial_success_is_told_apart(asapp: Simulator, client: AsappClient) -> None:
    """What ASAPP accepts, calls bad and could not do has its own verdict, in the order sent."""
    sent = items(5)
    sent[1] = msgspec.structs.replace(
        sent[1], body=json.dumps({**json.loads(sent[1].body), "campaign": "a b"}).encode()
    )
    asapp.misbehave(Fault(keys={"c4"}, item_error="FAIL_TIMEOUT: later"), Fault(requests={1}, shuffle=True))
    verdicts = client.send(CONVERSATION, sent)
    assert [verdict.kind for verdict in verdicts] == ["accepted", "refused", "accepted", "again", "accepted"]
    assert verdicts[1].reason.startswith("FAIL_BAD_PARAMS: ")
    assert client.requests == 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("text", "kind"), [("FAIL_BAD_PARAMS: no", "refused"), ("FAIL_TIMEOUT: later", "again")])
def test_a_400_with_results_is_told_apart(
    asapp: Simulator, client: AsappClient, count: int, text: str, kind: Any
) -> None:
    """Where no item is accepted ASAPP answers 400, and each item still has its own verdict."""
    asapp.misbehave(Fault(item_error=text))
    assert client.send(CONVERSATION, items(count)) == [Verdict(kind, text)] * count
    assert [request.status for request in asapp.ledger.requests] == [400]


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        (Fault(wrong_count=True), ["again"] * 3),
        (Fault(extra=1), ["again"] * 3),
        (Fault(missing=1, keys={"c2"}), ["accepted", "again", "accepted"]),
        (Fault(missing=1, extra=1), ["again", "accepted", "accepted"]),
        (Fault(foreign_ids=True), ["accepted"] * 3),
        (Fault(foreign_ids=True, missing=1), ["again"] * 3),
        (Fault(shuffle=True), ["accepted"] * 3),
    ],
    ids=str,
)
def test_a_doubtful_answer_delivers_nothing(
    asapp: Simulator, client: AsappClient, fault: Fault, kinds: list[str]
) -> None:
    """Only items with their own proof count as accepted."""
    asapp.misbehave(fault)
    assert [verdict.kind for verdict in client.send(CONVERSATION, items(3))] == kinds


def test_a_mixed_answer_with_foreign_ids_refuses_the_batch(asapp: Simulator, client: AsappClient) -> None:
    """The caller has to find out which item is meant."""
    asapp.misbehave(Fault(keys={"c1"}, item_error="FAIL_BAD_PARAMS: no"), Fault(foreign_ids=True))
    error = failure(lambda: client.send(CONVERSATION, items(3)), AsappBatchRefused)
    assert error.status == 200


# --- answers for the whole request


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_refused_as_a_whole(asapp: Simulator, client: AsappClient, status: int, count: int) -> None:
    """The caller learns status, code and requestId after one request."""
    asapp.misbehave(Fault(status=status))
    error = failure(lambda: client.send(CONVERSATION, items(count)), AsappBatchRefused)
    assert (error.status, error.code) == (status, f"{status}-01")
    assert error.request_id
    assert client.requests == 1


def test_a_body_that_is_too_large(clock: FakeClock) -> None:
    """What ASAPP does not take is refused as a whole, and a smaller one passes."""
    with Simulator(max_body_bytes=1000) as asapp, client_of(asapp.url, clock) as client:
        assert failure(lambda: client.send(CONVERSATION, items(50)), AsappBatchRefused).status == 413
        assert client.send(CONVERSATION, items(2)) == [ACCEPTED] * 2


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("status", [401, 403, 404, 402, 405, 408, 410, 418, 451])
def test_no_way_in_is_told_at_once(asapp: Simulator, client: AsappClient, status: int, count: int) -> None:
    """Wrong keys, no permission, no such service, or anything else that no wait mends."""
    asapp.misbehave(Fault(status=status))
    error = failure(lambda: client.send(CONVERSATION, items(count)), AsappAccessError)
    assert (error.status, error.code) == (status, f"{status}-01")
    assert client.domain in str(error)
    assert f"requestId {error.request_id}" in str(error)
    assert client.requests == 1


def test_wrong_keys_are_named(asapp: Simulator, clock: FakeClock) -> None:
    """ASAPP's environments have different keys, and the message says so."""
    with AsappClient("demo-api-id", "another", base_url=asapp.url, clock=clock) as client:
        error = failure(lambda: client.send(CONVERSATION, items(1)), AsappAccessError)
    assert "environment" in str(error)
    assert "another" not in str(error).replace("another environment", "")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("location", "host"),
    [
        (f"https://login.example.com/{MARK}?{MARK}", "login.example.com"),
        (f"/{MARK}", "the same host"),
        (f"http://[{MARK}", "an invalid address"),
        (f"https://{MARK}:{MARK}@example.com", "example.com"),
    ],
)
def test_a_redirect_is_no_way_in(asapp: Simulator, client: AsappClient, location: str, host: str, count: int) -> None:
    """The keys are not sent there; of its address only the host is told."""
    asapp.misbehave(Fault(redirect=location))
    error = failure(lambda: client.send(CONVERSATION, items(count)), AsappAccessError)
    assert error.status == 302
    assert f"a redirect to {host}, " in str(error)
    assert client.requests == 1


# --- 409


def test_a_single_record_is_already_persisted(asapp: Simulator, client: AsappClient) -> None:
    """ASAPP says of the one record that it has it: a success of its own kind."""
    asapp.misbehave(Fault(status=409))
    assert client.send(CONVERSATION, items(1)) == [ALREADY_PERSISTED]


def test_a_409_on_a_batch_is_not_believed(asapp: Simulator, client: AsappClient) -> None:
    """It may mean one of its records, so it is refused as a whole; also if only some may have been sent."""
    asapp.misbehave(Fault(status=409))
    sent = items(3)
    for _ in range(2):
        assert failure(lambda: client.send(CONVERSATION, sent), AsappBatchRefused).status == 409
        sent[0].maybe_sent = True


def test_a_409_is_believed_where_all_may_have_been_sent(asapp: Simulator, client: AsappClient) -> None:
    """After a resume, for the records that may have been in flight."""
    asapp.misbehave(Fault(status=409))
    sent = items(3)
    for item in sent:
        item.maybe_sent = True
    assert client.send(CONVERSATION, sent) == [ALREADY_PERSISTED] * 3


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(drop="after"), Fault(drop="mid-body"), Fault(garbage=True, accept=True), Fault(html=True)),
        *(Fault(status=502), Fault(status=504, accept=True)),
    ],
    ids=str,
)
def test_a_409_is_believed_after_an_unread_answer(asapp: Simulator, client: AsappClient, fault: Fault) -> None:
    """The first request may have been carried out, and then the second one is told so."""
    asapp.misbehave(replace(fault, times=1), Fault(status=409))
    assert client.send(CONVERSATION, items(3)) == [ALREADY_PERSISTED] * 3
    assert client.requests == 2


def test_a_409_is_believed_after_an_undocumented_success(clock: FakeClock) -> None:
    """A 204 proves nothing by itself, but may well mean that all was taken."""
    replies = iter([Reply(204), Reply(409)])
    with HttpServer(lambda _: next(replies)) as server, client_of(server.url, clock) as client:
        assert client.send(CONVERSATION, items(2)) == [ALREADY_PERSISTED] * 2


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=500)], ids=str)
def test_a_409_is_not_believed_after_a_read_one(asapp: Simulator, client: AsappClient, fault: Fault) -> None:
    """ASAPP said that it failed: nothing speaks for a delivery."""
    asapp.misbehave(replace(fault, times=1), Fault(status=409))
    failure(lambda: client.send(CONVERSATION, items(2)), AsappBatchRefused)


# --- trouble at their side


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(status=500), Fault(status=502), Fault(status=503), Fault(status=504), Fault(status=599)),
        *(Fault(drop="before"), Fault(drop="after"), Fault(drop="mid-body")),
        *(Fault(garbage=True), Fault(html=True), Fault(not_documented=True)),
    ],
    ids=str,
)
def test_trouble_is_asked_again_three_times(
    asapp: Simulator, client: AsappClient, clock: FakeClock, fault: Fault, count: int
) -> None:
    """After 0.25, 0.5 and 1 s; then it fails in a way that Airflow tries again, and never as a reject."""
    asapp.misbehave(fault)
    error = failure(lambda: client.send(CONVERSATION, items(count)), AsappUnavailableError)
    assert waits(clock) == [0.25, 0.5, 1.0]
    assert client.requests == 4
    assert client.domain in str(error)
    if fault.status:
        assert (error.status, error.code) == (fault.status, f"{fault.status}-01")
        assert f"requestId {error.request_id}" in str(error)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_trouble_that_passes_is_no_failure(
    asapp: Simulator, client: AsappClient, clock: FakeClock, failures: int
) -> None:
    """The first good answer counts, and nothing is waited for after it."""
    asapp.misbehave(Fault(status=503, times=failures))
    assert client.send(CONVERSATION, items(2)) == [ACCEPTED] * 2
    assert waits(clock) == [0.25, 0.5, 1.0][:failures]
    assert client.requests == failures + 1


@pytest.mark.parametrize(("asked", "waited"), [(0, 0.0), (7, 7.0), (60, 60.0), (3600, 60.0), ("rubbish", 0.25)])
def test_a_503_may_ask_for_its_wait(
    asapp: Simulator, client: AsappClient, clock: FakeClock, asked: Any, waited: float
) -> None:
    """A ``Retry-After`` replaces a wait, and no wait is longer than a minute."""
    asapp.misbehave(Fault(status=503, retry_after=asked, times=1))
    client.send(CONVERSATION, items(1))
    assert sum(waits(clock)) == waited


ODD = {
    "204": Reply(204),
    "201 with the documented body": Reply(201, b'{"errorCount": 0, "results": []}'),
    "202": Reply(202, b"{}"),
    "200 without a body": Reply(200),
    "an HTML page with 503": Reply(503, b"<html>" + MARK.encode()),
    "an array": Reply(200, b"[]"),
    "deep JSON": Reply(200, b"[" * 100_000),
    "not UTF-8": Reply(200, b'{"result": "\xff"}'),
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
def test_an_undocumented_answer_is_trouble(clock: FakeClock, reply: Reply, count: int) -> None:
    """It proves nothing, and none of its text is told."""
    with HttpServer(lambda _: reply) as server, client_of(server.url, clock) as client:
        failure(lambda: client.send(CONVERSATION, items(count)), AsappUnavailableError)
    assert len(server.received) == 4


@pytest.mark.parametrize("status", [400, 401, 409, 413, 422, 404, 302])
def test_an_error_page_of_somebody_else_is_not_told(clock: FakeClock, status: int) -> None:
    """A proxy's page, or an envelope that holds what it should not, stays out of the error."""
    page = json.dumps({"error": {"code": f"{MARK} x", "requestId": [MARK], "message": MARK}}).encode()
    for body in (page, f"<html>{MARK}".encode()):
        with HttpServer(lambda _, body=body: Reply(status, body)) as server, client_of(server.url, clock) as client:
            kind = AsappAccessError if status in (401, 404, 302) else AsappBatchRefused
            error = failure(lambda: client.send(CONVERSATION, items(2)), kind)
        assert (error.status, error.code, error.request_id) == (status, None, None)


def test_half_a_head_is_trouble(clock: FakeClock) -> None:
    """A connection that breaks before the body proves nothing."""
    with RawServer(b"HTTP/1.1 200 OK\r\nCon") as server, client_of(server.url, clock) as client:
        failure(lambda: client.send(CONVERSATION, items(2)), AsappUnavailableError)


def test_nobody_there_is_trouble(clock: FakeClock) -> None:
    """A service that is down may come back."""
    with Simulator() as asapp:
        pass
    with client_of(asapp.url, clock) as client:
        error = failure(lambda: client.send(CONVERSATION, items(1)), AsappUnavailableError)
    assert "refuses connections" in str(error)
    assert waits(clock) == [0.25, 0.5, 1.0]


# --- 429


def test_a_spike_is_waited_out(asapp: Simulator, client: AsappClient, clock: FakeClock) -> None:
    """The request goes on as soon as ASAPP takes it, and what else is wrong is seen then."""
    asapp.misbehave(Fault(status=429, requests={1, 2}), Fault(status=503, requests={3}))
    assert client.send(CONVERSATION, items(2)) == [ACCEPTED] * 2
    assert waits(clock) == [1.0, 2.0, 0.25]
    assert client.requests == 4


def test_a_spent_quota_is_told_apart(clock: FakeClock) -> None:
    """After the documented waits, and one of a minute, a 429 is the day's quota; no further request is made."""
    with (
        Simulator(daily_quota=2, clock=lambda: clock.now().timestamp()) as asapp,
        client_of(asapp.url, clock) as client,
    ):
        assert [client.send(CONVERSATION, items(1)) for _ in range(2)] == [[ACCEPTED]] * 2
        error = failure(lambda: client.send(CONVERSATION, items(3)), AsappQuotaExhausted)
        assert waits(clock) == [1.0, 2.0, 4.0, 60.0]
        assert client.requests == 2 + 1 + 4
        failure(lambda: client.send(CONVERSATION, items(3)), AsappQuotaExhausted)
        assert client.requests == 7
        assert isinstance(error, AsappQuotaExhausted)
        assert error.resets_at == datetime(2026, 3, 5, tzinfo=UTC)
        assert error.status == 429
        clock.advance(12 * 3600)
        assert client.send(CONVERSATION, items(3)) == [ACCEPTED] * 3


def test_a_named_time_of_return_is_believed(asapp: Simulator, client: AsappClient, clock: FakeClock) -> None:
    """More than a minute is not waited for."""
    asapp.misbehave(Fault(status=429, retry_after=7200))
    now = clock.now()
    error = failure(lambda: client.send(CONVERSATION, items(1)), AsappQuotaExhausted)
    assert isinstance(error, AsappQuotaExhausted)
    assert error.resets_at is not None
    assert abs(error.resets_at - now - timedelta(hours=2)) < timedelta(seconds=1)
    assert client.requests == 1
    assert waits(clock) == []


def test_threads_share_one_pause(clock: FakeClock) -> None:
    """Whatever the window, ASAPP is asked four times after the pause begins, and everybody fails."""
    arrived = threading.Barrier(8, timeout=5)

    def answer(_: Received) -> Reply:
        # All of the first eight are under way before one of them is answered.
        if len(server.received) <= 8:
            arrived.wait()
        return Reply(429)

    def send(_: int) -> AsappError:
        return failure(lambda: shared.send(CONVERSATION, items(2)), AsappQuotaExhausted)

    with HttpServer(answer) as server, client_of(server.url, clock) as shared, ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(send, range(8)))
    assert len({id(error) for error in errors}) == 8
    assert len(server.received) == shared.requests == 8 + 4
    assert waits(clock) == [1.0, 2.0, 4.0, 60.0]


def test_trouble_while_asking_again_is_trouble(asapp: Simulator, client: AsappClient, clock: FakeClock) -> None:
    """A 429 and then a broken connection: the short waits, and then the pause begins anew."""
    asapp.misbehave(Fault(status=429, requests={1, 3}), Fault(drop="before", requests={2}))
    assert client.send(CONVERSATION, items(2)) == [ACCEPTED] * 2
    assert waits(clock) == [1.0, 0.25, 1.0]
    assert client.requests == 4


# --- stopping


def test_a_stopped_client_sends_nothing(asapp: Simulator, client: AsappClient) -> None:
    """Not one more request."""
    client.stop()
    assert client.stopping
    failure(lambda: client.send(CONVERSATION, items(1)), AsappStopped)
    failure(lambda: client.wait(1), AsappStopped)
    assert asapp.ledger.requests == []


def test_a_stop_ends_the_waits_of_a_request(asapp: Simulator, clock: FakeClock) -> None:
    """It is not asked again once the task is being stopped."""
    asapp.misbehave(Fault(status=503))

    class StoppingClock(FakeClock):
        def wait(self, seconds: float, stop: threading.Event) -> None:
            client.stop()

    with client_of(asapp.url, StoppingClock()) as client:
        failure(lambda: client.send(CONVERSATION, items(1)), AsappStopped)
    assert client.requests == 1


def test_an_abort_ends_the_request_under_way(clock: FakeClock) -> None:
    """A thread that waits for an answer comes back as stopped, at once."""
    asked = threading.Event()

    def silence(_: Received) -> Reply:
        asked.set()
        ended.wait(5)
        return Reply()

    ended = threading.Event()
    with HttpServer(silence) as server, client_of(server.url, clock) as client, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(failure, lambda: client.send(CONVERSATION, items(1)), AsappStopped)
        assert asked.wait(5)
        client.abort()
        pending.result(2)
        ended.set()


# --- health


def test_a_healthy_service_with_right_keys(asapp: Simulator, client: AsappClient) -> None:
    """The check returns, and costs nothing of what is counted."""
    client.health()
    assert client.requests == 0
    assert [request.method for request in asapp.ledger.requests] == ["GET"]


def test_an_unhealthy_service(asapp: Simulator, client: AsappClient) -> None:
    """What it says of itself is told."""
    asapp.healthy = False
    assert "not healthy" in str(failure(client.health, AsappUnavailableError))


def test_health_with_wrong_keys(asapp: Simulator, clock: FakeClock) -> None:
    """The message says what to look at."""
    with AsappClient("demo-api-id", "x", base_url=asapp.url, clock=clock) as client:
        assert "API Secret is wrong" in str(failure(client.health, AsappAccessError))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, b"<html>"), AsappUnavailableError),
        (Reply(200, b"{}"), AsappUnavailableError),
        (Reply(200, b"[]"), AsappUnavailableError),
        (Reply(200, b'{"healthCheck": true}'), AsappUnavailableError),
        (Reply(204), AsappUnavailableError),
        (Reply(503, b'{"healthCheck": "FAILED"}'), AsappUnavailableError),
        (Reply(429), AsappUnavailableError),
        (Reply(301, b"", {"Location": "https://other.test"}), AsappAccessError),
        (Reply(404), AsappAccessError),
    ],
)
def test_a_health_check_asks_once(clock: FakeClock, reply: Reply, kind: type[AsappError]) -> None:
    """A person waits for it: no waits, and one clear error."""
    with HttpServer(lambda _: reply) as server, client_of(server.url, clock) as client:
        assert client.domain in str(failure(client.health, kind))
    assert len(server.received) == 1
    assert clock.waits == []


def test_health_of_nobody(clock: FakeClock) -> None:
    """A wrong host or port is said to be one."""
    with Simulator() as asapp:
        pass
    with client_of(asapp.url, clock) as client:
        assert "Is the host right" in str(failure(client.health, AsappUnavailableError))
