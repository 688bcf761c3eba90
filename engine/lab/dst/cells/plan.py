"""What follows from a seed before anything happens: who there is, what customers do, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

START_MS = 100_000  # of the engine's clock
CELLS = (1, 2, 3, 3, 4)
PAYMENTS = (5, 25)
TROUBLE_MS = 9000  # customers pay, and things go wrong
CALM_MS = 60_000  # after that everything heals, and all must be over within this
LEASES_MS = (1000, 1000, 2000)
DEAD_LETTER_MS = (1500, 4000, 8000)
CENTS = 1990
EVENTS = (2, 9)
SKEWS_MS = (-4000, -400, -240, -100, 100, 240, 400, 4000)
UNWANTED_SHARE = 12  # one payment in so many is refused by a processor for ever
FICKLE_PPM = (
    (0, 0, 0, 0),
    (20_000, 5000, 5000, 5000),
    (50_000, 30_000, 30_000, 30_000),
    (10_000, 80_000, 80_000, 20_000),
)


class Trouble(Enum):
    """What goes wrong."""

    KILL = "is killed"
    STAND = "stands still"
    STAND_SENDING = "stands still with something in its hands"
    CUT_STORE = "is cut off from the store"
    CUT_PROCESSORS = "is cut off from a processor"
    STORE_RESTART = "the store restarts"
    SKEW = "its clock is set"
    PURGE = "everything is purged"
    LEAVE = "leaves"
    RETRY = "is told to try again what it has given up"


_T = Trouble
TROUBLES = (
    *(_T.KILL,) * 3,
    *(_T.STAND,) * 2,
    *(_T.STAND_SENDING,) * 4,
    *(_T.CUT_STORE,) * 4,
    *(_T.CUT_PROCESSORS,) * 2,
    *(_T.STORE_RESTART,) * 2,
    *(_T.SKEW,) * 2,
    _T.PURGE,
    _T.LEAVE,
    *(_T.RETRY,) * 2,
)


@dataclass(frozen=True)
class Event:
    """``at_ms``, ``for_ms``: from the beginning, and how long; ``chance``: 0 to 2^30, for whatever is drawn then."""

    at_ms: int
    trouble: Trouble
    cell: int
    for_ms: int
    chance: int


@dataclass(frozen=True)
class Order:
    """A customer's payment. ``also``: other cells at which the same id is offered at the same moment, and the cents."""

    number: int
    at_ms: int
    cell: int
    also: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """See the module."""

    cells: int
    lease_ms: int
    dead_letter_ms: int
    give_up_ms: int
    fickle_ppm: tuple[int, int, int, int]
    orders: tuple[Order, ...]
    events: tuple[Event, ...]
    unwanted: tuple[frozenset[int], frozenset[int]]  # by processor: numbers of orders
    start_ms: int = START_MS


def draw(chance: Random, cells: int | None) -> Plan:
    """A plan. ``cells``: how many there are; None: that is drawn too."""
    drawn = chance.choice(CELLS)
    cells = drawn if cells is None else cells
    orders = tuple(_order(chance, number, cells) for number in range(chance.randint(*PAYMENTS)))
    numbers = [order.number for order in orders]
    return Plan(
        cells,
        chance.choice(LEASES_MS),
        chance.choice(DEAD_LETTER_MS),
        chance.choice((1500, 5000, 12_000)),
        chance.choice(FICKLE_PPM),
        orders,
        tuple(_event(chance, cells) for _ in range(chance.randint(*EVENTS))),
        (_unwanted(chance, numbers), _unwanted(chance, numbers)),
    )


def _order(chance: Random, number: int, cells: int) -> Order:
    also: list[tuple[int, int]] = []
    if chance.random() < 0.2:
        also = [(cell, chance.choice((CENTS, CENTS, CENTS + 1))) for cell in range(cells)]
    return Order(number, chance.randrange(TROUBLE_MS), chance.randrange(cells), tuple(also))


def _event(chance: Random, cells: int) -> Event:
    for_ms = chance.choice((chance.randint(50, 900), chance.randint(900, 8000)))
    at_ms = chance.randrange(TROUBLE_MS)
    return Event(at_ms, chance.choice(TROUBLES), chance.randrange(cells), for_ms, chance.randrange(1 << 30))


def _unwanted(chance: Random, numbers: list[int]) -> frozenset[int]:
    return frozenset(number for number in numbers if chance.randrange(UNWANTED_SHARE) == 0)
