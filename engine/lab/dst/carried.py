"""What SQL must have when the ledger is at rest: every payment once, in its era, as it ended; every request once; and
what is missing is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.books import parked
from engine.books.levels import Shape
from engine.connectors.answers import Outcome
from engine.correlation import id_bytes
from engine.dispatch.attempt import Attempt
from engine.lab.dst.account import Account
from engine.lab.dst.checks import Checks
from engine.lab.dst.ledgered import Ledgered
from engine.lab.dst.model import BASE, Model, ViolationError
from engine.lab.dst.plan import PROCESSORS
from engine.ledger.follow import OVER
from engine.ledger.gaps import PURGE_UNSEEN
from engine.ledger.rows import DROPPED, OPEN, PURGED, RANKS, UNKNOWN_GAP, AttemptRow, PaymentRow
from engine.memory import layout
from engine.memory.words import Words
from engine.payment import Payment
from engine.processors import CONTEST_NAMES

Request = tuple[bytes, int, bool, int]  # id, processor, whether it is a lookup, number of the attempt


class Forgotten(NamedTuple):
    """A purge has forgotten a payment: how many purges there had been before; what was held of it then, if anything."""

    purges: int
    held: Payment | None


class End(NamedTuple):
    """What may stand in a payment's row; a state that is not open has the other values too."""

    state: int
    processor: int | None = None
    cents: int = 0
    requested_ms: int | None = None


class Carried:
    """Keeps the truth that memory forgets, and compares SQL with it."""

    def __init__(
        self,
        ledgered: Ledgered,
        books: Words,
        shape: Shape,
        rings: Sequence[Words],
        model: Model,
        checks: Checks,
    ) -> None:
        self._ledgered = ledgered
        self._sql = ledgered.sql
        self._books = books
        self._shape = shape
        self._rings = rings
        self._model = model
        self._checks = checks
        self._purges = books[layout.BOOKS_PARKED_ERA_AT]
        self._forgotten: dict[int, Forgotten] = {}  # by the number of the payment
        self._homes: dict[int, list[tuple[int, int, int]]] = {}  # generation, ring and position of each payment
        self._left_out: set[int] = set()  # payments that memory of other sizes had no room for
        self._before: set[int] = set()  # those of them that were gone before SQL had anything
        self._sent: Counter[Request] = Counter()
        self._heard: Counter[tuple[Request, int]] = Counter()
        self._spare = 0  # attempts that nothing may have been sent for

    # --- what happens ------------------------------------------------------------------------------------------------

    def sends(self, attempt: Attempt) -> None:
        """A request or a lookup leaves."""
        self._sent[_request(attempt)] += 1

    def heard(self, ended: Iterable[tuple[Attempt, Outcome]]) -> None:
        """The dispatcher is about to take these ends in."""
        for attempt, outcome in ended:
            self._heard[_request(attempt), int(outcome.verdict)] += 1

    def died(self, in_flight: int) -> None:
        """A dispatcher has died with so many requests that had begun, and perhaps not left."""
        held = (self._model.held(account) for account in self._model.accounts if account.position >= 0)
        open_ones = sum(one is not None and one.state in (layout.PROCESSING, layout.ALREADY) for one in held)
        self._spare += in_flight + open_ones

    def look_for_purge(self) -> None:
        """The dispatcher has done something: whether that was a purge."""
        purges = self._books[layout.BOOKS_PARKED_ERA_AT]
        if purges == self._purges or self._books[layout.BOOKS_VERSION_AT] & 1:
            return
        if purges != self._purges + 1:
            raise ViolationError(f"{purges - self._purges} purges in one step")
        for account in self._model.accounts:
            ring = self._model.rings[account.ring]
            is_new = account.position >= 0 and account.number not in self._forgotten
            if is_new and (account.is_left_out or account.position < ring.forgotten_below):
                self._forgotten[account.number] = Forgotten(self._purges, self._held_then(account))
        self._purges = purges

    def note_homes(self) -> None:
        """Where every payment is now. Called before memory gets other sizes, and at the end."""
        generation = self._books[layout.BOOKS_GENERATION_AT]
        for account in self._model.accounts:
            if account.position >= 0 and not account.is_left_out:
                homes = self._homes.setdefault(account.number, [])
                if (home := (generation, account.ring, account.position)) not in homes:
                    homes.append(home)

    def note_left_out(self) -> None:
        """Memory of other sizes is in use."""
        left_out = {account.number for account in self._model.accounts if account.is_left_out}
        self._left_out |= left_out
        if not self._sql.cursor.generation:
            self._before |= left_out

    def _held_then(self, account: Account) -> Payment | None:
        """What memory held of a payment that was purged just now."""
        if account.is_left_out:
            return account.final
        held = self._model.rings[account.ring].read(account.position)
        if held is not None and held.state != layout.PARKED:
            return held

        def before(index: int) -> int:
            return self._books[index] - (index == layout.BOOKS_PARKED_ERA_AT)

        kept = parked.find(before, self._shape, account.id_high, account.id_low)
        return kept if kept is not None and kept.cents == account.cents else account.final

    # --- what SQL has ------------------------------------------------------------------------------------------------

    def quiet(self, in_flight: Iterable[Attempt]) -> None:
        """All that must be true when the ledger has nothing more to carry. What is in flight may have no row."""
        if not self._ledgered.is_on:
            return
        if not self._ledgered.come_to_rest():
            raise ViolationError("ledger: it finds something new for ever")
        self.note_homes()
        self._ledgered.note_journal()
        self._check_gaps()
        self._check_payments()
        self._check_sums()
        self._check_attempts(in_flight)
        self._check_told()
        self._check_eras()

    def _check_gaps(self) -> None:
        """Where the ledger is waited for, no payment is in a gap."""
        gaps = [gap for gap in self._sql.gaps if gap.row.source != "journal" and gap.row.why != PURGE_UNSEEN]
        if gaps and self._ledgered.is_required:
            raise ViolationError(f"ledger: it is waited for, and there is a gap: {gaps[0]}")

    def _check_payments(self) -> None:
        """Every payment is one row in its era; what is missing, and what is not known, is counted."""
        left = dict(self._sql.payments)
        for key, accounts in self._by_row().items():
            row = left.pop(key, None)
            if row is None:
                for account in accounts:
                    if not self._is_in_gap(account, is_missing=True):
                        raise ViolationError(f"ledger: payment {account.number} is missing", account.number)
            else:
                self._check_row(row, accounts)
        for account in self._model.accounts:
            if account.number in self._before:  # the parking table may still have it
                left.pop((id_bytes(*account.key), min(self._sql.eras)), None)
        if left:
            row = next(iter(left.values()))
            raise ViolationError(f"ledger: there is a row of era {row.era} that is no payment: {row}")
        counted = sum(gap.row.missing for gap in self._sql.gaps if gap.row.source.startswith("ring"))
        unseen = sum(self._is_unseen(account) for account in self._model.accounts)
        if unseen != counted and not self._before:
            raise ViolationError(f"ledger: {unseen} payments were not seen, and {counted} are counted")

    def _check_row(self, row: PaymentRow, accounts: Sequence[Account]) -> None:
        if len(accounts) > 1:
            seen = [one for one in accounts if not self._is_in_gap(one, is_missing=True)]
            accounts = [one for one in seen if not self._is_in_gap(one, is_missing=False)]
            if not accounts:
                return
        allowed = [end for account in accounts for end in self._ends(account)]
        highest = max((RANKS.get(end.state, 0) for end in allowed), default=0)
        if len(accounts) > 1:  # one row for several payments: what was charged is not taken away
            allowed = [end for end in allowed if RANKS.get(end.state, 0) == highest]
        found = End(row.state, row.processor, row.cents, row.requested_ms)
        if any(_is_as(found, end) for end in allowed):
            return
        number = accounts[0].number
        if row.state in (UNKNOWN_GAP, PURGED) and self._is_in_gap(accounts[0], is_missing=False):
            return
        raise ViolationError(f"ledger: payment {number} is {row}, and should be {allowed}", number)

    def _by_row(self) -> dict[tuple[bytes, int], list[Account]]:
        rows: dict[tuple[bytes, int], list[Account]] = {}
        for account in self._model.accounts:
            era = self._era(account)
            if era is not None:
                rows.setdefault((id_bytes(*account.key), era), []).append(account)
        return rows

    def _era(self, account: Account) -> int | None:
        """The ledger's era of a payment; None if it was not accepted, or was forgotten before the ledger's time."""
        if account.position < 0 or account.number in self._before:
            return None
        forgotten = self._forgotten.get(account.number)
        purges = self._purges if forgotten is None else forgotten.purges
        eras = [era for at, era in self._sql.eras_of.items() if at <= purges]
        return max(eras, default=None)

    def _ends(self, account: Account) -> list[End]:
        """What a payment's row may say."""
        forgotten = self._forgotten.get(account.number)
        if forgotten is None:
            masks = self._checks.masks()
            for processor in PROCESSORS:
                if masks[processor] & account.bits:
                    return [_charged(account, processor)]
            if masks.failed & account.bits:
                return [End(layout.FAILED)]
            if masks.before & account.bits:
                return [End(layout.CHARGED_BEFORE)]
            held = self._model.held(account)
            return [End(held.state)] if held is not None else []
        held = forgotten.held
        if held is None:
            ends = [End(PURGED), End(layout.FAILED), End(layout.CHARGED_BEFORE)]
            return ends + [_charged(account, processor) for processor in account.charged_at]
        # Where nothing waits for the ledger, a parked place that a purge has freed may be another payment's by now.
        may_be_unseen = held.is_parked and not self._ledgered.is_required
        if held.state == layout.COMPLETED:
            return [_charged(account, held.processor), *([End(PURGED)] if may_be_unseen else [])]
        return [End(held.state if held.state in OVER else PURGED)]

    def _is_unseen(self, account: Account) -> bool:
        """Whether a gap of a ring says that it was never carried."""
        homes = self._homes.get(account.number, ())
        return any(
            gap.generation == generation and gap.row.source == f"ring {ring}" and gap.row.missing
            and gap.row.first <= position <= gap.row.last
            for gap in self._sql.gaps
            for generation, ring, position in homes
        )  # fmt: skip

    def _is_in_gap(self, account: Account, *, is_missing: bool) -> bool:
        if self._ledgered.is_required:
            return False
        for gap in self._sql.gaps:
            if gap.row.source == "memory" and (gap.row.missing or not is_missing or gap.row.why == PURGE_UNSEEN):
                return True
            for generation, ring, position in self._homes.get(account.number, ()):
                if gap.row.source == "parked" and gap.row.first == position and not is_missing:
                    return True
                is_there = gap.generation == generation and gap.row.source == f"ring {ring}"
                if is_there and gap.row.first <= position <= gap.row.last and (gap.row.missing > 0) == is_missing:
                    return True
        return False

    def _check_sums(self) -> None:
        """The sums of the present era are the processors'."""
        era, masks = self._sql.cursor.era, self._checks.masks()
        hidden = {
            account.number
            for (_, at), accounts in self._by_row().items()
            for account in accounts
            if at == era and len(accounts) > 1
        }
        gaps = any(gap.row.source.startswith(("ring", "era", "memory")) for gap in self._sql.gaps)
        if hidden or gaps:
            return
        unknown = 0  # their places were given away, and _check_payments has found the gap of each
        for key, accounts in self._by_row().items():
            if key in self._sql.payments and self._sql.payments[key].state == UNKNOWN_GAP:
                unknown |= accounts[0].bits
        for processor in PROCESSORS:
            mine = [row for row in self._sql.payments.values() if row.era == era and row.state == layout.COMPLETED]
            have = sum(row.cents for row in mine if row.processor == processor)
            want = masks[processor] & ~BASE & ~unknown
            if have != want:
                raise ViolationError(f"ledger: the sum of {CONTEST_NAMES[processor]} is {have:#b}, and not {want:#b}")

    def _check_attempts(self, in_flight: Iterable[Attempt]) -> None:
        """Every request is an attempt, and every answer was heard."""
        rows = list(self._sql.attempts.values())
        have = Counter(_key(row) for row in rows)
        shown = Counter(_request(attempt) for attempt in in_flight if not attempt.recorded)  # by their slots
        lost = sum((self._sent - shown - have).values())
        counted = self._unread_records()
        if lost > counted:
            request = next(iter(self._sent - have))
            raise ViolationError(
                f"ledger: {lost} requests have no attempt, and {counted} records were not read: {request}"
            )
        spare = sum((have - self._sent).values())
        if spare > self._spare:
            raise ViolationError(
                f"ledger: {spare} attempts have no request, {self._spare} may have: {next(iter(have - self._sent))}"
            )
        ends = Counter((_key(row), row.outcome) for row in rows if row.outcome not in (None, DROPPED))
        invented = ends - self._heard
        if invented:
            raise ViolationError(f"ledger: answers that nobody has heard: {next(iter(invented))}")

    def _unread_records(self) -> int:
        """Records of journals that lie in gaps."""
        counted = sum(gap.row.missing for gap in self._sql.gaps if gap.row.source == "journal")
        read: dict[int, int] = {}
        for batch in self._sql.carried:
            read[batch.cursor.journal_number] = batch.cursor.journal
        return counted + sum(head - read.get(number, 0) for number, head in self._ledgered.journals.items())

    def _check_told(self) -> None:
        """What processors have said of themselves is told in its order."""
        if any(by_ms < 0 for _, by_ms in self._model.plan.clock_steps):
            return
        last: dict[tuple[str, int], int] = {}
        for (table, number, _), row in sorted(self._sql.told.items(), key=lambda item: item[0]):
            at_ms = row.at_ms  # type: ignore[attr-defined]
            if at_ms < last.get((table, number), 0):
                raise ViolationError(f"ledger: a row of {table} is older than the one before: {row}")
            last[table, number] = at_ms

    def _check_eras(self) -> None:
        """There is an era for each purge, or a gap that counts it, and one after the other."""
        sql = self._sql
        merged = sum(gap.row.missing for gap in sql.gaps if gap.row.source == "era")
        first = min(sql.eras_of)
        purges = self._purges - first
        if len(sql.eras) + merged != 1 + purges or sql.cursor.purges != self._purges:
            raise ViolationError(f"ledger: {purges} purges, and eras {list(sql.eras)}, {merged} in gaps")
        ended = [number for number, era in sorted(sql.eras.items()) if era.ended_ms is not None]
        if ended != sorted(sql.eras)[:-1] or sql.cursor.era != max(sql.eras):
            raise ViolationError(f"ledger: of the eras {list(sql.eras)} have ended {ended}")
        for row in sql.payments.values():
            if row.era != sql.cursor.era and row.state in OPEN:
                raise ViolationError(f"ledger: its era is over, and it is open: {row}")


def _request(attempt: Attempt) -> Request:
    return id_bytes(attempt.id_high, attempt.id_low), attempt.processor, attempt.lookup, attempt.attempts


def _key(row: AttemptRow) -> Request:
    return row.id, row.processor, row.is_lookup, row.number or 0


def _charged(account: Account, processor: int) -> End:
    return End(layout.COMPLETED, processor, account.charged_cents[processor], account.charged_ms[processor])


def _is_as(found: End, end: End) -> bool:
    """Whether a row says this; of what was not charged the state alone."""
    if end.state == layout.COMPLETED:
        return found == end
    return found.state == end.state
