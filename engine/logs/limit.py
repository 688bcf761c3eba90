"""How many lines of a kind are written: a few at once, then some now and then, and how many more there were. Pure.

So that an outage does not write a line for each payment. Which payments it touched, status and ledger tell.
"""

from __future__ import annotations

from typing import NamedTuple

AT_ONCE = 5  # lines of a kind that may come together
EVERY_MS = 10_000  # after these: one line, and one count of what was left out, in this time
KINDS_MAX = 128  # that are told apart; further ones are counted together
OTHERS = "others"


class More(NamedTuple):
    """``lines`` of a kind were left out in ``ms`` milliseconds."""

    kind: str
    lines: int
    ms: int


class _Bucket:
    __slots__ = ("left_out", "since_ms", "tokens", "tokens_ms")

    def __init__(self, now_ms: int) -> None:
        self.tokens = AT_ONCE
        self.tokens_ms = now_ms  # when the last of the tokens came
        self.left_out = 0
        self.since_ms = 0  # when the first of those left out came


class Limits:
    """A bucket of tokens for each kind of line. Times are of any clock that is never set, in ms."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._is_leaving_out = False

    def admits(self, kind: str, now_ms: int) -> bool:
        """Whether a line of this kind is written now; else it is counted."""
        if kind not in self._buckets and len(self._buckets) >= KINDS_MAX:
            self._forget(now_ms)
            kind = kind if len(self._buckets) < KINDS_MAX else OTHERS
        bucket = self._buckets.setdefault(kind, _Bucket(now_ms))
        came = (now_ms - bucket.tokens_ms) // EVERY_MS
        if came > 0:
            bucket.tokens = min(AT_ONCE, bucket.tokens + came)
            bucket.tokens_ms += came * EVERY_MS
        if bucket.tokens:
            if bucket.tokens == AT_ONCE:
                bucket.tokens_ms = now_ms
            bucket.tokens -= 1
            return True
        if not bucket.left_out:
            bucket.since_ms = now_ms
        bucket.left_out += 1
        self._is_leaving_out = True
        return False

    def due(self, now_ms: int, *, at_once: bool = False) -> list[More]:
        """What was left out, of the kinds of which that is to be said now; ``at_once``: of all."""
        if not self._is_leaving_out:  # nearly always
            return []
        due = []
        for kind, bucket in list(self._buckets.items()):  # other threads may add some
            ms = now_ms - bucket.since_ms
            if bucket.left_out and (at_once or ms >= EVERY_MS):
                due.append(More(kind, bucket.left_out, ms))
                bucket.left_out = 0
        self._is_leaving_out = any(bucket.left_out for bucket in self._buckets.values())
        return due

    def _forget(self, now_ms: int) -> None:
        """Forgets the kinds that have been quiet for so long that all their tokens are back."""
        quiet_ms = AT_ONCE * EVERY_MS
        self._buckets = {
            kind: bucket
            for kind, bucket in self._buckets.items()
            if bucket.left_out or now_ms - bucket.tokens_ms < quiet_ms
        }
