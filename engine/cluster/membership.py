"""Whether a cell may act: its epoch, its lease by its own clock, and how far its clock is from the store's. Pure.

The store keeps the truth of all three. A cell that stands still, is cut off or has a wrong clock must notice that by
itself, though, and what it knows is always a little older than what the store knows. So the lease is counted from the
moment *before* the cell asked for it: by the cell's clock it is over earlier than by the store's.

No money depends on that. What keeps payments safe is the epoch, which the store compares, and the processor, which
refuses an id that it has. The lease only says when others may take over, and when a cell stops beginning what the store
would refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.cluster.values import Epoch, Lease

LEASE_MS = 5000
RENEW_MS = 250  # from one renewal to the next: what is told with it, sums wait for
CLOCK_APART_MS = 250  # a cell whose clock is further from the store's sends nothing for the first time
CLOCK_TRIP_MS = 200  # an answer that took longer says nothing of the clock: half of that may be on one way


@dataclass(slots=True)
class Membership:
    """What a cell knows of its own standing. Moments are of the engine's clock, which never goes back.

    ``by``: its epoch; None before it has joined and after the store has said that the epoch is over.
    ``until_ms``: when its lease is over; 0 before the first one of this epoch.
    ``ahead_ms``: how far its wall clock is ahead of the store's, by the newest answer that says it.
    ``heard_since_ms``: since when the store has answered each renewal in time; None: it does not.
    ``told_ms``: UTC. Each pin that the cell makes from now on has this requestedAt or a later one.
    ``living``: the numbers of the cells whose lease ran when the store answered last, its own among them.
    ``floor_ms``: UTC. What other cells had told when this one got its first lease: sums may be complete until then.
    """

    lease_ms: int = LEASE_MS
    by: Epoch | None = None
    until_ms: int = 0
    ahead_ms: int = 0
    heard_since_ms: int | None = None
    heard_ms: int = 0
    told_ms: int = 0
    floor_ms: int = 0
    living: tuple[int, ...] = ()
    _store_ahead_ms: int = field(default=0)  # the store's clock less the engine's, at the least ...
    _store_ahead_ms_max: int = field(default=0)  # ... and at the most

    def joined(self, by: Epoch) -> None:
        """The store has given the cell an epoch. It may act from its first :meth:`renewed` on."""
        self.by = by
        self.until_ms = 0

    def renewed(self, asked_ms: int, now_ms: int, wall_ms: int, lease: Lease) -> None:
        """The store has granted a lease, or another one.

        Parameters:
          asked_ms, now_ms: when it was asked, and when the answer was read.
          wall_ms: the cell's UTC when the answer was read.
        """
        if self.heard_since_ms is None or asked_ms - self.heard_ms > self.lease_ms:
            self.heard_since_ms = asked_ms
        if self.until_ms == 0:
            self.floor_ms = max(self.floor_ms, *(member.told_ms for member in lease.members))
        running = (one for one in lease.members if one.holder == one.epoch and one.until_ms > lease.now_ms)
        self.living = tuple(sorted(member.cell for member in running))
        self.heard_ms = now_ms
        self.until_ms = max(self.until_ms, asked_ms + self.lease_ms)
        self._store_ahead_ms = lease.now_ms - now_ms  # it has moved on meanwhile: never more than the truth
        self._store_ahead_ms_max = lease.now_ms - asked_ms  # it was asked before the store answered
        if now_ms - asked_ms <= CLOCK_TRIP_MS:
            self.ahead_ms = wall_ms - lease.now_ms - (now_ms - asked_ms) // 2

    def ended(self) -> None:
        """The store has said that the epoch is over: another cell holds what this one held."""
        self.by = None
        self.heard_since_ms = None

    def holds(self, now_ms: int) -> bool:
        """Whether the cell has an epoch, and its lease is not over by its own clock."""
        return self.by is not None and now_ms < self.until_ms

    @property
    def is_apart(self) -> bool:
        """Whether the cell's wall clock is too far from the store's."""
        return abs(self.ahead_ms) > CLOCK_APART_MS

    def may_begin(self, now_ms: int) -> bool:
        """Whether payments may be sent for the first time."""
        return self.holds(now_ms) and not self.is_apart

    def may_adopt(self, now_ms: int) -> bool:
        """Whether the cell may adopt others. After the store was away all leases are over, though nobody is dead. So it
        waits for as long as a lease, in which those that live renew theirs.
        """
        since_ms = self.heard_since_ms
        return self.holds(now_ms) and since_ms is not None and now_ms - since_ms >= self.lease_ms

    def share(self, capacity: int) -> int:
        """How much of a processor's capacity this cell may use: as much as each of the living, and never nothing."""
        if self.by is None or self.by.cell not in self.living:
            return 1
        return _share(capacity, len(self.living), self.living.index(self.by.cell))

    def keeps(self, cells: Iterable[int]) -> list[int]:
        """Those of ``cells`` whose sequences this one keeps short: its own; the first of the living also the others'
        that do not live.
        """
        own = [] if self.by is None else [self.by.cell]
        is_first = list(self.living[:1]) == own
        return [*own, *(cell for cell in cells if is_first and cell not in self.living)]

    def store_ms_max(self, now_ms: int) -> int:
        """What the store's clock shows at most."""
        return now_ms + self._store_ahead_ms_max

    def requested_ms(self, wall_ms: int) -> int:
        """The requestedAt of a pin that is made now: the wall clock, but never before what was told."""
        return max(wall_ms, self.told_ms, self.floor_ms)

    def tell(self, now_ms: int, open_ms: int | None) -> int:
        """The word that goes with the next renewal (see ``told_ms``).

        It follows the store's clock, because that is the one that all cells share.

        Parameters:
          open_ms: the least requestedAt of the pins that the store has not yet confirmed; None: there is none.
        """
        if self.heard_ms:
            said_ms = self._store_ahead_ms + now_ms - CLOCK_APART_MS
            self.told_ms = max(self.told_ms, said_ms if open_ms is None else min(said_ms, open_ms))
        return self.told_ms


def _share(capacity: int, living: int, place: int) -> int:
    """An equal part; the first in the order of their numbers get what does not divide."""
    return max(1, capacity // living + (place < capacity % living))
