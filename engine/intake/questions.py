"""Questions that take longer than the loop may wait: a thread answers them, one after the other.

There is a bound for how many of each kind wait, and each has a deadline. Whoever asks never waits in here: they get a
ticket, and are woken when it has its answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from engine.intake.held import Later
from engine.intake.problem import Answer
from engine.logs.logger import Logger

T = TypeVar("T")

STUCK_SECONDS: Final = 1.0  # a question that takes longer keeps others from being asked
END_SECONDS: Final = 2.0  # how long the end waits for the question that is being answered

log = Logger(__name__)


class Kind(IntEnum):
    """What is asked. A kind of a lower number comes first."""

    RECALL = 0  # whether a payment that is handed in was here before
    LOOK = 1  # a payment, for people
    SUM = 2  # an old window


WAITING_MAX: Final = {Kind.RECALL: 64, Kind.LOOK: 32, Kind.SUM: 4}


class Ticket(Generic[T]):
    """A question that was asked. ``answer`` is None until it is answered, and when there is none."""

    def __init__(self, question: Callable[[], T | None], deadline: float) -> None:
        self.answer: T | None = None
        self._question = question
        self._deadline = deadline
        self._is_answered = False

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or its time is over."""
        return self._is_answered or time.monotonic() >= self._deadline

    def answer_now(self) -> None:
        """Answers it, in the thread, unless nobody waits any more."""
        if not self.is_over:
            try:
                self.answer = self._question()
            finally:
                self._is_answered = True


def answered(ticket: Ticket[T] | None, away: Answer, answer: Callable[[T], Answer]) -> Answer | Later:
    """What the client gets who has asked: ``answer`` of what is found, and ``away`` when nobody has answered, or the
    question could not be asked (``ticket`` is None).
    """
    if ticket is None:
        return away

    def done() -> Answer | None:
        if not ticket.is_over:
            return None
        return away if ticket.answer is None else answer(ticket.answer)

    return done


class Questions:
    """The thread, which starts with the first question, and what waits for it.

    ``descriptor`` can be read when tickets are over; :meth:`hush` ends that.
    """

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiting: dict[Kind, deque[Ticket[Any]]] = {kind: deque() for kind in Kind}
        self._count = threading.Semaphore(0)
        self._began = 0.0  # time.monotonic() when the present question began; 0: there is none
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def ask(self, kind: Kind, seconds: float, question: Callable[[], T | None]) -> Ticket[T] | None:
        """Has ``question`` called in the thread within this time; None: there is no room, or the thread stands still.

        What ``question`` raises is logged, and counts as no answer.
        """
        waiting, began, now = self._waiting[kind], self._began, time.monotonic()
        if self._is_closed or len(waiting) >= WAITING_MAX[kind] or (began and now - began > STUCK_SECONDS):
            return None
        ticket = Ticket(question, now + seconds)
        waiting.append(ticket)
        self._count.release()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="questions", daemon=True)
            self._thread.start()
        return ticket

    def hush(self) -> None:
        """To be called before tickets are looked at: one that is over later wakes again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Ends the thread, after the question that it answers; whether it has ended or not, nothing waits for it."""
        self._is_closed = True
        self._count.release()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while True:
            self._count.acquire()
            if self._is_closed:
                return
            ticket = next(waiting for waiting in self._waiting.values() if waiting).popleft()
            self._began = time.monotonic()
            try:
                ticket.answer_now()
            except Exception:
                log.exception("question_broke")
            self._began = 0.0
            os.eventfd_write(self.descriptor, 1)
