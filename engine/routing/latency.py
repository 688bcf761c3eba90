"""How long a processor takes: learnt from every answer, and from every answer that does not come. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.routing.policy import DEVIATIONS, LEARNING_SHIFT, STALE_MS


class Latency:
    """The estimate for one processor.

    Parameters:
      suspect_ms: an answer that differs by more from the usual time is a change, and an answer that is overdue by more
        is a sign of trouble.
      took_ms_max: no request is waited for longer. If one seems to have taken longer, the machine slept meanwhile.
    """

    def __init__(self, suspect_ms: int, took_ms_max: int) -> None:
        self._suspect_ms = suspect_ms
        self._took_ms_max = took_ms_max
        self._learnt_ms = -STALE_MS  # when the last answer came
        self._deviation_ms = 0  # how far answers are usually from usual_ms
        self.usual_ms = 0  # what an answer takes
        self.failing_ms = 0  # what the last failure took
        self.answered_ms = -1  # when the newest of the answered requests was begun

    def learn(self, now_ms: int, begun_ms: int) -> bool:
        """A request was answered, before any that was begun later. Returns whether its time was not the usual one."""
        self.answered_ms = begun_ms
        self._learnt_ms = now_ms
        took_ms, usual_ms = now_ms - begun_ms, self.usual_ms
        if took_ms > self._took_ms_max:
            took_ms = self._took_ms_max
        error_ms = took_ms - usual_ms
        off_ms = error_ms if error_ms >= 0 else -error_ms  # abs() would be a call for every payment
        if off_ms > self._suspect_ms and off_ms > usual_ms >> 1:
            self._change(took_ms)
            return True
        self.usual_ms = usual_ms + (error_ms >> LEARNING_SHIFT)
        self._deviation_ms += (off_ms - self._deviation_ms) >> LEARNING_SHIFT
        return False

    def failed(self, now_ms: int, begun_ms: int) -> None:
        """A request has failed."""
        self.failing_ms = min(now_ms - begun_ms, self._took_ms_max)

    def told(self, now_ms: int, took_ms: int) -> None:
        """The processor's health answer says what an answer takes from now on. Requests in flight may differ."""
        self._change(took_ms)
        self.answered_ms = now_ms

    def overdue_ms(self, now_ms: int, begun_ms: Iterable[int]) -> int:
        """How long the oldest request that no later one has overtaken has waited for its answer; 0 if there is none.

        Parameters:
          begun_ms: when each request in flight was begun, the oldest first.
        """
        answered_ms = self.answered_ms
        for one_ms in begun_ms:
            if one_ms > answered_ms:
                return now_ms - one_ms
        return 0

    def is_overdue(self, now_ms: int, begun_ms: Iterable[int]) -> bool:
        """Whether an answer is so overdue that the processor has grown slower or hangs; ``begun_ms`` as above."""
        late_ms = self.usual_ms + max(self._suspect_ms, DEVIATIONS * self._deviation_ms)
        return self.overdue_ms(now_ms, begun_ms) > late_ms

    @property
    def stale_ms(self) -> int:
        """When the estimate becomes stale, unless a payment is answered before."""
        return self._learnt_ms + STALE_MS

    def _change(self, took_ms: int) -> None:
        """An answer takes ``took_ms`` from now on."""
        self.usual_ms = took_ms
        self._deviation_ms = 0
