"""Many slots that are read at once are what each is by itself, and cost few loads of shared memory."""

from __future__ import annotations

from typing import Any

import pytest

from engine.ledger import slots
from engine.ledger.follow import RingFollower
from engine.ledger.rows import RingCursor
from engine.memory import layout
from engine.memory.words import Words, zeros
from engine.ring.ring import RingReader, RingWriter

SLOTS = 64


class Counted:
    """Words that count how often something is loaded; before each load ``before`` is called."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.loads = 0
        self.before: Any = lambda: None

    def __getitem__(self, index: Any) -> Any:
        self.before()
        self.loads += 1
        return self.words[index]

    def __len__(self) -> int:
        return len(self.words)


@pytest.fixture
def words() -> Words:
    made = zeros(layout.ring_words(SLOTS))
    layout.lay_out_ring(made, SLOTS, 5, 7)
    return made


def accept(words: Words, count: int) -> None:
    """Payments that are over at once, but for every fifth one."""
    writer = RingWriter(words)
    for _ in range(count):
        position = writer.head
        writer.fill(position + 1 << 40, position, 100 + position, 1000 + position, position)
        if position % 5 or position < 40:
            end(words, position, position % 3)


def end(words: Words, position: int, kind: int) -> None:
    """Charged at once, at the second attempt, or with another amount."""
    at = layout.slot_offset(SLOTS, position)
    words[at + layout.SLOT_REQUESTED_MS] = 2000 + position
    reason = layout.REASON_AMOUNT if kind == 2 else layout.REASON_NONE
    words[at + layout.SLOT_SETTLED] = layout.pack_settled(3000 + position, reason)
    words[at + layout.SLOT_FIRST_MS] = 4000 + position
    words[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, layout.COMPLETED, 1, 1 + (kind == 1))


@pytest.mark.parametrize("accepted", [0, 3, SLOTS, SLOTS + 30])
def test_slots_that_are_read_at_once_are_what_each_is_by_itself(words: Words, accepted: int) -> None:
    accept(words, accepted)
    ring = RingReader(words)
    for step, last in ((1, accepted + 2), (2, accepted + 2), (7, accepted)):
        positions = [position for position in range(last) if position % 11 < 9 and position % step == 0]
        assert slots.read(ring, positions) == [ring.read(position) for position in positions]


def test_a_payment_that_ends_meanwhile_is_seen_as_it_was_or_as_it_is(words: Words) -> None:
    accept(words, 30)
    position = 65  # open, and in the midst of a run
    accept(words, 50)
    counted: Any = Counted(words)
    ring = RingReader(counted)
    before = ring.read(position)
    for load in range(3):
        words[layout.slot_offset(SLOTS, position) + layout.SLOT_PROGRESS] = 0
        counted.loads, at = 0, load
        counted.before = lambda at=at: end(words, position, 1) if counted.loads == at else None
        found = slots.read(ring, range(60, 70))[5]
        counted.before = lambda: None
        after = ring.read(position)
        assert before is not None and after is not None and found is not None
        assert found == after or (found.state == layout.QUEUED and found.cents == before.cents)


def test_a_slot_that_is_given_away_meanwhile_is_nobodys(words: Words) -> None:
    accept(words, SLOTS)
    for load in range(3):
        head = words[layout.RING_HEAD_AT]
        counted: Any = Counted(words)
        ring, at = RingReader(counted), load
        counted.loads = 0
        counted.before = lambda counted=counted, at=at: accept(words, 1) if counted.loads == at else None
        oldest = head - SLOTS
        end(words, oldest, 0)
        found = slots.read(ring, range(oldest, oldest + 8))
        assert found[0] is None and found[1] is not None


def test_a_look_at_a_ring_takes_few_loads_for_a_payment(words: Words) -> None:
    """One word after the other it was eleven loads for each look at each payment."""
    accept(words, SLOTS - 4)
    counted: Any = Counted(words)
    follower = RingFollower(RingReader(counted), RingCursor(0, 0, 0))
    counted.loads = 0
    seen = follower.look(4000, (), SLOTS - 4)
    assert len(seen.payments) == SLOTS - 4 and counted.loads < 10
    still_open = follower.open
    assert still_open
    counted.loads = 0
    follower.look(4000, (), SLOTS - 4)
    assert counted.loads <= 11 * still_open + 10
