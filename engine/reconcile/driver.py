"""A whole run: what the core asks is asked of ledger, books and processors, and what it finds is kept."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from engine.books.reader import Sum
from engine.connectors.answers import Outcome, Summary
from engine.ledger import queries
from engine.ledger.database import Database
from engine.reconcile import cases, ledger_books
from engine.reconcile.again import Again, Case, ask_again
from engine.reconcile.asks import (
    Ask,
    Asks,
    Compare,
    CompareBooks,
    Look,
    Own,
    OwnOne,
    Pause,
    Suspects,
    UnansweredError,
    Unsettled,
)
from engine.reconcile.cases import Run
from engine.reconcile.check import Check, joined
from engine.reconcile.finding import BOOKS, BY_A_PERSON, BY_ITSELF, PROCESSOR, Finding
from engine.reconcile.locate import Budget
from engine.reconcile.ours import Ours
from engine.reconcile.span import Difference, Known, Span
from engine.wording import counted

T = TypeVar("T")
COMPARISONS_MAX: Final = 10_000  # of one run at one processor
OPEN_MAX: Final = 1000  # exceptions at a processor; with so many something is wrong that no list of payments explains


class Asked(Protocol):
    """The processors; see :class:`engine.reconcile.client.Client`."""

    summaries: int
    lookups: int

    def summary(self, processor: int, from_ms: int, to_ms: int) -> Summary:
        """The sums of a window, both ends included. Raises UnansweredError."""

    def lookup(self, processor: int, identity: bytes) -> Outcome:
        """What is stored for an id. Raises UnansweredError."""


class Told(Protocol):
    """The books; see :class:`engine.reconcile.books.Books`."""

    def window(self, from_ms: int, to_ms: int) -> tuple[Sum, ...] | None:
        """The sums of all processors, both ends included; None where they are not told exactly."""


class Driver:
    """Carries out what the core asks.

    Parameters:
      names: of the processors, by number.
      sleep: waits so many seconds.
      asked: is called after each lookup, for whoever shows progress.
      comparing: is called before each comparison with the number of the processor and the window.
    """

    def __init__(
        self,
        database: Database,
        books: Told,
        client: Asked,
        names: Sequence[str],
        sleep: Callable[[float], object],
        asked: Callable[[], object] = lambda: None,
        comparing: Callable[[int, Span], object] = lambda _, __: None,
    ) -> None:
        self._database, self._books, self._client = database, books, client
        self._comparing = comparing
        self._names, self._sleep, self._asked = names, sleep, asked
        self._ours = Ours(database)

    def reconcile(self, span: Span, is_deep: bool) -> tuple[Run, int]:
        """Holds ``span`` against the processors and the books, and keeps what is found.

        Returns what was done, and how many exceptions are open now. Raises LedgerError.
        """
        began_ms = self._database.now_ms()
        again, found, failures, windows = list[Again](), list[Finding](), list[str](), 0
        reach_ms = queries.reach_ms(self._database)  # of what is older, ours may have been taken away
        before = [one for one in cases.last(self._database) if _is_asked_again(one, span, reach_ms)]
        for processor, name in enumerate(self._names):
            known = Known()
            check = Check(processor, known, Budget(COMPARISONS_MAX))
            mine = [one for one in before if (one.last.against, one.last.processor) == (PROCESSOR, processor)]
            try:
                answers = self._answered(ask_again(processor, mine, known))
                again += answers
                left = [one.now for one in answers if one.now is not None]
                if len(left) >= OPEN_MAX:
                    raise UnansweredError(f"{len(left)} exceptions are known there: nothing is looked for beside them")
                check.differs({one.id for one in left if one.id is not None})
                self._answered(check.run(span, is_deep))
            except UnansweredError as error:
                failures.append(f"{name}: {error}")
            failures += _unclear(name, check.unclear)
            found += joined(check.found)
            windows += check.windows
        mine = [one for one in before if one.last.against == BOOKS]
        again_books, found_books = self._answered(ledger_books.check(span, len(self._names), mine))
        run = Run(span, is_deep, began_ms, windows, self._client.summaries, self._client.lookups, "; ".join(failures))
        return run, cases.keep(self._database, run, [*again, *again_books], [*found, *found_books])

    def _answered(self, core: Asks[T]) -> T:
        """Runs a generator of the core to its end."""
        answer: Any = None
        try:
            ask = next(core)
            while True:
                try:
                    answer = self._answer(ask)
                except UnansweredError as error:
                    ask = core.throw(error)
                else:
                    ask = core.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _answer(self, ask: Ask) -> Any:
        match ask:
            case Compare(processor, span, found):
                self._comparing(processor, span)
                ours = self._ours.sum(processor, span, found)  # first: what is charged meanwhile is no difference
                theirs = self._client.summary(processor, *span)
                return Difference(theirs.payments - ours.payments, theirs.cents - ours.cents)
            case Look(processor, identity):
                self._asked()
                return self._client.lookup(processor, identity)
            case Own(processor, span, behind):
                return self._ours.page(processor, span, behind)
            case OwnOne(processor, identity):
                return self._ours.one(processor, identity)
            case Suspects(processor, at_ms):
                return self._ours.suspects(processor, at_ms)
            case Unsettled(processor, span):
                return self._ours.maybes(processor, span)
            case CompareBooks(processor, span):
                return self._compare_books(processor, span)
            case Pause(seconds):
                self._sleep(seconds)
                return None

    def _compare_books(self, processor: int, span: Span) -> Difference | None:
        ours = queries.window(self._database, *span, len(self._names))
        theirs = self._books.window(*span)
        if theirs is None or not ours.is_whole or processor >= len(theirs):
            return None
        one, other = theirs[processor], ours.sums[processor]
        return Difference(one.payments - other.payments, one.cents - other.cents)


def _unclear(name: str, payments: Sequence[tuple[bytes, str]]) -> list[str]:
    """What is said of payments that could not be looked up."""
    if not payments:
        return []
    identity, why = payments[0]
    return [f"{name}: {counted(len(payments), 'payment')} not looked up, the first {uuid.UUID(bytes=identity)}: {why}"]


def _is_asked_again(case: Case, span: Span, reach_ms: int) -> bool:
    """All that are not over, and of those that a person has decided the ones that lie in ``span``."""
    state, place = case.last.state, case.last.span
    if place.from_ms < reach_ms:
        return False
    if state == BY_A_PERSON:
        return place.from_ms <= span.to_ms and place.to_ms >= span.from_ms
    return state != BY_ITSELF
