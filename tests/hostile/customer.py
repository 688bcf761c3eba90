"""A well-behaved client that pays while others misbehave, and notices when it is not served well."""

from __future__ import annotations

import collections
import contextlib
import statistics
import threading
import time
from collections.abc import Iterator

from tests.hostile.running import Engine
from tests.hostile.wire import NoAnswer, Wire, payment_body, post

PAUSE_SECONDS = 0.005
PAYMENTS_A_CONNECTION = 25
# Far above the millisecond that it takes: what is measured here is whether anybody is starved by the engine. On a
# machine that starves everybody, pauses end late too: a payment needs several processes, one after the other.
MEDIAN_SECONDS_MAX = 0.05
LATE_MEDIANS_MAX = 20
CUSTOMERS = 3


class Customer:
    """A thread that pays until it is told to stop, with a new connection now and then."""

    def __init__(self, engine: Engine) -> None:
        self._address = ("127.0.0.1", engine.port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pay, daemon=True)
        self.answers: collections.Counter[int | str] = collections.Counter()
        self.seconds: list[float] = []
        self.late_seconds: list[float] = [0.0]  # by which pauses have ended too late

    def start(self) -> None:
        """Begins to pay."""
        self._thread.start()

    def stop(self) -> None:
        """Ends when the payment under way is answered."""
        self._stop.set()
        self._thread.join()

    def _pay(self) -> None:
        # At least one whole connection: the misbehaviour may be over in no time.
        while not self._stop.is_set() or not self.answers:
            try:
                with Wire(self._address) as wire:
                    for _ in range(PAYMENTS_A_CONNECTION):
                        begin = time.monotonic()
                        wire.send(post(payment_body()))
                        self.answers[wire.reply().status] += 1
                        answered = time.monotonic()
                        self.seconds.append(answered - begin)
                        if self._stop.wait(PAUSE_SECONDS):
                            break
                        self.late_seconds.append(time.monotonic() - answered - PAUSE_SECONDS)
            except (OSError, NoAnswer) as error:
                self.answers[repr(error)] += 1


@contextlib.contextmanager
def customers(engine: Engine) -> Iterator[None]:
    """While the block runs, customers pay; then AssertionError unless every payment was accepted, and soon."""
    crowd = [Customer(engine) for _ in range(CUSTOMERS)]
    for customer in crowd:
        customer.start()
    try:
        yield
    finally:
        for customer in crowd:
            customer.stop()
    for customer in crowd:
        assert set(customer.answers) == {202}, dict(customer.answers)
        late = statistics.median(customer.late_seconds)
        assert statistics.median(customer.seconds) < MEDIAN_SECONDS_MAX + LATE_MEDIANS_MAX * late
