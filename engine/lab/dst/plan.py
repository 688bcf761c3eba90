"""The world of a seed: every number that is drawn before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from engine.lab.dst.stages import Stage, draw_stages
from engine.memory.layout import SUM_MODULUS
from engine.processors import CONTEST_NAMES

PROCESSORS = range(len(CONTEST_NAMES))
START_WALL_MS = 1_760_000_000_000
# Payment k is of 2^k cents: any sum tells which payments are in it. All stay below what a processor's word may be.
PAYMENTS_MAX = 34
ALTERED_MAX = 6  # payments of which a processor stores another amount: so many bits are beyond those of the payments
BITS = PAYMENTS_MAX + ALTERED_MAX
NEVER_MS = 10**12
DAY_STEP_MS = 25 * 3600 * 1000  # of a clock that is set by a day
FEES_PPM = (10_000, 50_000, 90_000, 150_000, 300_000)
REFUSED_WITH = (400, 402, 404, 405, 413, 414, 415, 400, 500, 500)


@dataclass(frozen=True)
class Oddity:
    """What is special about a payment, for ever. In a field about processors, bit p is for processor p.

    ``refused_with``: the status with which each processor answers it for what it is, 0: it does not. ``phantom``: the
    processor says "already there", and it is not. ``stranger``: it is there, from somebody else and long ago.
    ``altered``: the processor stores ``altered_cents``, another amount. ``cursed``: deciding about its lookups raises.
    """

    refused_with: tuple[int, int] = (0, 0)
    phantom: int = 0
    stranger: int = 0
    altered: int = 0
    altered_cents: int = 0
    cursed: bool = False

    def is_phantom(self, processor: int) -> bool:
        """Whether ``processor`` says that it has it though it has not."""
        return bool(self.phantom >> processor & 1)

    def is_altered(self, processor: int) -> bool:
        """Whether ``processor`` stores another amount."""
        return bool(self.altered >> processor & 1)

    def has_stranger(self, processor: int) -> bool:
        """Whether ``processor`` has somebody else's payment with this id."""
        return bool(self.stranger >> processor & 1)


PLAIN = Oddity()


@dataclass(frozen=True)
class Order:
    """A payment that a customer means to make: ``number`` k, of 2^k cents, first sent ``at_ms`` into the run.

    Several may have the same id: it comes again when the engine has forgotten the earlier one, or too soon.
    """

    number: int
    id_high: int
    id_low: int
    cents: int
    at_ms: int
    odd: Oddity


@dataclass(frozen=True)
class Plan:
    """See :mod:`engine.settings` for those fields that have the name of a setting; chances are from 0 to 1."""

    api_processes: int
    ring_slots: int
    in_flight_max: int
    breaker_failures: int
    probe_interval_ms: int
    wait_cost_ppm: int
    request_timeout_ms: int
    connect_timeout_ms: int
    health_interval_ms: int
    give_up_ms: int
    park_ms: int
    parked_slots: int
    refusals_max: int
    dispatch_batch: int
    dispatch_pause_ms: int
    target_batch: int
    drain_ms: int
    fees_ppm: tuple[int, int]  # what each processor keeps ...
    known_fees: tuple[bool, bool]  # ... whether the engine is told that at its start ...
    fee_query: bool  # ... and whether they may be asked
    books_recent_seconds: int
    seeds: tuple[int, ...]  # odd multipliers for hashing, two for each ring and one for the books
    start_ms: int  # monotonic
    start_wall_ms: int
    length_ms: int  # of the time of trouble; after it everything heals
    orders: tuple[Order, ...]
    repeats: float  # chance that a customer sends once more
    stages: tuple[tuple[Stage, ...], tuple[Stage, ...]]  # of each processor
    points_mean: int  # points between two interrupts
    crashes_max: int
    purges: tuple[int, ...]  # when, ms into the run
    audits: tuple[int, ...]  # when somebody asks for a summary
    stops: tuple[int, ...]  # when somebody stops the dispatcher by SIGTERM, without killing it
    removals: tuple[tuple[int, int], ...]  # from when to when the doorbell's pipe is not the one that is waited at
    clock_steps: tuple[tuple[int, int], ...]  # when, ms into the run; by how many ms
    moves: tuple[tuple[int, int], ...]  # when, ms into the run, somebody gives which processor another address
    sizes: tuple[tuple[int, int, int], ...]  # when the engine is started with so many rings of so many slots
    id_memory: bool  # whether the engine remembers ids for longer than in its rings ...
    mistaken_ids: float  # ... and the chance that it takes a new one for known
    is_synced: bool  # whether stores are brought to disk, before a 202 and before a payment is sent ...
    is_compared: bool  # ... and, if not, whether the fast path goes through what is accepted once more
    mute: tuple[bool, bool]  # whether each processor answers no lookup, ever
    sums: int  # cents that every sum begins with; 0 for none
    is_curse_lifted: bool  # when everything heals
    replay: float  # chance that a pass of the dispatcher is gone through again with a reader beside it


def draw(chance: Random) -> Plan:
    """The plan of a seed."""
    pick = chance.choice
    length_ms = chance.randint(2000, 12_000)
    api_processes = pick((1, 2, 2, 3))
    recent_seconds = pick((1, 1, 2, 4, 15))
    request_timeout_ms = chance.randint(150, 2500)
    start_ms = chance.randint(1, 10**9)
    again = pick((0.0, 0.0, 0.25, 0.4))
    orders = _draw_orders(chance, length_ms, again)
    return Plan(
        api_processes=api_processes,
        ring_slots=pick((4, 4, 8) if again else (4, 4, 8, 8, 16, 32, 64)),
        in_flight_max=pick((1, 2, 4, 8, 32)),
        breaker_failures=chance.randint(1, 5),
        probe_interval_ms=chance.randint(20, 500),
        wait_cost_ppm=pick((0, 20_000, 1_000_000)),
        request_timeout_ms=request_timeout_ms,
        connect_timeout_ms=chance.randint(10, 600),
        health_interval_ms=chance.randint(500, 5050),
        give_up_ms=pick((NEVER_MS, NEVER_MS, chance.randint(500, 6000))),
        park_ms=pick((NEVER_MS, chance.randint(100, 4000), chance.randint(100, 4000))),
        parked_slots=pick((8, 8, 16)),
        refusals_max=pick((1, 2, 5)),
        dispatch_batch=pick((1, 3, 64)),
        dispatch_pause_ms=chance.randint(2, 60),
        target_batch=pick((1, 12, 12)),
        drain_ms=pick((0, 100, 1000, 5000)),
        fees_ppm=(pick(FEES_PPM), pick(FEES_PPM)),
        known_fees=(pick((True, False)), pick((True, False))),
        fee_query=pick((True, False)),
        books_recent_seconds=recent_seconds,
        seeds=tuple(chance.getrandbits(64) | 1 for _ in range(2 * api_processes + 1)),
        start_ms=start_ms,
        start_wall_ms=START_WALL_MS + chance.randint(0, 100_000),
        length_ms=length_ms,
        orders=orders,
        repeats=pick((0.0, 0.3, 0.6)),
        stages=(draw_stages(chance, length_ms), draw_stages(chance, length_ms)),
        points_mean=pick((15, 40, 40, 120)),
        crashes_max=pick((0, 3, 8, 8, 15)),
        purges=tuple(chance.randint(0, length_ms) for _ in range(pick((0, 0, 0, 0, 1, 2)))),
        audits=_draw_audits(chance, length_ms),
        stops=tuple(chance.randint(0, length_ms) for _ in range(pick((0, 0, 1, 3)))),
        removals=tuple(
            (at_ms, at_ms + pick((100, 1000, 3000)))
            for at_ms in (chance.randint(0, length_ms) for _ in range(pick((0, 0, 1, 2))))
        ),
        clock_steps=_draw_clock_steps(chance, length_ms, recent_seconds),
        moves=tuple((chance.randint(0, length_ms), pick(PROCESSORS)) for _ in range(pick((0, 0, 2)))),
        sizes=tuple(
            (chance.randint(0, length_ms), pick((1, 2, 3)), pick((4, 8, 16, 64))) for _ in range(pick((0, 0, 0, 1, 2)))
        ),
        id_memory=chance.random() < 0.5,
        mistaken_ids=pick((0.0, 0.1)),
        mute=(chance.random() < 0.12, chance.random() < 0.12),
        sums=_draw_sums(chance, orders),
        is_curse_lifted=chance.random() < 0.5,
        replay=pick((0.0, 0.05, 0.2)),
        is_synced=(is_synced := chance.random() < 0.2),
        is_compared=not is_synced and chance.random() < 0.25,
    )


def _draw_audits(chance: Random, length_ms: int) -> tuple[int, ...]:
    """None, or one after the other at equal distances."""
    every_ms = chance.choice((0, 0, 500, 2000))
    return tuple(range(chance.randint(1, every_ms), length_ms, every_ms)) if every_ms else ()


def _draw_orders(chance: Random, length_ms: int, again: float) -> tuple[Order, ...]:
    """Bursts and trickles, some after everything has healed; ids at random, or close together so that they meet in the
    rings' chains; ``again``: chance of an id that was there before.
    """
    count = chance.randint(10, PAYMENTS_MAX)
    close = chance.random() < 0.3
    odd = chance.choice((0.0, 0.1, 0.25))
    late = chance.choice((0, 4))
    orders: list[Order] = []
    at_ms = altered = 0
    for number in range(count):
        if number == count - late:
            at_ms = length_ms
        if chance.random() < 0.35 and at_ms < length_ms:
            at_ms = chance.randint(0, length_ms * 9 // 10)
        ids = (7, number) if close else (chance.getrandbits(64), chance.getrandbits(64))
        if orders and chance.random() < again:
            earlier = chance.choice(orders)
            ids = earlier.id_high, earlier.id_low
            at_ms = max(at_ms, earlier.at_ms)
        oddity = _draw_oddity(chance, altered) if chance.random() < odd else PLAIN
        altered += oddity.altered > 0
        orders.append(Order(number, *ids, 1 << number, at_ms, oddity))
        at_ms += chance.randint(0, 3) if at_ms < length_ms else chance.randint(0, 2000)
    return tuple(orders)


def _draw_oddity(chance: Random, altered: int) -> Oddity:
    """Something odd; so many payments are altered already."""
    kind, where = chance.random(), chance.choice((1, 2, 3))
    if kind < 0.4:
        default, fallback = chance.choice(REFUSED_WITH), chance.choice(REFUSED_WITH)
        return Oddity(refused_with=(default if where & 1 else 0, fallback if where & 2 else 0))
    if kind < 0.55:
        return Oddity(phantom=where)
    if kind < 0.75:
        return Oddity(stranger=where)
    if kind < 0.86 and altered < ALTERED_MAX:
        return Oddity(altered=where, altered_cents=1 << PAYMENTS_MAX + altered)
    return Oddity(cursed=True)


def _draw_sums(chance: Random, orders: tuple[Order, ...]) -> int:
    """Nothing, or so much that the run's payments lead beyond a limit of the words that sums are kept in."""
    if chance.random() < 0.6:
        return 0
    limit = chance.choice((SUM_MODULUS, 2 * SUM_MODULUS, 5 * SUM_MODULUS))
    return limit - 1 - int(chance.random() * sum(order.cents for order in orders) / 2)


def _draw_clock_steps(chance: Random, length_ms: int, recent_seconds: int) -> tuple[tuple[int, int], ...]:
    """Steps forward of any size; steps back that together stay well within what the books hold by milliseconds; or
    steps of more than a day.
    """
    kind = chance.random()
    if kind < 0.6:
        return ()
    steps = []
    back_ms = recent_seconds * 500 // 3
    for _ in range(3):
        if kind > 0.8:
            by_ms = chance.choice((-DAY_STEP_MS, DAY_STEP_MS)) + chance.randint(-5000, 5000)
        else:
            forward_ms = chance.randint(1, 3 * recent_seconds * 1000)
            by_ms = -chance.randint(1, back_ms) if chance.random() < 0.6 else forward_ms
        steps.append((chance.randint(0, length_ms), by_ms))
    return tuple(steps)
