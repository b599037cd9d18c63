"""An ASAPP that does nothing but answer: it takes every item, as fast as one core can, and counts.

A process of its own: `python -m benchmarks.sink`. It speaks just enough HTTP/1.1 for clients that keep a connection
and send a `Content-Length`, has a thread for each connection, and finds event ids without reading the JSON. So it is
not what a benchmark measures.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from typing import NamedTuple, NoReturn

from benchmarks.machine import REPOSITORY

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
EVENT_ID = re.compile(rb'"eventId": ?"([^"]*)"')
# Each item has it, and no value of ours holds it.
ITEM = b'"externalConversationId"'
# As large as a batch: then its sender is not woken for each piece that is read.
RECEIVE_BUFFER = 4 << 20


class Counts(NamedTuple):
    """What has arrived.

    :param items: taken, so without those of a refused request.
    :param first: when the first request arrived, by the clock that all processes share; 0 before.
    :param last: the same of the last one.
    """

    requests: int = 0
    items: int = 0
    first: float = 0.0
    last: float = 0.0


class Request(NamedTuple):
    """One request, read to its end.

    :param arrived: when its first bytes came.
    :param read: when its last ones did.
    """

    path: bytes
    body: bytes
    arrived: float
    read: float


class Sink:
    """Answers, and counts.

    :param latency: seconds from a request's end to its answer, what the sink does for it included; requests on other
        connections go on meanwhile.
    :param refuse_after: once so many items were taken, one request gets a 401; the later ones are taken again.
    """

    def __init__(self, *, latency: float = 0.0, refuse_after: int | None = None) -> None:
        self.counts = Counts()
        self._latency = latency
        self._refuse_after = refuse_after
        self._lock = threading.Lock()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> NoReturn:
        """Take connections for ever."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(ConnectionError):
            for request in requests_of(connection):
                status, body = self._answer(request)
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    def _answer(self, request: Request) -> tuple[str, bytes]:
        if request.path == b"/counts":
            return "200 OK", json.dumps(self.counts).encode()
        items = request.body.count(ITEM)
        if not self._takes(request, items):
            return "401 Unauthorized", b'{"error":{"requestId":"sink","message":"as asked","code":"401-01"}}'
        answer = answer_of(request, items)
        if self._latency:
            time.sleep(max(0.0, request.read + self._latency - time.monotonic()))
        return "200 OK", answer

    def _takes(self, request: Request, items: int) -> bool:
        with self._lock:
            before = self.counts
            refused = self._refuse_after is not None and before.items >= self._refuse_after
            if refused:
                self._refuse_after = None
            self.counts = Counts(
                requests=before.requests + 1,
                items=before.items + (0 if refused else items),
                first=before.first or request.arrived,
                last=request.arrived,
            )
        return not refused


def requests_of(connection: socket.socket) -> Iterator[Request]:
    """Yield the requests of a connection until the client closes it."""
    buffer = bytearray(RECEIVE_BUFFER)
    while head := connection.recv(65536):
        arrived = time.monotonic()
        while HEAD_END not in head:
            head += connection.recv(65536)
        head, _, begun = head.partition(HEAD_END)
        found = LENGTH.search(head)
        length = int(found[1]) if found else 0
        if length > len(buffer):
            buffer = bytearray(length)
        body = _body(connection, memoryview(buffer)[:length], begun)
        yield Request(head.split(b" ", 2)[1], body, arrived, time.monotonic())


def _body(connection: socket.socket, room: memoryview, begun: bytes) -> bytes:
    room[: len(begun)] = begun
    at = len(begun)
    while at < len(room):
        got = connection.recv_into(room[at:], len(room) - at, socket.MSG_WAITALL)
        if not got:
            raise ConnectionResetError
        at += got
    return bytes(room)


def answer_of(request: Request, items: int) -> bytes:
    """Return ASAPP's answer that takes every item, under the ids that came or, where none did, under made ones."""
    ids = EVENT_ID.findall(request.body)
    if len(ids) != items:
        ids = [b"%032x" % number for number in range(items)]
    if b"/single-" in request.path:
        return b'{"result":{"eventId":"%b","error":""}}' % ids[0]
    results = b'","error":""},{"eventId":"'.join(ids)
    return b'{"errorCount":0,"results":[{"eventId":"%b","error":""}]}' % results


class RunningSink(NamedTuple):
    """A sink in a process of its own."""

    url: str

    def counts(self) -> Counts:
        """Return what has arrived there."""
        return counts_at(self.url)


def counts_at(url: str) -> Counts:
    """Return what has arrived at the sink of a URL."""
    with closing(HTTPConnection(url.partition("//")[2], timeout=10)) as connection:
        connection.request("GET", "/counts")
        return Counts(*json.load(connection.getresponse()))


@contextmanager
def running(*, latency: float = 0.0, refuse_after: int | None = None) -> Iterator[RunningSink]:
    """Run a sink in a process of its own.

    :param latency: see :class:`Sink`.
    :param refuse_after: see :class:`Sink`.
    """
    command = [sys.executable, "-m", "benchmarks.sink", "--latency", str(latency)]
    command += [] if refuse_after is None else ["--refuse-after", str(refuse_after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout
        try:
            yield RunningSink(process.stdout.readline().strip())
        finally:
            process.terminate()


def main() -> None:
    """Serve until somebody ends the process; the first line says where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--refuse-after", type=int)
    given = parser.parse_args()
    sink = Sink(latency=given.latency, refuse_after=given.refuse_after)
    print(sink.url, flush=True)
    sink.serve()


if __name__ == "__main__":
    main()
