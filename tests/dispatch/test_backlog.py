"""Payments that wait are taken in the same order whether one by one or many at once."""

from __future__ import annotations

import random

import pytest

from engine.dispatch.backlog import Backlog
from engine.memory import layout
from engine.memory.words import zeros
from engine.ring.ring import RingReader, RingWriter

SLOTS = 64


def _backlog(seed: int, rings: int) -> Backlog:
    """A backlog over ``rings``; ``seed`` decides which payments came when, and what has happened to some."""
    chance = random.Random(seed)
    writers = []
    for _ in range(rings):
        words = zeros(layout.ring_words(SLOTS))
        layout.lay_out_ring(words, SLOTS, 1, 2)
        writers.append(RingWriter(words))
    backlog = Backlog([RingReader(writer.words) for writer in writers])
    for number in range(1, chance.choice((0, 1, 9, 40)) + 1):
        # Two processes read the clock and put in what they have read in any order.
        clock_ms = number + chance.randrange(3)
        assert chance.choice(writers).put(number, number, 100, 1, clock_ms)
    if chance.random() < 0.5:
        taken = [backlog.take() for _ in range(backlog.waiting // 3)]
        for ring, position in chance.sample(taken, len(taken) // 2):
            backlog.put_back(ring, position)
    if chance.random() < 0.3 and backlog.waiting:
        backlog.take_newest()  # a probe
    return backlog


@pytest.mark.parametrize("rings", [1, 2, 3])
def test_many_are_taken_as_one_by_one(rings: int) -> None:
    for seed in range(200):
        one_by_one, at_once = _backlog(seed, rings), _backlog(seed, rings)
        waiting = one_by_one.waiting
        chance = random.Random(seed)
        while waiting:
            count = chance.randint(1, waiting)
            assert at_once.take_many(count) == [one_by_one.take() for _ in range(count)]
            waiting -= count
            assert at_once.waiting == one_by_one.waiting == waiting
        assert at_once.take_many(0) == []
