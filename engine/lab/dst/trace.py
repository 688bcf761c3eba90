"""What happened in a run, in order: for the account of a failure, and to compare two runs of a seed."""

from __future__ import annotations

import hashlib
from typing import Any

LAST_EVENTS = 25


class Trace:
    """Events: (monotonic ms, what, number of the payment or None, details)."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str, int | None, tuple[Any, ...]]] = []

    def add(self, mono_ms: int, what: str, payment: int | None, *details: Any) -> None:
        """Something happened."""
        self.events.append((mono_ms, what, payment, details))

    def digest(self) -> str:
        """A hash of everything that happened."""
        return hashlib.blake2b(repr(self.events).encode(), digest_size=16).hexdigest()

    def lines(self, start_ms: int) -> list[str]:
        """Everything, as people read it; times are ms since ``start_ms``."""
        return [_line(event, start_ms) for event in self.events]

    def account(self, payment: int | None, start_ms: int) -> str:
        """The last events, and before them everything that concerns ``payment``; times are ms since ``start_ms``."""
        last = self.events[-LAST_EVENTS:]
        lines = []
        if payment is not None:
            lines.append(f"payment {payment}:")
            lines += [_line(event, start_ms) for event in self.events if event[2] == payment]
        lines.append("last events:")
        lines += [_line(event, start_ms) for event in last]
        return "\n".join(lines)


def _line(event: tuple[int, str, int | None, tuple[Any, ...]], start_ms: int) -> str:
    mono_ms, what, payment, details = event
    name = "" if payment is None else f" payment {payment}"
    return f"  {mono_ms - start_ms:>7} ms  {what}{name} {' '.join(map(str, details))}".rstrip()
