"""Whatever a source holds and whatever ASAPP answers: no other error than ours, no hang, no record without an outcome.

With plain random numbers, since it is their number that counts; a seed that fails stands in the name of the test.
"""

from __future__ import annotations

import gzip
import json
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.errors import AsappError, AsappTooManyRejected
from airflow_provider_asapp.pages import pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rehearsal import rehearse
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.simulator.contract import CONTRACT, RULES, Entity
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.transport import Answer, Trouble
from airflow_provider_asapp.validation import Item, Validator
from tests.bench import MemoryStore, assert_sum, conversations
from tests.clocks import FakeClock
from tests.loom import MemoryFolder
from tests.servers import HttpServer, RawServer, Received, Reply

PROVIDED = string.ascii_letters + string.digits + "-_"

# --- records

JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**53, 2**63, 10**400, -(10**5000), 0.0, -0.0, 1.5, 1e300, 12.0, 1038.0),
    *(float("nan"), float("inf"), float("-inf"), complex(1, 2), Fraction(1, 3), Fraction(4, 2)),
    *(Decimal("1.10"), Decimal(12), Decimal("NaN"), Decimal("sNaN"), Decimal("1E+1000000"), Decimal("-Infinity")),
    *("", " ", "a b", "New York", "a\n", "\n", "é", "\u0661", "\ud800", "\x00", "😀" * 300, "x" * 257, "x" * 5000),
    *("null", "[", "[[", "[" * 5000, "{" * 5000, '{"a": NaN}', '"\\ud800"', '["a", null]', '{"a": 1}', "[1, 2.5, []]"),
    *("ios", "Mac OS", "mac-os", "WEB ", "12.0", "1e3", "١٢", "0x10", "1_000", "+49 30 1234", "a@b", "@", "a@b\n"),
    *("2022-02-30T00:00:00Z", "2022-07-08", "2022-07-08T00:00:00", "2022-07-08T24:00:00Z", "9999-12-31T23:59:59-23:59"),
    *("0000-01-01T00:00:00Z", "2022-07-08T11:15:53.237517000Z", "2022-07-08t11:15:53z", "20220708T111553Z"),
    *(b"bytes", bytearray(b"x"), memoryview(b"x"), object(), type, len, Ellipsis, NotImplemented, range(3), iter(())),
    *([], {}, (), set(), frozenset("a"), [None], [[]], [{}], [[[[]]]], {"name": None}, {"name": "a", "value": "b"}),
    *([{"name": "a", "value": "b"}] * 1, [{"name": "a", "value": "b"}] * 11, [{"name": "a" * 257}], [{"x": 1}]),
    *({None: 1}, {1: 2}, {"": ""}, {"a": {"b": {"c": []}}}, {"a": float("nan")}, {"a": b"x"}, {"a": "\ud800"}),
    *(["en-us", "de"], ["en us"], ["a", 1, None, 2.5, UUID(int=0)], "en-us", "en-us,de", [b"x"], {"en": "us"}),
    *(UUID(int=7), date.min, date.max, datetime.min, datetime.max, timedelta(1), datetime(2022, 7, 8, 11, 15, 53)),
    *(datetime(2022, 7, 8, tzinfo=UTC), datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), UTC),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14), "odd")),
]
STRANGE_KEYS: list[Any] = [
    "",
    " ",
    "campain",
    "externlConversationId",
    "\ud800",
    "x" * 9999,
    None,
    1,
    (1, 2),
    b"k",
    1.5,
    True,
]
NO_RECORDS: list[Any] = [None, 0, "text", b"x", [], [["a", 1]], (), object(), set(), {}, {"a": 1}.items(), 1.5]


def good(dice: Random, rule: dict[str, Any]) -> Any:
    """Write a value that the contract allows."""
    if "enum" in rule:
        return dice.choice(rule["enum"])
    if "array" in rule["type"]:
        return [good(dice, rule["items"]) for _ in range(dice.randrange(4))]
    if "properties" in rule:
        return {name: good(dice, part) for name, part in rule["properties"].items()}
    if "integer" in rule["type"]:
        return dice.randrange(-(10**6), 10**6)
    if rule.get("format") == "date-time":
        return f"{datetime.fromtimestamp(dice.randrange(2**32), UTC):%Y-%m-%dT%H:%M:%SZ}"
    if "@[" in rule.get("pattern", ""):
        return f"u{dice.randrange(10**6)}@example.com"
    letters = "0123456789" if "[0-9" in rule.get("pattern", "")[:6] else PROVIDED
    return "".join(dice.choices(letters, k=dice.randrange(1, min(rule.get("maxLength", 20), 20) + 1)))


def record(dice: Random, entity: Entity) -> Any:
    """Write a record: good, with a few odd values or keys, or none at all."""
    if dice.random() < 0.01:
        return dice.choice(NO_RECORDS)
    definition = CONTRACT["$defs"][entity]
    rules = definition["properties"]
    names = dice.sample(list(rules), k=dice.randrange(4)) + definition["required"]
    made: dict[Any, Any] = {name: good(dice, rules[name]) for name in names}
    kind = dice.random()
    if kind < 0.5:
        return made
    for name in dice.choices(list(rules), k=dice.randrange(1, 3)):
        value = dice.choice(JUNK)
        made[name] = value if dice.random() < 0.9 else [value, dice.choice(JUNK)]
    if kind > 0.95:
        made[dice.choice(STRANGE_KEYS)] = dice.choice(JUNK)
    if kind > 0.9:
        spell = dice.choice([str.upper, str.lower, lambda name: name.replace("Id", "_id")])
        return {spell(name) if isinstance(name, str) else name: value for name, value in made.items()}
    return made


@pytest.mark.parametrize("unknown", ["raise", "exclude", "attributes"])
@pytest.mark.parametrize("entity", ["conversation", "agent", "customer"])
def test_100_000_random_records(entity: Entity, unknown: Any) -> None:
    """Each is valid or rejected with its reasons, which can be written; what is valid is so by the contract too."""
    dice = Random(f"{entity} {unknown}")
    count = 11_112
    definition = CONTRACT["$defs"][entity]
    first = dict.fromkeys(definition["required"], "a")
    records = [first, *(record(dice, entity) for _ in range(count - 1))]
    folder = MemoryFolder()
    validator = Validator(entity, unknown=unknown)
    report = rehearse(
        lambda: pages_of(records),
        validator=validator,
        options=Options(max_rejected=None),
        rejects=RejectsFolder(folder),
    )
    assert report["read"] == count == report["valid"] + report["invalid"]
    assert min(report["valid"], report["invalid"]) > count / 10
    rejects = folder.rejected()
    assert len(rejects) == report["invalid"]
    assert all(reject["errors"] for reject in rejects.values())
    for at in dice.sample(range(count), k=300):
        for checked in validator.check(next(pages_of([records[at]])), at + 1):
            assert isinstance(checked, Item) == (at + 1 not in rejects)
            if isinstance(checked, Item):
                assert RULES[entity].complaint(json.loads(checked.body)) == ""


# --- answers

WORDS: list[Any] = [
    *(
        "",
        None,
        " ",
        "FAIL_BAD_PARAMS: no",
        "FAIL_BAD_PARAMS",
        "FAIL_TIMEOUT: try later",
        "nonsense",
        "\ud800",
        0,
        [],
        {},
    ),
    *(1.5, True, False, "x" * 10_000),
]
# Those that end a try at once are rare, or the others would hardly ever be seen.
STATUSES = [
    *[200] * 60,
    *[400, 409, 413, 422, 429, 500, 503] * 4,
    201,
    204,
    206,
    301,
    302,
    304,
    401,
    403,
    404,
    418,
    599,
]


def documented(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a well-behaved ASAPP answers."""
    return {"errorCount": 0, "results": [{"eventId": item["eventId"], "error": ""} for item in items]}


def bent(dice: Random, items: list[dict[str, Any]]) -> Any:
    """Return a documented answer with a few things wrong."""
    value = documented(items)
    results: list[Any] = value["results"]
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(results)) if results else 0
        match dice.randrange(9):
            case 0 if results:
                results[at] = dice.choice([None, 1, "x", [], {}, {"error": ""}, {"eventId": "foreign", "error": ""}])
            case 1 if results and isinstance(results[at], dict):
                results[at]["error"] = dice.choice(WORDS)
            case 2 if results and isinstance(results[at], dict):
                results[at]["eventId"] = dice.choice([None, 1, "", "foreign", items[0]["eventId"]])
            case 3 if results:
                del results[at]
            case 4:
                results.append({"eventId": "foreign", "error": dice.choice(WORDS)})
            case 5:
                dice.shuffle(results)
            case 6:
                value["errorCount"] = dice.choice([1, -1, "0", None, True, 0.0, 10**30, [], len(results)])
            case 7:
                value.pop(dice.choice(["errorCount", "results"]), None)
                return value
            case _:
                errors = sum(isinstance(one, dict) and bool(one.get("error")) for one in results)
                value["errorCount"] = errors
    return value


def body(dice: Random, request: bytes) -> bytes:
    """Write the body of an answer: documented, bent, an envelope, other JSON, or any bytes."""
    sent = json.loads(request)
    items = sent.get("items", [sent])
    kind = dice.random()
    if kind < 0.7:
        value = documented(items) if kind < 0.3 else bent(dice, items)
        if "items" not in sent and dice.random() < 0.9:
            results = value.get("results") or [None]
            value = {"result": results[0]}
    elif kind < 0.8:
        value = {"error": dice.choice([None, {}, [], {"requestId": dice.choice(WORDS), "code": dice.choice(WORDS)}])}
    elif kind < 0.9:
        value = dice.choice([None, 1, "x", [], {}, [[]], {"results": {}}, {"result": []}, 10**400])
    else:
        return dice.choice(
            [b"", b"[" * 10_000, b"\xff\xfe", b"NaN", b'{"results":', dice.randbytes(dice.randrange(50))]
        )
    encoded = json.dumps(value).encode()
    return encoded if dice.random() < 0.97 else encoded[: dice.randrange(len(encoded))]


def well(request: bytes) -> bytes:
    """Write the documented answer."""
    sent = json.loads(request)
    value = documented(sent.get("items", [sent]))
    return json.dumps(value if "items" in sent else {"result": value["results"][0]}).encode()


Exchange = Callable[[bytes], Answer]


class Stub:
    """Takes the place of the transport where HTTP itself is not the point; counts what it answered."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange_one = exchange
        self.answered = 0

    def exchange(self, method: str, path: str, body: bytes, **_: Any) -> Answer:
        self.answered += 1
        return self.exchange_one(body)

    def close(self) -> None:
        """Have nothing to close."""

    abort = close


def deliver(client: AsappClient, store: MemoryStore, folder: MemoryFolder, count: int, window: int) -> None:
    """Submit some records, and hold the sum."""
    report = submit(
        lambda: pages_of(conversations(count, bad=(3,))),
        client=client,
        validator=Validator("conversation"),
        options=Options(batch_size=5, max_in_flight=window, max_rejected=None),
        rejects=RejectsFolder(folder),
        store=store,
    )
    assert_sum(report, count)
    assert len(folder.rejected()) == report["invalid"] + report["refused"]


def survive(dice: Random, odd: AsappClient, sane: AsappClient) -> None:
    """Submit to an ASAPP that answers anything; where that ends in an error of ours, again to one that is well."""
    store, folder = MemoryStore(), MemoryFolder()
    count, window = dice.randrange(1, 60), dice.choice([1, 1, 3])
    try:
        deliver(odd, store, folder, count, window)
    except AsappTooManyRejected:
        return
    except AsappError:
        deliver(sane, store, folder, count, window)
        assert sane.requests <= 12
    # Four asks for each item and batch, each of them four times more: far more than it ever takes.
    assert odd.requests < 1000


def new_client(url: str = "http://127.0.0.1:1") -> AsappClient:
    """Return a client without waits."""
    return AsappClient("demo-api-id", "demo-api-secret", base_url=url, clock=FakeClock(), timeout=5)


def stubbed(exchange: Exchange) -> tuple[AsappClient, Stub]:
    """Return a client that answers itself, and what counts its answers."""
    client = new_client()
    client._transport.close()
    client._transport = stub = Stub(exchange)  # type: ignore[assignment]
    return client, stub


@pytest.mark.parametrize("seed", range(4))
def test_10_000_random_answers(seed: int) -> None:
    """Through the real client and a stub for the transport: the sum holds, at once or with the next try."""
    dice = Random(seed)

    def anything(request: bytes) -> Answer:
        if dice.random() < 0.03:
            raise Trouble("the connection broke", unread=dice.random() < 0.5)
        retry_after = dice.choice([None, None, None, 0.0, 1.0, 60.0, 61.0, 7200.0])
        location = dice.choice(["", "https://elsewhere.example/x", "http://[", "/x", "\x00"])
        return Answer(dice.choice(STATUSES), body(dice, request), retry_after, location)

    answered = 0
    while answered < 2500:
        odd, stub = stubbed(anything)
        survive(dice, odd, stubbed(lambda request: Answer(200, well(request), None, ""))[0])
        answered += stub.answered


def test_random_answers_over_http() -> None:
    """The same over a real server, with headers of any kind."""
    dice = Random("http")

    def headers(content: bytes) -> Iterator[tuple[str, str]]:
        if dice.random() < 0.2:
            yield (
                "Retry-After",
                dice.choice(["0", "1", "-1", "x", "9" * 400, "Wed, 04 Mar 2026 12:00:07 GMT", "\xb2"]),
            )
        if dice.random() < 0.1:
            yield "Content-Encoding", dice.choice(["gzip", "deflate", "br", "zstd", "nonsense"])
        if dice.random() < 0.1:
            yield "Location", dice.choice(["http://[", "//", "http://127.0.0.1:1/x", "x" * 5000, "%ff"])
        if dice.random() < 0.03:
            yield "Content-Length", str(max(0, len(content) - dice.randrange(9)))
        yield "Content-Type", dice.choice(["application/json", "text/html", "", "application/json; charset=nonsense"])

    def answer(request: Received) -> Reply:
        content = body(dice, request.body)
        if dice.random() < 0.05:
            content = gzip.compress(content)
        status = dice.choice([status for status in STATUSES if status not in (204, 304)])
        return Reply(status, content, dict(headers(content)))

    with HttpServer(answer) as odd, HttpServer(lambda request: Reply(200, well(request.body))) as sane:
        while len(odd.received) < 1000:
            with new_client(odd.url) as first, new_client(sane.url) as second:
                survive(dice, first, second)


def test_random_bytes_instead_of_http() -> None:
    """What is no HTTP, or only its beginning, is trouble at their side."""
    dice = Random("raw")
    parts = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 ",
        b"200",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"{}",
        b"\xff",
    ]
    parts += [
        b"Transfer-Encoding: chunked\r\n",
        b"5\r\n",
        b"0\r\n\r\n",
        b"HTTP/9.9 999 x\r\n",
        b"X" * 70_000,
        b":",
        b"\x00",
    ]
    with RawServer(b"") as server:
        for _ in range(150):
            server.raw = b"".join(dice.choices(parts, k=dice.randrange(6)))
            with new_client(server.url) as client, pytest.raises(AsappError):
                deliver(client, MemoryStore(), MemoryFolder(), 5, 1)
