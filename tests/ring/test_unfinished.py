"""Finding what is not done in a ring, thousands of slots at once: exactly what reading one after the other finds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain, pairwise

import pytest

from engine.memory import layout
from engine.memory.layout import SLOT_PROGRESS, SLOT_SEQUENCE
from engine.memory.words import Words, zeros
from engine.ring import unfinished as module
from engine.ring.ring import RingReader
from engine.ring.unfinished import first_waiting, unfinished

SLOTS = 64
LATE = (1 << 32) - 40  # the low half of the positions begins anew within the next lap


def _ring(states: Sequence[int | None], oldest: int) -> RingReader:
    """A ring whose positions from ``oldest`` on have these states; None: never sent. Its slots were in use before."""
    words = zeros(layout.ring_words(SLOTS))
    layout.lay_out_ring(words, SLOTS, 3, 5)
    ring = RingReader(words)
    for position in range(max(0, oldest - SLOTS), oldest):
        _put(words, ring, position, layout.COMPLETED)
    for position, state in enumerate(states, oldest):
        _put(words, ring, position, state)
    return ring


def _put(words: Words, ring: RingReader, position: int, state: int | None) -> None:
    at = ring.offset(position)
    words[at + SLOT_SEQUENCE] = position + 1
    if state is not None:
        words[at + SLOT_PROGRESS] = layout.pack_progress(position, state, 1, 3)


def _one_by_one(ring: RingReader, positions: range) -> tuple[list[int], list[int]]:
    held = [payment for payment in map(ring.read, positions) if payment is not None]
    waiting = [payment.position for payment in held if payment.state == layout.QUEUED]
    return waiting, [payment.position for payment in held if payment.state in (layout.PROCESSING, layout.ALREADY)]


@pytest.mark.parametrize("block", [1, 3, 16, 1024])
def test_it_finds_what_reading_one_by_one_finds_wherever_a_lap_ends_and_whatever_was_given_away(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    chance = random.Random(block)
    for _ in range(300):
        oldest = chance.choice((0, 1, 37, 64, 1000, LATE))
        done = chance.choice(((layout.COMPLETED,), (layout.COMPLETED, layout.FAILED, layout.PARKED)))
        others = [*done * 3, None, *range(7)] if chance.random() < 0.7 else [*done]
        states = [chance.choice(others) for _ in range(SLOTS)]
        ring = _ring(states, oldest)
        for position in chance.sample(range(oldest, oldest + SLOTS), chance.choice((0, 0, 9))):
            if states[position - oldest] in done:  # its slot has a newer payment, or gets one just now
                _put(ring.words, ring, position + SLOTS, chance.choice((None, layout.PROCESSING)))
                ring.words[ring.offset(position) + SLOT_SEQUENCE] *= chance.choice((0, 1))
        start = oldest + chance.randint(0, SLOTS)
        positions = range(start, chance.randint(start, oldest + SLOTS))
        waiting, sent = unfinished(ring, positions)
        assert (list(chain(*waiting)), sent) == _one_by_one(ring, positions)
        assert all(before.stop < after.start for before, after in pairwise(waiting))


def test_a_ring_in_which_all_is_done_is_passed_without_a_look_at_any_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = _ring([layout.COMPLETED] * SLOTS, LATE + SLOTS)
    monkeypatch.setattr(module, "_waiting", None)
    assert unfinished(ring, range(LATE + SLOTS, LATE + 2 * SLOTS)) == ([], [])


@pytest.mark.parametrize("sent", [0, 1, 20, SLOTS])
@pytest.mark.parametrize("oldest", [0, LATE])
def test_the_guess_is_just_above_what_was_sent_though_probes_are_among_what_waits(sent: int, oldest: int) -> None:
    states: list[int | None] = [layout.COMPLETED] * sent + [None] * (SLOTS - sent)
    for probe in range(sent + 10, SLOTS, 10):
        states[probe] = layout.PROCESSING
    ring = _ring(states, oldest)
    assert first_waiting(ring, range(oldest, oldest + SLOTS)) == oldest + sent
