"""Following one ring: which of its payments are new, which have changed, and how far SQL has it. Pure.

A payment is in SQL from the first look at its slot on, and again when it is over. The journal hints at slots whose
payments may be over. All that are open are looked at in turn, and what is new about them is in SQL then: a payment that
is tried again and again is not written with each attempt, for attempts have rows of their own. A slot that was given to
another payment before its last state was seen is a *gap*: nobody can tell any more what became of the payment from
memory alone.

A payment that is parked is over as far as its ring is concerned: the parking table has it from then on, and whoever
looks at a ring looks at the table after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from engine.ledger import slots
from engine.ledger.rows import RingCursor
from engine.memory import layout
from engine.payment import Payment
from engine.ring.ring import RingReader

OVER: Final = (layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE)  # nothing about the payment changes any more
LEFT: Final = (*OVER, layout.PARKED)  # its slot says no more of it
OPEN_LOOKED_AT: Final = 200  # open payments, the next in turn, that one look goes through, hint or not


class Seen(NamedTuple):
    """What one look at a ring has found.

    ``payments``: new ones and changed ones; ``lost``: payments that SQL has as open, and whose slots have been given
    away; ``gone``: positions of such payments that this follower has never seen; ``missed``: intervals of positions
    (from, to; to excluded) whose payments were never seen. ``is_whole``: all below the asked position were looked at,
    and all that are open.
    """

    payments: list[Payment]
    lost: list[Payment]
    gone: list[int]
    missed: list[tuple[int, int]]
    is_whole: bool = False


class RingFollower:
    """Follows ``ring``, from where ``cursor`` says that SQL has it."""

    def __init__(self, ring: RingReader, cursor: RingCursor) -> None:
        self._ring = ring
        self._number = cursor.ring
        self._begin = cursor.begin
        self.seen = cursor.seen
        self._open: dict[int, Payment] = {}  # as SQL has them, by position; in the order in which they are looked at
        over = iter(cursor.above)
        begin, end = next(over, (cursor.seen, cursor.seen))
        self._unread: list[int] = []  # open in SQL, and not looked at since this follower began
        for position in range(cursor.mark, cursor.seen):
            while position >= end:
                begin, end = next(over, (cursor.seen, cursor.seen + 1))
            if position < begin:
                self._unread.append(position)

    @property
    def open(self) -> int:
        """Payments that have slots and are not over."""
        return len(self._open)

    def look(self, most: int, hints: Collection[int], ready: int, begin: int = 0, is_whole: bool = False) -> Seen:
        """Looks at ``most`` new payments below ``ready``, and at open ones: all of ``hints``, and some of the others.

        ``begin``: where the era begins; if that is new, all open ones below are looked at. ``is_whole``: at all.
        """
        found, still_open = Seen([], [], [], []), self._open
        open_at_once = len(still_open) if is_whole else OPEN_LOOKED_AT
        is_whole = open_at_once >= len(still_open)
        in_turn = {*self._unread, *itertools.islice(still_open, open_at_once)}
        self._unread.clear()
        if begin > self._begin:  # a purge has ended what is open below, and what was over before it must be seen
            in_turn.update(position for position in still_open if position < begin)
        hinted = still_open.keys() & hints
        self._look_again(sorted(in_turn | hinted if hinted else in_turn), in_turn, found)
        self._look_at_new(most, ready, begin, found)
        return found._replace(is_whole=is_whole and self.seen >= ready)

    def cursor(self) -> RingCursor:
        """How far SQL has this ring, once what was found is there."""
        if not self._open:
            return RingCursor(self._number, self.seen, self.seen, (), self._begin)
        still_open = sorted(self._open)
        ends = [*still_open[1:], self.seen]
        above = [(one + 1, end) for one, end in zip(still_open, ends, strict=True) if end > one + 1]
        return RingCursor(self._number, still_open[0], self.seen, tuple(above), self._begin)

    def forget_open(self, below: int) -> None:
        """A purge has ended what was open below this position, where the next era begins."""
        if below <= self._begin:
            return
        self._begin = below
        for position in [position for position in self._open if position < below]:
            del self._open[position]

    def _look_at_new(self, most: int, ready: int, begin: int, found: Seen) -> None:
        position = self.seen
        oldest = min(ready, self._ring.head - self._ring.slots)
        if position < oldest:  # certainly given away
            found.missed.append((position, oldest))
            position = oldest
        positions = range(position, min(ready, position + most))
        for position, payment in zip(positions, slots.read(self._ring, positions), strict=True):
            if payment is None:
                if found.missed and found.missed[-1][1] == position:
                    found.missed[-1] = found.missed[-1][0], position + 1
                else:
                    found.missed.append((position, position + 1))
            else:
                found.payments.append(payment)
                if payment.state not in LEFT and position >= begin:
                    self._open[position] = payment
        self.seen = max(self.seen, positions.stop)

    def _look_again(self, positions: Sequence[int], in_turn: Collection[int], found: Seen) -> None:
        for position, payment in zip(positions, slots.read(self._ring, positions), strict=True):
            if payment is not None and payment.state not in LEFT and position not in in_turn:
                continue  # it keeps its turn
            before = self._open.pop(position, None)
            if payment is None:
                if before is not None:
                    found.lost.append(before)
                else:
                    found.gone.append(position)
                continue
            if payment != before:
                found.payments.append(payment)
            if payment.state not in LEFT:
                self._open[position] = payment  # at the end: others come first next time
