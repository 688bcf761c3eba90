"""Hostile clients in front of nginx: each gets a clear answer or is cut off, and no other client notices."""

from __future__ import annotations

import contextlib
import random
import resource
import select
import socket
import time
from collections.abc import Iterator

import pytest

from engine import settings
from engine.intake import openapi
from tests.hostile.customer import customers
from tests.hostile.running import ADMIN_TOKEN, Engine
from tests.hostile.wire import NoAnswer, Reply, Wire, ask, chunked, payment_body, post

Address = tuple[str, int]

DOCUMENT = openapi.document(settings.read({}))
IDLE_CONNECTIONS = 2000
SLOW_CLIENTS = 100
DRIBBLE_SECONDS = 0.2  # from one byte of a slow client to the next
CUT_SECONDS_MAX = 12.0  # nginx waits 5 s for a header or for more of a body
PAYMENT = post(payment_body())
TOKEN = b"X-Engine-Token: " + ADMIN_TOKEN.encode()


@pytest.fixture(autouse=True)
def others_pay(hostile_engine: Engine) -> Iterator[None]:
    """Whatever a test here does, other clients pay meanwhile and do not notice."""
    with customers(hostile_engine):
        yield


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this process may ever have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def get(path: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([method + b" " + path + b" " + version, b"Host: shop", *headers]) + b"\r\n\r\n"


def typed(content_type: bytes) -> bytes:
    return post(payment_body()).replace(b"application/json", content_type, 1)


def with_length(text: bytes) -> bytes:
    return PAYMENT.replace(b"Content-Length: ", b"Content-Length: " + text, 1)


LARGE = b" " * 5000  # more than an API process reads
HUGE = b" " * 9000  # more than nginx reads

# What is sent: the status of the answer.
STRANGE: dict[str, tuple[bytes, int]] = {
    "body of no length": (post(b"").replace(b"Content-Length: 0\r\n", b""), 400),
    "empty body": (post(b""), 400),
    "body in chunks": (chunked(payment_body()), 202),
    "body in tiny chunks": (chunked(*[bytes([byte]) for byte in payment_body()]), 202),
    "chunk of no size": (chunked(end=b"zz\r\n\r\n"), 400),
    "chunk of any size": (chunked(end=b"ffffffffffffffff\r\nx"), 400),
    "large body": (post(LARGE), 413),
    "huge body": (post(HUGE), 413),
    "huge body declared only": (post(b"", length=10**12), 413),
    "large body in chunks": (chunked(*[b"x" * 1000] * 5), 413),
    "huge body in chunks": (chunked(*[b"x" * 1000] * 30), 413),
    "huge body of a GET": (get(b"/health", b"Content-Length: 9000") + HUGE, 413),
    "body of a GET": (get(b"/health", b"Content-Length: 5") + b"hello", 200),
    "body for nothing": (post(b"hello", path=b"/nothing"), 404),
    "length and chunks": (chunked(payment_body(), headers=(b"Content-Length: 5",)), 400),
    "two lengths": (post(payment_body(), b"Content-Length: 91"), 400),
    "negative length": (with_length(b"-"), 400),
    "length of no number": (with_length(b"x"), 400),
    "endless length": (with_length(b"9" * 40), 400),
    "length with a plus": (with_length(b"+"), 400),
    "unknown transfer coding": (post(payment_body(), b"Transfer-Encoding: gzip"), 501),
    "transfer coding twice": (chunked(headers=(b"Transfer-Encoding: chunked",)), 400),
    "no content type": (PAYMENT.replace(b"Content-Type: application/json\r\n", b""), 202),
    "other content type": (typed(b"text/plain"), 415),
    "content type with a control character": (typed(b"application/json\x01"), 415),
    "content type with a high byte": (typed(b"application/json\xff"), 415),
    "long content type": (typed(b"a" * 3000), 415),
    "long token": (post(b"", b"X-Engine-Token: " + b"a" * 3000, path=b"/purge-payments"), 403),
    "token with a control character": (post(b"", TOKEN + b"\x01", path=b"/purge-payments"), 403),
    "all headers long": (get(b"/health?" + b"a" * 4000, b"Content-Type: " + b"b" * 4000, b"X: " + b"c" * 4000), 200),
    "a header too long": (get(b"/health", b"X: " + b"a" * 5000), 400),
    "headers too many": (get(b"/health", *[b"X%d: %d" % (n, n) for n in range(3000)]), 400),
    "path too long": (get(b"/" + b"a" * 5000), 414),
    "header with NUL": (get(b"/health", b"X: a\0b"), 400),
    "header that goes on": (get(b"/health", b"X: a", b" b"), 400),
    "blank before the colon": (get(b"/health", b"X : a"), 400),
    "lines without CR": (PAYMENT.replace(b"\r\n", b"\n"), 202),
    "lines before the request": (b"\r\n\r\n" + PAYMENT, 202),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (get(b"/health", b"Host: other"), 400),
    "host with a path": (b"GET /health HTTP/1.1\r\nHost: a/../b\r\n\r\n", 400),
    "HTTP/1.0": (b"GET /health HTTP/1.0\r\n\r\n", 200),
    "payment in HTTP/1.0": (PAYMENT.replace(b"HTTP/1.1", b"HTTP/1.0"), 202),
    "HTTP/1.9": (get(b"/health", version=b"HTTP/1.9"), 200),
    "HTTP/2.0": (get(b"/health", version=b"HTTP/2.0"), 501),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "version of no number": (get(b"/health", version=b"HTTP/x"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "zeros": (bytes(300) + b"\r\n\r\n", 400),
    "absolute URI": (get(b"http://elsewhere/healthcheck"), 200),
    "no path": (b"GET  HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
    "path of a star": (get(b"*"), 400),
    "path of no slash": (get(b"health"), 400),
    "dots out of the root": (get(b"/../../etc/passwd"), 400),
    "dots": (get(b"/payments/../health"), 404),
    "escaped dots": (get(b"/payments/%2e%2e/status"), 400),
    "escaped slash": (get(b"/payments%2f..%2fhealth"), 404),
    "two slashes": (get(b"//health"), 404),
    "slash at the end": (get(b"/health/"), 404),
    "escaped letter": (get(b"/%68ealth"), 200),  # RFC 3986 6.2.2.2: the same resource
    "escaped NUL": (get(b"/payments/a%00b/status"), 400),
    "NUL": (get(b"/\0"), 400),
    "control character": (get(b"/\x01"), 400),
    "half an escape": (get(b"/%z"), 400),
    "high byte": (get(b"/payments/\xff/status"), 400),
    "escaped NUL in the query": (get(b"/payments-summary?from=%00"), 400),
    "many parameters": (get(b"/payments-summary?" + b"a=1&" * 800), 400),
    "a bound twice": (get(b"/payments-summary?from=2025-01-01&from=2025-01-02"), 400),
    "first and last instant": (get(b"/payments-summary?from=0001-01-01T00:00%2B23:59&to=9999-12-31T23:59-23:59"), 200),
    "upgrade": (post(payment_body(), b"Connection: Upgrade", b"Upgrade: websocket"), 202),
    "ranges": (get(b"/health", b"Range: bytes=5-2, 7-"), 200),
    "conditions": (get(b"/health", b'If-Match: "x"', b"If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"), 200),
    "expectation": (post(payment_body(), b"Expect: 100-continue"), 202),
    "unknown expectation": (post(payment_body(), b"Expect: the worst"), 202),
}
for unknown in (b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"QUERY", b"M-SEARCH", b"A" * 900):
    for where, path in (("payments", b"/payments"), ("health", b"/health")):
        STRANGE[f"{unknown[:8].decode()} on {where}"] = (get(path, method=unknown), 405)
STRANGE["lower-case method"] = (get(b"/health", method=b"get"), 400)
STRANGE["method with a high byte"] = (get(b"/health", method=b"G\xffT"), 400)


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_request_is_answered_clearly(nginx: Address, name: str) -> None:
    request, status = STRANGE[name]
    reply = ask(nginx, request)
    assert reply.status == status
    check_form(reply)


def check_form(reply: Reply) -> None:
    """An error is a problem and is in the document; 405 says what is allowed, 503 and 504 when to come again."""
    if reply.status < 400:
        return
    assert reply.is_problem()
    assert str(reply.status) in described_statuses()
    if reply.status == 405:
        assert reply.headers["allow"] in ("POST", "GET, HEAD")
    if reply.status in (503, 504):
        assert reply.headers["retry-after"]


def described_statuses() -> set[str]:
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    return {status for operation in operations for status in operation["responses"]} | {"405"}


def test_a_purge_is_answered_only_with_the_token(nginx: Address) -> None:
    assert ask(nginx, post(b"", path=b"/purge-payments")).status == 403
    assert ask(nginx, post(b"", TOKEN, path=b"/purge-payments")).status == 200


def test_an_answer_without_a_head_is_all_that_http_0_9_gets(nginx: Address) -> None:
    with socket.create_connection(nginx) as connection:
        connection.sendall(b"GET /health\r\n")
        assert connection.recv(16).startswith(b'{"status"')


def test_pipelined_requests_are_answered_in_order(nginx: Address) -> None:
    requests = [
        (PAYMENT, 202),
        (get(b"/nothing"), 404),
        (post(LARGE), 413),
        (get(b"/healthcheck"), 200),
        (chunked(payment_body()), 202),
        (post(b"[]"), 400),
        (get(b"/payments", method=b"FOO"), 405),
    ] * 10
    with Wire(nginx) as wire:
        wire.send(b"".join(request for request, _ in requests))
        assert [wire.reply().status for _ in requests] == [status for _, status in requests]


def test_what_stands_in_a_refused_body_is_not_a_request(nginx: Address) -> None:
    smuggled = get(b"/healthcheck")
    for request in (post(smuggled), typed(b"text/plain")[: -len(payment_body())] + smuggled.ljust(len(payment_body()))):
        with Wire(nginx) as wire:
            wire.send(request + get(b"/nothing"))
            assert [wire.reply().status in (400, 415), wire.reply().status] == [True, 404]


@pytest.mark.parametrize("ending", ["close", "finish", "reset"])
def test_a_request_may_break_off_at_any_byte(nginx: Address, ending: str) -> None:
    for request in (PAYMENT, chunked(payment_body())):
        for length in range(0, len(request), 3):
            with Wire(nginx) as wire:
                wire.send(request[:length])
                if ending == "finish":
                    wire.finish()
                    with contextlib.suppress(NoAnswer):
                        check_form(wire.reply())
                elif ending == "reset":
                    wire.reset()


def test_garbage_is_refused_or_cut_off(nginx: Address) -> None:
    dice = random.Random(1)
    for _ in range(300):
        with contextlib.suppress(NoAnswer):
            reply = ask(nginx, dice.randbytes(dice.randrange(1, 400)) + b"\r\n\r\n")
            assert reply.status == 400
            check_form(reply)


def test_no_line_that_is_passed_on_looks_like_a_dead_process(nginx: Address) -> None:
    """If an API process could not parse a line, nginx would count it as a failure, and would soon serve no client."""
    dice = random.Random(2)

    def noise(length_max: int) -> bytes:
        return dice.randbytes(dice.randrange(length_max)).translate(None, b"\r\n")

    for _ in range(300):
        method = bytes(dice.choice(b"ABCXYZ_-") for _ in range(dice.randrange(1, 40)))
        path = b"/" + noise(30).translate(None, b" \0")
        for request in (
            get(b"/payments", method=method),
            get(path),
            get(b"/payments-summary?from=" + path),
            typed(noise(300)),
            post(b"", b"X-Engine-Token: " + noise(300), path=b"/purge-payments"),
        ):
            reply = ask(nginx, request)
            assert reply.status < 500, request
            check_form(reply)


def test_idle_connections_cost_nobody_anything(nginx: Address, many_files: None) -> None:
    assert ask(nginx, PAYMENT).status == 202  # for the first time or again: which tests came before is not known
    with contextlib.ExitStack() as held:
        for number in range(IDLE_CONNECTIONS):
            wire = held.enter_context(Wire(nginx))
            if number % 2:  # the other half never says anything: on a busy machine the first are cut off by the end
                wire.send(get(b"/healthcheck"))
                assert wire.reply().status == 200
        assert ask(nginx, PAYMENT.replace(b"19.90", b"19.91")).status == 409
        assert ask(nginx, post(payment_body())).status == 202


def test_clients_that_keep_nginx_waiting_are_cut_off(nginx: Address) -> None:
    """Half heads and half bodies, some with a byte now and then: none of them holds its place for long."""
    head_end = PAYMENT.index(b"\r\n\r\n") + 4
    with contextlib.ExitStack() as held:
        poll = select.poll()
        waiting: dict[int, tuple[socket.socket, Iterator[int] | None]] = {}
        for number in range(SLOW_CLIENTS):
            connection = held.enter_context(socket.create_connection(nginx))
            # A head comes byte by byte or stops; a body stops.
            kind = number % 3
            connection.sendall(PAYMENT[: head_end + 20 if kind == 0 else 30])
            waiting[connection.fileno()] = connection, iter(PAYMENT[30:head_end]) if kind == 1 else None
            poll.register(connection, select.POLLIN)
        deadline = time.monotonic() + CUT_SECONDS_MAX
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} slow clients are still there"
            for descriptor, _ in poll.poll(DRIBBLE_SECONDS * 1000):
                connection, _ = waiting.pop(descriptor)
                poll.unregister(connection)
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b"", "a request that never came is not answered"
            for connection, rest in waiting.values():
                if rest is not None:
                    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                        connection.send(bytes([next(rest)]))


def test_a_slow_body_that_arrives_is_a_payment(nginx: Address) -> None:
    with contextlib.ExitStack() as held:
        wires = [held.enter_context(Wire(nginx)) for _ in range(20)]
        requests = [post(payment_body()) for _ in wires]
        for position in range(max(map(len, requests))):
            for wire, request in zip(wires, requests, strict=True):
                wire.send(request[position : position + 1])
        assert {wire.reply().status for wire in wires} == {202}
