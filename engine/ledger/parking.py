"""Following the parking table: which of its places have changed, and which payments SQL has there as open. Pure.

Changes of places are numbered, so a look reads only what is new. A place that was given to another payment before its
outcome was seen is a *gap*, unless the payment's slot still tells the outcome.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.ledger.rows import PaymentRow
from engine.ledger.view import Parked, View


class Change(NamedTuple):
    """A parked payment that has changed, and the one that SQL has as open in its place, if that is another."""

    parked: Parked
    lost: PaymentRow | None


class ParkingFollower:
    """Follows the parking table of ``view``, of which SQL has the changes below the number ``since``."""

    def __init__(self, view: View, since: int) -> None:
        self._view = view
        self.since = since
        self._open: dict[int, PaymentRow] = {}  # as SQL has them, by place

    def look(self) -> list[Change]:
        """What has changed. Raises BooksBusyError."""
        self.since, found = self._view.parked_since(self.since)
        return [Change(one, self._other(one)) for one in found]

    def keep(self, place: int, row: PaymentRow, is_open: bool) -> None:
        """SQL gets ``row`` of the payment at ``place``."""
        self._open.pop(place, None)
        if is_open:
            self._open[place] = row

    def _other(self, one: Parked) -> PaymentRow | None:
        before = self._open.get(one.place)
        return None if before is None or before.accepted == one.accepted else before
