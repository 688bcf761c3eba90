"""How the transport reports what happens on the network, with real sockets on loopback."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from engine.connectors import answers, rinha
from engine.connectors.answers import MIN_RESPONSE_MS_MAX, Fee, Health, Outcome, Query, Silence
from engine.dispatch.attempt import Attempt
from engine.dispatch.transport import Transport

CHARGED = b'{"message":"payment processed successfully"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CHARGED), CHARGED)
Script = Callable[[socket.socket], None]


class Server:
    """A processor made of bytes: each connection is handled by the next of its scripts, then it stops listening."""

    def __init__(self, *scripts: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(scripts,))
        self._thread.start()

    def _serve(self, scripts: tuple[Script, ...]) -> None:
        for number, script in enumerate(scripts, 1):
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                if number == len(scripts):
                    self._listener.close()
                script(connection)

    def request(self, connection: socket.socket) -> None:
        """Reads one request with its body."""
        data = b""
        while b"\r\n\r\n" not in data or (data.startswith(b"POST") and not data.endswith(b"}")):
            chunk = connection.recv(65536)
            assert chunk, "the client closed"
            data += chunk
        self.requests.append(data)

    def join(self) -> None:
        """Waits for the last script."""
        self._thread.join(10)
        assert not self._thread.is_alive()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def _made(
    port: int, request_timeout_ms: int = 5000, token: str = "123", path: str = ""
) -> Iterator[tuple[Transport, select.epoll]]:
    """A transport to one who is both processors, and its epoll."""
    url = f"http://127.0.0.1:{port}{path}"
    with contextlib.closing(select.epoll()) as epoll:
        transport = Transport(
            (url, url),
            [rinha.connector(token)] * 2,
            connect_timeout_ms=500,
            request_timeout_ms=request_timeout_ms,
            in_flight_max=8,
            epoll=epoll,
        )
        with contextlib.closing(transport):
            yield transport, epoll


def _paying(transport: Transport, epoll: select.epoll) -> Callable[..., list[Outcome]]:
    """A function that sends ``count`` payments and returns how they ended."""

    def pay(count: int, lookup: bool = False, requested_ms: int = 1_751_718_896_789) -> list[Outcome]:
        for number in range(count):
            transport.send(Attempt(number, 0, number, 0, 0x1234 << 48, 7, 1990, requested_ms, 1, lookup, 0))
        transport.kick()
        ends: list[Outcome] = []
        deadline = time.monotonic() + 10
        while len(ends) < count:
            assert time.monotonic() < deadline
            wait_ms = transport.wait_ms()
            transport.act(epoll.poll(0.2 if wait_ms is None else min(wait_ms / 1000, 0.2)))
            ends += [end for _, end in transport.results()[0]]
        return ends

    return pay


@contextlib.contextmanager
def _transport(port: int, request_timeout_ms: int = 5000) -> Iterator[Callable[..., list[Outcome]]]:
    """What :func:`_paying` makes, of a transport of its own."""
    with _made(port, request_timeout_ms) as made:
        yield _paying(*made)


def test_a_payment_is_sent_as_the_processor_wants_it_and_connections_are_kept() -> None:
    def script(connection: socket.socket) -> None:
        for _ in range(3):
            server.request(connection)
            connection.sendall(OK)

    server = Server(script)
    with _transport(server.port) as pay:
        assert [pay(1) for _ in range(3)] == [[answers.CHARGED]] * 3
    server.join()
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /payments HTTP/1.1\r\n") and b"\r\nContent-Type: application/json" in head
    assert b"Expect" not in head
    assert body == (
        b'{"correlationId":"12340000-0000-0000-0000-000000000007","amount":19.90,'
        b'"requestedAt":"2025-07-05T12:34:56.789Z"}'
    )


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (b"HTTP/1.1 202 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CHARGED), CHARGED), answers.UNKNOWN),
        (b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(CHARGED), CHARGED), answers.FAILED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", answers.UNKNOWN),
        (b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", answers.ALREADY),
    ],
)
def test_an_answer_counts_for_itself_and_not_as_the_one_before(answer: bytes, end: Outcome) -> None:
    def script(connection: socket.socket) -> None:
        for reply in (OK, answer, OK, answer):
            server.request(connection)
            connection.sendall(reply)

    server = Server(script)
    with _transport(server.port) as pay:
        assert [pay(1) for _ in range(4)] == [[answers.CHARGED], [end], [answers.CHARGED], [end]]
    server.join()


def test_a_lookup_is_read_as_one_though_it_is_answered_like_a_payment() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK)
        # The next request comes on this connection too.
        server.request(connection)
        connection.sendall(OK)

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.CHARGED]
        assert pay(1, lookup=True) == [answers.UNKNOWN]
    server.join()


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_payments_go_to_the_processor_whatever_proxy_the_environment_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK)

    monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "elsewhere")
    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.CHARGED]
    server.join()


def test_a_base_path_stands_before_every_route() -> None:
    def script(connection: socket.socket) -> None:
        for _ in range(2):
            server.request(connection)
            connection.sendall(OK)

    server = Server(script)
    with _made(server.port, path="/base/v1") as made:
        pay = _paying(*made)
        pay(1)
        pay(1, lookup=True)
    server.join()
    assert server.requests[0].startswith(b"POST /base/v1/payments HTTP/1.1\r\n")
    assert server.requests[1].startswith(b"GET /base/v1/payments/12340000-0000-0000-0000-000000000007 HTTP/1.1\r\n")


def test_a_kept_connection_that_its_peer_closes_wakes_once_and_its_number_is_used_again() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK)

    server = Server(script, script)
    with _made(server.port) as (transport, epoll):
        pay = _paying(transport, epoll)
        assert pay(1) == [answers.CHARGED]
        closed = epoll.poll(10)
        assert len(closed) == 1
        transport.act(closed)
        # Level triggered: it would come again and again. And libcurl looks for what is dead once a second.
        assert epoll.poll(1.1) == []
        assert pay(1) == [answers.CHARGED]
        server.join()
        transport.act(epoll.poll(10))


def test_what_waits_for_one_moment_is_sent_with_the_time_of_that_moment() -> None:
    def script(connection: socket.socket) -> None:
        for _ in range(4):
            server.request(connection)
            connection.sendall(OK)

    server = Server(script)
    moments_ms = [1_751_718_896_789, 1_751_718_896_789, 1_751_718_897_002, 1_751_718_896_789]
    with _transport(server.port) as pay:
        for moment_ms in moments_ms:
            assert pay(1, requested_ms=moment_ms) == [answers.CHARGED]
    server.join()
    times = [request.rsplit(b'"', 2)[1].decode() for request in server.requests]
    assert times == [f"2025-07-05T12:34:{second}Z" for second in ("56.789", "56.789", "57.002", "56.789")]


def test_nobody_listening_is_certainly_not_charged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with _transport(port) as pay:
        assert pay(2) == [answers.FAILED] * 2


@pytest.mark.parametrize("end", [_reset, socket.socket.close])
def test_a_kept_connection_that_breaks_is_unknown_whatever_a_second_request_would_get(end: Script) -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK)
        server.request(connection)
        end(connection)

    def refuse(connection: socket.socket) -> None:
        with contextlib.suppress(AssertionError):
            server.request(connection)
            connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")

    server = Server(script, refuse)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.CHARGED]
        assert pay(1) == [answers.UNKNOWN]
        # libcurl may have connected, but it has not sent the payment behind our back.
        assert len(server.requests) == 2
        with socket.socket() as last:
            last.connect_ex(("127.0.0.1", server.port))  # lets the server end if no client came
    server.join()


@pytest.mark.parametrize("end", [_reset, socket.socket.close])
def test_a_connection_that_ends_without_an_answer_leaves_the_payment_unknown(end: Script) -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        end(connection)

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.UNKNOWN]
    server.join()


@pytest.mark.parametrize("end", [_reset, socket.socket.close])
def test_refused_after_a_kept_connection_died_with_the_request_is_unknown_too(end: Script) -> None:
    """libcurl sends a request again by itself when a kept-alive connection dies, and then reports only that the new
    connection was refused: "could not connect", although the payment had left and may be charged.
    """

    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK)
        server.request(connection)
        end(connection)

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.CHARGED]
        assert pay(1) == [answers.UNKNOWN]
    server.join()


def test_no_answer_in_time_is_unknown() -> None:
    done = threading.Event()

    def script(connection: socket.socket) -> None:
        server.request(connection)
        done.wait(10)

    server = Server(script)
    with _transport(server.port, request_timeout_ms=100) as pay:
        assert pay(1) == [answers.UNKNOWN]
    done.set()
    server.join()


def test_half_an_answer_is_unknown() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(OK[:-1])

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.UNKNOWN]
    server.join()


def test_bytes_that_are_no_http_are_unknown() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"\x00\x01 220 smtp ready\r\n\r\n")

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.UNKNOWN]
    server.join()


def test_an_endless_answer_does_not_fill_the_memory_and_is_unknown() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        size = 8 * answers.BODY_BYTES_MAX
        with contextlib.suppress(ConnectionError):  # nobody reads it to its end
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"{" * size)

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.UNKNOWN]
    server.join()


def test_an_endless_answer_of_unknown_length_is_not_read_to_its_end() -> None:
    chunk = b"%x\r\n" % answers.BODY_BYTES_MAX + b"{" * answers.BODY_BYTES_MAX + b"\r\n"
    sent = list[int]()

    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(1000):
                connection.sendall(chunk)
                sent.append(number)

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1) == [answers.UNKNOWN]
    server.join()
    assert len(sent) < 500  # a few fill the sockets' buffers


def test_a_lookup_is_asked_by_get() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    server = Server(script)
    with _transport(server.port) as pay:
        assert pay(1, lookup=True) == [answers.ABSENT]
    server.join()
    assert server.requests[0].startswith(b"GET /payments/12340000-0000-0000-0000-000000000007 HTTP/1.1\r\n")


Word = Health | Fee | Silence
NO_HEALTH, NO_FEE = Silence(1, Query.HEALTH), Silence(1, Query.FEE)


def _ask(answer: bytes, ask: Callable[[Transport], None], status: bytes = b"200 OK") -> tuple[Server, list[Word]]:
    """The processor, and what the transport reports of its answer to a query."""

    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)) + answer)

    server = Server(script)
    heard: list[Word] = []
    with _made(server.port, 500, "a token") as (transport, epoll):
        ask(transport)
        transport.kick()
        while not heard:
            transport.act(epoll.poll(0.2))
            heard += transport.results()[1]
    server.join()
    return server, heard


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (b"200 OK", b'{"failing":true,"minResponseTime":120}', Health(1, True, 120)),
        (b"200 OK", b'{"failing":false,"minResponseTime":0,"more":1}', Health(1, False, 0)),
        (b"200 OK", b'{"failing":false,"minResponseTime":100.0}', Health(1, False, 100)),
        (b"200 OK", b'{"failing":false,"minResponseTime":99.7}', Health(1, False, 100)),
        (b"200 OK", b'{"failing":false,"minResponseTime":1e2}', Health(1, False, 100)),
        (
            b"200 OK",
            b'{"failing":false,"minResponseTime":%d}' % MIN_RESPONSE_MS_MAX,
            Health(1, False, MIN_RESPONSE_MS_MAX),
        ),
        (b"503 Service Unavailable", b'{"failing":true,"minResponseTime":100}', Health(1, True, 100)),
        (b"503 Service Unavailable", b'{"failing":true}', Health(1, True, 0)),
        (b"500 Internal Server Error", b'{"failing":true,"minResponseTime":0}', Health(1, True, 0)),
        (b"404 Not Found", b'{"failing":false,"minResponseTime":5}', Health(1, False, 5)),
        (b"429 Too Many Requests", b'{"failing":true,"minResponseTime":5}', NO_HEALTH),
        (b"503 Service Unavailable", b"<html>bad</html>", NO_HEALTH),
        (b"200 OK", b'{"failing":"no","minResponseTime":0}', NO_HEALTH),
        (b"200 OK", b'{"failing":1,"minResponseTime":0}', NO_HEALTH),
        (b"200 OK", b'{"failing":null}', NO_HEALTH),
        (b"200 OK", b'{"failing":false}', NO_HEALTH),
        (b"200 OK", b'{"failing":false,"minResponseTime":true}', NO_HEALTH),
        (b"200 OK", b'{"failing":false,"minResponseTime":-1}', NO_HEALTH),
        (b"200 OK", b'{"failing":false,"minResponseTime":NaN}', NO_HEALTH),
        (b"200 OK", b'{"failing":false,"minResponseTime":1e300}', NO_HEALTH),
        (b"200 OK", b'{"failing":false,"minResponseTime":1e999}', NO_HEALTH),
        (b"200 OK", b'{"failing":true,"minResponseTime":%d}' % 10**30, NO_HEALTH),
        (b"200 OK", b'{"failing":true,"minResponseTime":"100"}', NO_HEALTH),
        (b"200 OK", b"[]", NO_HEALTH),
        (b"200 OK", b"well, thank you", NO_HEALTH),
        (b"204 No Content", b"", NO_HEALTH),
    ],
)
def test_health_is_read_whatever_the_status_when_it_is_well_formed(
    status: bytes, answer: bytes, expected: Word
) -> None:
    assert _ask(answer, lambda transport: transport.ask_health(1), status)[1] == [expected]


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (b"200 OK", b'{"totalRequests":0,"feePerTransaction":0.07}', Fee(1, 70_000)),
        (b"200 OK", b'{"feePerTransaction":0}', Fee(1, 0)),
        (b"200 OK", b'{"feePerTransaction":7}', NO_FEE),
        (b"200 OK", b'{"feePerTransaction":-0.01}', NO_FEE),
        (b"200 OK", b'{"feePerTransaction":1e300}', NO_FEE),
        (b"200 OK", b'{"feePerTransaction":true}', NO_FEE),
        (b"200 OK", b'{"totalRequests":0}', NO_FEE),
        (b"200 OK", b"0.07", NO_FEE),
        (b"401 Unauthorized", b'{"feePerTransaction":0.07}', NO_FEE),
    ],
)
def test_a_fee_is_asked_for_with_the_token_and_counts_only_when_it_is_one(
    status: bytes, answer: bytes, expected: Word
) -> None:
    server, heard = _ask(answer, lambda transport: transport.ask_fee(1), status)
    assert heard == [expected]
    assert server.requests[0].startswith(b"GET /admin/payments-summary?")
    assert b"\r\nX-Rinha-Token: a token\r\n" in server.requests[0]


def test_a_token_stays_with_the_query_that_needs_it() -> None:
    """Lookups and queries use the same handles, and an empty list of headers does not clear those of a handle."""

    def script(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    server = Server(script, script, script)
    with _made(server.port, token="a token") as (transport, epoll):
        for ask in (transport.ask_fee, transport.ask_health):
            heard: list[Word] = []
            ask(1)
            transport.kick()
            while not heard:
                transport.act(epoll.poll(0.2))
                heard += transport.results()[1]
        transport.send(Attempt(1, 0, 1, 1, 0x1234 << 48, 7, 1990, 1_751_718_896_789, 1, True, 0))
        transport.kick()
        while not transport.results()[0]:
            transport.act(epoll.poll(0.2))
    server.join()
    assert [b"X-Rinha-Token" in request for request in server.requests] == [True, False, False]


@pytest.mark.parametrize("ask", [Transport.ask_health, Transport.ask_fee])
def test_a_query_that_nobody_answers_is_told_of_too(ask: Callable[[Transport, int], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    heard: list[Word] = []
    with _made(port) as (transport, epoll):
        ask(transport, 1)
        transport.kick()
        while not heard:
            transport.act(epoll.poll(0.2))
            heard += transport.results()[1]
    assert heard in ([NO_HEALTH], [NO_FEE])


def test_a_purge_drops_payments_and_lets_queries_go_on() -> None:
    def script(connection: socket.socket) -> None:
        server.request(connection)
        abandoned.wait(10)
        answer = b'{"failing":false,"minResponseTime":3}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    abandoned = threading.Event()
    server = Server(script)
    heard: list[Word] = []
    with _made(server.port) as (transport, epoll):
        transport.ask_health(1)
        transport.kick()
        transport.send(Attempt(1, 0, 1, 0, 0x1234 << 48, 7, 1990, 1_751_718_896_789, 1, False, 0))
        transport.abandon()
        abandoned.set()
        while not heard:
            transport.act(epoll.poll(0.2))
            payments, words = transport.results()
            assert not payments
            heard += words
    server.join()
    assert heard == [Health(1, False, 3)]


def test_a_query_is_asked_once_though_its_connection_breaks() -> None:
    def look_up(connection: socket.socket) -> None:
        server.request(connection)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        connection.settimeout(0.3)
        with contextlib.suppress(AssertionError, OSError):
            server.request(connection)  # a query on the kept connection would be cut off there

    def cut(connection: socket.socket) -> None:
        with contextlib.suppress(AssertionError, OSError):
            server.request(connection)

    server = Server(look_up, cut, cut)
    heard: list[Word] = []
    with _made(server.port, 2000) as (transport, epoll):
        assert _paying(transport, epoll)(1, lookup=True) == [answers.ABSENT]
        transport.ask_health(0)
        transport.kick()
        while not heard:
            transport.act(epoll.poll(0.2))
            heard += transport.results()[1]
        asked = [request for request in server.requests if b"service-health" in request]
    for _ in range(2):
        with socket.socket() as last:
            last.connect_ex(("127.0.0.1", server.port))  # lets the server end if no client came
    server.join()
    assert heard == [Silence(0, Query.HEALTH)]
    assert len(asked) == 1
