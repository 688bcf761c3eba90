"""A window that books and ledger make together is exact to the millisecond, or it is not told."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from engine.books.levels import lay_out_books, shape
from engine.books.reader import BooksReader, Sum
from engine.books.writer import BooksWriter
from engine.intake import old_window
from engine.memory.words import zeros

NOW_MS = 1_795_766_400_123
RECENT_S, HORIZON_H = 30, 1
SHAPE = shape(RECENT_S, HORIZON_H, 8, 2)


class Settled(NamedTuple):
    at_ms: int
    processor: int
    cents: int


class World:
    """Books, and a ledger that is a list."""

    def __init__(self, payments: int, seed: int) -> None:
        self.random = random.Random(seed)
        words = zeros(SHAPE.words)
        lay_out_books(words, SHAPE, 1)
        self.books, self._writer = BooksReader(words, SHAPE), BooksWriter(words, SHAPE, [])
        self.settled = list[Settled]()
        ages = [10, 1000, RECENT_S * 1000, (RECENT_S + 3) * 1000, 120_000, HORIZON_H * 3_600_000, 2 * 3_600_000]
        near = [self.random.choice(ages) + self.random.randrange(-4000, 4000) for _ in range(payments)]
        for age_ms in sorted((max(age, 0) for age in near), reverse=True):
            self.settle(NOW_MS - age_ms)
        self.ledger = list(self.settled)

    def settle(self, at_ms: int) -> None:
        """Settles a payment of that time now."""
        one = Settled(at_ms, self.random.randrange(2), self.random.randrange(1, 5000))
        self._writer.begin(NOW_MS)
        self._writer.settle(one.processor, one.at_ms, one.cents)
        self._writer.commit()
        self.settled.append(one)

    def bounds(self) -> tuple[int | None, int | None]:
        """A window with bounds on payments and beside them."""
        low, high = sorted(self.random.choice(self.settled).at_ms + self.random.randrange(-2, 3) for _ in range(2))
        return self.random.choice((low, low, None)), self.random.choice((high, high, None))


def sums(settled: list[Settled], from_ms: int | None, to_ms: int | None) -> tuple[Sum, ...]:
    return tuple(
        Sum(len(found), sum(one.cents for one in found))
        for processor in range(2)
        for found in [
            [
                one
                for one in settled
                if one.processor == processor
                and (from_ms is None or one.at_ms >= from_ms)
                and (to_ms is None or one.at_ms <= to_ms)
            ]
        ]
    )


def asked(world: World, from_ms: int | None, to_ms: int | None, *, is_whole: bool) -> tuple[Sum, ...] | None:
    plan = old_window.plan(from_ms, to_ms, world.books.anchor)
    if plan is None:
        return world.books.window(from_ms, to_ms)
    told = [sums(world.ledger, begin, end - 1) for begin, end in plan.stretches]
    assert len(told) <= 4
    return old_window.together(plan, told, is_whole=is_whole, books=world.books)


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_ledger_makes_every_window_exact(seed: int) -> None:
    world = World(300, seed)
    for _ in range(400):
        bounds = world.bounds()
        assert asked(world, *bounds, is_whole=True) == sums(world.settled, *bounds), bounds


@pytest.mark.parametrize("seed", range(6))
def test_a_ledger_that_lacks_payments_tells_nothing_wrong(seed: int) -> None:
    world = World(300, seed)
    world.ledger = [one for one in world.ledger if world.random.random() < 0.9]
    told = []
    for _ in range(400):
        bounds = world.bounds()
        found = asked(world, *bounds, is_whole=False)
        told.append(found is not None)
        assert found is None or found == sums(world.settled, *bounds), bounds
    assert any(told) and not all(told)


@pytest.mark.parametrize("seed", range(3))
def test_windows_that_touch_add_up(seed: int) -> None:
    world = World(300, seed)
    for _ in range(200):
        low, high = sorted(one.at_ms for one in world.random.sample(world.settled, 2))
        middle = world.random.randrange(low, high + 1)
        parts = [asked(world, low, middle, is_whole=True), asked(world, middle + 1, high, is_whole=True)]
        assert parts[0] is not None and parts[1] is not None
        whole = asked(world, low, high, is_whole=True)
        assert whole == tuple(Sum(a[0] + b[0], a[1] + b[1]) for a, b in zip(*parts, strict=True))


def test_what_is_recent_or_of_whole_seconds_is_not_asked_of_the_ledger() -> None:
    books = World(50, 1).books
    old_ms = (NOW_MS - 60_000) // 1000 * 1000
    known: list[tuple[int | None, int | None]] = [
        (NOW_MS - 15_000, NOW_MS - 1500), (old_ms, old_ms + 9999), (None, None), (None, NOW_MS), (9, 3),
    ]  # fmt: skip
    for from_ms, to_ms in known:
        assert old_window.plan(from_ms, to_ms, books.anchor) is None
    assert old_window.plan(old_ms + 1, None, books.anchor) is not None


def test_what_is_settled_between_two_readings_of_the_books_makes_no_wrong_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(100, 5)
    second_ms = (NOW_MS - 60_000) // 1000 * 1000
    for at_ms in range(second_ms, second_ms + 2000, 50):
        world.settle(at_ms)
    world.ledger = list(world.settled)
    bounds = second_ms + 500, second_ms + 1499
    resolved, calls = world.books.resolved, list[int]()

    def meanwhile(from_ms: int | None, to_ms: int | None) -> object:
        calls.append(1)
        if len(calls) == late:
            world.settle(second_ms + 1700)  # outside of the window, in the second of its end
        return resolved(from_ms, to_ms)

    for late in range(1, 8):
        calls.clear()
        world.ledger = list(world.settled)
        wanted = sums(world.settled, *bounds)
        monkeypatch.setattr(world.books, "resolved", meanwhile)
        found = asked(world, *bounds, is_whole=True)
        monkeypatch.undo()
        assert found in (None, wanted)
        assert found == (None if late <= 5 else wanted), late
