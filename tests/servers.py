"""Real servers on free ports of this machine, which answer as told and keep what they received."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from types import TracebackType
from typing import Any, Self

import requests


@dataclass(frozen=True)
class Received:
    """A request as it arrived; `peer` tells connections apart."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: Any


@dataclass(frozen=True)
class Reply:
    """What a server answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    # With the default of 5 some of many clients that come together would wait a second.
    request_queue_size = 128


class HttpServer:
    """Keeps connections alive; `answer` is asked for each request.

    :param answer: what to answer.
    :param tls: to speak TLS.
    """

    def __init__(self, answer: Callable[[Received], Reply], tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self._open = 0
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self._handler(answer))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, change: int) -> None:
        """Note that a connection was opened or closed."""
        with self._changed:
            self._open += change
            self._changed.notify_all()

    def sees_all_closed(self) -> bool:
        """Tell whether the clients close every connection, now or within a moment."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout=2)

    def _handler(self, answer: Callable[[Received], Reply]) -> type[BaseHTTPRequestHandler]:
        received, count = self.received, self.count

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5
            disable_nagle_algorithm = True

            def setup(self) -> None:
                count(1)
                super().setup()

            def finish(self) -> None:
                super().finish()
                count(-1)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body, self.client_address)
                received.append(request)
                reply = answer(request)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if reply.status == 204 else reply.body)

            do_GET = do_CONNECT = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class RawServer:
    """Reads each request and then sends these very bytes; None keeps silent until the client goes.

    :param raw: what to send.
    """

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._talk, args=(connection,)))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            connection.settimeout(5)
            lines = list(takewhile(lambda line: line != b"\r\n", file))
            # Unread, the body would turn the end of the connection into a reset.
            file.read(next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0))
            if self.raw is None:
                connection.recv(65536)
            else:
                connection.sendall(self.raw)


def retelling(url: str, change: Callable[[Reply], Reply]) -> HttpServer:
    """Return a server that passes each request on, and the answer back as changed.

    :param url: where to pass it on.
    """

    def answer(request: Received) -> Reply:
        told = requests.request(
            request.method, url + request.path, data=request.body, headers=dict(request.headers), timeout=10
        )
        return change(Reply(told.status_code, told.content))

    return HttpServer(answer)
