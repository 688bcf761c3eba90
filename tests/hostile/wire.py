"""HTTP as bytes: a hostile client writes what no library would let it write, and reads strictly what comes back."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECONDS_MAX = 15.0  # longer than any time-out of the engine that a test waits for
HEAD_BYTES_MAX = 64 * 1024

Address = tuple[str, int] | str  # of nginx, or the path of a Unix socket


class NoAnswer(Exception):  # noqa: N818 - it is what happened, not an error
    """The connection was closed or reset, and no answer had begun."""


@dataclass(frozen=True)
class Reply:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)

    def is_problem(self) -> bool:
        """Whether it is an RFC 9457 problem about its own status."""
        if self.headers.get("content-type") != "application/problem+json":
            return False
        document = self.json()
        return document["status"] == self.status and bool(document["title"]) and bool(document["detail"])


class Wire:
    """A connection. A context manager."""

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(SECONDS_MAX)
        self._socket.connect(address)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Writes. If the server does not listen any more, a later read finds it out."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def finish(self) -> None:
        """Says that nothing more will come, and still listens."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset instead of in good order."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def reply(self, method: str = "GET") -> Reply:
        """The next final answer, to a request with ``method``. Raises NoAnswer, and AssertionError for broken HTTP."""
        while True:
            head = self._until(b"\r\n\r\n")
            status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
            version, status, _ = status_line.split(" ", 2)
            assert version in ("HTTP/1.1", "HTTP/1.0"), status_line
            if not 100 <= int(status) < 200:
                break
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, line
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        if method == "HEAD" or int(status) in (204, 304):
            body = b""
        elif "transfer-encoding" in headers:
            raise AssertionError("every answer of the engine has a known length")
        else:
            body = self._exactly(int(headers["content-length"]))
        return Reply(int(status), headers, body)

    def is_cut(self) -> bool:
        """Waits for the end of the connection; False when something else comes or nothing happens."""
        try:
            return not self._unread and not self._socket.recv(1)
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def _until(self, end: bytes) -> bytes:
        while end not in self._unread:
            assert len(self._unread) < HEAD_BYTES_MAX
            self._more()
        head, _, self._unread = self._unread.partition(end)
        return head + end

    def _exactly(self, length: int) -> bytes:
        while len(self._unread) < length:
            self._more()
        data, self._unread = self._unread[:length], self._unread[length:]
        return data

    def _more(self) -> None:
        try:
            data = self._socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            if self._unread:
                raise AssertionError(f"the answer ends in the middle: {self._unread[:200]!r}")
            raise NoAnswer
        self._unread += data


def ask(address: Address, request: bytes) -> Reply:
    """One request on a connection of its own. Raises NoAnswer."""
    with Wire(address) as wire:
        wire.send(request)
        return wire.reply(request.partition(b" ")[0].decode("latin-1"))


def payment_body(amount: str = "19.90", correlation_id: str | None = None) -> bytes:
    """A payment with a new id."""
    return b'{"correlationId":"%s","amount":%s}' % ((correlation_id or str(uuid.uuid4())).encode(), amount.encode())


def post(body: bytes, *headers: bytes, path: bytes = b"/payments", length: int | None = None) -> bytes:
    """A POST of JSON; ``length``: what it says is its length."""
    said = b"Content-Length: %d" % (len(body) if length is None else length)
    lines = [b"POST %s HTTP/1.1" % path, b"Host: shop", b"Content-Type: application/json", said, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, headers: tuple[bytes, ...] = (), end: bytes = b"0\r\n\r\n") -> bytes:
    """A POST to /payments whose body comes in chunks."""
    lines = [b"POST /payments HTTP/1.1", b"Host: shop", b"Content-Type: application/json", *headers]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + body + end
