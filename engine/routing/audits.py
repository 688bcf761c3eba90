"""When the next audit is to be expected. Pure.

An audit compares our books with a processor's at one moment. A payment that the processor inserts just then is in its
books and not yet in ours. That does no harm while the payment is younger than the window's end; one that took longer
is seen. So what takes long should not arrive at the moment of an audit, and audits come at regular intervals.

How long a processor takes is not always known: what has been sent just before it grew slow arrives whenever it likes.
But processors take round times more often than others, for so people configure them. So what is sent halfway between
two moments that are whole hundredths of a second from the next audit does not arrive at it, whatever round time it
takes.
"""

from __future__ import annotations

from engine.routing.policy import AUDIT_MEMORY_INTERVALS, AUDIT_NEAR_MS, AUDIT_ROUND_MS


class Audits:
    """Learns the interval between requests for a summary; before there are two, ``interval_ms`` is assumed."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._last_ms: int | None = None

    @property
    def are_known(self) -> bool:
        """Whether anybody has asked yet."""
        return self._last_ms is not None

    def asked(self, now_ms: int) -> None:
        """Somebody has asked for a summary."""
        if self._last_ms is not None and now_ms > self._last_ms:
            self._interval_ms = now_ms - self._last_ms
        self._last_ms = now_ms

    def may_hit(self, from_ms: int, to_ms: int) -> bool:
        """Whether an audit is expected between two moments. Never, when they come so often that none can be avoided."""
        last_ms, interval_ms = self._last_ms, self._interval_ms
        if last_ms is None or to_ms - last_ms > AUDIT_MEMORY_INTERVALS * interval_ms:
            return False
        if 2 * (to_ms - from_ms) > interval_ms:
            return False
        return (to_ms - last_ms) // interval_ms != (from_ms - 1 - last_ms) // interval_ms

    def audit_delay_ms(self, now_ms: int) -> int:
        """How long to wait until what is sent arrives at no audit if it takes a multiple of ``AUDIT_ROUND_MS``."""
        last_ms, interval_ms = self._last_ms, self._interval_ms
        if last_ms is None or now_ms - last_ms > AUDIT_MEMORY_INTERVALS * interval_ms:
            return 0
        phase_ms = (now_ms - last_ms) % interval_ms - interval_ms  # before the next one
        off_ms = phase_ms % AUDIT_ROUND_MS
        if AUDIT_NEAR_MS < off_ms < AUDIT_ROUND_MS - AUDIT_NEAR_MS:
            return 0
        return (AUDIT_ROUND_MS // 2 - 1 - off_ms) % AUDIT_ROUND_MS
