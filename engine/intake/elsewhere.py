"""Payments that another cell has, or that this one's memory does not remember: asked of the store, in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.cluster.store import Store
from engine.cluster.values import NO_PROCESSOR, Epoch, Kept, Kind, StoreError
from engine.correlation import id_bytes
from engine.intake import problem, shown
from engine.intake.held import Later
from engine.intake.problem import Answer
from engine.intake.questions import Kind as Question
from engine.intake.questions import Questions, answered
from engine.intake.shown import Shown
from engine.memory import cell_layout, layout
from engine.memory.words import Words

FIND_SECONDS: Final = 0.6  # an answer that takes longer is none
_STATES: Final = {
    Kind.SETTLED: layout.COMPLETED,
    Kind.CHARGED_BEFORE: layout.CHARGED_BEFORE,
    Kind.GIVEN_UP: layout.FAILED,
}


class Elsewhere:
    """See the module.

    Parameters:
      words: the cell's memory, which has the epoch that asks.
      questions: the thread; connect: makes the session of the store that it uses.
      names: the processors'.
    """

    def __init__(self, words: Words, questions: Questions, connect: Callable[[], Store], names: Sequence[str]) -> None:
        self._words, self._questions, self._names = words, questions, names
        self._connect = connect
        self._store: Store | None = None

    def status(self, id_high: int, id_low: int) -> Answer | Later:
        """What became of a payment, whichever cell has it."""
        identity = id_bytes(id_high, id_low)
        ticket = self._questions.ask(Question.LOOK, FIND_SECONDS, lambda: self._find(identity))

        def told(found: tuple[Kept | None]) -> Answer:
            (kept,) = found
            if kept is None:
                return problem.UNKNOWN_PAYMENT
            return problem.json_answer(shown.document(id_high, id_low, of_store(kept), self._names))

        return answered(ticket, problem.STORE_UNREAD, told)

    def close(self) -> None:
        """Ends the thread."""
        self._questions.close()

    def _find(self, identity: bytes) -> tuple[Kept | None] | None:
        """What the store has; None: it does not answer, or this cell has no epoch."""
        words = self._words
        by = Epoch(words[cell_layout.CELL_AT], words[cell_layout.EPOCH_AT], words[cell_layout.ERA_AT])
        if not by.number:
            return None
        if self._store is None:
            self._store = self._connect()
        try:
            return (self._store.find(by, [identity])[0],)
        except StoreError:
            return None


def of_store(kept: Kept) -> Shown:
    """A payment as the store has it. What it does not have is how often a request was sent: it counts pins."""
    pin, outcome = kept.pin, kept.outcome
    if outcome is None:
        state = layout.QUEUED if pin is None else layout.PROCESSING
        where = None if pin is None else pin.processor
        return Shown(
            layout.STATE_NAMES[state], kept.cents, where, kept.pins, kept.accepted_ms,
            None if pin is None else pin.requested_ms, None, layout.REASON_NONE, False, None,
        )  # fmt: skip
    is_charged = outcome.processor != NO_PROCESSOR
    state = _STATES.get(outcome.kind, layout.CHARGED_BEFORE if is_charged else layout.FAILED)
    reason = outcome.reason
    if outcome.kind is Kind.DECLARED:
        reason = layout.REASON_DECLARED if is_charged else layout.REASON_CANCELLED
    return Shown(
        layout.STATE_NAMES[state], kept.cents, outcome.processor if is_charged else None, kept.pins, kept.accepted_ms,
        outcome.requested_ms or None, outcome.ended_ms, reason, state == layout.CHARGED_BEFORE, None,
    )  # fmt: skip
