"""What must hold at the end of every test that pays, whatever happened in between."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from engine.lab.contest.books import Totals
from engine.lab.services.processor import Processor
from tests.lab.simulate.processes import Processors
from tests.system.client import Client, Payment, client, wait_until
from tests.system.running import Engine

SETTLE_SECONDS_MAX = 40.0
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class World:
    """A running engine and the processors that it uses."""

    engine: Engine
    processors: Processors

    def empty(self) -> None:
        """Everything is forgotten, and the processors are healthy. No payment of the engine may be under way."""
        for processor in (self.processors.default, self.processors.fallback):
            # A slow insert may be: the engine has settled its payment by another attempt.
            wait_until(partial(_is_idle, processor), SETTLE_SECONDS_MAX, "the processor has nothing in hand")
        with client(self.engine.port) as shop:
            assert shop.request("POST", "/purge-payments").status == 200
        self.processors.reset()

    def check_settled_once(self, accepted: Iterable[Payment], unanswered: Iterable[Payment] = ()) -> None:
        """Waits until nothing is pending, then compares what was accepted, charged and written into the books.

        ``unanswered`` are payments whose client does not know whether they were accepted.
        """
        with client(self.engine.port) as shop:
            wait_until(lambda: shop.pending() == 0, SETTLE_SECONDS_MAX, "everything accepted is settled")
            check_charged_once(self.processors, accepted, unanswered)
            check_books(self.processors, shop)


def _is_idle(processor: Processor) -> bool:
    stats = processor.stats()
    return stats["in_flight"] == stats["waiting"] == 0


def check_charged_once(processors: Processors, accepted: Iterable[Payment], unanswered: Iterable[Payment] = ()) -> None:
    """The processors charged all that was accepted, with its amount, nothing twice, and nothing else."""
    assert processors.charged_twice() == set()
    charged = {
        Payment(row.correlation_id, row.amount_cents)
        for processor in (processors.default, processors.fallback)
        for row in processor.charged()
    }
    accepted = set(accepted)
    assert accepted - charged == set(), "accepted and not charged"
    assert charged - accepted - set(unanswered) == set(), "charged and never handed in"


def check_books(processors: Processors, shop: Client, windows: int = 40) -> None:
    """The engine's summary is the processors' own: count and cents, each by itself, over all and in many windows."""
    assert shop.summary() == charged_totals(processors)
    moments = sorted(
        {row.requested_at for processor in (processors.default, processors.fallback) for row in processor.charged()}
    )
    for window in _windows(moments, windows):
        assert shop.summary(*window) == charged_totals(processors, *window), window


def charged_totals(processors: Processors, from_: str | None = None, to: str | None = None) -> Totals:
    """What both processors say they have charged in a window."""
    bounds = (from_, to)
    return Totals(default=processors.default.total(bounds), fallback=processors.fallback.total(bounds))


def _windows(moments: list[str], count: int) -> Iterator[tuple[str | None, str | None]]:
    """Windows that begin and end at, or 1 ms beside, the moments of payments; some of a single ms, some half open."""
    if not moments:
        return
    chance = random.Random(len(moments))

    def near(moment: str) -> str:
        shifted = datetime.fromisoformat(moment) + chance.choice((-1, 0, 0, 1)) * MILLISECOND
        return shifted.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    yield moments[0], moments[-1]
    yield moments[0], None
    yield None, moments[-1]
    for _ in range(count):
        low, high = sorted(chance.choices(moments, k=2))
        yield near(low), near(high)
        yield low, low
