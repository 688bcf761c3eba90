"""What goes from shared memory into SQL next: slots and parked places say what became of each payment, the journal
tells what happened. Pure: a view of memory and the time in, batches out.

A batch is made from one look, and carried until it is in SQL; only then comes the next look. So what the carrier holds
is what SQL has, and after a crash a new carrier goes on from SQL's cursor. It may carry a payment again, which changes
nothing, because a payment is one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from engine.books.reader import BooksBusyError
from engine.journal.reader import Piece
from engine.ledger import gaps, takeover
from engine.ledger.eras import Eras, read_whole
from engine.ledger.fees import Fees
from engine.ledger.follow import OVER, RingFollower, Seen
from engine.ledger.history import Records
from engine.ledger.memory_row import row_of
from engine.ledger.parking import ParkingFollower
from engine.ledger.rows import (
    UNKNOWN_GAP,
    Batch,
    Cursor,
    FeeRow,
    GapRow,
    PaymentRow,
    RingCursor,
)
from engine.ledger.samples import Samples
from engine.ledger.view import Accepted, Parked, View
from engine.memory import layout
from engine.memory.journal_layout import Kind
from engine.payment import Payment

# What is taken at once bounds the memory of a batch, also when the database was away for long.
PAYMENTS_MAX: Final = 1250  # new ones of each ring in a batch
RECORDS_MAX: Final = 2500  # of the journal in a batch


class Carrier:
    """Goes on from ``cursor``, what SQL has, over the memory ``view``.

    Parameters:
      fees_ppm: what is known of the processors' fees now, by number; None: not known.
      now_ms: the wall clock.
      open_rows: the payments of this era that SQL has as open (:func:`engine.ledger.carry.open_payments`).
      fees: what SQL has of fees of before.

    Raises BooksBusyError.
    """

    def __init__(
        self,
        view: View,
        cursor: Cursor,
        fees_ppm: list[int | None],
        now_ms: int,
        open_rows: Iterable[PaymentRow] = (),
        fees: Iterable[FeeRow] = (),
    ) -> None:
        self._view = view
        self._cursor = cursor
        self._known = Fees(fees)
        self._eras = Eras(cursor, view.generation)
        self._gaps = self._eras.gaps
        self._records = Records(self._era_of_record)
        self._found = list[PaymentRow]()  # when it began: rows for the first batch
        # Until the first look is carried: what SQL has as open, by ring and position; what it sees elsewhere soon.
        self._unread = dict[tuple[int, int], list[PaymentRow]]()
        self._coming = set[Accepted]()
        self._is_whole = False
        self._targets = 0, list[int]()  # of the last look: how far journal and rings were when it began
        self._samples = Samples()
        self._fees = list[FeeRow]()
        for number, ppm in enumerate(fees_ppm):
            if ppm is not None and ppm != self._known.at(number, now_ms):
                self._fees.append(FeeRow(number, now_ms, ppm))
                self._known.add(self._fees[-1])
        self._begin(now_ms)
        self._find_open(open_rows, now_ms)

    def look(self, now_ms: int, is_whole: bool = False) -> Batch:
        """What is to be carried now. The caller carries it, and then calls :meth:`carried`.

        ``is_whole``: every open payment is looked at. Raises BooksBusyError: then another carrier begins anew.
        """
        view = self._view
        # What was ready before this moment belongs to its era, even if a purge comes now; what comes later may not.
        ready = [ring.ready for ring in view.rings]
        self._targets = view.journal.head if view.journal is not None else 0, ready
        missed, history = self._read_journal(now_ms)
        is_whole = is_whole or missed > 0  # what the lost records hinted at
        moment = view.moment()  # after the journal: where the era begins that it tells of, in every ring
        self._eras.look(moment, now_ms)
        self._records.take(history)
        for row in self._records.fees:
            self._known.add(row)
        hints = self._records.touched
        found = [
            follower.look(PAYMENTS_MAX, hints.get(number, ()), ready[number], self._eras.begin_of(number), is_whole)
            for number, follower in enumerate(self._followers)
        ]
        self._is_whole = all(one.is_whole for one in found) and self._sequence >= self._targets[0]
        payments = [*self._found, *self._rows_of_rings(found, now_ms)]
        # After the rings: what has left them for the parking table is there now.
        payments += self._look_at_parking(now_ms)
        if view.moment().purges != self._eras.purges:
            raise BooksBusyError("a purge has come in the midst of a look")
        waiting = sum(follower.open for follower in self._followers)
        samples = self._samples.look(now_ms, sum(ready), moment.settled, waiting, payments, view.accepting())
        batch = Batch(
            self._cursor,
            self._cursor._replace(
                generation=self._view.generation,
                era=self._eras.current,
                journal=self._sequence,
                parked=self._parking.since,
                rings=tuple(self._eras.cursor(follower.cursor()) for follower in self._followers),
                journal_number=self._number,
                purges=self._eras.purges,
            ),
            tuple(payments),
            tuple(self._records.attempts),
            tuple(self._records.health),
            tuple(self._records.states),
            (*self._fees, *self._records.fees),
            samples,
            tuple(self._eras.rows),
            tuple(self._gaps),
            tuple(self._records.acts),
        )
        self._next = batch.cursor  # and nothing more of it is kept: a batch is large
        return batch

    def count(self, now_ms: int) -> None:
        """Counts for the sample of this second, while no look is due. Raises BooksBusyError."""
        accepted = sum(ring.ready for ring in self._view.rings)
        self._samples.count(now_ms, accepted, self._view.moment().settled, self._view.accepting())

    def carried(self) -> None:
        """The last batch is in SQL."""
        self._cursor = self._next
        self._records.clear()
        self._found.clear()
        self._unread.clear()
        self._fees.clear()
        self._eras.rows.clear()
        self._gaps.clear()

    @property
    def cursor(self) -> Cursor:
        """How far SQL has come."""
        return self._cursor

    @property
    def is_whole(self) -> bool:
        """Whether the last look has found everything that had happened when it began."""
        return self._is_whole

    def unseen_ms(self) -> int | None:
        """When the oldest of what the last look has left for the next one happened, by the wall clock; None: nothing
        is left. Acceptances and the journal count; what has become of a payment is in the journal.
        """
        head, ready = self._targets
        times = list[int]()
        for ring, follower, below in zip(self._view.rings, self._followers, ready, strict=True):
            payment = ring.read(follower.seen) if follower.seen < below else None
            if payment is not None:
                times.append(payment.accepted_ms)
        journal = self._view.journal
        if journal is not None and self._sequence < head:
            times += [record.at_ms for record in journal.read(self._sequence, 1).records]
        return min(times, default=None)

    @property
    def is_behind(self) -> bool:
        """Whether the next look will find at least half of what it takes at once."""
        view = self._view
        if view.journal is not None and 2 * (view.journal.head - self._sequence) >= RECORDS_MAX:
            return True
        return any(
            2 * (ring.ready - follower.seen) >= PAYMENTS_MAX
            for ring, follower in zip(view.rings, self._followers, strict=True)
        )

    def _begin(self, now_ms: int) -> None:
        """Finds out how this memory goes on from what SQL has."""
        view, cursor = self._view, self._cursor
        moment = view.moment()
        rings = {ring.ring: ring for ring in cursor.rings}
        if cursor.generation != view.generation:
            # All positions are new. Payments that the memory has taken over are carried again: each is one row.
            rings = {number: RingCursor(number, at, at, (), at) for number, at in enumerate(moment.forgotten)}
        if cursor.generation in view.ancestors:
            rings = {ring.ring: ring for ring in takeover.rings(view)}
        self._eras.begin(cursor, view.ancestors, moment, now_ms)
        self._followers = [
            RingFollower(ring, rings.get(number, RingCursor(number, 0, 0))) for number, ring in enumerate(view.rings)
        ]
        self._parking = ParkingFollower(view, cursor.parked if cursor.generation == view.generation else 0)
        journal = view.journal
        self._number = 0 if journal is None else journal.number
        self._sequence = cursor.journal
        if self._number != cursor.journal_number:
            self._sequence = 0
            if cursor.journal_number:
                self._gaps.append(GapRow("journal", cursor.journal, cursor.journal, 0, now_ms, gaps.MADE_ANEW))

    def _find_open(self, rows: Iterable[PaymentRow], now_ms: int) -> None:
        """Finds in memory the payments that SQL has as open."""
        view, cursor = self._view, self._cursor
        purges = view.moment().purges
        if cursor.generation in view.ancestors:
            self._find_taken_over(rows, purges != cursor.purges, now_ms)
        elif cursor.generation == view.generation:
            self._find_parked(rows, purges != cursor.purges, now_ms)
        if view.moment().purges != purges:
            raise BooksBusyError("a purge has come while open payments were looked for")

    def _find_parked(self, rows: Iterable[PaymentRow], is_purged: bool, now_ms: int) -> None:
        view, rings = self._view, {one.ring: one for one in self._cursor.rings}
        lost = list[PaymentRow]()
        # A purge frees all places: until they are taken again, they still have what it has ended.
        ended = {one.accepted: one for one in view.parked_since(0)[1]} if is_purged else {}
        for row in rows:
            if row.ring in rings and not rings[row.ring].has_left(row.position):
                self._unread.setdefault((row.ring, row.position), []).append(row)
                continue
            parked = ended.get(row.accepted) if is_purged else view.find_parked(row.accepted)
            if parked is None:
                lost.append(row)
            else:
                self._parking.keep(parked.place, row, is_open=True)
        if self._unread or lost:
            # Rows may still name the slots of memory of other sizes: these payments come when their slots are seen.
            self._coming = takeover.held(view, rings.values())
        for row in lost:
            self._found += [] if row.accepted in self._coming else self._last_seen(row, now_ms)

    def _find_taken_over(self, rows: Iterable[PaymentRow], is_purged: bool, now_ms: int) -> None:
        """In memory of other sizes; what is not there nobody knows any more."""
        if is_purged:
            self._gaps.append(GapRow("memory", 0, 0, 0, now_ms, gaps.PURGE_UNSEEN))
            return
        view, still_open, begins = self._view, 0, [follower.cursor() for follower in self._followers]
        held = takeover.held(view, begins)
        for row in rows:
            still_open += row.accepted in held and self._cursor.has_open(row)
            if row.accepted not in held and view.find_parked(row.accepted) is None:
                self._found.append(row._replace(state=UNKNOWN_GAP))
        missing = takeover.missing(view, self._cursor, begins, still_open)
        if missing or self._found:
            self._gaps.append(GapRow("memory", 0, 0, missing, now_ms, gaps.LEFT_OUT))

    def _read_journal(self, now_ms: int) -> Piece:
        """The next records, of which eras are told already."""
        journal = self._view.journal
        if journal is None:
            return Piece(0, [])
        missed, records = read_whole(journal, self._sequence, RECORDS_MAX, len(self._view.rings))
        if missed:
            last = self._sequence + missed - 1
            self._gaps.append(GapRow("journal", self._sequence, last, missed, now_ms, gaps.OVERWRITTEN))
        self._sequence += missed + len(records)
        for one in records:
            if one.kind == Kind.PURGED:
                self._eras.take(one)
        return Piece(missed, records)

    def _era_of_record(self, ring: int, position: int) -> int:
        """The era of a payment that is kept at (1 + ring, position); of one that is parked the present one."""
        return self._eras.of_slot(ring - 1, position)

    def _rows_of_rings(self, found: Sequence[Seen], now_ms: int) -> list[PaymentRow]:
        rows = list[PaymentRow]()
        for number, seen in enumerate(found):
            begin, era = self._eras.begin_of(number), self._eras.current
            for payment in seen.payments:
                in_era = era if payment.position >= begin else None  # nearly always; it is asked of every payment
                row = self._row(payment, number, payment.position, in_era)
                if payment.state != layout.PARKED or row.era != era:
                    rows.append(row)
                elif self._view.find_parked(row.accepted) is None:
                    rows += self._last_seen(row, now_ms)
            for one in seen.lost:
                rows += self._lost(self._row(one, number, one.position), now_ms)
            for position in seen.gone:
                rows += self._gone(number, position, now_ms)
            for begin, end in seen.missed:
                self._gaps.append(GapRow(f"ring {number}", begin, end - 1, end - begin, now_ms, gaps.SLOTS_GONE))
            self._followers[number].forget_open(self._eras.begin_of(number))
        return rows

    def _gone(self, ring: int, position: int, now_ms: int) -> list[PaymentRow]:
        """What is known of a payment whose slot was given away before this carrier began."""
        known = self._unread.get((ring, position), ())
        if not known and position >= self._eras.begin_of(ring):
            # Its id was accepted again, and SQL has one row for both.
            self._gaps.append(GapRow(f"ring {ring}", position, position, 0, now_ms, gaps.SLOT_GONE))
        return [one for row in known if row.accepted not in self._coming for one in self._lost(row, now_ms)]

    def _lost(self, row: PaymentRow, now_ms: int) -> list[PaymentRow]:
        """What is known of a payment whose slot was given away: perhaps it was parked meanwhile."""
        if row.era == self._eras.current and self._view.find_parked(row.accepted) is not None:
            return []
        self._gaps.append(GapRow(f"ring {row.ring}", row.position, row.position, 0, now_ms, gaps.SLOT_GONE))
        return [row._replace(state=UNKNOWN_GAP)] if row.era == self._eras.current else []

    def _last_seen(self, row: PaymentRow, now_ms: int) -> list[PaymentRow]:
        """What is known of a payment whose parked place was given away, perhaps because a purge had ended it."""
        payment = self._view.rings[row.ring].read(row.position) if row.ring >= 0 else None
        if payment is not None and payment.state in OVER:
            told = self._row(payment, row.ring, row.position)
            if told.accepted == row.accepted:
                return [told]
        if row.era != self._eras.current or self._view.moment().purges != self._eras.purges:
            return []
        self._gaps.append(GapRow("parked", row.position, row.position, 0, now_ms, gaps.PLACE_GONE))
        return [row._replace(state=UNKNOWN_GAP)]

    def _look_at_parking(self, now_ms: int) -> list[PaymentRow]:
        rows = list[PaymentRow]()
        for change in self._parking.look():
            if change.lost is not None:
                rows += self._last_seen(change.lost, now_ms)
            rows += self._parked_row(change.parked)
        # Where SQL had a payment as failed it has refused what came of another try, until it knows of that.
        for act in self._records.acts:
            if act.is_retry:
                for one in self._view.parked_with(act.payment):
                    rows += self._parked_row(one)
        return rows

    def _parked_row(self, parked: Parked) -> list[PaymentRow]:
        """The row of a payment that is parked; none if its era had ended before this carrier began."""
        place, books_era, payment, ring, position = parked
        era = self._eras.of_purges(books_era)
        if era is None:
            return []
        row = self._row(payment, ring, position, era)
        self._parking.keep(place, row, era == self._eras.current and payment.state not in OVER)
        return [row]

    def _row(self, payment: Payment, ring: int, position: int, era: int | None = None) -> PaymentRow:
        """``era``: that of the payment, where it is not told by (ring, position)."""
        era = self._eras.of_slot(ring, position) if era is None else era
        return row_of(payment, ring, position, era, era == self._eras.current, self._known)
