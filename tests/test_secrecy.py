"""Promises of secrecy: nothing that is printed, logged, raised or reported holds a value, a secret or a body."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_asapp.errors import AsappError
from airflow_provider_asapp.hooks import AsappHook
from airflow_provider_asapp.schemas import ENTITIES
from airflow_provider_asapp.simulator import Fault, Simulator
from airflow_provider_asapp.simulator.contract import CONTRACT, Entity
from tests.bench import Bench, MemoryStore
from tests.matrix import LIMIT, ROWS, SIZE, TARGETS, Place, Row
from tests.servers import HttpServer, Received, Reply, retelling

MARK = "q7Zmark"
PHONE = "5550199777"
MOMENT = "2019-07-31T23:59:58Z"
NUMBER = 75315977
API_ID = "q7Zsecret-id"
API_SECRET = "q7Zsecret-key"
HIDDEN = (MARK, PHONE, MOMENT, str(NUMBER), "q7Zsecret", '{"items"', "<html")


@pytest.fixture(scope="module")
def simulators() -> Iterator[dict[bool, Simulator]]:
    """Run two simulators with marked keys, one of which takes only short bodies."""
    keys = {"api_id": API_ID, "api_secret": API_SECRET}
    with (
        Simulator(requests_per_second=None, **keys) as wide,
        Simulator(requests_per_second=None, max_body_bytes=LIMIT * 4, **keys) as narrow,
    ):
        yield {False: wide, True: narrow}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Give all that was printed and logged so far, at DEBUG, with what is attached to log records."""
    caplog.set_level(logging.DEBUG)
    for name in ("airflow_provider_asapp", "urllib3", "requests", "airflow"):
        caplog.set_level(logging.DEBUG, name)

    def text() -> str:
        printed = capfd.readouterr()
        attached = [repr(vars(record)) for record in caplog.records]
        return "\n".join([caplog.text, printed.out, printed.err, *attached])

    return text


def of(error: BaseException) -> str:
    """Return all that an error tells, with those that it came from."""
    own = f"{error!s} {error!r} {vars(error)} {''.join(traceback.format_exception(error))}"
    return "\n".join([own, *(of(inner) for inner in (error.__cause__, error.__context__) if inner)])


def assert_secret(text: str) -> None:
    """Look for what must not be there."""
    found = [
        text[max(0, at.start() - 80) : at.end() + 80] for mark in HIDDEN for at in re.finditer(re.escape(mark), text)
    ]
    assert found == []


def value_of(rule: dict[str, Any]) -> Any:
    """Return a marked value that the contract allows, where it allows more than a few."""
    if "enum" in rule:
        return rule["enum"][0]
    if "array" in rule["type"]:
        return [value_of(rule["items"])]
    if "properties" in rule:
        return {name: value_of(part) for name, part in rule["properties"].items()}
    if "integer" in rule["type"]:
        return NUMBER
    if rule.get("format") == "date-time":
        return MOMENT
    if "@[" in rule.get("pattern", ""):
        return f"{MARK}@example.com"
    return PHONE if rule.get("pattern", "").startswith("^[0-9.") else MARK


def marked(entity: Entity, at: int) -> dict[str, Any]:
    """Return a valid record with a mark in each field but the key that a log may show."""
    rules = CONTRACT["$defs"][entity]["properties"]
    record = {name: value_of(rule) for name, rule in rules.items()}
    record |= {ENTITIES[entity].key_fields[0]: f"c{at}", "eventId": f"{MARK}-{at}"}
    if entity == "customer":
        record["externalCustomerId"] = f"{MARK}-{at}@example.com"
    return record


def mark(reply: Reply) -> Reply:
    """Put marks wherever an answer has room for them, as a service that quotes what it was sent."""
    try:
        value = json.loads(reply.body)
    except ValueError:
        return Reply(reply.status, reply.body + b"<html>" + MARK.encode())
    if "error" in value:
        value["error"] |= {"message": f"{MARK} is wrong", "details": [MARK]}
    for result in value.get("results", [value["result"]] if "result" in value else []):
        result["error"] = result["error"] and f"{result['error']} {MARK} {PHONE}"
    return Reply(reply.status, json.dumps({**value, "echo": MARK}).encode())


@pytest.mark.parametrize(
    ("entity", "place"), [("conversation", "middle"), ("customer", "first"), ("customer", "single")]
)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_no_outcome_tells_a_value(
    bench: Bench,
    simulators: dict[bool, Simulator],
    told: Callable[[], str],
    row: Row,
    entity: Entity,
    place: Place,
) -> None:
    """Each row of the outcome table with a mark in every field, in the keys, and in what ASAPP says of them."""
    bench.asapp = simulators[row.heavy is not None]
    bench.asapp.reset()
    bench.api_id, bench.api_secret = API_ID, API_SECRET
    target = TARGETS[place]
    records = [marked(entity, at) for at in range(1, target.read + 1)]
    for at in range(target.first, target.first + target.size) if row.heavy is not None else ():
        records[at - 1]["attributes"] = [{"name": f"{MARK}{part}", "value": MARK * 140} for part in range(9)]
    keys: list[Any] = target.keys
    if entity == "customer":
        keys = [(key, f"{MARK}-{key[1:]}@example.com") for key in keys]
    bench.asapp.misbehave(*row.faults(keys))
    change = row.change or (lambda reply: reply)
    said = []
    with retelling(bench.asapp.url, lambda reply: mark(change(reply))) as server:
        bench.url = server.url
        for _ in range(2):
            try:
                said.append(json.dumps(bench.submit(records, entity=entity, batch_size=SIZE)))
                break
            except AsappError as error:
                said.append(of(error))
    assert_secret("\n".join([told(), *said]))


@pytest.mark.parametrize("entity", list(ENTITIES))
def test_no_invalid_record_tells_its_value(bench: Bench, told: Callable[[], str], entity: Entity) -> None:
    """Each field with marked values that break its rules: the log names field and rule, the rejects hold the record."""
    bad: list[Any] = [f"{MARK} {MARK}", MARK * 200, f"{MARK}\n", {MARK: [MARK]}, [MARK, f"{MARK} ", 5.5], MARK.encode()]
    bad += [f"[{MARK}", f'{{"{MARK}": "{MARK}"', f"\ud800{MARK}", f"{MOMENT}{MARK}", f"{PHONE}{MARK}!", NUMBER + 0.5]
    text = ""
    for name in CONTRACT["$defs"][entity]["properties"]:
        records = [{**marked(entity, at), name: value} for at, value in enumerate(bad, 2)]
        report = bench.submit([marked(entity, 1), *records], entity=entity)
        rejects = bench.rejected()
        assert len(rejects) == report["invalid"] > len(bad) / 3
        text += told() + json.dumps(report)
        assert all(f"Record {position} " in text for position in rejects)
    assert_secret(text)


def test_no_policy_or_source_error_tells_a_value(bench: Bench, told: Callable[[], str]) -> None:
    """A limit exceeded, a thousand invalid records, a first batch refused, a strange column, a store in trouble."""

    class Broken(MemoryStore):
        def set(self, key: str, value: Any) -> None:
            raise ConnectionError(f"{MARK} {API_SECRET}")

    bench.store = Broken()
    wrong = {**marked("conversation", 1), "campaign": f"{MARK} {MARK}"}
    sources: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
        ([marked("conversation", 1), wrong], {"max_rejected": 0}),
        ([wrong] * 1000, {}),
        ([marked("conversation", at) for at in range(1, 30)], {}),
        ([{**wrong, "campain": MARK}], {}),
        ([{**wrong, "campain": MARK}], {"unknown": "exclude"}),
    ]
    said = []
    bench.asapp.misbehave(Fault(requests={2}, item_error=f"FAIL_BAD_PARAMS: {MARK}"))
    for records, options in sources:
        try:
            said.append(json.dumps(bench.submit(records, **options)))
        except AsappError as error:
            said.append(of(error))
    assert len(said) == len(sources)
    assert_secret("\n".join([told(), *said]))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, b"<html>", {"Location": f"http://user:{API_SECRET}@127.0.0.1:9/{MARK}?{MARK}#{MARK}"}),
        Reply(302, b"<html>", {"Location": f"http://[{MARK}"}),
        Reply(403, json.dumps({"error": {"code": f"{MARK} x", "requestId": f"{MARK}\n", "message": MARK}}).encode()),
        Reply(422, json.dumps({"error": {"code": [MARK], "requestId": {MARK: 1}}}).encode()),
        Reply(503, f"<html>{MARK}".encode(), {"Retry-After": MARK, "Server": MARK}),
        Reply(200, f'{{"results": "{MARK}"}}'.encode()),
        Reply(200, MARK.encode(), {"Content-Encoding": "gzip"}),
        Reply(200, f'{{"result": {{"eventId": "{MARK}", "error": ["{MARK}"]}}}}'.encode()),
        Reply(429, MARK.encode(), {"Retry-After": "86400"}),
    ],
    ids=lambda reply: f"{reply.status}-{len(reply.body)}",
)
@pytest.mark.parametrize("count", [1, 5])
def test_no_odd_answer_is_told(bench: Bench, told: Callable[[], str], reply: Reply, count: int) -> None:
    """Of a redirect the host is told, of an error its code and ``requestId`` if they look like ones, else nothing."""

    def answer(_: Received) -> Reply:
        return reply

    said = ""
    with HttpServer(answer) as server:
        bench.url, bench.api_id, bench.api_secret = server.url, API_ID, API_SECRET
        try:
            said = json.dumps(bench.submit([marked("conversation", at) for at in range(1, count + 1)]))
        except AsappError as error:
            said = of(error)
    assert_secret(told() + said)


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(
    "fault", [None, Fault(status=401), Fault(status=503), Fault(item_error=f"FAIL_BAD_PARAMS: {MARK}")]
)
def test_no_hook_tells_a_secret(
    simulators: dict[bool, Simulator],
    connect: Callable[..., None],
    told: Callable[[], str],
    tmp_path: Any,
    fault: Fault | None,
) -> None:
    """The same through an Airflow connection, where Airflow's own loggers listen too."""
    asapp = simulators[False]
    asapp.reset()
    asapp.misbehave(*[fault] if fault else [])
    connect("marked", conn_type="asapp", host=asapp.url, login=API_ID, password=API_SECRET)
    records = [marked("customer", at) for at in range(1, 30)]
    records[20]["status"] = f"{MARK} {MARK}"
    try:
        said = str(AsappHook("marked").submit(records, entity="customer", rejects_path=f"file://{tmp_path}"))
    except AsappError as error:
        said = of(error)
    assert_secret(told() + said)
