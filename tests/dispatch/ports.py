"""Ports of the dispatcher's loop that do nothing by themselves: the test calls the passes, and sets the time."""

from __future__ import annotations

from collections.abc import Callable

from engine.dispatch.attempt import Now


class SetClock:
    """Shows what the test has set."""

    def __init__(self, now: Now) -> None:
        self.moment = now

    def now(self) -> Now:
        """See the port."""
        return self.moment


class NoDurability:
    """Nothing has to survive anything."""

    before_books: Callable[[], None] | None = None

    def begin(self) -> None:
        """See the port."""

    def before_sends(self) -> None:
        """See the port."""

    def end(self) -> None:
        """See the port."""


class NoWaker:
    """The test makes the next pass when it likes."""

    def pause(self, for_ms: int) -> None:
        """See the port."""

    def listen(self, for_ms: int) -> None:
        """See the port."""

    def sleep(self, for_ms: int, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        """See the port."""


class NoBell:
    """It wakes nothing."""

    descriptor = -1

    def ring(self) -> None:
        """See :class:`engine.memory.doorbell.Bell`."""

    def hush(self) -> None:
        """See :class:`engine.memory.doorbell.Bell`."""

    def close(self) -> None:
        """See :class:`engine.memory.doorbell.Bell`."""
