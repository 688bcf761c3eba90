"""The store's host: the stub behind a network, which is restarted now and then."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from engine.cluster.stub import Stub
from engine.cluster.values import Call, Kept, Page, StaleEpochError, StaleEraError
from engine.lab.dst.cells.network import STORE, Network
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.trace import Trace

GAPS = 8  # one page in so many has a gap


class Watched(Stub):
    """The stub, with what the checks look at. ``read_early``: only of a mutant."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        super().__init__(clock_ms)
        self.read_early: dict[int, tuple[int, int, list[Kept]]] = {}

    @property
    def era(self) -> int:
        """How often everything was purged, and one."""
        return self._state.era

    def kept(self, payment: bytes) -> Kept | None:
        """What it has of a payment."""
        one = self._state.payments.get(payment)
        return None if one is None else self._shown(one.kept)

    def all_kept(self) -> list[Kept]:
        """What it has of all payments."""
        return [self._shown(one.kept) for one in self._state.payments.values()]

    def discrepancies_kept(self) -> int:
        """How many second outcomes differed from the first."""
        return len(self._state.discrepancies)


class StoreHost:
    """See the module. While it is down, what arrives is lost."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: Random,
        network: Network,
        trace: Trace,
        number: Callable[[bytes], int],
    ) -> None:
        self._chance = chance
        self.stub = Watched(lambda: scheduler.now.wall_ms)
        self.is_down = False
        self._scheduler = scheduler
        self._network = network
        self._trace = trace
        self._number = number

    def arrive(self, name: str, call: Call, answer: Callable[[Any], None]) -> None:
        """A call of the cell ``name`` has arrived; its answer goes back there."""
        if self.is_down:
            return
        result = self.stub.perform([call])[0]
        if isinstance(result, Page) and len(result.entries) > 1 and not self._network.is_calm:
            result = self._torn(result)
        self._tell(name, call, result)
        self._network.carry(STORE, name, answer, result)

    def _torn(self, page: Page) -> Page:
        """A page of a store whose sequences commit out of order: now and then an entry in it is not there yet."""
        gap = self._chance.randrange(GAPS * len(page.entries))
        return page._replace(entries=page.entries[:gap] + page.entries[gap + 1 :])

    def _tell(self, name: str, call: Call, result: Any) -> None:
        now_ms = self._scheduler.mono_ms
        if isinstance(result, StaleEpochError | StaleEraError):
            self._trace.add(now_ms, f"the store refuses {name}", None, call.operation, type(result).__name__)
        elif call.operation in ("accept", "pin", "conclude"):
            for row, what in zip(call.arguments[1], result, strict=True):
                number = self._number(row.id)
                self._trace.add(now_ms, f"the store hears from {name}", number, call.operation, *row[1:], what.verdict)
        elif call.operation in ("join", "adopt", "leave", "purge", "reopen"):
            self._trace.add(now_ms, f"the store hears from {name}", None, call.operation, call.arguments[-1], result)
