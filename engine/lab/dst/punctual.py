"""What the dispatcher does in time: it looks when the bell rings, listens when it says so, and stops when asked."""

from __future__ import annotations

from engine.dispatch.drain import ANSWERS_MS
from engine.dispatch.pacing import IDLE_WAIT_MS
from engine.lab.dst.account import Account
from engine.lab.dst.model import Model, ViolationError
from engine.lab.dst.scheduler import Scheduler

AUDIT_DELAY_MS = 60  # more than the time by which a pause may be longer for the sake of audits
WAKE_MS = 4  # from what wakes a process to its next step, at the most


class Punctuality:
    """Checks that a dispatcher is in time. All that happens to the dispatcher is reported here."""

    def __init__(self, model: Model, scheduler: Scheduler) -> None:
        plan = model.plan
        self._model = model
        self._scheduler = scheduler
        self._drain_ms = plan.drain_ms
        self._pause_ms = plan.dispatch_pause_ms + AUDIT_DELAY_MS + 2 * WAKE_MS
        self.is_heard = True  # the bell, by who waits for it
        self._rung: list[tuple[int, Account]] = []  # until when it must know of a payment
        self._answer_ms: int | None = None  # when the oldest answer came that it must have listened for
        self._asked_ms: int | None = None  # to stop

    def starts(self) -> None:
        """Another dispatcher starts; it takes up all there is."""
        self._rung.clear()
        self._answer_ms = self._asked_ms = None

    def rung(self, account: Account) -> None:
        """The bell was rung for a payment, if it is to be rung. If nobody hears it, the dispatcher wakes by itself."""
        within_ms = self._pause_ms if self.is_heard else self._pause_ms + IDLE_WAIT_MS
        self._rung.append((self._scheduler.mono_ms + within_ms, account))

    def answered(self, is_listening: bool) -> None:
        """An answer arrives; ``is_listening``: the dispatcher says that it listens."""
        if is_listening and self._answer_ms is None:
            self._answer_ms = self._scheduler.mono_ms

    def asked_to_stop(self) -> None:
        """Somebody asks it to stop."""
        if self._asked_ms is None:
            self._asked_ms = self._scheduler.mono_ms

    def looks(self) -> None:
        """A pass begins. Raises ViolationError when it comes too late."""
        now_ms = self._scheduler.mono_ms
        late = [(now_ms - until_ms, account) for until_ms, account in self._rung if now_ms > until_ms]
        self._rung.clear()
        if late:
            self._model.mark_forgotten()  # by a purge that came just when the bell was rung
        for late_ms, account in late:
            if not account.forgotten:
                raise ViolationError(
                    f"payment {account.number} waited {late_ms} ms too long for a look at it", account.number
                )
        if self._answer_ms is not None and now_ms - self._answer_ms > WAKE_MS:
            raise ViolationError(f"it says that it listens, and takes an answer {now_ms - self._answer_ms} ms later")
        self._answer_ms = None
        if self._asked_ms is not None:
            stopped_ms = self._asked_ms + self._drain_ms + ANSWERS_MS + IDLE_WAIT_MS + 2 * self._pause_ms
            if now_ms > stopped_ms:
                raise ViolationError(f"it was asked to stop {now_ms - self._asked_ms} ms ago, and goes on")

    def sends(self, account: Account) -> None:
        """A request or a lookup leaves."""
        now_ms = self._scheduler.mono_ms
        if self._asked_ms is not None and now_ms - self._asked_ms >= self._drain_ms:
            raise ViolationError(f"payment {account.number} is sent after the drain time", account.number)
