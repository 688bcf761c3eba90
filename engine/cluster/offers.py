"""Payments that customers hand in: from the rings of the API processes to the store, and the verdicts back.

An API process puts a payment into its ring and waits. The agent offers what is not released yet, in the order of the
ring, and writes what the store says into the word of the slot. :mod:`engine.intake.verdicts` reads it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.cluster.actions import Reply, ReplyTo
from engine.cluster.calls import Operation
from engine.cluster.cell import Cell, Moment
from engine.correlation import id_bytes
from engine.memory import cell_layout, layout
from engine.memory.words import Words
from engine.ring.ring import RingReader

LOOK_MAX: Final = 512  # payments of a ring that one look offers


class Offers:
    """Offers what is in ``rings`` to ``cell``, and answers in ``words``, the cell's memory."""

    def __init__(self, words: Words, rings: Sequence[RingReader], cell: Cell) -> None:
        self._words, self._rings, self._cell = words, rings, cell
        self._next = [ring.head for ring in rings]  # positions below it were offered
        self._open: dict[tuple[bytes, int], tuple[int, int]] = {}  # of those without a verdict, ring and position
        self._term = 0

    @property
    def waiting(self) -> int:
        """How many have no verdict yet."""
        return len(self._open)

    def begin(self, term: int) -> None:
        """A term begins. What an earlier one has offered may be held by the store or not: who handed it in is told that
        nothing is known, and what the store holds for this cell comes from there.
        """
        self._term = term
        self._open.clear()
        for index, ring in enumerate(self._rings):
            for position in range(ring.ready, self._next[index]):
                self._write(index, position, cell_layout.AWAY)

    def look(self, now: Moment) -> None:
        """Offers what has come since the last look."""
        for index, ring in enumerate(self._rings):
            head = min(ring.head, self._next[index] + LOOK_MAX)
            for position in range(self._next[index], head):
                self._offer(now, index, ring, position)
            self._next[index] = head

    def reply(self, reply: Reply) -> None:
        """What became of an offer."""
        key = reply.id, reply.cents
        if reply.to is ReplyTo.AWAY and self._cell.calls.is_wanted(Operation.ACCEPT, key):
            return  # its customer waits no more, but the store may still accept it
        place = self._open.pop(key, None)
        if place is not None:
            self._write(*place, _verdict(reply), reply.failed or 0)

    def _offer(self, now: Moment, index: int, ring: RingReader, position: int) -> None:
        words, at = ring.words, ring.offset(position)
        payment = id_bytes(words[at + layout.SLOT_ID_HIGH], words[at + layout.SLOT_ID_LOW])
        cents = words[at + layout.SLOT_CENTS]
        if (payment, cents) in self._open:
            self._write(index, position, cell_layout.AWAY)
        else:
            self._open[payment, cents] = index, position
            self._cell.offer(now, payment, cents)

    def _write(self, index: int, position: int, verdict: int, reason: int = 0) -> None:
        at = cell_layout.verdict_at(self._rings[index].slots, index, position)
        self._words[at] = cell_layout.pack_verdict(position, self._term, verdict, reason)


def _verdict(reply: Reply) -> int:
    if reply.to is ReplyTo.ACCEPTED:
        return cell_layout.HELD if reply.is_held else cell_layout.ELSEWHERE
    if reply.to is ReplyTo.AWAY:
        return cell_layout.AWAY
    return cell_layout.CONFLICT if reply.failed is None else cell_layout.FAILED
