"""The world of a seed: every number that is drawn before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from engine.dst.stages import Stage, draw_stages

START_WALL_MS = 1_760_000_000_000
PAYMENTS_MAX = 44  # payment k is of 2^k cents: any sum tells which payments are in it, and stays below the real limit
NEVER_MS = 10**12


@dataclass(frozen=True)
class Order:
    """A payment that a customer means to make: ``number`` k, of 2^k cents, first sent ``at_ms`` into the run."""

    number: int
    id_high: int
    id_low: int
    cents: int
    at_ms: int


@dataclass(frozen=True)
class Plan:
    """See :mod:`engine.settings` for those fields that have the name of a setting; chances are from 0 to 1."""

    api_processes: int
    ring_slots: int
    in_flight_max: int
    breaker_failures: int
    trial_interval_ms: int
    wait_cost_ppm: int
    request_timeout_ms: int
    connect_timeout_ms: int
    health_interval_ms: int
    give_up_ms: int
    aside_ms: int
    aside_slots: int
    refusals_max: int
    dispatch_batch: int
    dispatch_pause_ms: int
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
    clock_steps: tuple[tuple[int, int], ...]  # when, ms into the run; by how many ms
    replay: float  # chance that a pass of the dispatcher is gone through again with a reader beside it


def draw(chance: Random) -> Plan:
    """The plan of a seed."""
    pick = chance.choice
    length_ms = chance.randint(2000, 12_000)
    api_processes = pick((1, 2, 2, 3))
    recent_seconds = pick((1, 1, 2, 4, 15))
    request_timeout_ms = chance.randint(150, 2500)
    start_ms = chance.randint(1, 10**9)
    return Plan(
        api_processes=api_processes,
        ring_slots=pick((4, 4, 8, 8, 16, 32, 64)),
        in_flight_max=pick((1, 2, 4, 8, 32)),
        breaker_failures=chance.randint(1, 5),
        trial_interval_ms=chance.randint(20, 500),
        wait_cost_ppm=pick((0, 20_000, 1_000_000)),
        request_timeout_ms=request_timeout_ms,
        connect_timeout_ms=chance.randint(10, 600),
        health_interval_ms=chance.randint(500, 5050),
        give_up_ms=pick((NEVER_MS, NEVER_MS, chance.randint(500, 6000))),
        aside_ms=pick((NEVER_MS, chance.randint(100, 4000), chance.randint(100, 4000))),
        aside_slots=pick((8, 8, 16)),
        refusals_max=pick((1, 2, 5)),
        dispatch_batch=pick((1, 3, 64)),
        dispatch_pause_ms=chance.randint(2, 60),
        books_recent_seconds=recent_seconds,
        seeds=tuple(chance.getrandbits(64) | 1 for _ in range(2 * api_processes + 1)),
        start_ms=start_ms,
        start_wall_ms=START_WALL_MS + chance.randint(0, 100_000),
        length_ms=length_ms,
        orders=_draw_orders(chance, length_ms),
        repeats=pick((0.0, 0.3, 0.6)),
        stages=(draw_stages(chance, length_ms), draw_stages(chance, length_ms)),
        points_mean=pick((15, 40, 40, 120)),
        crashes_max=pick((0, 3, 8, 8, 15)),
        purges=tuple(chance.randint(0, length_ms) for _ in range(pick((0, 0, 0, 0, 1, 2)))),
        clock_steps=_draw_clock_steps(chance, length_ms, recent_seconds),
        replay=pick((0.0, 0.05, 0.2)),
    )


def _draw_orders(chance: Random, length_ms: int) -> tuple[Order, ...]:
    """Bursts and trickles; ids at random, or close together so that they meet in the rings' chains."""
    count = chance.randint(10, PAYMENTS_MAX)
    close = chance.random() < 0.3
    orders = []
    at_ms = 0
    for number in range(count):
        if chance.random() < 0.35:
            at_ms = chance.randint(0, length_ms * 9 // 10)
        ids = (7, number) if close else (chance.getrandbits(64), chance.getrandbits(64))
        orders.append(Order(number, *ids, 1 << number, at_ms))
        at_ms += chance.randint(0, 3)
    return tuple(orders)


def _draw_clock_steps(chance: Random, length_ms: int, recent_seconds: int) -> tuple[tuple[int, int], ...]:
    """Steps forward of any size; steps back that together stay well within what the books hold by milliseconds."""
    if chance.random() < 0.6:
        return ()
    steps = []
    back_ms = recent_seconds * 500 // 3
    for _ in range(3):
        by_ms = -chance.randint(1, back_ms) if chance.random() < 0.6 else chance.randint(1, 3 * recent_seconds * 1000)
        steps.append((chance.randint(0, length_ms), by_ms))
    return tuple(steps)
