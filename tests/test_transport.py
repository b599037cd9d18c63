"""Promises of one exchange: keys only where they belong, time limits always, and failures named without a secret."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_asapp.errors import AsappConfigurationError, AsappError
from airflow_provider_asapp.transport import (
    Answer,
    AsappAuth,
    Connections,
    Transport,
    Trouble,
    check_bundle,
    check_url,
)
from tests.clocks import START
from tests.servers import HttpServer, RawServer, Received, Reply

API_ID, SECRET = "id-of-mine", "s3cret-of-mine"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies and certificates must neither help nor disturb."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle", "netrc"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def transport_to(url: str, *, timeout: float = 5.0, verify: str | bool = True) -> Iterator[Transport]:
    """Open a transport, and close it in the end."""
    transport = Transport(url, AsappAuth(API_ID, SECRET), timeout=timeout, verify=verify)
    try:
        yield transport
    finally:
        transport.close()


def exchange(transport: Transport) -> Answer:
    """Send a request."""
    return transport.exchange("POST", "/there", b"{}", now=START)


def failure(transport: Transport) -> Trouble | AsappError:
    """Return the one error that a failing exchange may raise, after a look for secrets in all that it tells."""
    with pytest.raises((Trouble, AsappError)) as failed:
        exchange(transport)
    told = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + str(failed.value.__dict__)
    assert SECRET not in told
    assert API_ID not in told
    return failed.value


def ok(_: Received) -> Reply:
    """Answer in a friendly way."""
    return Reply(200, b"hello", {"Retry-After": "5"})


# --- what goes out


def test_the_keys_and_the_type_are_on_each_request() -> None:
    """ASAPP's two headers, and JSON; the body as it was given."""
    with HttpServer(ok) as server, transport_to(server.url) as transport:
        answers = [exchange(transport) for _ in range(2)]
        answers.append(transport.exchange("GET", "/v1/health", None, now=START))
    assert answers == [Answer(200, b"hello", 5.0, "")] * 3
    assert [(request.method, request.path) for request in server.received] == [("POST", "/there")] * 2 + [
        ("GET", "/v1/health")
    ]
    for request in server.received:
        assert (request.headers["asapp-api-id"], request.headers["asapp-api-secret"]) == (API_ID, SECRET)
        assert request.headers["content-type"] == "application/json"
        assert "authorization" not in request.headers
    assert [request.body for request in server.received] == [b"{}", b"{}", b""]


@pytest.mark.parametrize("location", ["{url}/", "//other.test/x", "/login", "", "http://[bad", "\xff\xfe", "data:,"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, location: str) -> None:
    """The keys would go along, so it is an answer like any other, however odd its address."""
    with HttpServer(ok) as target:
        headers = {"Location": location.format(url=target.url)}
        with HttpServer(lambda _: Reply(status, b"", headers)) as server, transport_to(server.url) as transport:
            answer = exchange(transport)
    assert answer == Answer(status, b"", None, headers["Location"])
    assert len(server.received) == 1
    assert target.received == []


def test_a_thread_keeps_its_connection_and_shares_none() -> None:
    """Many requests of a thread use one connection; another thread has its own."""
    both = threading.Barrier(2)

    def work(_: int) -> None:
        both.wait(5)
        for _ in range(10):
            exchange(transport)

    with HttpServer(ok) as server, transport_to(server.url) as transport:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
        peers = [request.peer for request in server.received]
    assert sorted(peers.count(peer) for peer in set(peers)) == [10, 10]


def test_closing_leaves_no_connection_open() -> None:
    """Those of other threads, which may have ended, are closed too; afterwards it works again."""
    with HttpServer(ok) as server, transport_to(server.url) as transport:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: exchange(transport), range(9)))
        exchange(transport)
        transport.close()
        assert server.sees_all_closed()
        assert exchange(transport).status == 200


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy for plain HTTP to another container gets the request."""
    with HttpServer(ok) as proxy, transport_to("http://simulator.test:8080") as transport:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert exchange(transport).status == 200
    assert proxy.received[0].path == "http://simulator.test:8080/there"


def test_a_proxy_for_https_never_sees_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a tunnel; if it refuses, that is trouble which may pass, and nothing was sent."""
    with HttpServer(lambda _: Reply(403)) as proxy, transport_to("https://api.asapp.com") as transport:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:proxy-password@"))
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert not error.unread
    assert "proxy" in str(error)
    assert "proxy-password" not in str(error)
    assert [(request.method, request.path) for request in proxy.received] == [("CONNECT", "api.asapp.com:443")]
    assert not [name for name in proxy.received[0].headers if name.startswith("asapp")]


def test_this_machine_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP stays on this machine, whatever the environment says."""
    with HttpServer(ok) as proxy, HttpServer(ok) as server, transport_to(server.url) as transport:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        exchange(transport)
    assert len(server.received) == 1
    assert proxy.received == []


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return what a server of that name needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_private_authority_can_be_named(
    authority: trustme.CA, ca_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificates are accepted, and a ``.netrc`` puts no other credentials on the request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with (
        HttpServer(ok, tls(authority)) as server,
        transport_to(server.url, verify=check_bundle(ca_bundle)) as transport,
    ):
        assert exchange(transport).body == b"hello"
    assert "authorization" not in server.received[0].headers
    assert server.received[0].headers["asapp-api-secret"] == SECRET


def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    """Without its certificate named nothing is sent, and the message says where to name it."""
    with HttpServer(ok, tls(authority)) as server, transport_to(server.url) as transport:
        error = failure(transport)
    assert isinstance(error, AsappConfigurationError)
    assert "ca_bundle" in str(error)
    assert server.received == []


def test_a_certificate_of_another_name_is_refused(authority: trustme.CA, ca_bundle: str) -> None:
    """A trusted authority is not enough: the certificate must be the host's."""
    with (
        HttpServer(ok, tls(authority, "other.test")) as server,
        transport_to(server.url, verify=ca_bundle) as transport,
    ):
        assert isinstance(failure(transport), AsappConfigurationError)
    assert server.received == []


def test_https_to_a_plain_server_names_the_cause(ca_bundle: str) -> None:
    """It is never tried in plain text instead."""
    with (
        HttpServer(ok) as server,
        transport_to(server.url.replace("http", "https"), verify=ca_bundle, timeout=1) as transport,
        pytest.raises(AsappConfigurationError, match="does not speak HTTPS"),
    ):
        transport.exchange("POST", "/", b"{}", now=START)
    assert server.received == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_bundle_that_holds_no_certificates_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A wrong path is a mistake in the connection, seen before anything is sent."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AsappConfigurationError, match=r"ca_bundle is .*/ca\.pem: "):
        check_bundle(str(path))


def test_a_bundle_that_vanishes_is_a_configuration_error(authority: trustme.CA, tmp_path: Path) -> None:
    """Also if the file goes while a task runs."""
    with (
        HttpServer(ok, tls(authority)) as server,
        transport_to(server.url, verify=str(tmp_path / "gone.pem")) as transport,
    ):
        assert isinstance(failure(transport), AsappConfigurationError)


def test_a_bundle_may_be_a_folder(tmp_path: Path) -> None:
    """As OpenSSL makes it."""
    assert check_bundle(str(tmp_path)) == str(tmp_path)


# --- failures


def test_a_silent_server_is_given_up() -> None:
    """No request waits for ever: without an answer in time it may or may not have been carried out."""
    with RawServer(None) as server, transport_to(server.url, timeout=0.2) as transport:
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert error.unread
    assert str(error) == "no answer within 0.2 s"


def test_a_time_limit_of_one_request_takes_its_place() -> None:
    """The health check has its own."""
    with (
        RawServer(None) as server,
        transport_to(server.url, timeout=60) as transport,
        pytest.raises(Trouble, match=r"within 0\.1 s"),
    ):
        transport.exchange("GET", "/v1/health", None, now=START, timeout=0.1)


def test_a_connection_that_is_never_taken_is_given_up() -> None:
    """A full queue at the other end: nothing was sent, so nothing can have been carried out."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        transport = stack.enter_context(transport_to(url, timeout=0.2))
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert str(error) == "no connection within 0.2 s"
    assert not error.unread


def test_a_refused_connection_has_sent_nothing() -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with transport_to(url) as transport:
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert not error.unread
    assert "refuses connections" in str(error)


def test_an_unknown_name_has_sent_nothing() -> None:
    """The host may be misspelt, and the message asks."""
    with transport_to("https://name.invalid") as transport:
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert not error.unread
    assert "name can't be resolved" in str(error)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN = {
    "before the head": b"",
    "in the body": HEAD + b"Content-Length: 50\r\n\r\n{}",
    "in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\n{}",
    "no number as a chunk's size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "no HTTP": b"220 smtp.example.com ESMTP\r\n",
    "no gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_an_unread_one(raw: bytes) -> None:
    """The request may have been carried out, so it may be asked again, and half a body is never taken for a whole."""
    with RawServer(raw) as server, transport_to(server.url) as transport:
        error = failure(transport)
    assert isinstance(error, Trouble)
    assert error.unread


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_aborting_wakes_who_waits_for_an_answer(authority: trustme.CA, ca_bundle: str, secure: bool) -> None:
    """Another thread's request ends at once, as a broken connection does."""
    asked, over = threading.Event(), threading.Event()

    def wait(_: Received) -> Reply:
        asked.set()
        over.wait(20)
        return Reply()

    with (
        HttpServer(wait, tls(authority) if secure else None) as server,
        transport_to(server.url, timeout=30, verify=ca_bundle) as transport,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = pool.submit(failure, transport)
        assert asked.wait(5)
        transport.abort()
        error = pending.result(5)
        over.set()
    assert isinstance(error, Trouble)
    assert error.unread


def test_aborting_needs_no_more_of_a_connection_than_its_number() -> None:
    """TLS through a proxy that speaks TLS itself has no ``shutdown``, and who closed his has no number."""

    class Tunnel:
        def __init__(self, end: socket.socket) -> None:
            self.fileno = end.fileno

    class Connection:
        def __init__(self, end: socket.socket) -> None:
            self.sock = Tunnel(end)

    here, there = socket.socketpair()
    gone, other = socket.socketpair()
    gone.close()
    with here, there, other:
        opened = [Connection(gone), Connection(here)]
        connections = Connections()
        for connection in opened:
            connections.add(connection)
        connections.abort()
        there.settimeout(5)
        assert there.recv(1) == b""


def test_aborting_bears_that_others_connect_meanwhile() -> None:
    """Whoever ends all requests is not ended itself by one that just begins."""

    def talk(transport: Transport) -> None:
        for _ in range(50):
            with suppress(Trouble):
                exchange(transport)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with RawServer(b"") as server, transport_to(server.url) as transport, ThreadPoolExecutor(4) as pool:
            talking = [pool.submit(talk, transport) for _ in range(4)]
            while not all(one.done() for one in talking):
                transport.abort()
            for one in talking:
                one.result()
    finally:
        sys.setswitchinterval(before)


parts = st.sampled_from(
    [
        *(
            HEAD,
            b"HTTP/1.1 302 x\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/9.9 999 \r\n",
            b"\r\n",
            b"9\r\n",
            b"{}",
        ),
        *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: deflate\r\n", b": \xff\r\n"),
        *(b"Location: http://[x\r\n", b"Set-Cookie: ;=\xff; domain=\r\n", b"Retry-After: x\r\n"),
    ]
)


def test_whatever_a_server_sends_there_is_an_answer_or_trouble() -> None:
    """No bytes make an exchange fail in any other way."""
    with RawServer(b"") as server, transport_to(server.url, timeout=0.2) as transport:

        @settings(max_examples=150)
        @given(st.lists(parts | st.binary(max_size=9), max_size=8).map(b"".join))
        def fuzz(raw: bytes) -> None:
            server.raw = raw
            with suppress(Trouble):
                assert isinstance(exchange(transport), Answer)

        fuzz()


# --- keys and hosts


@pytest.mark.parametrize(
    ("api_id", "secret"), [("", "x"), ("x", ""), (" x", "x"), ("x", "x\n"), ("x", "é"), ("\0", "x")]
)
def test_malformed_keys_are_refused(api_id: str, secret: str) -> None:
    """A key that no header can carry was not copied right; the message names which, never its value."""
    with pytest.raises(AsappConfigurationError, match=r"API (Id|Secret) \((login|password)\)") as refused:
        AsappAuth(api_id, secret)
    assert "é" not in str(refused.value)


GOOD = {
    "https://api.asapp.com": "https://api.asapp.com",
    "https://api.asapp.com/": "https://api.asapp.com",
    "https://api.asapp.com:": "https://api.asapp.com",
    "https://api.asapp.com:8443/": "https://api.asapp.com:8443",
    "HTTPS://API.ASAPP.COM": "https://api.asapp.com",
    "https://[2001:DB8::1]:443": "https://[2001:db8::1]:443",
    "http://localhost:8080": "http://localhost:8080",
    "http://LocalHost:8080/": "http://localhost:8080",
    "http://127.0.0.1": "http://127.0.0.1",
    "http://[::1]:8080": "http://[::1]:8080",
    "http://local\thost": "http://localhost",
}


@pytest.mark.parametrize(("url", "checked"), GOOD.items(), ids=GOOD)
def test_what_is_checked_is_what_is_called(url: str, checked: str) -> None:
    """The URL comes back in one form, of the host that was looked at and nothing else; checking it again agrees."""
    assert check_url(url) == checked
    assert check_url(checked) == checked


NOT_LOCAL = [
    "http://api.asapp.com",
    "http://localhost.evil.com",
    "http://127.0.0.1.evil.com",
    "http://evil.com",
    "http://0.0.0.0",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://[::ffff:127.0.0.1]",
    "http://localhost_",
    "http://xn--lcalhost-54a",
]


@pytest.mark.parametrize("url", NOT_LOCAL)
def test_plain_http_goes_to_this_machine_only(url: str) -> None:
    """A name or number that only looks like this machine is not; the message says what to use instead."""
    with pytest.raises(AsappConfigurationError, match="use https://"):
        check_url(url)


NO_HOST = [
    "",
    "https://",
    "http://localhost@evil.com",
    "http://localhost:80@evil.com",
    "http://@evil.com",
    "http://evil.com\\@localhost",
    "http://localhost\\.evil.com",
    "http://localhost%2eevil.com",
    "http://localhost evil.com",
    "http://\uff4cocalhost",
    "http://api。asapp。com",
    "http://api.asapp.com.",
    "http://localhost.",
    "http://.localhost",
    "http://a..b",
    "http://[::1%25eth0]",
    "http://[localhost]",
    f"https://{'a' * 64}.com",
    f"https://{'a.' * 200}com",
    "https://api.asapp.com:port",
    "https://api.asapp.com:99999",
    "https://user:password@api.asapp.com",
    "https://api.asapp.com/path",
    "https://api.asapp.com?query",
    "https://api.asapp.com#fragment",
    "https://[::1",
    "api.asapp.com",
]


@pytest.mark.parametrize("url", NO_HOST)
@pytest.mark.parametrize("allow_plain_http", [False, True])
def test_anything_but_a_plain_host_is_refused(url: str, *, allow_plain_http: bool) -> None:
    """What two readers of a URL could understand differently is refused, and no password in it is shown."""
    with pytest.raises(AsappConfigurationError) as refused:
        check_url(url, allow_plain_http=allow_plain_http)
    assert "user:password" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["ftp", "file", "httpss", "ws"])
def test_another_scheme_is_refused(scheme: str) -> None:
    """HTTPS, or HTTP to this machine."""
    with pytest.raises(AsappConfigurationError, match=f"scheme '{scheme}'"):
        check_url(f"{scheme}://localhost")


def test_plain_http_elsewhere_must_be_allowed() -> None:
    """For a simulator in another container."""
    assert check_url("http://asapp_simulator:8080", allow_plain_http=True) == "http://asapp_simulator:8080"


@pytest.mark.parametrize(
    "host", ["asapp.com", "api.asapp.com", "API.ASAPP.COM", "api.sandbox.asapp.com", "api.asapp.com:80", "x.asapp.com/"]
)
def test_plain_http_to_asapp_can_not_be_allowed(host: str) -> None:
    """The real keys never go there in plain text."""
    with pytest.raises(AsappConfigurationError, match="Plain HTTP"):
        check_url(f"HTTP://{host}", allow_plain_http=True)


hosts = st.text("localhst127.0:[]@/\\#?%evi\t。\uff41", max_size=14) | st.sampled_from(
    ["localhost", "127.0.0.1", "[::1]"]
)


@settings(max_examples=500)
@given(hosts, hosts, st.sampled_from(["", ":80", "@", ".", "\\", "#", "?", "/", "%00", " "]))
def test_no_spelling_makes_another_host_this_machine(left: str, right: str, between: str) -> None:
    """Whatever passes as this machine is called by exactly one of its names."""
    try:
        checked = check_url(f"http://{left}{between}{right}")
    except AsappConfigurationError:
        return
    host = checked.removeprefix("http://")
    assert host.startswith("[::1]") or host.partition(":")[0] in {"localhost", "127.0.0.1"}
    assert not set(host) & set("@/\\#?% \t")


def test_errors_of_requests_are_named_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What requests itself can't do, as with a proxy's address that is none, is a mistake in the configuration."""
    for address in ("http://a..b:1", "nonsense://x", "http://"):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with transport_to("https://api.asapp.com", timeout=0.2) as transport:
            error: Any = failure(transport)
        assert isinstance(error, AsappConfigurationError | Trouble)
        assert address not in str(error)
