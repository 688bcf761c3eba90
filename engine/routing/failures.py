"""How often a processor fails at random, and when failures are no chance any more but an outage. Pure.

A processor that fails at random is still one that settles: each failure costs the time of a try, and that is weighed
as a cost (see :mod:`engine.routing.router`). One that has ceased to settle is left. What tells them apart is the row,
failures without a success in between: with a failure rate f a row of k comes by chance with f^k. The breaker opens when
that is less than ``ROW_CHANCE``, and never before ``ENGINE_BREAKER_FAILURES``. With 40 % that is a row of ten.

The rate is the mean of a beta distribution: failures among the last answers, each weighing less with each answer that
follows, and ``FAILURE_ASSUMED`` successes that nobody has seen, so that a first failure does not say 100 %. A row
counts in it when a success has ended it soon; the failures of an outage tell nothing of the time after it. What was
seen fades with time too: a processor that is not used because of its failures is tried again one day.

A row counts payments, not answers: one payment that fails again and again may be to blame itself.
"""

from __future__ import annotations

from math import ceil, log

from engine.routing.policy import (
    FAILURE_ASSUMED,
    FAILURE_FADE_MS,
    FAILURE_HALF_LIFE_MS,
    FAILURE_KNOWN,
    FAILURE_MEMORY,
    FAILURE_NEGLIGIBLE,
    ROW_CHANCE,
    ROW_CHANCE_MS,
    ROW_MAX,
)

NOBODY = -1  # the key of a failure that no payment can be to blame for
_FADE = 1 - 1 / FAILURE_MEMORY


class Failures:
    """The failures of one processor; ``row_min``: so many in a row are an outage at the soonest."""

    def __init__(self, row_min: int) -> None:
        self._row_min = row_min
        self.successes = 0  # since the weights were brought up to date; counted by the owner, for it is done often
        self.row = 0  # payments that failed or were refused since the last success
        self.weight = 0.0  # of failures, 0 while there were none
        self._answers = 0.0  # weight of all answers
        self._faded_ms = 0
        self._keys: set[int] = set()  # of the payments in the row: fewer than what opens the breaker
        self._row_failures = 0  # those of them that count in the rate
        self._row_ms = 0  # when the row began
        self._is_outage = False

    @property
    def rate(self) -> float:
        """The share of answers that are failures, 0 to below 1."""
        if not self.weight:
            return 0.0
        fade = _FADE**self.successes
        return self.weight * fade / (FAILURE_MEMORY - (FAILURE_MEMORY - self._answers) * fade + FAILURE_ASSUMED)

    @property
    def answers(self) -> int:
        """How many answers the rate rests on; at most ``FAILURE_MEMORY``."""
        return round(FAILURE_MEMORY - (FAILURE_MEMORY - self._answers) * _FADE**self.successes)

    def failed(self, now_ms: int, key: int, is_refusal: bool) -> bool:
        """The payment ``key`` has failed, or (``is_refusal``) was refused for what it is. Whether it is an outage."""
        if not self.row:
            self._row_ms = now_ms
            self._weigh(0)
        if self._is_outage:
            self._row_failures += not is_refusal
        elif key == NOBODY or key not in self._keys:
            if key != NOBODY:
                self._keys.add(key)
            self.row += 1
            self._row_failures += not is_refusal
            self._is_outage = self.row >= self._row_of_outage()
        return self._is_outage

    def told(self, now_ms: int) -> None:
        """The processor says itself that it fails: that is no chance."""
        self.row, self._is_outage, self._row_ms = max(self.row, 1), True, now_ms - ROW_CHANCE_MS

    def end_row(self, now_ms: int) -> bool:
        """A success has ended the row. Whether it was none of an outage, by chance."""
        is_chance = not self._is_outage or now_ms - self._row_ms < ROW_CHANCE_MS
        if is_chance and self._row_failures:
            if not self.weight:
                self._faded_ms = now_ms
            self._weigh(self._row_failures)
        self.forget_row()
        return is_chance

    def forget_row(self) -> None:
        """The processor says itself that it does not fail."""
        self.row = self._row_failures = 0
        self._is_outage = False
        self._keys.clear()

    def fade(self, now_ms: int) -> None:
        """Lets what was seen count less by the time that has passed."""
        passed_ms = now_ms - self._faded_ms
        if passed_ms < FAILURE_FADE_MS:
            return
        self._faded_ms = now_ms
        self._weigh(0)
        fade = 0.5 ** (passed_ms / FAILURE_HALF_LIFE_MS)
        self._answers *= fade
        self.weight *= fade
        if self.weight < FAILURE_NEGLIGIBLE:
            self.weight = 0.0

    def _row_of_outage(self) -> int:
        """How many in a row are no chance any more."""
        if self.weight < FAILURE_KNOWN:
            return self._row_min
        return max(self._row_min, min(ceil(log(ROW_CHANCE) / log(self.rate)), ROW_MAX))

    def _weigh(self, failures: int) -> None:
        """Brings the weights up to date: so many failures came after the successes."""
        fade_by_failures = _FADE**failures
        fade = _FADE**self.successes * fade_by_failures
        self._answers = FAILURE_MEMORY - (FAILURE_MEMORY - self._answers) * fade
        self.weight = self.weight * fade + FAILURE_MEMORY * (1 - fade_by_failures)
        self.successes = 0
