"""Carries one HTTP exchange: connections, keys and time limits, and what a failure of ``requests`` means.

Each thread has a ``requests.Session`` of its own, since a Session is not made for sharing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_asapp.errors import AsappConfigurationError, AsappError
from airflow_provider_asapp.pacing import retry_after

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_CONNECT = 10.0
# ASCII, and without a dot at the end: one name has one form, so that what is checked is what is connected to.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")


class Answer(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    body: bytes
    retry_after: float | None
    location: str


class Trouble(Exception):
    """A request that got no usable answer, and may be asked again.

    :param unread: it may have been carried out all the same, since no answer could be read.
    """

    def __init__(self, reason: str, *, unread: bool, wait: float | None = None, **details: str | int | None):
        super().__init__(reason)
        self.unread = unread
        self.wait = wait
        self.details = details


class AsappAuth(AuthBase):
    """Puts the two keys on a request; being an auth object, it also keeps ``.netrc`` out of the matter."""

    def __init__(self, api_id: str, api_secret: str) -> None:
        for name, value in (("API Id (login)", api_id), ("API Secret (password)", api_secret)):
            if not value:
                raise AsappConfigurationError(f"The ASAPP connection has no {name}.")
            if not (value.isascii() and value.isprintable()) or value != value.strip():
                raise AsappConfigurationError(
                    f"The {name} holds white space or a character that no HTTP header can carry: copy it again."
                )
        self._headers = {"asapp-api-id": api_id, "asapp-api-secret": api_secret}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with the keys on it."""
        request.headers.update(self._headers)
        return request


def check_url(url: str, *, allow_plain_http: bool = False) -> str:
    """Return scheme, host and port, in small letters, if keys may be sent there.

    :param allow_plain_http: also take plain HTTP to a host that is not this machine, never to ``*.asapp.com``.
    :raises AsappConfigurationError: another scheme, a path, or credentials in the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AsappConfigurationError("The ASAPP host is not a valid domain or URL.") from None
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path.strip("/") or not _is_host(host):
        raise AsappConfigurationError(
            "The ASAPP host must be a domain such as api.asapp.com, without path, query or credentials."
        )
    if parts.scheme == "http" and not plain_http_allowed(host, allow_plain_http):
        raise AsappConfigurationError(
            f"Plain HTTP to {host} would show the API Secret to the network: use https://{host}. "
            "(For a simulator in another container set the extra allow_plain_http.)"
        )
    if parts.scheme not in {"http", "https"}:
        raise AsappConfigurationError(f"The ASAPP host has the scheme {parts.scheme!r}: only https is possible.")
    # Put together anew: another parser might see another host in what was given.
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"


def _is_host(host: str) -> bool:
    try:
        return bool(_DOMAIN.match(host)) or ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False


def plain_http_allowed(host: str, allow_plain_http: bool) -> bool:
    """Tell whether plain HTTP may go there: to this machine; elsewhere if allowed, but never to ASAPP."""
    is_asapp = host == "asapp.com" or host.endswith(".asapp.com")
    return host in LOOPBACK or (allow_plain_http and not is_asapp)


def is_plain_loopback(url: str) -> bool:
    """Tell whether a URL is plain HTTP to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def check_bundle(path: str) -> str:
    """Return the path if certificates can be read from there.

    :param path: a file in PEM format, or a folder as OpenSSL makes it.
    :raises AsappConfigurationError: they can't.
    """
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise AsappConfigurationError(
            f"The extra ca_bundle is {path}: there is no file of certificates in PEM format that can be read."
        ) from None
    return path


class Connections:
    """The connections of all threads, so that one thread can break them."""

    def __init__(self) -> None:
        self._known: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()

    def add(self, connection: Any) -> None:
        """Note a connection that was opened, for as long as it is used."""
        with self._lock:
            self._known.add(connection)

    def abort(self) -> None:
        """Break every connection that is open."""
        # Another thread may open one just now, which no walk through a set bears.
        with self._lock:
            connections = list(self._known)
        for connection in connections:
            # Its own thread may close it just now.
            opened = connection.sock
            if opened is not None:
                # Closing it would not wake a thread that reads from it. And shut from below: the TLS above belongs to
                # that thread, and TLS through a proxy that speaks TLS has no way to be shut.
                with suppress(OSError), socket.fromfd(opened.fileno(), socket.AF_INET, socket.SOCK_STREAM) as below:
                    below.shutdown(socket.SHUT_RDWR)


class NotingAdapter(HTTPAdapter):
    """Notes each connection that it opens, since ``requests`` has no way to end a request from another thread.

    :param connections: where to.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool for a request, with connections that are noted."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not hasattr(pool.ConnectionCls, "noted"):
            pool.ConnectionCls = _noting(pool.ConnectionCls, self._connections)
        return pool


def _noting(connection_class: Any, connections: Connections) -> Any:
    class Noted(connection_class):  # type: ignore[misc]
        noted = True

        def connect(self) -> None:
            super().connect()
            connections.add(self)

    return Noted


class Session(requests.Session):
    """Never looks at a redirect; ``requests`` does so even if it is not to follow, and trips over a malformed one."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is none."""


class Transport:
    """Sends requests to one domain, with the two keys, from any number of threads.

    :param base_url: scheme and domain, as :func:`check_url` returns it.
    :param auth: puts the keys on each request.
    :param timeout: seconds for each read of an answer; a connection gets at most 10 of them.
    :param verify: path of a file of certificates to trust, or True for the public ones.
    """

    def __init__(self, base_url: str, auth: AsappAuth, *, timeout: float, verify: str | bool) -> None:
        self.base_url = base_url
        self.domain = urlsplit(base_url).netloc
        self._auth = auth
        self._timeout = timeout
        self._verify = verify
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()
        self._connections = Connections()

    def close(self) -> None:
        """Close every connection of every thread."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def abort(self) -> None:
        """Break every connection, so that no thread goes on waiting for an answer."""
        self._connections.abort()

    def exchange(
        self, method: str, path: str, body: bytes | None, *, now: datetime, timeout: float | None = None
    ) -> Answer:
        """Send one request and read the answer to its end. Redirects are not followed: the keys would go along.

        :param now: the moment from which a ``Retry-After`` that is a date is counted.
        :param timeout: other seconds than the transport's.
        :raises Trouble: no answer could be read; the request may be asked again.
        :raises AsappConfigurationError: no request can be made this way.
        """
        seconds = timeout or self._timeout
        try:
            response = self._session().request(
                method,
                self.base_url + path,
                data=body,
                timeout=(min(seconds, LONGEST_CONNECT), seconds),
                verify=self._verify,
                allow_redirects=False,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The last two are what requests lets through, of a proxy's address or of a ca_bundle that is gone.
            raise self._meaning(error, seconds) from None
        asked = retry_after(response.headers.get("Retry-After"), now)
        return Answer(response.status_code, response.content, asked, response.headers.get("Location", ""))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session()
            session.auth = self._auth
            # A proxy for this machine would get the keys in plain text, and could not reach what we mean.
            session.trust_env = not is_plain_loopback(self.base_url)
            for scheme in ("https://", "http://"):
                session.mount(scheme, NotingAdapter(self._connections))
            session.headers["Content-Type"] = "application/json"
            with self._lock:
                self._sessions.append(session)
        return session

    def _meaning(self, error: Exception, seconds: float) -> Trouble | AsappError:
        """Return what a failure means. Its own text is left out: it can quote headers and proxies."""
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return AsappConfigurationError(
                f"The certificate of {self.domain} is not trusted: name your own authority in the extra ca_bundle."
            )
        if isinstance(error, requests.exceptions.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
            return AsappConfigurationError(
                f"{self.domain} does not speak HTTPS. For a simulator on this machine write its host with http://."
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return Trouble("the proxy named in the environment can't be reached or refuses", unread=False)
        if isinstance(error, requests.ConnectTimeout):
            return Trouble(f"no connection within {min(seconds, LONGEST_CONNECT):g} s", unread=False)
        if isinstance(error, requests.Timeout):
            return Trouble(f"no answer within {seconds:g} s", unread=True)
        if isinstance(error, requests.ConnectionError) and "NameResolutionError" in str(error):
            return Trouble("its name can't be resolved. Is the host right?", unread=False)
        if isinstance(error, requests.ConnectionError) and "refused" in str(error):
            return Trouble("it refuses connections. Is the host right, and the service up?", unread=False)
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return Trouble("the connection broke", unread=True)
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return Trouble("its answer can't be decoded", unread=True)
        return AsappConfigurationError(f"No request can be made to {self.domain}: {type(error).__name__}.")
