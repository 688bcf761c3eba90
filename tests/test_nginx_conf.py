"""nginx.conf: nginx takes it, `up` can fit it to a machine, and a client never sees anything but what was promised.

The API processes are stand-ins here; nginx and the file are the real ones.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import socket
import socketserver
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from threading import Thread

import pytest

from engine import settings
from engine.console import nginx_status
from engine.intake import tracing
from engine.supervise import alive, nginx
from engine.supervise.pulse import Sign
from tests.system.client import wait_until
from tests.system.running import free_port

SHIPPED = nginx.find_conf().read_text()
READY_SECONDS = 10.0
BEGUN = b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"
PARENT = f"{'a' * 32}-{'b' * 16}-01"  # the rest of a traceparent after its version
IN_CHUNKS = b"POST /payments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def render(run_dir: str = "/tmp/x", port: int = 18080, api_processes: int = 2, ipv6: bool = False) -> str:
    return nginx.render(SHIPPED, port=port, run_dir=run_dir, api_processes=api_processes, ipv6=ipv6)


# --- rendering


def test_nothing_of_the_containers_is_left_in_a_rendered_file() -> None:
    text = render("/tmp/x/", port=18080)
    assert "listen 18080 " in text and not re.search(r"listen\s+9999\b", text)
    assert nginx.SHIPPED_RUN_DIR not in text and "/tmp/x//" not in text


def test_it_listens_on_ipv6_where_the_machine_has_it_and_in_no_other_way() -> None:
    lines = [line.strip() for line in render(port=18080, ipv6=True).splitlines() if line.strip().startswith("listen")]
    assert lines == ["listen 18080 backlog=4096;", "listen [::]:18080 backlog=4096;"]
    assert "[::]" not in render(port=18080, ipv6=False)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_api_process_has_its_line(count: int) -> None:
    text = render(api_processes=count)
    assert re.findall(r"server unix:/tmp/x/(\S+) max_fails", text) == [f"api-{index}.sock" for index in range(count)]


def test_what_fits_the_containers_is_rendered_as_it_is() -> None:
    there = "/etc/nginx/engine.d"
    rendered = nginx.render(SHIPPED, port=9999, run_dir="/run/engine", api_processes=2, ipv6=False, include=there)
    assert rendered == SHIPPED.replace("error_log stderr alert;", "error_log stderr warn;"), "`up` limits its lines"


@pytest.mark.parametrize(
    "conf",
    [
        SHIPPED.replace("listen 9999", "listen 9998"),
        SHIPPED.replace("listen 9999 ", "listen 9999;\n listen 9999 "),
        SHIPPED.replace("server unix:", "server un1x:"),
        SHIPPED.replace("keepalive 128;", "keepalive 128;\nserver unix:/run/engine/api-7.sock;"),
    ],
    ids=["no port", "two ports", "no servers", "servers in two places"],
)
def test_a_file_without_its_markers_is_refused_with_a_reason(conf: str) -> None:
    with pytest.raises(nginx.ConfError, match=r"must have `.*` in one place"):
        nginx.render(conf, port=1, run_dir="/tmp/x", api_processes=2, ipv6=False)


@pytest.mark.parametrize("run_dir", ["relative", "/with space", "/semi;colon", "/quote'", "/dollar$host", "/new\nline"])
def test_a_directory_that_would_break_the_file_is_refused(run_dir: str) -> None:
    with pytest.raises(nginx.ConfError, match="must be absolute"):
        render(run_dir)


def test_nginx_lets_every_body_through_that_the_engine_accepts_by_default() -> None:
    limits = re.findall(r"client_(?:max_body|body_buffer)_size ([0-9]+)k;", SHIPPED)
    assert len(limits) == 2 and all(int(limit) * 1024 > settings.read({}).intake.body_bytes_max for limit in limits)


# --- nginx itself


def test_nginx_accepts_the_file_without_a_warning(tmp_path: Path) -> None:
    conf = tmp_path / "nginx.conf"
    conf.write_text(render(str(tmp_path)))
    command = [*nginx.command(str(conf), str(tmp_path)), "-t"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr and "[alert]" not in checked.stderr


def test_with_a_console_nginx_tells_this_machine_alone_how_many_connections_there_are(tmp_path: Path) -> None:
    port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(nginx.render(SHIPPED, port=port, run_dir=str(tmp_path), api_processes=1, ipv6=False, status=True))
    process = subprocess.Popen(nginx.command(str(conf), str(tmp_path)))
    try:
        deadline = time.monotonic() + READY_SECONDS
        while (found := nginx_status.read(port, str(tmp_path))) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert found.active >= 1 and found.requests >= 1 and found.accepted == found.handled
        elsewhere = http.client.HTTPConnection("127.0.0.1", port, source_address=("127.0.0.2", 0), timeout=10)
        elsewhere.request("GET", "/", headers={"Host": nginx.STATUS_HOST})
        assert elsewhere.getresponse().status == 403
        elsewhere.close()
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        other.request("GET", "/")
        assert other.getresponse().status == 503  # as before: from the API processes, and there are none
        other.close()
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Front]:
    """An nginx that writes a line about every request."""
    port, conf = free_port(), tmp_path / "nginx.conf"
    conf.write_text(nginx.render(SHIPPED, port=port, run_dir=str(tmp_path), api_processes=1, ipv6=False, percent=100))
    process = subprocess.Popen(nginx.command(str(conf), str(tmp_path)), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: alive.listens(("127.0.0.1", port)) is Sign.SERVES, READY_SECONDS, "nginx")
        yield Front(tmp_path, port)
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


def test_nginx_tells_its_own_refusals_from_those_of_an_api_process_and_names_each_request(told: Front) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    refused = told.send("POST", "/payments?a=SEEN", b"{}", {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert refused.headers["Request-Id"] == trace == json.loads(refused.body)["requestId"]
    made = told.send("GET", "/health").headers["Request-Id"]
    with told.api(0) as api:
        assert told.pay() == 202
        api.status = b"503 Service Unavailable"
        assert told.pay() == 503
        heads = b" ".join(api.heads)
    assert b"raceparent" not in heads, "what the client has not sent costs an API process nothing"
    lines = [json.loads(line) for line in (told.run_dir / "nginx.log").read_text().splitlines()]
    assert [(line["status"], line["own"], line["path"]) for line in lines] == [
        (503, "1", "/payments"),
        (503, "1", "/health"),
        (202, "", "/payments"),
        (503, "", "/payments"),
    ]
    assert [line["request"] for line in lines[:2]] == [trace, made]
    assert all(re.fullmatch("[0-9a-f]{32}", line["request"]) for line in lines)


@pytest.mark.parametrize(
    ("header", "passed"),
    [
        (f"00-{PARENT}", f"00-{PARENT}"),
        (f"cc-{PARENT}", f"cc-{PARENT}"),
        (f"cc-{PARENT}-more", f"cc-{PARENT}"),  # the fast path takes as many bytes as version 00 has
        (f"cc-{PARENT}more", ""),
        (f"00-{PARENT}-more", ""),
        (f"ff-{PARENT}", ""),
        (f"00-{PARENT}".upper(), ""),
        (f"00-{'0' * 32}-{'b' * 16}-01", ""),
        (f"00-{'a' * 32}-{'0' * 16}-01", ""),
        ("junk\tjunk", ""),
    ],
)
def test_a_trace_reaches_the_api_process_and_nothing_else_under_its_name(told: Front, header: str, passed: str) -> None:
    refused = told.send("POST", "/payments", b"{}", {"traceparent": header})
    with told.api(0) as api:
        assert told.send("POST", "/payments", b"{}", {"traceparent": header}).status == 202
        (head,) = api.heads
    assert re.findall(rb"(?i)\btraceparent: (.*)", head) == ([passed.encode()] if passed else [])
    # Both know the same requests by a trace, and by the same one.
    ids = {"a" * 32, refused.headers["Request-Id"], tracing.identity(header.encode())}
    assert len(ids) == (1 if passed else 3)


def test_without_a_console_nginx_tells_nobody() -> None:
    assert "stub_status" not in render() and nginx.STATUS_HOST == nginx_status.HOST


class Api(socketserver.ThreadingUnixStreamServer):
    """A stand-in for an API process: answers with ``status``, or never."""

    daemon_threads = True
    answers = True
    status = b"202 Accepted"

    def __init__(self, path: str) -> None:
        self.heads: list[bytes] = []
        super().__init__(path, Handler)
        os.chmod(path, 0o666)
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(socketserver.StreamRequestHandler):
    server: Api

    def handle(self) -> None:
        while head := b"\n".join(iter(lambda: self.rfile.readline().strip(b"\r\n"), b"")):
            self.server.heads.append(head)
            if not self.server.answers:
                time.sleep(5)
                return
            length = re.search(rb"Content-Length: ([0-9]+)", head)
            self.rfile.read(int(length[1]) if length else 0)
            retry = b"Retry-After: 7\r\n" if self.server.status.startswith(b"503") else b""
            self.wfile.write(b"HTTP/1.1 " + self.server.status + b"\r\n" + retry + b"Content-Length: 0\r\n\r\n")


ON_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Response:
    status: int
    headers: Message
    body: bytes


class Front:
    """A running nginx."""

    def __init__(self, run_dir: Path, port: int) -> None:
        self.run_dir = run_dir
        self.port = port

    @contextlib.contextmanager
    def api(self, index: int) -> Iterator[Api]:
        """The API process ``index``, until it is killed."""
        path = self.run_dir / f"api-{index}.sock"
        path.unlink(missing_ok=True)  # a killed process leaves its socket behind
        with Api(str(path)) as api:
            yield api
            api.shutdown()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Response:
        """One request on a connection of its own, from the address ``source``; an iterator's body goes in chunks."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0))
        ) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())

    def pay(self) -> int:
        """The status that a payment is answered with."""
        return self.send("POST", "/payments", b"{}").status

    def raw(self, request: bytes) -> bytes:
        """The answer to bytes that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    port = free_port()  # not one that the kernel may give to a client before nginx has it
    conf = tmp_path / "nginx.conf"
    conf.write_text(render(str(tmp_path), port=port, ipv6=True))
    with subprocess.Popen(nginx.command(str(conf), str(tmp_path)), stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.01)
            yield Front(tmp_path, port)
        finally:
            process.terminate()


def check_problem(response: Response, status: int) -> None:
    document = json.loads(response.body)
    assert (response.status, document["status"]) == (status, status)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert document["type"] == "about:blank" and document["title"] and document["detail"]
    assert "nginx/" not in response.headers["Server"]
    check_headers(response)


def check_headers(response: Response) -> None:
    """What every answer has, once, whoever gave it."""
    for name, value in ON_EVERY_ANSWER.items():
        assert response.headers.get_all(name) == [value]


def test_a_killed_api_process_costs_no_client_an_error(front: Front) -> None:
    with front.api(0):
        with front.api(1):
            assert front.pay() == 202
        assert [front.pay() for _ in range(100)] == [202] * 100


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_client_comes_by_either_family(front: Front, host: str) -> None:
    with (
        front.api(0),
        contextlib.closing(http.client.HTTPConnection(host, front.port, timeout=10)) as connection,
    ):
        connection.request("POST", "/payments", b"{}")
        assert connection.getresponse().status == 202


def test_a_full_ring_is_no_clients_concern_while_another_has_room(front: Front) -> None:
    with front.api(0) as full, front.api(1) as free:
        full.status = b"503 Service Unavailable"
        assert [front.pay() for _ in range(40)] == [202] * 40
        assert full.heads and len(free.heads) == 40


def test_when_all_rings_are_full_each_is_asked_once_and_the_client_gets_the_503_of_the_last(front: Front) -> None:
    with front.api(0) as first, front.api(1) as second:
        first.status = second.status = b"503 Service Unavailable"
        response = front.send("POST", "/payments", b"{}")
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert (len(first.heads), len(second.heads)) == (1, 1)


@pytest.mark.parametrize(("method", "path"), [("GET", "/payments-summary"), ("POST", "/purge-payments")])
def test_a_503_of_another_kind_is_asked_of_nobody_else(front: Front, method: str, path: str) -> None:
    with front.api(0) as first, front.api(1) as second:
        first.status = second.status = b"503 Service Unavailable"
        assert front.send(method, path).status == 503
        assert len(first.heads + second.heads) == 1


def test_an_api_process_that_stands_still_costs_a_payment_a_second_and_no_error(front: Front) -> None:
    with front.api(0) as still, front.api(1):
        still.answers = False
        began = time.monotonic()
        statuses = [front.pay() for _ in range(6)]
        assert statuses == [202] * 6 and time.monotonic() - began < 6
        assert still.heads


def test_a_restarted_api_process_is_used_again_within_two_seconds(front: Front) -> None:
    with front.api(1):
        with front.api(0):
            pass
        for _ in range(100):  # failures that are not held against it for long
            front.pay()
        with front.api(0) as back:
            deadline = time.monotonic() + 2
            while not back.heads:
                assert time.monotonic() < deadline
                assert front.pay() == 202
                time.sleep(0.01)


@pytest.mark.parametrize("status", [b"200 OK", b"202 Accepted", b"400 Bad Request", b"404 Not Found", b"500 Error"])
def test_the_answers_of_api_processes_have_the_same_headers_and_nothing_else_of_nginx(
    front: Front, status: bytes
) -> None:
    with front.api(0) as api:
        api.status = status
        response = front.send("GET", "/health")
    assert response.status == int(status[:3])
    check_headers(response)
    assert not {"Request-Id", "Allow", "Retry-After", "RateLimit-Policy"} & set(response.headers)


def test_a_client_that_sends_more_than_its_rate_is_told_to_wait_and_others_are_served(tmp_path: Path) -> None:
    port, conf = free_port(), tmp_path / "nginx.conf"
    conf.write_text(nginx.render(SHIPPED, port=port, run_dir=str(tmp_path), api_processes=1, ipv6=False, rate=1))
    with subprocess.Popen(nginx.command(str(conf), str(tmp_path)), stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: alive.listens(("127.0.0.1", port)) is Sign.SERVES, READY_SECONDS, "nginx")
            front = Front(tmp_path, port)
            with front.api(0):
                answers = [front.send("POST", "/payments", b"{}", source="127.0.0.9") for _ in range(20)]
                refused = [answer for answer in answers if answer.status == 429]
                assert answers[0].status == answers[1].status == 202 and refused
                check_problem(refused[0], 429)
                assert refused[0].headers["Retry-After"] == "1"
                assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"client";q=1;w=1'}
                assert front.send("POST", "/payments", b"{}", source="127.0.0.10").status == 202
        finally:
            process.terminate()


def test_without_any_api_process_a_client_is_told_to_come_back(front: Front) -> None:
    response = front.send("POST", "/payments", b"{}")
    check_problem(response, 503)
    assert response.headers["Retry-After"] == "1"


def test_when_all_stand_still_a_client_is_told_to_come_back(front: Front) -> None:
    with front.api(0) as first, front.api(1) as second:
        first.answers = second.answers = False
        response = front.send("GET", "/payments-summary")
        check_problem(response, 504)
        assert response.headers["Retry-After"] == "1"


def test_an_api_process_sees_only_the_headers_that_it_looks_at(front: Front) -> None:
    with front.api(0) as api:
        front.send("POST", "/payments?a=b", b"{}", {"Content-Type": "application/json", "Cookie": "c", "X-Other": "o"})
        front.send("POST", "/purge-payments", headers={"X-Engine-Token": "secret"})
    payment, purge = api.heads
    assert payment.startswith(b"POST /payments?a=b HTTP/1.1") and b"Content-Type: application/json" in payment
    assert b"Cookie" not in payment and b"X-Other" not in payment
    assert b"X-Engine-Token: secret" in purge


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this process may ever have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_address_has_room_for_the_contest_and_no_more_than_its_share(front: Front, many_files: None) -> None:
    share = int(re.findall(r"limit_conn clients ([0-9]+);", SHIPPED)[0])
    connections = int(re.findall(r"worker_connections ([0-9]+);", SHIPPED)[0])
    assert 550 < share <= connections // 4
    with front.api(0), front.api(1), contextlib.ExitStack() as opened:
        slow = []
        for _ in range(share):
            client = socket.create_connection(("127.0.0.1", front.port), 10, source_address=("127.0.0.2", 0))
            slow.append(opened.enter_context(client))
            client.sendall(BEGUN)
        response = front.send("POST", "/payments", b"{}", source="127.0.0.2")
        check_problem(response, 429)
        assert response.headers["Retry-After"] == "1"
        assert front.pay() == 202, "another address is not concerned"
        for client in (slow[0], slow[549], slow[-1]):
            client.sendall(b"}")
            assert client.recv(12) == b"HTTP/1.1 202"
        assert front.send("POST", "/payments", b"{}", source="127.0.0.2").status == 202


def test_a_client_that_stops_in_the_middle_of_a_body_is_cut(front: Front) -> None:
    with front.api(0) as api, socket.create_connection(("127.0.0.1", front.port), 30) as client:
        client.sendall(BEGUN)
        with contextlib.suppress(ConnectionResetError):  # reset_timedout_connection
            assert client.recv(65536) == b""
        assert not api.heads


def test_what_a_slow_body_can_take_is_bounded_and_written_down() -> None:
    """One byte just before each time-out, as many as there may be."""
    timeout_s = int(re.findall(r"client_body_timeout ([0-9]+)s;", SHIPPED)[0])
    size = int(re.findall(r"client_max_body_size ([0-9]+)k;", SHIPPED)[0]) * 1024
    assert timeout_s * size <= 3 * 3600
    hours, minutes = divmod(round(timeout_s * size / 60), 60)
    assert f"{size:,} bytes x {timeout_s} s, that is {hours} h {minutes} min" in SHIPPED


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"a" * 100_000, b"0" * 100_000, b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 20_000],
    ids=["extension", "zeros", "trailers"],
)
def test_who_sends_chunks_without_end_takes_no_more_than_a_share_and_none_from_others(
    front: Front, many_files: None, endless: bytes
) -> None:
    share = int(re.findall(r"limit_conn chunked_clients ([0-9]+);", SHIPPED)[0])
    in_all = int(re.findall(r"limit_conn chunked ([0-9]+);", SHIPPED)[0])
    connections = int(re.findall(r"worker_connections ([0-9]+);", SHIPPED)[0])
    assert share <= in_all // 4 and in_all <= connections // 8
    with front.api(0), front.api(1), contextlib.ExitStack() as opened:

        def begin(source: str) -> socket.socket:
            client = socket.create_connection(("127.0.0.1", front.port), 30, source_address=(source, 0))
            opened.enter_context(client).sendall(IN_CHUNKS)
            return client

        first = begin("127.0.0.2")
        first.sendall(endless)  # nginx takes it all
        for _ in range(share - 1):
            begin("127.0.0.2")
        assert front.send("POST", "/payments", iter([b"{}"]), source="127.0.0.2").status == 429
        assert front.send("POST", "/payments", b"{}", source="127.0.0.2").status == 202
        assert front.send("POST", "/payments", iter([b"{}"]), source="127.0.0.3").status == 202
        for number in range(in_all - share):
            begin(f"127.0.1.{number % 4 + 1}")
        check_problem(front.send("POST", "/payments", iter([b"{}"]), source="127.0.0.3"), 429)
        assert front.pay() == 202


@pytest.mark.parametrize("path", ["/payments", "/payments-summary", "/nothing"])
def test_a_body_that_is_too_long_is_a_problem_413(front: Front, path: str) -> None:
    check_problem(front.send("POST", path, b"x" * 9000), 413)


def test_a_path_that_is_too_long_is_a_problem_414(front: Front) -> None:
    check_problem(front.send("GET", "/payments-summary?from=" + "1" * 5000), 414)


def test_headers_that_are_too_long_are_a_problem_400(front: Front) -> None:
    check_problem(front.send("GET", "/health", headers={"X-Long": "1" * 5000}), 400)


def test_a_method_that_nginx_refuses_is_a_problem_405_that_says_what_is_allowed(front: Front) -> None:
    response = front.send("TRACE", "/payments")
    check_problem(response, 405)
    assert response.headers["Allow"]


def test_the_problem_pages_cannot_be_asked_for(front: Front) -> None:
    check_problem(front.send("GET", "/problem/503"), 404)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GARBAGE", 400),
        (b"GET \x00 HTTP/1.1", 400),
        (b"GET /../.. HTTP/1.1", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"GET / HTTP/9.9", 501),
        (b"POST /payments HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
    ],
)
def test_what_is_not_http_as_it_is_served_here_is_a_problem(front: Front, request_line: bytes, status: int) -> None:
    head, _, body = front.raw(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_the_directory_holds_all_that_nginx_writes(front: Front) -> None:
    front.send("GET", "/health")
    uses = ("body", "proxy", "fastcgi", "uwsgi", "scgi")
    names = {path.name for path in front.run_dir.iterdir()}
    assert names == {"nginx.conf", "nginx.pid", *(f"nginx-{use}" for use in uses)}
