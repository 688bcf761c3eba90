"""The payer: every payment is new and valid, each is sent until it is accepted, and counted once."""

from __future__ import annotations

import itertools
import multiprocessing
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.intake import payment as intake
from engine.lab.soak.payer import FINGERPRINT, Order, Payer, Told, new_payments, status_of

_ID = re.compile(rb'"correlationId":"([0-9a-f-]{36})"')
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull"


def test_every_payment_is_a_valid_one_that_was_never_seen() -> None:
    seen = set()
    for payment in itertools.islice(new_payments("engine:9999"), 3000):
        head, _, body = payment.request.partition(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
        id_high, id_low, cents = intake.parse(body, 10**13 - 1)
        assert (id_high << 64 | id_low, cents) == (payment.number, payment.cents)
        seen.add(payment.number)
    assert len(seen) == 3000


@pytest.mark.parametrize("answer", [ACCEPTED, FULL])
def test_an_answer_counts_when_it_is_whole(answer: bytes) -> None:
    assert [status_of(answer[:length]) for length in range(len(answer))] == [0] * len(answer)
    assert status_of(answer) == int(answer[9:12])


class Shop:
    """Takes payments on a port; ``moods`` says what becomes of each request: 202, 503, or cut without an answer."""

    def __init__(self, moods: Iterator[str]) -> None:
        self.accepted: list[int] = []
        self._moods = moods
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65_536):
                found = _ID.search(request)
                assert found is not None
                with self._lock:
                    mood = next(self._moods)
                    if mood == "cut":
                        return
                    if mood == "202":
                        self.accepted.append(uuid.UUID(found[1].decode()).int)
                connection.sendall(ACCEPTED if mood == "202" else FULL)


@contextmanager
def paid(moods: Iterator[str], payments: int) -> Iterator[tuple[Shop, Told]]:
    """What a payer told in the end that had to make ``payments`` with such a shop."""
    shop = Shop(moods)
    ours, theirs = multiprocessing.Pipe()
    payer = threading.Thread(target=Payer(shop.port, 4, payments, theirs).run)
    payer.start()
    told = Told()
    latencies = 0
    try:
        while told.accepted < payments:
            ours.send(Order(5000.0))
            told = ours.recv()
            latencies += told.counts.total()
        assert latencies == payments
        yield shop, told
    finally:
        ours.close()
        payer.join()
        shop.close()


def test_what_is_refused_or_unanswered_is_sent_again_until_it_is_accepted() -> None:
    moods = itertools.cycle(["202"] * 9 + ["503"] + ["202"] * 9 + ["cut"])
    with paid(moods, 200) as (shop, told):
        assert len(set(shop.accepted)) == len(shop.accepted) == 200
        assert (told.begun, told.accepted) == (200, 200)
        assert told.fingerprint == sum(shop.accepted) % FINGERPRINT
        assert told.refused[503] >= 10
        assert told.unanswered.total() >= 10


def test_with_a_good_shop_nothing_is_sent_twice() -> None:
    with paid(itertools.repeat("202"), 300) as (shop, told):
        assert len(shop.accepted) == 300
        assert not told.refused and not told.unanswered


def test_it_pays_nothing_before_it_is_told_to() -> None:
    shop = Shop(itertools.repeat("202"))
    ours, theirs = multiprocessing.Pipe()
    payer = threading.Thread(target=Payer(shop.port, 4, 100, theirs).run)
    payer.start()
    for order in (Order(0.0), Order(0.0, over=True), Order(1000.0, over=True)):
        ours.send(order)
        assert ours.recv().begun == 0
    ours.close()
    payer.join()
    shop.close()
