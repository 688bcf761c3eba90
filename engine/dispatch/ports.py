"""What the dispatcher's loop needs from the world: a clock, a network, durability, and a way to wait.

The process, the simulation and the tests each have their own. So the promises of the loop are tested with the same code
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
        """Queries the health of a processor; its answer, or silence, is in a later :meth:`results`."""

    def ask_fee(self, processor: int) -> None:
        """Queries the fee of a processor; its answer, or silence, is in a later :meth:`results`."""

    def kick(self) -> None:
        """Makes the requests that were handed over leave."""

    def results(self) -> tuple[Sequence[tuple[Attempt, Outcome]], Sequence[Word]]:
        """Everything that has ended since the last call: attempts, and queries.

        Where there is a journal or metrics, it sets ``status`` and ``took_us`` of each of the attempts.
        """

    def drop(self, attempt: Attempt) -> None:
        """Drops a request; its end is never reported."""

    def abandon(self) -> None:
        """Drops every request for a payment; their ends are never reported."""

    def wait_ms(self) -> float | None:
        """How long the network can be left alone; None: until something arrives."""


class Durability(Protocol):
    """What must be kept, and when: the dispatcher's side of ENGINE_DURABILITY.

    OSError from any of them ends the process: what cannot be kept must not be sent, and must not be answered.
    """

    def begin(self) -> None:
        """A dispatcher takes up rings and books, however the last dispatcher ended."""

    def before_sends(self) -> None:
        """Brings the destination of each payment to where it is kept, before the payment is sent."""

    @property
    def before_books(self) -> Callable[[], None] | None:
        """The function to call at each step of the books' transactions; None: there is nothing to do."""

    def end(self) -> None:
        """The dispatcher stops; nothing is written after that."""


class Waker(Protocol):
    """Carries out what pacing decides, and hands what is ready to the transport. It may return at once and schedule the
    next pass itself, as the simulation does.
    """

    def pause(self, for_ms: int) -> None:
        """Lets ``for_ms`` pass, whatever happens."""

    def listen(self, for_ms: int) -> None:
        """Lets ``for_ms`` pass, or less if something is ready."""

    def sleep(self, for_ms: int, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        """Lets ``for_ms`` pass, then sleeps until ``until_ms``, or until something is ready or the doorbell rings.

        ``may_sleep`` is called in between. If it returns False, there is something to do already.
        """
