"""What the reconciling core asks of the world, and what it is answered. Pure.

A generator of the core yields an ask and is sent its answer. It never waits and never looks at a clock by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

from engine.connectors.answers import Outcome
from engine.reconcile.span import Difference, Maybe, Span

T = TypeVar("T")


class Charged(NamedTuple):
    """A payment that we have as charged, under a time."""

    id: bytes
    requested_ms: int
    cents: int


class Place(NamedTuple):
    """Where a page of payments ended."""

    requested_ms: int
    id: bytes


@dataclass(frozen=True)
class Compare:
    """What processor ``processor`` has in ``span``, less what we have; we are read first. Answer: Difference.

    ``found``: payments that we do not have as charged, and that a lookup has found: they are ours too.
    """

    processor: int
    span: Span
    found: tuple[Charged, ...] = ()


@dataclass(frozen=True)
class Look:
    """What the processor has stored for an id. Answer: Outcome."""

    processor: int
    id: bytes


@dataclass(frozen=True)
class Own:
    """A page of the payments that we have as charged there, in the order of their time. Answer: list of Charged."""

    processor: int
    span: Span
    behind: Place | None = None


@dataclass(frozen=True)
class OwnOne:
    """What we have as charged there for an id. Answer: Charged or None."""

    processor: int
    id: bytes


@dataclass(frozen=True)
class Suspects:
    """Ids of payments that were sent there under this time, and that we do not have as charged there. Answer: list."""

    processor: int
    at_ms: int


@dataclass(frozen=True)
class Unsettled:
    """Payments that the processor may have, and that we do not have as charged. Answer: list of Maybe."""

    processor: int
    span: Span


@dataclass(frozen=True)
class CompareBooks:
    """The books, less the ledger, in ``span``. Answer: Difference; None: the books do not tell it exactly."""

    processor: int
    span: Span


@dataclass(frozen=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


class UnansweredError(Exception):
    """The processor could not be asked; thrown into the core in place of an answer. Holds a sentence."""


Ask: TypeAlias = Compare | Look | Own | OwnOne | Suspects | Unsettled | CompareBooks | Pause
Asks: TypeAlias = Generator[Ask, Any, T]


def compare(processor: int, span: Span, found: Sequence[Charged] = ()) -> Asks[Difference]:
    """Asks for a comparison."""
    answer: Difference = yield Compare(processor, span, tuple(found))
    return answer


def look(processor: int, identity: bytes) -> Asks[Outcome]:
    """Asks for what is stored for an id."""
    answer: Outcome = yield Look(processor, identity)
    return answer


def unsettled(processor: int, span: Span) -> Asks[list[Maybe]]:
    """Asks for payments whose end is not known."""
    answer: list[Maybe] = yield Unsettled(processor, span)
    return answer


def suspects(processor: int, at_ms: int) -> Asks[list[bytes]]:
    """Asks for ids that may be there."""
    answer: list[bytes] = yield Suspects(processor, at_ms)
    return answer


def own(processor: int, span: Span, behind: Charged | None = None) -> Asks[list[Charged]]:
    """Asks for a page of our payments in a span, from behind a payment on; the page behind the last one is empty."""
    place = None if behind is None else Place(behind.requested_ms, behind.id)
    answer: list[Charged] = yield Own(processor, span, place)
    return answer


def own_one(processor: int, identity: bytes) -> Asks[Charged | None]:
    """Asks for our payment of an id."""
    answer: Charged | None = yield OwnOne(processor, identity)
    return answer


def books(processor: int, span: Span) -> Asks[Difference | None]:
    """Asks for a comparison of the ledger with the books."""
    answer: Difference | None = yield CompareBooks(processor, span)
    return answer
