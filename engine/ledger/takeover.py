"""How the ledger goes on in memory of other sizes. Pure.

Such memory has all payments that were open, and of those that were over the newest ones, as far as there is room. They
have other positions. What had no room is in SQL already, or nobody can carry it any more: that is a *gap*. Its number
is exact for an engine with one API process, and else may be too small by payments that were over and SQL had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.ledger.rows import Cursor, RingCursor
from engine.ledger.view import Accepted, View, accepted
from engine.ring.ring import RingReader


def rings(view: View) -> list[RingCursor]:
    """Where to begin in each ring: at the first payment that it holds. Below that it has never held any."""
    found = list[RingCursor]()
    for number, ring in enumerate(view.rings):
        first = next((position for position in _positions(ring) if ring.read(position) is not None), ring.ready)
        found.append(RingCursor(number, first, first, (), ring.forgotten_below))
    return found


def held(view: View, begins: Iterable[RingCursor]) -> set[Accepted]:
    """The payments that SQL, which is at ``begins``, has not seen in the slots that they have."""
    seen = {ring.ring: ring.seen for ring in begins}
    payments = (
        ring.read(position)
        for number, ring in enumerate(view.rings)
        for position in _positions(ring)
        if position >= seen.get(number, 0)
    )
    return {accepted(one) for one in payments if one is not None}


def missing(view: View, before: Cursor, now: Iterable[RingCursor], still_open: int) -> int:
    """How many payments had no room, and are not in SQL.

    Parameters:
      before: how far SQL had the memory of before; now: where the rings begin.
      still_open: payments that SQL has as open in their slots, and that have slots still. One that is tried again after
        it was parked is not among them: it has come a second time.
    """
    came = sum(ring.ready - ring.forgotten_below for ring in view.rings)
    unseen = came - sum(ring.seen - ring.begin for ring in before.rings)
    slots = sum(view.rings[ring.ring].ready - ring.seen for ring in now)
    # The newest have room first, and what SQL has not seen is the newest: what it has seen is there if it is open.
    return max(0, unseen - slots + still_open)


def _positions(ring: RingReader) -> Sequence[int]:
    return range(max(ring.forgotten_below, ring.head - ring.slots, 0), ring.ready)
