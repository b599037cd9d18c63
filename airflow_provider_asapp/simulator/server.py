"""HTTP in front of the simulator.

From the standard library, because Airflow 2.11 and 3.x share no web framework, and because an answer that is cut in
its middle needs the socket.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

from .service import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from .answers import Answer

# ASAPP publishes no size for 413; this one only guards the memory.
LONGEST_BODY: Final = 64 * 1024 * 1024
_CHUNK: Final = 64 * 1024


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can close them: kept alive, they would outlive it."""

    # A client may open a whole window of connections at once; with the default of 5 some would wait a second.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[Call], Answer], max_body_bytes: int) -> None:
        self.answer = answer
        self.max_body_bytes = max_body_bytes
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self._listener = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="asapp-simulator", daemon=True
        )

    def server_bind(self) -> None:
        """Skip the parent's, which looks up the host's name: where there is no DNS that takes seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._listener.start()

    def stop(self) -> None:
        """Close the door and every connection; no thread is left."""
        self.shutdown()
        self._listener.join()
        with self._lock:
            connections = list(self._open.items())
        for connection, _ in connections:
            with contextlib.suppress(OSError):  # its own thread may have closed it by now
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join()
        self.server_close()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Start the thread as the parent does, but remember it."""
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="asapp-simulator-connection",
            daemon=True,
        )
        with self._lock:
            self._open[request] = thread
        thread.start()

    def close_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget the connection that its thread is done with."""
        super().close_request(request)
        with self._lock:
            self._open.pop(request, None)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Say nothing of clients that hang up, which is their right; anything else is a mistake of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Read the request whole, whatever becomes of it: on a kept-alive connection the next one follows."""
        size, unread = self._size()
        body = b"" if unread else self.rfile.read(size)
        if unread is None and len(body) < size:
            self.close_connection = True  # the client hung up in the middle
            return
        path, _, query = self.path.partition("?")
        call = Call(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            size=size,
            unread=unread,
        )
        self._send(self.server.answer(call))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

    def _size(self) -> tuple[int, int | None]:
        """Give the length of the body, and a status if it is not there to be read."""
        given = self.headers.get("Content-Length", "0" if self.command in ("GET", "HEAD") else "")
        if "Transfer-Encoding" in self.headers or not (given.isascii() and given.isdecimal() and len(given) < 16):
            self.close_connection = True  # no telling where the next request begins
            return 0, 411
        size = int(given)
        if size > self.server.max_body_bytes:
            self._discard(size)
            return size, 413
        return size, None

    def _discard(self, size: int) -> None:
        """Take the body without keeping it: a client that is still sending would not read the answer."""
        if size > LONGEST_BODY:
            self.close_connection = True
            return
        while size > 0 and (chunk := self.rfile.read(min(size, _CHUNK))):
            size -= len(chunk)

    def _send(self, answer: Answer) -> None:
        if answer.ending != "whole":
            self.close_connection = True
        if answer.ending == "none":
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if answer.ending == "whole" else answer.body[: len(answer.body) // 2])

    def version_string(self) -> str:
        """Tell the simulator from ASAPP in a trace."""
        return "asapp-simulator"

    def log_message(self, *_: object) -> None:
        """The simulator has a log of its own, which knows about items."""
