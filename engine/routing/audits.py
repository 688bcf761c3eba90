"""When the next audit is expected. Pure.

An audit compares our books with a processor's books at one moment. A payment that the processor inserts at that moment
is in its books and not yet in ours. That does no harm if the payment was requested after the end of the audit's window.
An older payment shows as a difference. So a payment that takes long should not arrive at the moment of an audit. Audits
come at regular intervals, so their times can be learnt.

The time that a processor takes is not always known: it may grow slow just after a payment was sent. But processors take
round times more often than other times, because people configure them so. So payments are sent halfway between two
moments that are whole hundredths of a second before the next audit. Then they do not arrive at the audit, whichever
round time they take.
"""

from __future__ import annotations

from engine.routing.policy import AUDIT_MEMORY_INTERVALS, AUDIT_NEAR_MS, AUDIT_ROUND_MS


class Audits:
    """Learns the interval between requests for a summary. Before there are two, ``interval_ms`` is assumed."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._last_ms: int | None = None

    @property
    def are_known(self) -> bool:
        """Whether a summary has been requested yet."""
        return self._last_ms is not None

    def asked(self, now_ms: int) -> None:
        """A summary was requested."""
        if self._last_ms is not None and now_ms > self._last_ms:
            self._interval_ms = now_ms - self._last_ms
        self._last_ms = now_ms

    def may_hit(self, from_ms: int, to_ms: int) -> bool:
        """Whether an audit is expected between two moments. False if audits come too often to be avoided."""
        last_ms, interval_ms = self._last_ms, self._interval_ms
        if last_ms is None or to_ms - last_ms > AUDIT_MEMORY_INTERVALS * interval_ms:
            return False
        if 2 * (to_ms - from_ms) > interval_ms:
            return False
        return (to_ms - last_ms) // interval_ms != (from_ms - 1 - last_ms) // interval_ms

    def audit_delay_ms(self, now_ms: int) -> int:
        """How long to wait before sending, so that a request arrives at no audit.

        That holds for a request that takes a multiple of ``AUDIT_ROUND_MS``.
        """
        last_ms, interval_ms = self._last_ms, self._interval_ms
        if last_ms is None or now_ms - last_ms > AUDIT_MEMORY_INTERVALS * interval_ms:
            return 0
        phase_ms = (now_ms - last_ms) % interval_ms - interval_ms  # before the next one
        off_ms = phase_ms % AUDIT_ROUND_MS
        if AUDIT_NEAR_MS < off_ms < AUDIT_ROUND_MS - AUDIT_NEAR_MS:
            return 0
        return (AUDIT_ROUND_MS // 2 - 1 - off_ms) % AUDIT_ROUND_MS
