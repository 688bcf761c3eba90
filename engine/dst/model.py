"""What customers and processors know: the truth that the engine's word is held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.dispatch.attempt import Attempt
from engine.dst.plan import Order
from engine.dst.scheduler import Scheduler
from engine.dst.trace import Trace
from engine.memory import layout
from engine.memory.layout import ASIDE, COMPLETED, FAILED, PROCESSING, PROCESSOR_NAMES, PROCESSORS
from engine.memory.words import Words
from engine.ring.ring import Payment, RingReader

NOT_CHARGED = -1


class ViolationError(Exception):
    """A promise was broken; ``payment`` is the number of the payment concerned, if it is one."""

    def __init__(self, message: str, payment: int | None = None) -> None:
        super().__init__(message)
        self.payment = payment


@dataclass(slots=True)
class Account:
    """The truth of one payment.

    ``ring``, ``position``: where it was accepted, -1 before; ``promised``: a customer had a 202 for it;
    ``charged_ms``: requestedAt at each processor, NOT_CHARGED; ``told``: bit p, the dispatcher has had p's word that it
    is charged; ``forgotten``: purged.
    """

    number: int
    id_high: int
    id_low: int
    cents: int
    ring: int = -1
    position: int = -1
    promised: bool = False
    forgotten: bool = False
    told: int = 0
    charged_ms: list[int] = field(default_factory=lambda: [NOT_CHARGED, NOT_CHARGED])
    final: Payment | None = None  # what it was seen to have ended as


class Model:
    """The truth of all payments."""

    def __init__(
        self,
        orders: Iterable[Order],
        books: Words,
        shape: Shape,
        rings: Sequence[RingReader],
        scheduler: Scheduler,
        trace: Trace,
    ) -> None:
        self.accounts = [Account(order.number, order.id_high, order.id_low, order.cents) for order in orders]
        self._by_id = {(account.id_high, account.id_low): account for account in self.accounts}
        self._books_words = books
        self._books = BooksReader(books, shape)
        self._purging = False
        self.rings = rings
        self._scheduler = scheduler
        self._trace = trace

    def note(self, what: str, payment: int | None, *details: object) -> None:
        """Writes into the trace what happens now."""
        self._trace.add(self._scheduler.mono_ms, what, payment, *details)

    def payment(self, attempt: Attempt) -> Account:
        """Whose request this is. Raises ViolationError for an id that no customer has sent."""
        account = self._by_id.get((attempt.id_high, attempt.id_low))
        if account is None:
            raise ViolationError(f"a payment was sent that nobody asked for: {attempt}")
        return account

    def charged(self, processor: int, account: Account, requested_ms: int, cents: int) -> None:
        """A processor charges a payment: now or never is the time to see that it may."""
        number, name = account.number, PROCESSOR_NAMES[processor]
        self.note("charged", number, name, "requestedAt", requested_ms)
        if account.charged_ms[1 - processor] != NOT_CHARGED:
            raise ViolationError(f"once: payment {number} is charged at both processors", number)
        account.charged_ms[processor] = requested_ms
        if cents != account.cents:
            raise ViolationError(f"payment {number} of {account.cents} cents is charged with {cents}", number)
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

    def purge_asked(self) -> None:
        """An API process is about to ask for a purge."""
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
        forgotten = [ring.forgotten_below for ring in self.rings]
        if any(forgotten):
            for account in self.accounts:
                if account.position >= 0 and account.position < forgotten[account.ring]:
                    account.forgotten = True

    def remembers(self, account: Account) -> bool:
        """Whether the engine must still know an accepted payment: it is neither purged nnor about to be overwritten."""
        ring = self.rings[account.ring]
        if account.position < ring.forgotten_below:
            return False
        if account.position > ring.head - ring.slots:
            return True
        held = self.held(account)
        return held is not None and held.state == PROCESSING

    def held(self, account: Account) -> Payment | None:
        """What shared memory holds of an accepted payment: its slot or, once that is given back, its place aside."""
        held = self.rings[account.ring].read(account.position)
        if held is not None and held.state != ASIDE:
            return held
        return self._books.aside(account.id_high, account.id_low)

    def charged_mask(self, processor: int) -> int:
        """The cents of all payments, not purged, that ``processor`` has charged."""
        return sum(
            account.cents
            for account in self.accounts
            if account.charged_ms[processor] != NOT_CHARGED and not account.forgotten
        )

    def told_mask(self, processor: int) -> int:
        """The cents of all payments, not purged, that the dispatcher has been told of."""
        return sum(
            account.cents for account in self.accounts if account.told >> processor & 1 and not account.forgotten
        )

    def forgotten_mask(self) -> int:
        """The cents of all payments that were purged."""
        return sum(account.cents for account in self.accounts if account.forgotten)

    def since_mask(self, processor: int, since_ms: int) -> int:
        """The cents of all payments that ``processor`` has charged under ``since_ms`` or later."""
        return sum(account.cents for account in self.accounts if account.charged_ms[processor] >= since_ms)

    def saw(self, account: Account, held: Payment) -> None:
        """The engine says this of a payment. Raises ViolationError when that is no true word."""
        number = account.number
        if (held.id_high, held.id_low, held.cents) != (account.id_high, account.id_low, account.cents):
            raise ViolationError(f"the slot of payment {number} holds another one: {held}", number)
        if account.final is not None:
            now, then = ((word.state, word.processor, word.requested_ms) for word in (held, account.final))
            if now != then:
                raise ViolationError(f"payment {number} was {account.final} and became {held}", number)
            return
        charged = [processor for processor in PROCESSORS if account.charged_ms[processor] != NOT_CHARGED]
        if held.state == COMPLETED:
            if charged != [held.processor] or held.requested_ms != account.charged_ms[held.processor]:
                raise ViolationError(f"payment {number} is said to be {held}, charged is {account.charged_ms}", number)
            account.final = held
        elif held.state == PROCESSING:
            if charged and charged != [held.processor]:
                raise ViolationError(f"payment {number} is said to be {held}, charged is {account.charged_ms}", number)
        elif charged:
            raise ViolationError(f"payment {number} is charged and said to be {held}", number)
        elif held.state == FAILED:
            account.final = held
