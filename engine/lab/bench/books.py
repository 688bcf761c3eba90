"""The engine's books and the processors', compared when all should be settled."""

from __future__ import annotations

import time

from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processors import Processors, charged_twice
from engine.lab.services.service import ServiceError

POLL_S = 0.05


class Books:
    """The books of one engine and its processors. Close it at the end.

    Raises ServiceError if an address cannot be used.
    """

    def __init__(self, addresses: Addresses) -> None:
        self.processors = Processors(addresses)
        self.engine = Engine(addresses)

    def await_settled(self, count: int, seconds_max: float) -> int:
        """Waits until the processors have charged ``count`` payments, or the time is over; returns how many they have.

        Asks the processors only: requests to the engine would count as its own use of CPU. Raises ServiceError.
        """
        deadline_s = time.monotonic() + seconds_max
        while (settled := self.processors.totals().count) < count and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return settled

    def problems(self, low: int, high: int, seconds_max: float) -> list[str]:
        """What is wrong with the books when everything accepted, ``low`` to ``high`` payments, should be settled."""
        deadline_s = time.monotonic() + seconds_max
        while True:  # the engine may still be writing down what the processor has just answered
            try:
                found = self._look(low, high)
            except ServiceError as error:
                found = [str(error)]
            if not found or time.monotonic() > deadline_s:
                break
            time.sleep(POLL_S)
        try:
            twice = charged_twice(self.processors.values())
        except ServiceError as error:
            return [*found, f"whether anything was charged twice is not known: {error}"]
        return [*found, f"{len(twice)} payments were charged twice"] if twice else found

    def _look(self, low: int, high: int) -> list[str]:
        charged, said = self.processors.totals(), self.engine.summary()
        pending, failed = self.engine.queues()
        found = []
        if charged != said:
            found.append(f"the processors have charged {charged}, and the engine says {said}")
        if not low <= charged.count <= high:
            found.append(f"{low} to {high} payments were accepted, and {charged.count} are settled")
        if pending or failed:
            found.append(f"{pending} payments are pending and {failed} failed")
        return found

    def forget(self) -> None:
        """Empties the processors. Raises ServiceError."""
        self.processors.purge()

    def close(self) -> None:
        """Closes the kept connections."""
        self.processors.close()
        self.engine.close()
