"""What customers and processors know: the truth. What the engine says is compared with it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from engine.acts import rules
from engine.books import parked
from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt
from engine.lab.dst.account import NOT_CHARGED, Account, Record
from engine.lab.dst.plan import BITS, DAY_STEP_MS, PLAIN, PROCESSORS, Plan
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.trace import Trace
from engine.memory import layout
from engine.memory.acts_layout import Act
from engine.memory.layout import (
    ALREADY,
    CHARGED_BEFORE,
    COMPLETED,
    FAILED,
    PARKED,
    PROCESSING,
    QUEUED,
)
from engine.memory.words import Words
from engine.payment import Payment
from engine.processors import CONTEST_NAMES
from engine.ring.ring import RingReader

BASE = 1 << BITS  # the bit of what the sums began with
STRANGER_MS = 7 * DAY_STEP_MS  # how old somebody else's payments are
EVER = -1  # before any time
LONG_AGO_MS = -(1 << 60)


class ViolationError(Exception):
    """A promise was broken; ``payment`` is the number of the payment concerned, if it is one."""

    def __init__(self, message: str, payment: int | None = None) -> None:
        super().__init__(message)
        self.payment = payment


class Model:
    """The truth of all payments."""

    def __init__(
        self, plan: Plan, books: Words, shape: Shape, rings: Sequence[RingReader], scheduler: Scheduler, trace: Trace
    ) -> None:
        self.plan = plan
        self.accounts = [
            Account(order.number, order.id_high, order.id_low, order.cents, order.odd) for order in plan.orders
        ]
        self.records: tuple[dict[tuple[int, int], Record], ...] = tuple({} for _ in PROCESSORS)
        self._lives: dict[tuple[int, int], list[Account]] = {}
        self._by_bit: dict[int, Account] = {}
        for account in self.accounts:
            self._lives.setdefault(account.key, []).append(account)
            self._by_bit[account.cents] = self._by_bit[account.bits & ~account.cents] = account
            self._settle_strangers(account)
        self._books_words = books
        self._books = BooksReader(books, shape)
        self._shape = shape
        self._purging = False
        self.has_base = plan.sums > 0
        self._is_dirty = True
        self.rings = list(rings)
        self._scheduler = scheduler
        self._trace = trace

    def _settle_strangers(self, account: Account) -> None:
        for processor in PROCESSORS:
            if account.odd.has_stranger(processor):
                requested_ms = self.plan.start_wall_ms - STRANGER_MS + account.number
                record = Record(*account.key, requested_ms, account.cents, LONG_AGO_MS)
                self.records[processor].setdefault(account.key, record)

    def note(self, what: str, payment: int | None, *details: object) -> None:
        """Writes into the trace what happens now."""
        self._trace.add(self._scheduler.mono_ms, what, payment, *details)

    # --- processors --------------------------------------------------------------------------------------------------

    def payment(self, attempt: Attempt) -> Account:
        """The payment that this request is for. Raises ViolationError for a payment that no customer has sent."""
        for account in self._lives.get((attempt.id_high, attempt.id_low), ()):
            if account.cents == attempt.cents:
                return account
        raise ViolationError(f"a payment was sent that no customer asked for: {attempt}")

    def lives(self, account: Account) -> Iterator[Account]:
        """The other payments with the same id that were ever accepted."""
        return (other for other in self._lives[account.key] if other is not account and other.position >= 0)

    def record(self, processor: int, account: Account) -> Record | None:
        """What ``processor`` has under the id of a payment."""
        return self.records[processor].get(account.key)

    def has_other(self, processor: int, account: Account) -> bool:
        """Whether that is another payment."""
        record = self.record(processor, account)
        return record is not None and record.account is not account

    def misled(self, record: Record) -> None:
        """A processor denies that it has this."""
        for account in self._lives[record.id_high, record.id_low]:
            account.is_misled = True

    def charged(self, processor: int, account: Account, requested_ms: int, cents: int) -> None:
        """A processor charges a payment; this is the only moment to check that it may."""
        number, name = account.number, CONTEST_NAMES[processor]
        self.note("charged", number, name, "requestedAt", requested_ms)
        if account.charged_at:
            raise ViolationError(f"once: payment {number} is charged at both processors", number)
        self._check_other(1 - processor, account)
        if cents != account.cents:
            raise ViolationError(f"payment {number} of {account.cents} cents is charged with {cents}", number)
        self._charge(
            processor, account, requested_ms, account.odd.altered_cents if account.odd.is_altered(processor) else cents
        )
        if account.position < 0:
            raise ViolationError(f"payment {number} is charged and was never accepted", number)
        self.mark_forgotten()
        if account.forgotten or self.is_purging():
            return
        held = self.held(account)
        if held is None or held.state != PROCESSING or held.processor != processor:
            raise ViolationError(f"payment {number} is charged at {name} while the engine says {held}", number)
        if held.requested_ms != requested_ms:
            raise ViolationError(
                f"payment {number} is charged under requestedAt {requested_ms}, the engine says {held}", number
            )

    def _charge(self, processor: int, account: Account, requested_ms: int, cents: int) -> None:
        account.charged_ms[processor], account.charged_cents[processor] = requested_ms, cents
        record = Record(*account.key, requested_ms, cents, self._scheduler.mono_ms, account)
        self.records[processor][account.key] = record
        self._is_dirty = True

    def _check_other(self, processor: int, account: Account) -> None:
        """The id of a payment that the other processor charges just now: an engine that remembers it must have known.

        An engine without an id memory cannot know; nor can one to which the processor has denied it, or whose purged
        request is still on its way.
        """
        record = self.record(processor, account)
        if record is None or not account.is_seen or account.is_misled:
            return
        if record.account is None or not record.account.forgotten:
            raise ViolationError(f"once: the id of payment {account.number} is charged at both", account.number)

    # --- what the dispatcher learns ----------------------------------------------------------------------------------

    def heard(self, ended: Iterable[tuple[Attempt, Outcome]]) -> None:
        """The dispatcher is about to take these ends in."""
        for attempt, end in ended:
            charged = self._books_words[layout.BOOKS_TOTALS_AT + 2 * attempt.processor]
            self.payment(attempt).heard(attempt, end.verdict, charged)

    def settled(self, ended: Iterable[tuple[Attempt, Outcome]]) -> None:
        """The dispatcher has taken these ends in."""
        for attempt, end in ended:
            account = self.payment(attempt)
            self.note("ended", account.number, "lookup" if attempt.lookup else "pay", end.verdict.name)
            is_found = end.verdict is Verdict.FOUND and account.charged_ms[attempt.processor] == end.requested_ms
            if (end.verdict is Verdict.CHARGED or is_found) and not account.odd.cursed:
                account.told |= 1 << attempt.processor
                self._is_dirty = True

    def recovered(self) -> None:
        """A new dispatcher has begun: how the requests in flight have ended is not known."""
        for account in self.accounts:
            held = self.held(account) if account.position >= 0 else None
            if held is not None and held.state == PROCESSING:
                account.unsure[held.processor] += 1

    def is_left(self, account: Account) -> bool:
        """Whether an ordinary payment belongs to a processor, by its slot, and nothing is known of it."""
        if account.position < 0 or account.forgotten or account.odd is not PLAIN:
            return False
        held = self.held(account)
        return held is not None and held.state == PROCESSING and not held.is_parked

    # --- purges ------------------------------------------------------------------------------------------------------

    def purge_asked(self) -> None:
        """An API process has asked for a purge, if it has not died before."""
        self._purging = True

    def is_purging(self) -> bool:
        """Whether a purge is under way; books and rings may then be of different moments."""
        asked = any(
            ring.words[layout.RING_PURGE_ASKED_AT] != ring.words[layout.RING_PURGE_DONE_AT] for ring in self.rings
        )
        self._purging = asked or (self._purging and bool(self._books_words[layout.BOOKS_VERSION_AT] & 1))
        return self._purging

    def mark_forgotten(self) -> None:
        """Takes over from the rings what was purged."""
        if not self.plan.purges or not any(ring.words[layout.RING_PURGED_AT] for ring in self.rings):
            return
        self.has_base = False
        self._is_dirty = True
        forgotten = [ring.forgotten_below for ring in self.rings]
        for account in self.accounts:
            if account.position >= 0 and account.position < forgotten[account.ring]:
                account.forgotten = True

    def carried_over(self, rings: Sequence[RingReader]) -> None:
        """Memory of other sizes has taken the place of the old one: every payment has another place, or none."""
        self.rings[:] = rings
        places = {}
        for index, ring in enumerate(rings):
            for position in range(max(0, ring.head - ring.slots), ring.head):
                held = ring.read(position)
                if held is not None:
                    places[held.id_high, held.id_low, held.cents] = index, position
        for account in self.accounts:
            if account.position >= 0:
                place = places.get((*account.key, account.cents))
                account.is_left_out = place is None
                account.ring, account.position = place or (0, 0)

    # --- what shared memory holds ------------------------------------------------------------------------------------

    def remembers(self, account: Account) -> bool:
        """Whether the engine must still know an accepted payment: it is neither purged nor about to be overwritten."""
        ring = self.rings[account.ring]
        if account.forgotten or account.position < ring.forgotten_below:
            return False
        if account.position > ring.head - ring.slots and not account.is_left_out:
            return True
        held = self.held(account)
        return held is not None and held.is_parked and held.state in (QUEUED, PROCESSING, ALREADY)

    def held(self, account: Account) -> Payment | None:
        """What shared memory holds of an accepted payment: its slot or, once that is given back, its parking place."""
        held = None if account.is_left_out else self.rings[account.ring].read(account.position)
        if held is not None and held.state != PARKED:
            return held
        kept = self._books.parked(account.id_high, account.id_low)
        return kept if kept is not None and kept.cents == account.cents else None

    def may_last(self, account: Account) -> bool:
        """Whether an open payment may stay so for ever."""
        held = self.held(account)
        if held is None:
            return False
        has_other, has_place = self.has_other(held.processor, account), self._has_place(account)
        return account.may_last(held, self.plan, has_other=has_other, has_place=has_place)

    def _has_place(self, account: Account) -> bool:
        """Whether the parking table has room for a payment."""
        get = self._books_words.__getitem__
        kept = (parked.read(get, self._shape, place) for place in parked.bucket(get, self._shape, *account.key))
        return any(payment is None or 1 + payment.state not in layout.PARKED_OPEN for payment in kept)

    # --- sums --------------------------------------------------------------------------------------------------------

    def charged_mask(self, processor: int) -> int:
        """The cents of all payments, not purged, that ``processor`` has charged."""
        self._refresh()
        return self._charged[processor]

    def told_mask(self, processor: int) -> int:
        """The cents of all payments, not purged, that the dispatcher has been told of."""
        self._refresh()
        return self._told[processor]

    def forgotten_mask(self) -> int:
        """The cents of all payments that were purged."""
        self._refresh()
        return self._forgotten

    def since_mask(self, processor: int, since_ms: int) -> int:
        """The cents of all payments that ``processor`` has charged under ``since_ms`` or later."""
        self._refresh()
        times, masks = self._since[processor]
        return masks[bisect_left(times, since_ms)]

    def _refresh(self) -> None:
        """Makes the sums anew when something has changed; they are read much more often."""
        if not self._is_dirty:
            return
        self._is_dirty = False
        base = BASE if self.has_base else 0
        kept = [account for account in self.accounts if not account.forgotten]
        self._forgotten = sum(account.bits for account in self.accounts if account.forgotten) | base ^ BASE
        self._charged = [base | sum(account.charged_cents[processor] for account in kept) for processor in PROCESSORS]
        self._told = [
            sum(account.charged_cents[processor] for account in kept if account.told >> processor & 1)
            for processor in PROCESSORS
        ]
        self._since = [self._since_masks(processor) for processor in PROCESSORS]

    def _since_masks(self, processor: int) -> tuple[list[int], list[int]]:
        """Times in order, and what was charged at each of them or later; what the sums began with is the oldest."""
        charged = [
            (account.charged_ms[processor], account.charged_cents[processor])
            for account in self.accounts
            if account.charged_ms[processor] != NOT_CHARGED
        ]
        charged.sort()
        if self.has_base:
            charged.insert(0, (EVER, BASE))
        masks = [0]
        for _, cents in reversed(charged):
            masks.append(masks[-1] | cents)
        return [ms for ms, _ in charged], masks[::-1]

    # --- what the engine says ----------------------------------------------------------------------------------------

    def take_unconfirmed(self, processor: int, cents: int) -> None:
        """The books have ``cents`` that ``processor`` has not charged: right for what may be taken for charged."""
        while cents:
            bit = cents & -cents
            cents ^= bit
            account = self._by_bit.get(bit)
            if account is None or account.cents != bit or account.charged_cents[processor] == bit:
                continue
            if account.is_unconfirmed(processor):
                account.charged_ms[processor] = account.requested_ms[processor]
                account.charged_cents[processor] = bit
                self._is_dirty = True

    def saw(self, account: Account, held: Payment) -> None:
        """The engine says this of a payment. Raises ViolationError when that is not true."""
        number = account.number
        if (held.id_high, held.id_low, held.cents) != (account.id_high, account.id_low, account.cents):
            raise ViolationError(f"the slot of payment {number} holds another one: {held}", number)
        if account.final is not None:
            now, then = ((word.state, word.processor, word.requested_ms) for word in (held, account.final))
            if now != then and self._may_be_open_again(account):
                account.final = None
                self.saw(account, held)
            elif now != then:
                raise ViolationError(f"payment {number} was {account.final} and became {held}", number)
            return
        if held.state == COMPLETED and held.reason == layout.REASON_UNCONFIRMED:
            self.take_unconfirmed(held.processor, account.cents)
        problem = self._problem(account, held)
        if problem:
            raise ViolationError(f"payment {number} is {problem}: {held}, charged is {account.charged_ms}", number)
        if held.state in (COMPLETED, FAILED, CHARGED_BEFORE):
            account.final = held

    def _may_be_open_again(self, account: Account) -> bool:
        """Whether it has failed, and an operator has asked to try it again. Its age then counts from that on."""
        assert account.final is not None
        if not rules.has_failed(account.final):
            return False
        asked = [at_ms for act, at_ms in account.acts if act is Act.RETRY]
        if account.retries == len(asked):
            return False
        account.accepted_ms = asked[account.retries]
        account.retries += 1
        return True

    def _problem(self, account: Account, held: Payment) -> str:
        """What is wrong with what the engine says of a payment; "" for nothing."""
        charged, processor = account.charged_at, held.processor
        if held.state == COMPLETED:
            if charged != [processor] or held.requested_ms != account.charged_ms[processor]:
                return "said to be charged"
            is_altered = account.charged_cents[processor] != account.cents
            if (held.reason == layout.REASON_AMOUNT) != is_altered:
                return "of another amount at its processor, or said to be so"
            if held.reason == layout.REASON_UNCONFIRMED and not account.is_unconfirmed(processor):
                return "unconfirmed without a reason"
        elif held.state in (PROCESSING, ALREADY):
            if charged and charged != [processor]:
                return "said to be elsewhere"
            has_other = self.has_other(processor, account)
            is_dead = held.is_parked and held.reason != layout.REASON_NONE
            if is_dead and not account.may_be_dead(held, is_set_back=self._scheduler.is_set_back, has_other=has_other):
                return "a dead letter without a reason"
        elif charged:
            return "charged"
        elif held.state == CHARGED_BEFORE:
            if held.reason == layout.REASON_DECLARED:
                return "" if account.is_asked(Act.CHARGED) else "declared by nobody"
            if not self.has_other(processor, account):
                return "said to be charged before"
        elif held.state == FAILED:
            return self._undeserved(account, held)
        return ""

    def _undeserved(self, account: Account, held: Payment) -> str:
        """Why a payment that has failed should not have failed; "" when it is right."""
        if held.reason == layout.REASON_CANCELLED:
            return "" if account.is_asked(Act.CANCEL) else "cancelled by nobody"
        if held.reason == layout.REASON_TOO_OLD:
            age_ms = self._scheduler.mono_ms - account.accepted_ms
            return f"given up {age_ms} ms old" if age_ms < self.plan.give_up_ms else ""
        if held.reason == layout.REASON_REFUSED and account.is_refused(self.plan.refusals_max):
            return ""
        return "failed without a reason"
