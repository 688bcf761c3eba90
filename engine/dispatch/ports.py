"""What the dispatcher's loop stands on: a clock, a network, what keeps memory, and what waits.

The process, the simulation and the tests have each their own. What is promised of the loop is tried with the same code
that runs in production.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.connectors.answers import Fee, Health, Outcome, Silence
from engine.dispatch.attempt import Attempt, Now

Word = Health | Fee | Silence  # what a query ends with


class Clock(Protocol):
    """Shows the time."""

    def now(self) -> Now:
        """This moment."""


class Transport(Protocol):
    """Carries requests to the processors; see :class:`engine.dispatch.transport.Transport`."""

    def send(self, attempt: Attempt) -> None:
        """Sends a payment or a lookup; its end is in a later :meth:`results`."""

    def ask_health(self, processor: int) -> None:
        """Asks a processor how it is; its word, or silence, is in a later :meth:`results`."""

    def ask_fee(self, processor: int) -> None:
        """Asks a processor what it keeps; its word, or silence, is in a later :meth:`results`."""

    def kick(self) -> None:
        """Lets what was sent leave."""

    def results(self) -> tuple[Sequence[tuple[Attempt, Outcome]], Sequence[Word]]:
        """Everything that has ended since the last call: attempts, and queries."""

    def drop(self, attempt: Attempt) -> None:
        """Drops a request; its end is never told."""

    def abandon(self) -> None:
        """Drops every request for a payment; their ends are never told."""

    def wait_ms(self) -> float | None:
        """How long the network can wait before it must be looked at; None: until something arrives."""


class Durability(Protocol):
    """What must be kept, and when: the dispatcher's side of ENGINE_DURABILITY.

    OSError from any of them ends the process: what cannot be kept must not be sent, nor told.
    """

    def begin(self) -> None:
        """A dispatcher takes up rings and books, however the last one ended."""

    def before_sends(self) -> None:
        """Where each payment goes must be kept before it goes."""

    @property
    def before_books(self) -> Callable[[], None] | None:
        """Called at each step of the books' transactions; None: there is nothing to do."""

    def end(self) -> None:
        """The dispatcher stops; nothing is written after that."""


class Waker(Protocol):
    """Carries out what pacing decides, and hands what is ready to the transport. It may return at once and see to it
    that the next pass comes when it is time: the simulation does.
    """

    def pause(self, for_ms: int) -> None:
        """Lets ``for_ms`` pass, whatever happens."""

    def listen(self, for_ms: int) -> None:
        """Lets ``for_ms`` pass, or less when something is ready."""

    def sleep(self, for_ms: int, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        """Lets ``for_ms`` pass, then sleeps until ``until_ms``, or until something is ready or the doorbell rings.

        ``may_sleep`` is called in between, and False means that there is something to do already.
        """
