"""A name server that can fall silent. It knows IPv4 addresses only (RFC 1035)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType

_HEADER_BYTES = 12
_TYPE_A, _CLASS_IN = 1, 1
_ANSWERS, _NO_SUCH_NAME = 0x8580, 0x8583  # an answer with authority, recursion as asked for
_POINTER_TO_NAME = 0xC000 | _HEADER_BYTES
_TTL_S = 1


class NameServer:
    """Answers on UDP. A context manager; raises OSError when the port is taken.

    Parameters:
      known: IPv4 addresses by name, in small letters.
      address: where it listens.
    """

    def __init__(self, known: Mapping[str, str], address: tuple[str, int] = ("127.0.0.1", 53)) -> None:
        self._known = dict(known)
        self._address = address
        self._is_silent = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, name="name server", daemon=True)

    def __enter__(self) -> NameServer:
        self._socket.bind(self._address)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # it is not connected, and wakes up all the same
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()
        return host, port

    def silence(self) -> None:
        """Leaves every question unanswered from now on."""
        self._is_silent.set()

    def speak(self) -> None:
        """Answers again."""
        self._is_silent.clear()

    def _serve(self) -> None:
        while True:
            try:
                question, client = self._socket.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            if not self._is_silent.is_set():
                with contextlib.suppress(OSError, struct.error, IndexError):  # it cannot be read
                    self._socket.sendto(answer(question, self._known), client)


def answer(question: bytes, known: Mapping[str, str]) -> bytes:
    """What is said to a message with one question. Raises struct.error and IndexError if it cannot be read."""
    labels, at = [], _HEADER_BYTES
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    kind, group = struct.unpack_from("!HH", question, at + 1)
    address = known.get(".".join(labels))
    records = b""
    if address is not None and (kind, group) == (_TYPE_A, _CLASS_IN):
        records = struct.pack("!HHHIH", _POINTER_TO_NAME, kind, group, _TTL_S, 4) + socket.inet_aton(address)
    flags = _ANSWERS if address is not None else _NO_SUCH_NAME
    return (
        question[:2] + struct.pack("!HHHHH", flags, 1, bool(records), 0, 0) + question[_HEADER_BYTES : at + 5] + records
    )
