"""What the dispatcher tells the journal: every end of a request, and what changed. Records are made here only.

A request that no slot shows is recorded before it leaves; its end is recorded before its slot or the books have it. So
a crash takes no request away: the slot still shows it, or the journal has it. What the next dispatcher finds begun it
records (LEFT), and that it has started; a request whose end was recorded, and did not reach the books, is recorded
twice. Whatever else is told waits for :meth:`History.sent`, which comes in every pass: part of it is decided in the
midst of the books' transactions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.connectors.answers import Fee, Health, Outcome, Query, Silence, Verdict
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.ports import Word
from engine.journal.writer import JournalWriter, Record
from engine.memory import journal_layout
from engine.memory.acts_layout import Command, unpack_result
from engine.memory.journal_layout import DROPPED, TOOK_BITS, TOOK_MASK, Kind, Sent
from engine.payment import Payment
from engine.routing.observed import ObservedProcessor
from engine.routing.state import ProcessorState

Ends = Sequence[tuple[Attempt, Outcome]]

_ANSWERED = int(Kind.ANSWERED)


class History:
    """Appends to ``journal``. Times are those of the pass in which something happens."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._states: list[ProcessorState | None] = []  # of each processor, as last recorded
        self._waiting: list[Record] = []

    def started(self, now: Now) -> None:
        """A dispatcher takes up what the last one has left."""
        self._waiting.append((Kind.STARTED, 0, 0, 0, 0, 0, now.wall_ms, 0, 0, 0, 0, 0))

    def left(self, now: Now, ring: int, payment: Payment) -> None:
        """The last dispatcher had begun the last attempt of a payment, and did not see its end."""
        self._tell(Kind.LEFT, now, ring, payment, payment.state, 0)

    def sent(self, now: Now, attempts: Iterable[Attempt], processors: Sequence[ObservedProcessor]) -> None:
        """These requests leave now, to processors that are observed so."""
        self._observe(now, processors)
        for attempt in attempts:
            # Nearly all are first requests: while they are in flight, their slots show them.
            if attempt.lookup or attempt.tries or attempt.is_delayed:
                self._send(now, attempt)
        self.flush()

    def flush(self) -> None:
        """Appends what waits. Called too before words are stored that a record would be made of."""
        if self._waiting:
            self._journal.append(self._waiting)
            self._waiting.clear()

    def told(self, now: Now, words: Iterable[Word]) -> None:
        """These queries have ended."""
        for word in words:
            self._hear(now, word)

    def answered(self, now: Now, ended: Ends) -> None:
        """These requests have ended. Called before any word says so: a slot that is put back says it at once."""
        wall_ms = now.wall_ms
        records: list[Record] = []
        for attempt, outcome in ended:
            if attempt.lookup:
                records.append(_looked_up(wall_ms, attempt, outcome))
                continue
            took_us = attempt.took_us
            if attempt.recorded:
                took_us |= attempt.recorded << TOOK_BITS
            # Spelled out, because this is done for every payment.
            records.append(
                (
                    _ANSWERED,
                    attempt.processor,
                    outcome[0],
                    attempt.ring + 1,
                    attempt.attempts,
                    attempt.status,
                    wall_ms,
                    attempt.id_high,
                    attempt.id_low,
                    attempt.requested_ms,
                    attempt.position,
                    took_us,
                )
            )
        self._journal.append(records)

    def dropped(self, now: Now, attempts: Iterable[Attempt], ended: Ends) -> None:
        """Nobody waits for the ends of these attempts any more, because of what has ``ended``; the books are about to
        know it.
        """
        # Else its end came in this very pass, and has its record.
        waited_for = [one for one in attempts if all(one is not other for other, _ in ended)]
        if waited_for:
            self._journal.append([_dropped(now.wall_ms, one) for one in waited_for])

    def abandon(self, now: Now, attempts: Iterable[Attempt]) -> None:
        """Everything is about to be forgotten, and with it these attempts and what an earlier dispatcher has left."""
        self._waiting += [_dropped(now.wall_ms, attempt) for attempt in attempts]
        self.flush()

    def ended(self, now: Now, ring: int, payment: Payment, state: int, reason: int) -> None:
        """A payment has ended, and not by the answer of its own request alone."""
        self._tell(Kind.ENDED, now, ring, payment, state, reason)

    def parked(self, now: Now, place: int, payment: Payment) -> None:
        """A payment is in the parking table now, perhaps as a dead letter."""
        self._tell(Kind.PARKED, now, -1, payment._replace(position=place), payment.state, payment.reason)

    def purged(self, now: Now, forgotten: Iterable[tuple[int, int]], era: int) -> None:
        """Everything below these positions (ring, position) was forgotten; ``era``: that of the books from now on."""
        for ring, position in forgotten:
            self._waiting.append((Kind.PURGED, 0, 0, ring + 1, 0, 0, now.wall_ms, 0, 0, era, position, 0))

    def acted(self, now: Now, command: Command, result: int) -> None:
        """An operator's command was carried out; ``result``: the result word."""
        self._waiting.append(
            (
                Kind.ACT, command.processor, unpack_result(result).result, 0, command.act, 0, now.wall_ms,
                command.id_high, command.id_low, command.action_high, result, command.action_low,
            )
        )  # fmt: skip

    def _tell(self, kind: Kind, now: Now, ring: int, payment: Payment, state: int, reason: int) -> None:
        self._waiting.append(
            (
                kind, payment.processor, state, ring + 1, payment.attempts, reason, now.wall_ms, payment.id_high,
                payment.id_low, payment.requested_ms, payment.position, payment.cents,
            )
        )  # fmt: skip

    def _send(self, now: Now, one: Attempt) -> None:
        code = (Sent.BESIDE if one.is_beside else Sent.LOOKUP) if one.lookup else Sent.REQUEST
        one.recorded = self._journal.sequence + len(self._waiting) + 1 & TOOK_MASK
        self._waiting.append(
            (
                Kind.SENT, one.processor, code, one.ring + 1, one.attempts, 0, now.wall_ms, one.id_high, one.id_low,
                one.requested_ms, one.position, one.cents,
            )
        )  # fmt: skip

    def _hear(self, now: Now, word: Word) -> None:
        """A query has ended."""
        kind, code, first = Kind.HEALTH, journal_layout.Health.SILENT, 0
        if isinstance(word, Fee):
            kind, first = Kind.FEE, word.ppm
        elif isinstance(word, Health):
            code = journal_layout.Health.FAILING if word.failing else journal_layout.Health.WORKING
            first = word.min_response_ms
        elif isinstance(word, Silence) and word.query is Query.FEE:
            return
        self._waiting.append((kind, word.processor, code, 0, 0, 0, now.wall_ms, 0, 0, first, 0, 0))

    def _observe(self, now: Now, processors: Sequence[ObservedProcessor]) -> None:
        """Records which of the processors are in another state than before."""
        states: list[ProcessorState | None] = [one.state for one in processors]
        if states == self._states:
            return
        before, self._states = self._states or [None] * len(states), states
        for number, one in enumerate(processors):
            if one.state is not before[number]:
                expected_ms = one.expected_ms(now.mono_ms)
                self._waiting.append(
                    (Kind.STATE, number, one.state, 0, 0, 0, now.wall_ms, 0, 0, one.failure_ppm, 0, expected_ms)
                )


def _dropped(wall_ms: int, one: Attempt) -> Record:
    """The end of a request is not waited for: another answer has decided, or everything is forgotten."""
    kind = Kind.LOOKED_UP if one.lookup else Kind.ANSWERED
    return (
        kind, one.processor, DROPPED, one.ring + 1, one.attempts, 0, wall_ms, one.id_high, one.id_low,
        one.requested_ms, one.position, one.recorded << TOOK_BITS,
    )  # fmt: skip


def _looked_up(wall_ms: int, attempt: Attempt, outcome: Outcome) -> Record:
    return (
        Kind.LOOKED_UP, attempt.processor, outcome.verdict, attempt.ring + 1, attempt.attempts, attempt.status,
        wall_ms, attempt.id_high, attempt.id_low, outcome.requested_ms, attempt.position,
        attempt.recorded << TOOK_BITS | attempt.took_us,
    )  # fmt: skip


assert max(Verdict) < DROPPED
