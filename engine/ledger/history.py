"""The journal's records as rows: attempts, health, states and fees of processors. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from engine.journal.reader import Record
from engine.ledger.rows import ActRow, AttemptRow, FeeRow, HealthRow, ProcessorStateRow
from engine.memory import journal_layout
from engine.memory.acts_layout import unpack_result
from engine.memory.journal_layout import STATUS_NO_ANSWER, TOOK_BITS, TOOK_MASK, Health, Kind, Sent

WAITING_MAX: Final = 10_000  # requests without an end that are remembered; what is older stays without one
# Plain numbers are found and compared faster, and it is asked of each record.
_SENT: Final = int(Kind.SENT)
_LOOKED_UP: Final = int(Kind.LOOKED_UP)
_ENDS: Final = (int(Kind.ANSWERED), _LOOKED_UP)
DISPATCHER_ENDED: Final = "the dispatcher ended"


class Records:
    """Turns records into rows, in their order.

    ``era_of``: the ledger's era of a payment that is kept at (1 + ring, position).
    """

    def __init__(self, era_of: Callable[[int, int], int]) -> None:
        self._era_of = era_of
        self._waiting: dict[int, AttemptRow] = {}  # by sequence: sent, and not ended
        self.attempts: list[AttemptRow] = []
        self.health: list[HealthRow] = []
        self.states: list[ProcessorStateRow] = []
        self.fees: list[FeeRow] = []
        self.acts: list[ActRow] = []
        self._places: dict[int, int] = {}  # where in ``attempts`` a sending stands, by sequence
        # By ring: positions of slots that say something new. That a request has left is no reason to look at once.
        self.touched: dict[int, list[int]] = {}

    def take(self, records: Iterable[Record]) -> None:
        """Adds the rows of these records; :meth:`clear` forgets the rows, and not what they wait for."""
        for one in records:
            if one.kind == _SENT:
                self._begin(one)
                continue
            if one.ring:
                self.touched.setdefault(one.ring - 1, []).append(one.position)
            if one.kind in _ENDS:
                self._end(one)
            elif one.kind == Kind.LEFT:
                self.attempts.append(self._attempt(one, one.sequence)._replace(error=DISPATCHER_ENDED))
            elif one.kind == Kind.STARTED:
                self._end_all(one)
            elif one.kind == Kind.HEALTH:
                failing = None if one.code == Health.SILENT else one.code == Health.FAILING
                told_ms = None if failing is None else one.first
                self.health.append(HealthRow(one.sequence, one.processor, one.at_ms, failing, told_ms, None))
            elif one.kind == Kind.STATE:
                row = ProcessorStateRow(one.sequence, one.processor, one.at_ms, one.code, None, one.first)
                self.states.append(row)
            elif one.kind == Kind.ACT:
                self.acts.append(_act(one))
            elif one.kind == Kind.FEE:
                self.fees.append(FeeRow(one.processor, one.at_ms, one.first))

    def clear(self) -> None:
        """The rows are in SQL."""
        for rows in (self.attempts, self.health, self.states, self.fees, self.acts):
            rows.clear()
        self._places.clear()
        self.touched.clear()

    def _begin(self, one: Record) -> None:
        row = self._attempt(one, one.sequence, one.code != Sent.REQUEST)
        self._places[one.sequence] = len(self.attempts)
        self.attempts.append(row)
        self._waiting[one.sequence] = row
        if len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]

    def _end(self, one: Record) -> None:
        # Spelled out, because this is done for every payment.
        _, kind, processor, code, ring, number, status, at_ms, id_high, id_low, first, position, second = one
        sent, took_us = _sent(one) if second >> TOOK_BITS else one.sequence, second & TOOK_MASK
        row = self._waiting.pop(sent, None) if self._waiting else None
        answered = code != journal_layout.DROPPED and status < STATUS_NO_ANSWER
        ended = AttemptRow(
            sent,
            self._era_of(ring, position) if row is None else row.era,
            (id_high << 64 | id_low).to_bytes(16, "big"),
            number if row is None else row.number,
            processor,
            kind == _LOOKED_UP if row is None else row.is_lookup,
            at_ms - took_us // 1000 if row is None else row.began_ms,
            at_ms,
            code,
            status if answered else None,
            None if answered or code == journal_layout.DROPPED else _error(status),
            took_us or None,
            first if first or row is None else row.requested_ms,
        )
        place = None if row is None else self._places.get(sent)
        if place is None:
            self.attempts.append(ended)
        else:
            self.attempts[place] = ended

    def _end_all(self, one: Record) -> None:
        """No request that an earlier dispatcher has sent is waited for any more."""
        for row in self._waiting.values():
            self.attempts.append(row._replace(ended_ms=one.at_ms, error=DISPATCHER_ENDED))
        self._waiting.clear()

    def _attempt(self, one: Record, sequence: int, is_lookup: bool = False) -> AttemptRow:
        identity = one.id_high << 64 | one.id_low
        return AttemptRow(
            sequence,
            self._era_of(one.ring, one.position),
            identity.to_bytes(16, "big"),
            one.number,
            one.processor,
            is_lookup,
            one.at_ms,
            requested_ms=one.first,
        )


def _act(one: Record) -> ActRow:
    action, payment = one.first << 64 | one.second, one.id_high << 64 | one.id_low
    carried = unpack_result(one.position)
    return ActRow(
        action.to_bytes(16, "big"), payment.to_bytes(16, "big"), one.number, one.processor, *carried, one.at_ms
    )


def _sent(one: Record) -> int:
    """The sequence of the record that this request was sent."""
    sent = (one.sequence & ~TOOK_MASK | one.second >> TOOK_BITS) - 1
    return sent if sent < one.sequence else sent - TOOK_MASK - 1


def _error(status: int) -> str:
    """libcurl's error, as its documentation names the most usual ones."""
    number = status - STATUS_NO_ANSWER
    return _CURL_ERRORS.get(number, f"libcurl's error {number}")


_CURL_ERRORS: Final = {  # curl/curl.h: CURLE_...
    6: "name not found",
    7: "no connection",
    28: "timed out",
    52: "closed without an answer",
    55: "sending failed",
    56: "connection was reset",
    63: "answer too long",
}
