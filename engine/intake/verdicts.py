"""On a cell a 202 waits until the store has the payment. What the store says comes from the cell's agent.

An API process puts a payment into its ring, as everywhere, and the agent offers it to the store. Payments are released
in the order of the ring, when their verdicts are there. A payment that is not this cell's to pay is taken out of its
slot before that: nobody finds it, and nobody sends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from engine.intake import problem, window
from engine.intake.acceptor import Place
from engine.intake.alarm import Alarm
from engine.intake.held import Later
from engine.intake.problem import Answer
from engine.memory import cell_layout
from engine.memory.words import Words
from engine.ring.ring import RingReader, RingWriter

LOOK_MS: Final = 1  # between two looks while a verdict is waited for ...
LOOK_LATE_MS: Final = 20  # ... and when it is late
WAIT_MS_MAX: Final = 800  # what a customer waits for at most: less than nginx's second


class Verdicts:
    """See the module. ``words``: the cell's memory.

    Parameters:
      rings: all rings, in the order of their index; own: the one that this process writes.
      make_alarm: makes the alarm that calls :meth:`commit`.
      released: called when payments have got their verdicts.
      clock_ms: the engine's clock.
    """

    def __init__(
        self,
        words: Words,
        rings: Sequence[RingReader],
        own: RingWriter,
        make_alarm: Callable[[Callable[[], None]], Alarm],
        released: Callable[[], None],
        clock_ms: Callable[[], int],
    ) -> None:
        self.words, self._rings, self._own = words, rings, own
        self._index = rings.index(own)
        self._alarm = make_alarm(self.commit)
        self._released, self._clock_ms = released, clock_ms
        self._is_set = False
        self._late_ms = 0  # when the verdict that is waited for is late

    def start(self) -> None:
        """Goes on with what a killed process had handed in."""
        self.commit()

    @property
    def may_accept(self) -> bool:
        """Whether the cell accepts payments: it is one of the living, and the store answers."""
        return self._clock_ms() < self.words[cell_layout.MAY_BEGIN_MS_AT]

    def complete_headers(self, to_ms: int | None) -> tuple[tuple[bytes, bytes], ...]:
        """What a summary until ``to_ms`` (UTC; None: until now) says of what other cells may still tell."""
        until_ms = time.time_ns() // 1_000_000 if to_ms is None else to_ms
        return window.complete_headers(self.words[cell_layout.COMPLETE_MS_AT], until_ms)

    def gather(self) -> None:
        """Looks for verdicts soon."""
        if not self._is_set:
            self._is_set = True
            self._alarm.set(LOOK_MS if self._clock_ms() < self._late_ms else LOOK_LATE_MS)

    def commit(self) -> None:
        """Releases the payments that have their verdicts."""
        self._is_set = False
        ring = self._own
        first = position = ring.ready
        head = ring.head
        while position < head:
            verdict, _ = self._verdict(self._index, ring, position)
            if verdict == cell_layout.UNKNOWN:
                break
            if verdict != cell_layout.HELD:
                ring.take_out(position)
            position += 1
        if position > first:
            ring.release(position)
            self._released()
        if position < head:
            if position > first or not self._late_ms:
                self._late_ms = self._clock_ms() + WAIT_MS_MAX
            self.gather()
        else:
            self._late_ms = 0

    def wait(self, place: Place | None) -> Answer | Later:
        """What the customer gets whose payment is at ``place``; None: its slot was given away, so it was accepted."""
        if place is None:
            return problem.ACCEPTED
        until_ms = self._clock_ms() + WAIT_MS_MAX
        if not self._late_ms:
            self._late_ms = until_ms
        index = self._rings.index(place.ring)

        def done() -> Answer | None:
            answer = self._answer(index, place)
            if answer is None and self._clock_ms() >= until_ms:
                return problem.STORE_AWAY
            if answer is None:
                self.gather()
            return answer

        return done() or done

    def _answer(self, index: int, place: Place) -> Answer | None:
        verdict, reason = self._verdict(index, place.ring, place.position)
        if verdict in (cell_layout.HELD, cell_layout.ELSEWHERE):
            return problem.ACCEPTED
        if verdict == cell_layout.CONFLICT:
            return problem.CONFLICT
        if verdict == cell_layout.FAILED:
            return problem.has_failed(reason)
        # With another payment's verdict in its place it was released long ago; what became of it is not known here.
        is_over = verdict == cell_layout.AWAY or place.position < place.ring.ready
        return problem.STORE_AWAY if is_over else None

    def _verdict(self, index: int, ring: RingReader, position: int) -> tuple[int, int]:
        word = self.words[cell_layout.verdict_at(ring.slots, index, position)]
        return cell_layout.unpack_verdict(word, position, self.words[cell_layout.TERM_AT])
