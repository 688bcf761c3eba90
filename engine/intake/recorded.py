"""What API processes answer from the ledger: the one module here that knows it. It is imported only where a ledger is.

What speaks SQL is imported later (:meth:`Records.get_ready`): it takes as long as all else that a start needs.

Memory is always asked first. What it does not have is asked of SQL, in a thread (:mod:`engine.intake.questions`), and
each answer is made in the loop. A payment is in memory from its 202 on, and its slot is not given away before the head
of its ring has gone round. So whoever looks in memory first, then notes the heads, then asks SQL, and finds nothing,
may say so if SQL has seen all that had gone by then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

import orjson

from engine.books.reader import EXACT_MS, BooksBusyError, BooksReader, Sum
from engine.correlation import format_id, id_bytes
from engine.intake import old_window, problem, shown
from engine.intake.acceptor import Verdict
from engine.intake.held import Later
from engine.intake.problem import Answer
from engine.intake.questions import Kind, Questions, Ticket, answered
from engine.ledger.answers import Found, Memory, Sums, Told
from engine.ledger.errors import LedgerError
from engine.ledger.rows import OUTCOME_NAMES, AttemptRow, PaymentRow
from engine.logs.logger import Logger
from engine.memory import layout
from engine.memory.words import Words
from engine.ring.ring import RingReader
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.ledger.reading import Reading

if find_spec("sqlalchemy") is None:
    raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy")

T = TypeVar("T")

# nginx gives up after 1 s and asks another process. Whoever waits is looked at every 0.1 s at least.
LOOK_SECONDS: Final = 0.6
SUM_SECONDS: Final = 0.4
RECALL_SECONDS: Final = 0.2
SWITCH_SECONDS: Final = 0.0005  # how long the loop waits for Python while modules are imported; else it is 5 ms
STATUSES: Final = {
    layout.COMPLETED: layout.STATE_NAMES[layout.COMPLETED],
    layout.FAILED: layout.STATE_NAMES[layout.FAILED],
    layout.CHARGED_BEFORE: layout.STATE_NAMES[layout.CHARGED_BEFORE],
}

log = Logger(__name__)


class Records:
    """The ledger, over the memory that comes first.

    Parameters:
      rings: all rings; ``books_words``, ``books``: the books.
      questions: carries what is asked.
    """

    def __init__(
        self,
        settings: Settings,
        rings: Sequence[RingReader],
        books_words: Words,
        books: BooksReader,
        questions: Questions,
    ) -> None:
        self._settings = settings
        self._names = settings.processors.names
        self._rings = rings
        self._words = books_words
        self._books = books
        self._questions = questions
        self._reading: Reading | None = None
        self._is_missing = False  # a package is
        self._heads = [-1] * len(rings)  # when it was last asked to get ready

    def get_ready(self) -> None:
        """Has imported what questions need, while no payments come: importing takes half a second of a core, and who is
        served then would wait for Python. While payments come, it is imported before the first of them leaves memory:
        from then on one that comes again may be known to the ledger alone.
        """
        before, self._heads = self._heads, [ring.head for ring in self._rings]
        if self._reading is None and not self._is_missing and (before == self._heads or self._is_needed_soon()):
            self._ask(Kind.SUM, SUM_SECONDS, lambda reading: None)

    def status(self, id_high: int, id_low: int) -> Answer | Later:
        """What became of a payment that memory does not have."""
        memory = self._memory()
        if memory.is_whole:
            return problem.NEVER_ACCEPTED
        identity = id_bytes(id_high, id_low)
        answer = partial(self._status, id_high, id_low)
        return self._later(Kind.LOOK, LOOK_SECONDS, lambda reading: reading.find(identity, memory), answer)

    def attempts(self, id_high: int, id_low: int, *, is_here: bool) -> Answer | Later:
        """The attempts of a payment; ``is_here``: memory has it."""
        memory = self._memory()
        if memory.is_whole and not is_here:
            return problem.NEVER_ACCEPTED
        identity = id_bytes(id_high, id_low)
        answer = partial(self._attempts, id_high, id_low, is_here)
        return self._later(Kind.LOOK, LOOK_SECONDS, lambda reading: reading.attempts(identity, memory), answer)

    def sums(
        self, from_ms: int | None, to_ms: int | None, answer: Callable[[tuple[Sum, ...] | None], Answer]
    ) -> Later | None:
        """The exact sums of a window that is too old for the books; None when they know it exactly, or the ledger
        cannot be asked.

        ``answer`` makes an answer of the sums; it is handed None when they are not certain to be exact.
        """
        plan = old_window.plan(from_ms, to_ms, self._books.anchor)
        if plan is None or self._is_exact(from_ms, to_ms):
            return None
        memory = self._memory()
        ticket = self._ask(Kind.SUM, SUM_SECONDS, lambda reading: reading.sums(plan.stretches, memory))
        if ticket is None:
            return None
        return lambda: answer(self._together(plan, ticket.answer)) if ticket.is_over else None

    def recall(self, id_high: int, id_low: int) -> Recall | None:
        """Whether a payment that is handed in was here before; None when the ledger cannot be asked, or need not be."""
        memory = self._memory()
        if memory.is_whole:
            return None
        identity = id_bytes(id_high, id_low)
        ticket = self._ask(Kind.RECALL, RECALL_SECONDS, lambda reading: reading.find(identity, memory))
        return None if ticket is None else Recall(ticket, lambda: self._memory().purges == memory.purges)

    def close(self) -> None:
        """Ends the thread."""
        self._questions.close()

    def _is_needed_soon(self) -> bool:
        """Whether memory has not everything of this era, or a ring is half full of it."""
        is_half = any(2 * (ring.head - ring.forgotten_below) >= ring.slots for ring in self._rings)
        return is_half or self._words[layout.BOOKS_REPLACED_AT] != 0

    def _memory(self) -> Memory:
        words = self._words
        return Memory(
            words[layout.BOOKS_GENERATION_AT],
            words[layout.BOOKS_REPLACED_AT],
            words[layout.BOOKS_PARKED_ERA_AT],
            tuple(map(_gone, self._rings)),
        )

    def _ask(self, kind: Kind, seconds: float, question: Callable[[Reading], T]) -> Ticket[T] | None:
        return self._questions.ask(kind, seconds, partial(self._answered, question))

    def _answered(self, question: Callable[[Reading], T]) -> T | None:
        """In the thread: the answer; None when the ledger is away, or cannot be read here, which the log says."""
        if self._is_missing:
            return None
        try:
            if self._reading is None:
                self._reading = _imported(self._settings)
            return question(self._reading)
        except LedgerError:
            return None
        except ImportError as error:
            if error.name and is_installed(error.name):
                return None  # it could not be read just now: out of descriptors, perhaps
            self._is_missing = True
            log.error("package_missing", package=error.name, lock="requirements-ops.lock")
            return None

    def _later(
        self, kind: Kind, seconds: float, question: Callable[[Reading], T], answer: Callable[[T], Answer]
    ) -> Answer | Later:
        return answered(self._ask(kind, seconds, question), problem.LEDGER_AWAY, answer)

    def _status(self, id_high: int, id_low: int, found: Found) -> Answer:
        if found.row is None:
            return _absent(found)
        return problem.json_answer(shown.document(id_high, id_low, of_ledger(found.row), self._names))

    def _attempts(self, id_high: int, id_low: int, is_here: bool, told: Told) -> Answer:
        if told.found.row is None and not is_here:
            return _absent(told.found)
        document = {
            "correlationId": format_id(id_high, id_low),
            "attempts": [self._attempt(row) for row in told.attempts],
            "completeUntil": shown.instant(told.until_ms),
            "whole": told.is_whole,
        }
        return problem.json_answer(orjson.dumps(document))

    def _attempt(self, row: AttemptRow) -> dict[str, object]:
        return {
            "number": row.number,
            "processor": shown.name(row.processor, self._names),
            "kind": "lookup" if row.is_lookup else "request",
            "beganAt": shown.instant(row.began_ms),
            "endedAt": shown.instant(row.ended_ms),
            "outcome": None if row.outcome is None else OUTCOME_NAMES.get(row.outcome, "unknown"),
            "status": row.status,
            "error": row.error,
            "latencyMs": None if row.latency_us is None else row.latency_us / 1000,
        }

    def _is_exact(self, from_ms: int | None, to_ms: int | None) -> bool:
        """Whether the books know this window exactly, because nothing was settled before their horizon."""
        try:
            return self._books.resolved(from_ms, to_ms).resolution_ms == EXACT_MS
        except BooksBusyError:
            return False

    def _together(self, plan: old_window.Plan, sums: Sums | None) -> tuple[Sum, ...] | None:
        if sums is None:
            return None
        try:
            return old_window.together(plan, sums.sums, is_whole=sums.is_whole, books=self._books)
        except BooksBusyError:
            return None


class Recall:
    """A question whether a payment was here before. ``is_same_era``: whether there was no purge since it was asked."""

    def __init__(self, ticket: Ticket[Found], is_same_era: Callable[[], bool]) -> None:
        self._ticket = ticket
        self._is_same_era = is_same_era

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or its time is over."""
        return self._ticket.is_over

    def verdict(self, cents: int) -> tuple[Verdict, int] | None:
        """SAME, CONFLICT or FAILED, and the reason; None: as if it had not been asked.

        So it is also where the payment was here, and nobody knows what became of it: the processors do.
        """
        found = self._ticket.answer
        row = None if found is None else found.row
        if row is None or not self._is_same_era():
            return None
        if row.reason != layout.REASON_AMOUNT and row.cents != cents:
            return Verdict.CONFLICT, row.reason
        if row.state == layout.FAILED:
            return Verdict.FAILED, row.reason
        return (Verdict.SAME, row.reason) if row.state in STATUSES else None


def of_ledger(row: PaymentRow) -> shown.Shown:
    """A payment that has left memory. A state that is open is not the last one: nobody has recorded that (yet)."""
    status = STATUSES.get(row.state)
    is_charged = row.state in (layout.COMPLETED, layout.CHARGED_BEFORE)
    differs = row.state in STATUSES and row.reason == layout.REASON_AMOUNT
    return shown.Shown(
        status or shown.UNKNOWN,
        None if differs else row.cents,
        row.processor if is_charged else None,
        row.attempts,
        row.accepted_ms,
        row.requested_ms if is_charged else None,
        row.settled_ms if status else None,
        row.reason if status else layout.REASON_NONE,
        row.state == layout.CHARGED_BEFORE,
        row.cents if differs else None,
    )


def _absent(found: Found) -> Answer:
    if not found.is_reached:
        return problem.LEDGER_BEHIND
    return problem.NEVER_ACCEPTED if found.is_certain else problem.NOT_RECORDED


def _imported(settings: Settings) -> Reading:
    """What speaks SQL. Raises ImportError.

    Whoever runs Python meanwhile, as the loop does for what C does not answer, gets it back soon. The thread has the
    loop's own priority: one of a lower would keep Python to itself while others keep it from a core.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        from engine.ledger.reading import Reading

        return Reading(settings)
    finally:
        sys.setswitchinterval(before)


def _gone(ring: RingReader) -> int:
    """The position below which slots may have been given away; 0 when none of this era is below it."""
    forgotten, gone = ring.forgotten_below, ring.head - ring.slots + 1  # the next payment's slot is written first
    return gone if gone > forgotten else 0


def is_installed(name: str) -> bool:
    """Whether there is such a package."""
    return find_spec(name.partition(".")[0]) is not None
