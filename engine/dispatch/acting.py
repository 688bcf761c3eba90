"""Operators' acts: commands from the command ring, decided, carried out and told. Pure.

:mod:`engine.acts.rules` says what is safe. What a command does, its result, and that the command is done are one
transaction of the books: a crash leaves all of it or nothing. The result is told to the ring and to the journal after
that; a dispatcher that starts tells the last one again.
"""

from __future__ import annotations

from engine.acts import rules
from engine.acts.ring import CommandReader
from engine.books import parked
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.starting import ASKING_MAX
from engine.dispatch.work import Work
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Carried, Command, Result
from engine.payment import Payment

AT_ONCE = 4  # commands of one pass: each has a transaction of its own, and payments come first


class Acting:
    """Carries out what operators put into ``ring``; None: there is none, and what was paused stays paused."""

    def __init__(self, work: Work, ring: CommandReader | None) -> None:
        self._work = work
        self._ring = ring
        self._words = None if ring is None else ring.words
        self._done = 0  # commands below it are carried out

    def recover(self, now: Now) -> None:
        """Goes on where the last dispatcher stood. Called when the books have been recovered."""
        books = self._work.books
        self._done = books.value(layout.BOOKS_ACTS_AT)
        self._observe_pauses()
        if self._ring is not None and self._done and self._ring.has(self._done - 1):
            self._tell(now, self._done - 1, self._ring.read(self._done - 1), books.value(layout.BOOKS_ACT_RESULT_AT))

    @property
    def is_asked(self) -> bool:
        """Whether a command waits. It is asked in every pass."""
        words = self._words
        return words is not None and words[acts_layout.HEAD_AT] != self._done

    def carry_out(self, now: Now) -> list[Attempt]:
        """Carries out the next commands; the caller sends the lookups that are returned."""
        assert self._ring is not None
        attempts: list[Attempt] = []
        for _ in range(AT_ONCE):
            if not self.is_asked or self._work.asking + len(self._work.processors) > ASKING_MAX:
                break
            attempts += self._carry_out(now, self._ring.read(self._done))
        return attempts

    def _carry_out(self, now: Now, command: Command) -> list[Attempt]:
        books = self._work.books
        books.begin(now.wall_ms)
        payment = parked.find(books.value, self._work.shape, command.id_high, command.id_low)
        carried = self._carried(now, command, payment)
        word = acts_layout.pack_result(carried)
        books.put(0, layout.BOOKS_ACT_RESULT_AT, word)
        books.put(0, layout.BOOKS_ACTS_AT, self._done + 1)
        books.commit()
        self._observe_pauses()
        self._tell(now, self._done, command, word)
        self._done += 1
        is_asking = command.act == Act.ASK and carried.result == Result.DONE and payment is not None
        return self._look_up(now, payment) if is_asking and payment is not None else []

    def _tell(self, now: Now, sequence: int, command: Command, word: int) -> None:
        assert self._ring is not None
        self._ring.tell(sequence, word)
        if self._work.history is not None:
            self._work.history.acted(now, command, word)

    # --- what a command does, as part of its transaction -----------------------------------------------------------

    def _carried(self, now: Now, command: Command, payment: Payment | None) -> Carried:
        if command.act in (Act.PAUSE, Act.RESUME):
            return Carried(self._pause(command))
        if command.act not in list(Act):
            return Carried(Result.NOT_KNOWN)
        if payment is None:
            return Carried(Result.NOT_FOUND)
        result = self._decided(now, command, payment)
        if result is Result.DONE:
            self._do(now, command.act, payment)
        after = parked.read(self._work.books.value, self._work.shape, payment.position)
        assert after is not None
        return Carried(result, payment.state, payment.reason, after.state, after.reason)

    def _decided(self, now: Now, command: Command, payment: Payment) -> Result:
        result = rules.decide(command.act, payment, now.wall_ms)
        if result is not Result.DONE or command.act == Act.ASK:
            return result
        if rules.seen(payment) != command.expected:
            return Result.CHANGED
        key = payment.id_high << 64 | payment.id_low
        is_sent = any(one.key == key and not one.lookup for one in self._work.in_flight.values())
        return Result.UNDER_WAY if is_sent else Result.DONE

    def _do(self, now: Now, act: int, payment: Payment) -> None:
        work, key = self._work, payment.id_high << 64 | payment.id_low
        if act == Act.RETRY:
            waiting = work.settlement.reopen(now, payment)
            work.delayed.wait(work.new_delayed(parked.RING, waiting), now.mono_ms)
        elif act in (Act.CHARGED, Act.CANCEL):
            # Its lookup may be under way; at its end there is nothing left to decide.
            unresolved = work.unresolved[payment.processor]
            one = unresolved.get(key)
            assert one is not None and one.is_dead
            unresolved.remove(one)
            work.settlement.declare(now, payment, act == Act.CHARGED)

    def _pause(self, command: Command) -> Result:
        if command.processor not in self._work.processors:
            return Result.NOT_KNOWN
        books, bit = self._work.books, 1 << command.processor
        paused = books.value(layout.BOOKS_PAUSED_AT)
        if bool(paused & bit) == (command.act == Act.PAUSE):
            return Result.AS_IT_IS
        books.put(0, layout.BOOKS_PAUSED_AT, paused ^ bit)
        return Result.DONE

    # --- after it ----------------------------------------------------------------------------------------------------

    def _observe_pauses(self) -> None:
        paused = self._work.books.value(layout.BOOKS_PAUSED_AT)
        for number, observed in enumerate(self._work.router.observed):
            observed.is_paused = bool(paused >> number & 1)

    def _look_up(self, now: Now, payment: Payment) -> list[Attempt]:
        """Lookups beside whatever is under way: their answers count only if they find the payment. What is certainly
        not charged is looked up everywhere, and the ledger has the answers.
        """
        is_sent = payment.state in (layout.PROCESSING, layout.ALREADY)
        processors = (payment.processor,) if is_sent else self._work.processors
        attempts = [self._work.lookup(now, parked.RING, payment, number, 0) for number in processors]
        for attempt in attempts:
            attempt.is_beside = True
        return attempts
