"""How often a processor fails at random, and when its failures are an outage and not chance. Pure.

A processor that fails at random still settles payments: each failure costs the time of a try, and that time counts as a
cost (see :mod:`engine.routing.router`). A processor that has ceased to settle gets no more payments. The *row* tells
the two apart: failures without a success in between. With a failure rate f, a row of k comes by chance with f^k. The
breaker opens when that is less than ``ROW_CHANCE``, but never before ``ENGINE_BREAKER_FAILURES``. With 40 % it is a row
of ten.

The rate is the mean of a beta distribution. It counts the failures among the last answers, and each answer weighs less
with each one that follows. It adds ``FAILURE_ASSUMED`` assumed successes, so that a first failure does not say 100 %. A
row counts in the rate if a success ended it soon: the failures of an outage say nothing of the time after it. Weights
fade with time too, so a processor that is not used because of its failures is tried again one day.

A row counts payments, not answers: if one payment fails again and again, its own content may be the cause.
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

NOBODY = -1  # the key of a failure that no payment can have caused
_FADE = 1 - 1 / FAILURE_MEMORY


class Failures:
    """The failures of one processor; ``row_min``: a shorter row is never an outage."""

    def __init__(self, row_min: int) -> None:
        self._row_min = row_min
        self.successes = 0  # since the weights were brought up to date; the owner counts them, because that is frequent
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
        """The payment ``key`` has failed, or was refused itself (``is_refusal``). Returns whether this is an outage."""
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
        """The processor's health answer says that it fails: that is not chance."""
        self.row, self._is_outage, self._row_ms = max(self.row, 1), True, now_ms - ROW_CHANCE_MS

    def end_row(self, now_ms: int) -> bool:
        """A success has ended the row. Returns whether the row came by chance, and was no outage."""
        is_chance = not self._is_outage or now_ms - self._row_ms < ROW_CHANCE_MS
        if is_chance and self._row_failures:
            if not self.weight:
                self._faded_ms = now_ms
            self._weigh(self._row_failures)
        self.forget_row()
        return is_chance

    def forget_row(self) -> None:
        """Forgets the row: it has ended, or the processor's health answer says that it works."""
        self.row = self._row_failures = 0
        self._is_outage = False
        self._keys.clear()

    def fade(self, now_ms: int) -> None:
        """Makes what was seen count less, by the time that has passed."""
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
        """The length from which on a row is an outage."""
        if self.weight < FAILURE_KNOWN:
            return self._row_min
        return max(self._row_min, min(ceil(log(ROW_CHANCE) / log(self.rate)), ROW_MAX))

    def _weigh(self, failures: int) -> None:
        """Brings the weights up to date: ``failures`` came after the successes."""
        fade_by_failures = _FADE**failures
        fade = _FADE**self.successes * fade_by_failures
        self._answers = FAILURE_MEMORY - (FAILURE_MEMORY - self._answers) * fade
        self.weight = self.weight * fade + FAILURE_MEMORY * (1 - fade_by_failures)
        self.successes = 0
