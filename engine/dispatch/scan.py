"""Looks through the rings for what an earlier dispatcher has left, a part in each pass. Pure.

A ring may have millions of slots, and a dispatcher must not be deaf until it has read them. So each cursor
(:class:`engine.dispatch.backlog.Backlog`) begins at the end of what the API process has released, *the start*: what
comes later is sent at once. The positions below, as far as slots and purges reach, are looked at bit by bit. They are
two parts. The *older* one ends about where the waiting payments begin, for what was in flight is just below that. The
*newer* one is what is believed to wait. A look takes the newest of each part, at most so many positions in all. The
first look comes before the first pass, and finds what was in flight. What probes had sent, and what waits after
failures, may be further below; later passes find it.

What is known at any moment. A position at or above the start is new, and no earlier dispatcher has touched it. A
position that was looked at is in a collection of :mod:`engine.dispatch.work`, or is over. Of a position that was not
looked at nothing is assumed: no cursor passes it, and nothing is sent, written or given up for it. It is not counted as
waiting, but while there is such a position the dispatcher has work, and a drain goes on.

Why no payment is lost or doubled:

- *Order.* The two parts do not overlap and have no gap, wherever the guess between them lies. Each position is in one
  part, and leaves it when it is looked at: once. Payments may be sent in another order than they came, which nobody is
  promised: a payment that waits belongs to no processor, and one that was sent stays with its processor.
- *Slots that are used again.* A slot is given away only when its payment is done. Only this dispatcher makes one done,
  and only if it has looked at it. So a payment that was not looked at keeps its slot. If the slot was given away before
  the look, its words are of a later position, or its state is that of a payment that is done; both are passed. The new
  payment is above the start. The words of progress have one writer, which stands still during the look.
- *Laps.* A word of progress has the low half of its position. An older lap's word is that of a payment that waits, if
  the sequence is its own; this is as exact as in :meth:`engine.ring.ring.RingReader.read`, for any lap.
- *Parking.* A payment moves to the parking table in one transaction, which the start finishes first. From then on its
  slot counts as done. Only what was looked at is parked, and the table is taken up as a whole at the start.
- *Purge.* All that is below the ready of that moment is forgotten, and that includes every position of the scan. The
  scan ends with it; the transaction is what decides, so a kill leaves all of it or nothing.
- *A second kill.* The scan stores nothing. The next dispatcher finds each payment in the last state that was stored,
  looked at or not, and begins anew.
- *A drain.* It ends only when the scan has, or when its time is over. Then nothing is begun, and what was not looked at
  stays as it is, for the next dispatcher.
- *Other sizes, other addresses.* Both are decided over memory that no dispatcher uses, from the states in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.ring.ring import RingReader
from engine.ring.unfinished import first_waiting, unfinished


class Found(NamedTuple):
    """What a look has found in the ring with this index: the ranges of those that ``waiting``, and those that were
    ``sent``, the oldest first. ``is_joined``: everything between here and the start has been looked at.
    """

    ring: int
    waiting: list[range]
    sent: list[int]
    is_joined: bool


class Scan:
    """See the module. ``at_once``: most positions that one look reads, but at least one of each part."""

    def __init__(self, rings: Sequence[RingReader], at_once: int) -> None:
        self._rings = rings
        self._at_once = at_once
        self._unseen: dict[int, tuple[range, range]] = {}  # of each ring, what was not looked at: older and newer part

    @property
    def is_over(self) -> bool:
        """Whether everything has been looked at."""
        return not self._unseen

    def begin(self, ring: int, positions: range) -> None:
        """Adds ``positions`` of the ring with this index. They end at its start."""
        middle = first_waiting(self._rings[ring], positions)
        if positions:
            self._unseen[ring] = range(positions.start, middle), range(middle, positions.stop)

    def look(self) -> list[Found]:
        """Looks at some more, of each ring at the newer part first."""
        share = max(1, self._at_once // (2 * max(1, len(self._unseen))))
        found = []
        for ring, (older, newer) in list(self._unseen.items()):
            newer_left, older_left = newer[:-share], older[:-share]
            found.append(self._find(ring, newer[-share:], is_joined=True))
            found.append(self._find(ring, older[-share:], is_joined=not newer_left))
            if newer_left or older_left:
                self._unseen[ring] = older_left, newer_left
            else:
                del self._unseen[ring]
        return found

    def count(self) -> int:
        """How many payments that are not done the next looks will find. It reads all that was not looked at."""
        unseen = [self._find(ring, part, is_joined=False) for ring, parts in self._unseen.items() for part in parts]
        return sum(sum(map(len, found.waiting)) + len(found.sent) for found in unseen)

    def clear(self) -> None:
        """Ends the scan: everything that it would find is forgotten."""
        self._unseen.clear()

    def _find(self, ring: int, positions: range, is_joined: bool) -> Found:
        return Found(ring, *unfinished(self._rings[ring], positions), is_joined)
