"""What goes from shared memory into SQL next: slots and parked places say what became of each payment, the journal
tells what happened. Pure: a view of memory and the time in, batches out.

A batch is made from one look, and carried until it is in SQL; only then comes the next look. So what the carrier holds
is what SQL has, and after a crash a new carrier goes on from SQL's cursor. It may carry a payment again, which changes
nothing, because a payment is one row.

*Eras.* A purge ends an era: what is below the positions that it forgot belongs to earlier ones. The journal has every
purge; where it was written over, what lies between two purges is counted to the earlier one, and a gap says so.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.ledger.follow import OVER, RingFollower
from engine.ledger.history import Records
from engine.ledger.rows import (
    UNKNOWN_GAP,
    Batch,
    Cursor,
    EraRow,
    FeeRow,
    GapRow,
    PaymentRow,
    RingCursor,
)
from engine.ledger.samples import Samples
from engine.ledger.view import Moment, View
from engine.memory import layout
from engine.memory.journal_layout import Kind
from engine.payment import Payment

PAYMENTS_MAX: Final = 4000  # new ones of each ring in a batch
RECORDS_MAX: Final = 10_000  # of the journal in a batch
PARKED_EVERY_MS: Final = 1000  # between two looks at the parking table


class Boundary(NamedTuple):
    """From ``position`` of ring ``ring`` on, payments belong to the ledger's era ``era``."""

    ring: int
    position: int
    era: int


class Carrier:
    """Goes on from ``cursor``, what SQL has, over the memory ``view``.

    Parameters:
      fees_ppm: what is known of the processors' fees, by number; None: not known.
      now_ms: the wall clock.
    """

    def __init__(self, view: View, cursor: Cursor, fees_ppm: list[int | None], now_ms: int) -> None:
        self._view = view
        self._cursor = cursor
        self._fees_ppm = fees_ppm
        self._era = cursor.era
        self._boundaries: list[Boundary] = []
        self._eras: list[EraRow] = []
        self._gaps: list[GapRow] = []
        self._records = Records(self._era_of)
        self._parked: dict[bytes, PaymentRow] = {}  # those that SQL has, and that are not over
        self._parked_ms = 0
        self._purges = cursor.purges  # the books' era that belongs to the ledger's
        self._samples = Samples()
        self._fees = [FeeRow(number, now_ms, ppm) for number, ppm in enumerate(fees_ppm) if ppm is not None]
        self._begin(now_ms)

    def look(self, now_ms: int) -> Batch:
        """What is to be carried now. The caller carries it, and then calls :meth:`carried`. Raises BooksBusyError."""
        moment = self._view.moment()
        journal = self._read_journal(now_ms)
        self._look_for_purge(moment, now_ms)
        payments = self._look_at_rings(now_ms)
        payments += self._look_at_parking(now_ms)
        heads = sum(ring.head for ring in self._view.rings)
        waiting = sum(follower.open for follower in self._followers)
        samples = self._samples.look(now_ms, heads, moment.settled, waiting, payments, self._view.accepting())
        records = self._records
        self._batch = Batch(
            self._cursor,
            self._cursor._replace(
                generation=self._view.generation,
                era=self._era,
                journal=journal,
                rings=tuple(follower.cursor() for follower in self._followers),
                journal_number=self._number,
                purges=self._purges,
            ),
            tuple(payments),
            tuple(records.attempts),
            tuple(records.health),
            tuple(records.states),
            (*self._fees, *records.fees),
            samples,
            tuple(self._eras),
            tuple(self._gaps),
        )
        return self._batch

    def carried(self) -> None:
        """The last batch is in SQL."""
        self._cursor = self._batch.cursor
        self._records.clear()
        self._fees.clear()
        self._eras.clear()
        self._gaps.clear()

    @property
    def is_behind(self) -> bool:
        """Whether the next look will find at least half of what it takes at once."""
        view = self._view
        if view.journal is not None and 2 * (view.journal.head - self._sequence) >= RECORDS_MAX:
            return True
        return any(
            2 * (ring.head - follower.seen) >= PAYMENTS_MAX
            for ring, follower in zip(view.rings, self._followers, strict=True)
        )

    def _begin(self, now_ms: int) -> None:
        """Finds out how this memory goes on from what SQL has."""
        view, cursor = self._view, self._cursor
        moment = view.moment()
        rings = {ring.ring: ring for ring in cursor.rings}
        if cursor.generation != view.generation:
            # All positions are new. Payments that the memory has taken over are carried again: each is one row.
            rings = {number: RingCursor(number, begin, begin) for number, begin in enumerate(moment.forgotten)}
            self._purges = moment.purges
            if not cursor.generation:
                self._era += 1
                self._eras.append(EraRow(self._era, now_ms, None, view.generation, "the ledger was made"))
            elif cursor.generation != view.replaced:
                self._next_era(now_ms, "the memory was made anew")
        elif cursor.purges == moment.purges:
            self._boundaries += [Boundary(ring, position, self._era) for ring, position in enumerate(moment.forgotten)]
        self._followers = [
            RingFollower(ring, rings.get(number, RingCursor(number, 0, 0))) for number, ring in enumerate(view.rings)
        ]
        journal = view.journal
        self._number = 0 if journal is None else journal.number
        self._sequence = cursor.journal
        if self._number != cursor.journal_number:
            self._sequence = 0
            if cursor.journal_number:
                why = "the journal was made anew: what its predecessor held beyond this was not read"
                self._gaps.append(GapRow("journal", cursor.journal, cursor.journal, 0, now_ms, why))

    def _read_journal(self, now_ms: int) -> int:
        """Turns records into rows; returns the sequence of the next one."""
        journal = self._view.journal
        if journal is None:
            return self._sequence
        missed, records = journal.read(self._sequence, RECORDS_MAX)
        if missed:
            last = self._sequence + missed - 1
            self._gaps.append(GapRow("journal", self._sequence, last, missed, now_ms, "it was written over"))
        self._sequence += missed + len(records)
        for one in records:
            if one.kind == Kind.PURGED and one.first >= self._purges:
                if one.first > self._purges:
                    self._purges = one.first
                    self._next_era(one.at_ms, "purge")
                self._boundaries.append(Boundary(one.ring - 1, one.position, self._era))
        self._records.take(records)
        return self._sequence

    def _look_for_purge(self, moment: Moment, now_ms: int) -> None:
        """A purge that the journal has not told: its record was written over, or comes in a moment."""
        missing = moment.purges - self._purges
        if missing <= 0:
            return
        if missing > 1:
            why = "purges that the journal does not tell: their payments are counted to the era before"
            self._gaps.append(GapRow("era", self._era, self._era, missing - 1, now_ms, why))
        self._purges = moment.purges
        self._next_era(now_ms, "purge")
        self._boundaries += [Boundary(ring, position, self._era) for ring, position in enumerate(moment.forgotten)]

    def _next_era(self, now_ms: int, why: str) -> None:
        if self._era:
            self._eras.append(EraRow(self._era, now_ms, now_ms, self._view.generation, ""))
        self._era += 1
        self._eras.append(EraRow(self._era, now_ms, None, self._view.generation, why))
        self._parked.clear()

    def _era_of(self, ring: int, position: int) -> int:
        """The era of a payment that is kept at (1 + ring, position)."""
        eras = [one.era for one in self._boundaries if one.ring == ring - 1 and position < one.position]
        return min(eras) - 1 if eras else self._era

    def _look_at_rings(self, now_ms: int) -> list[PaymentRow]:
        rows = list[PaymentRow]()
        for number, follower in enumerate(self._followers):
            hints = [position for ring, position in self._records.touched if ring == number]
            found = follower.look(PAYMENTS_MAX, hints)
            rows += [self._row(payment, number, payment.position) for payment in found.payments]
            rows += [
                self._row(one, number, one.position)._replace(state=UNKNOWN_GAP)
                for one in found.lost
                if self._era_of(number + 1, one.position) == self._era
            ]
            source = f"ring {number}"
            for one in found.lost:
                why = "its slot was given away before its last state was carried"
                self._gaps.append(GapRow(source, one.position, one.position, 0, now_ms, why))
            for begin, end in found.missed:
                why = "their slots were given away before they were carried"
                self._gaps.append(GapRow(source, begin, end - 1, end - begin, now_ms, why))
            for boundary in self._boundaries:
                if boundary.ring == number:
                    follower.forget_open(boundary.position)
        return rows

    def _look_at_parking(self, now_ms: int) -> list[PaymentRow]:
        if now_ms - self._parked_ms < PARKED_EVERY_MS:
            return []
        self._parked_ms = now_ms
        rows = list[PaymentRow]()
        for payment, ring, position in self._view.parked():
            row = self._row(payment, ring, position)
            if self._parked.get(row.id) != row:
                self._parked[row.id] = row
                rows.append(row)
        return rows

    def _row(self, payment: Payment, ring: int, position: int) -> PaymentRow:
        is_sent, is_over = payment.attempts > 0, payment.state in OVER
        is_dead = payment.is_parked and payment.reason != layout.REASON_NONE
        has_processor = is_sent and payment.state not in (layout.QUEUED, layout.FAILED)
        processor = payment.processor if has_processor or payment.state == layout.CHARGED_BEFORE else None
        cents = payment.cents
        reason = payment.reason if is_over or is_dead else layout.REASON_NONE
        if is_over and reason == layout.REASON_AMOUNT:
            cents = payment.first_ms  # what the processor has charged
        fee_ppm = self._fees_ppm[processor] if processor is not None and payment.state == layout.COMPLETED else None
        return PaymentRow(
            self._era if payment.is_parked else self._era_of(ring + 1, position),
            (payment.id_high << 64 | payment.id_low).to_bytes(16, "big"),
            payment.state,
            processor,
            payment.attempts,
            cents,
            payment.accepted_ms,
            payment.requested_ms if is_sent or payment.state == layout.CHARGED_BEFORE else None,
            payment.settled_ms if is_over else None,
            fee_ppm,
            reason,
            ring,
            position,
        )
