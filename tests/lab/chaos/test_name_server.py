"""The name server of a run: it knows what it was told, and says nothing while it is silent."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from engine.lab.chaos.name_server import NameServer, answer

KNOWN = {"default.chaos.test": "127.0.0.9"}
A, AAAA = 1, 28


def question(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def read(said: bytes) -> tuple[int, int, bytes]:
    """The code of an answer, how many records it has, and its last four bytes."""
    number, flags, _, records, _, _ = struct.unpack_from("!HHHHHH", said)
    assert number == 7 and flags & 0x8000
    return flags & 0xF, records, said[-4:]


def test_an_address_is_told_in_capitals_too() -> None:
    for name in ("default.chaos.test", "DEFAULT.chaos.Test"):
        assert read(answer(question(name), KNOWN)) == (0, 1, socket.inet_aton("127.0.0.9"))


def test_a_name_has_no_ipv6_address_and_another_name_is_none() -> None:
    assert read(answer(question("default.chaos.test", AAAA), KNOWN))[:2] == (0, 0)
    assert read(answer(question("other.test"), KNOWN))[:2] == (3, 0)


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(KNOWN, ("127.0.0.1", 0)) as made:
        yield made


def test_it_answers_unless_it_is_silent_and_lives_on_after_what_it_cannot_read(server: NameServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(server.address)
        client.send(b"\x00\x07nonsense")
        client.send(question("default.chaos.test"))
        assert read(client.recv(512))[0] == 0
        server.silence()
        client.send(question("other.test"))
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(512)
        server.speak()
        client.settimeout(10)
        client.send(question("default.chaos.test"))
        assert read(client.recv(512))[0] == 0
