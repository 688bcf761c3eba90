"""When the next audit is to be expected. Pure.

An audit compares our books with a processor's at one moment. A payment that the processor inserts just then is in its
books and not yet in ours. That does no harm while the payment is younger than the window's end; one that took longer
is seen. So what takes long should not arrive at the moment of an audit, and audits come at regular intervals.

How long a processor takes is not always known: what has been sent just before it grew slow arrives whenever it likes.
But who configures a processor, or is one, takes round times more often than others. So what is sent halfway between two
moments that are whole hundredths of a second from the next audit keeps away from it, whatever round time it takes.
"""

from __future__ import annotations

MEMORY_INTERVALS = 3  # who has not asked for so long has stopped asking
ROUND_MS = 10
NEAR_MS = 2  # how exactly audits keep their time, and we ours


class Audits:
    """Learns the interval between questions for a summary; before there are two, ``interval_ms`` is assumed."""

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
        if last_ms is None or to_ms - last_ms > MEMORY_INTERVALS * interval_ms or 2 * (to_ms - from_ms) > interval_ms:
            return False
        return (to_ms - last_ms) // interval_ms != (from_ms - 1 - last_ms) // interval_ms

    def audit_delay_ms(self, now_ms: int) -> int:
        """How long to wait until what is sent arrives at no audit if it takes a multiple of ``ROUND_MS``."""
        last_ms, interval_ms = self._last_ms, self._interval_ms
        if last_ms is None or now_ms - last_ms > MEMORY_INTERVALS * interval_ms:
            return 0
        phase_ms = (now_ms - last_ms) % interval_ms - interval_ms  # before the next one
        off_ms = phase_ms % ROUND_MS
        if NEAR_MS < off_ms < ROUND_MS - NEAR_MS:
            return 0
        return (ROUND_MS // 2 - 1 - off_ms) % ROUND_MS
