"""What goes to the store that cells share, and what comes back. :mod:`engine.cluster.store` has the operations.

Times are ms since 1970 UTC, money is an integer number of cents, ids of payments, acts, places and lives are 16 bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

ROWS_MAX: Final = 4096  # of a batch, and of a page
CELLS_MAX: Final = 64  # that have ever joined
NAME_CHARACTERS_MAX: Final = 32  # of a cell
ANSWER_BYTES_MAX: Final = 4096  # of an answer to a question that cells share
LEASE_MS_MAX: Final = 600_000
INTEGER_MAX: Final = (1 << 63) - 1  # of every number
NO_PROCESSOR: Final = -1


class StoreError(Exception):
    """Any of those below. Each holds a sentence for people, without a password in it."""


class NoAnswerError(StoreError):
    """Nothing is known of the operation: it is done, it is not done, or it will be done yet."""


class StaleEpochError(StoreError):
    """The epoch is over: it was adopted, has left, or its cell has joined again. Nothing was changed."""


class StaleEraError(StoreError):
    """Everything was purged since the caller's era; ``era`` is the one of now. Nothing was changed."""

    def __init__(self, era: int) -> None:
        super().__init__(f"everything was purged: the store's era is {era}")
        self.era = era


class TakenError(StoreError):
    """The cell lives somewhere else, or has begun another life than the caller knew of. Nothing was changed."""


class UnusableError(StoreError):
    """This program and this store do not go together, and trying again changes nothing."""


class Verdict(IntEnum):
    """What became of one row of a batch."""

    NEW = 0  # it is kept now
    SAME = 1  # it is what was kept before, so it changes nothing
    CONFLICT = 2  # accept: the id is there with another amount
    BEHIND = 3  # pin: its number is not higher than the kept one; give up: the kept number is another
    ENDED = 4  # pin: an outcome is kept
    ADOPTED = 5  # pin, give up: another epoch has made the kept pin, which never moves
    NOT_HELD = 6  # pin, give up, reopen: another epoch holds the payment
    ABSENT = 7  # pin, outcome, reopen: the store does not know the id
    DISCREPANCY = 8  # outcome: another one is kept and counts; this one is among the discrepancies
    NOT_GIVEN_UP = 9  # reopen: there is nothing to take back


class Kind(IntEnum):
    """What an outcome is. The numbers are stored."""

    SETTLED = 1  # charged by this engine: what the summary counts
    CHARGED_BEFORE = 2  # charged in an earlier life of the id: counted beside the books
    GIVEN_UP = 3  # not charged, and not tried again
    DECLARED = 4  # a person has decided: charged at ``processor``, or not charged (NO_PROCESSOR)
    REOPENED = 5  # only in what is followed: the outcome before it, which is a GIVEN_UP, no longer counts


class Epoch(NamedTuple):
    """Who calls: the epoch ``number`` of the cell ``cell``, and the ``era`` that it knows."""

    cell: int
    number: int
    era: int


class Offer(NamedTuple):
    """A payment that a cell would accept."""

    id: bytes
    cents: int
    accepted_ms: int


class Pin(NamedTuple):
    """Where a payment goes, and the time in its body. ``number`` counts the payment's pins, from 1 on."""

    id: bytes
    number: int
    processor: int
    requested_ms: int


class Outcome(NamedTuple):
    """How a payment has ended. Two outcomes are the same if id, kind, processor and requested_ms are.

    Parameters:
      processor: its number; NO_PROCESSOR where it was not charged.
      requested_ms: the time under which the processor has it, and the summary finds it; 0 where it was not charged.
      ended_ms: when the cell heard of it.
      reason: as a slot's word of that name (``engine.memory.layout``).
      pins: of a GIVEN_UP, the payment's newest number (``Kept.pins``) that the caller knows. So what is said late of a
        payment that was reopened meanwhile changes nothing.
    """

    id: bytes
    kind: Kind
    processor: int
    requested_ms: int
    ended_ms: int
    reason: int = 0
    pins: int = 0


class Kept(NamedTuple):
    """What the store has of a payment.

    ``epoch``: it has accepted the payment. ``holder``: the epoch that holds it now. ``pins``: the number of its newest
    pin, 0 without one, and one more after it was reopened. ``pin``: where it is pinned, None when it is free.
    ``pin_epoch``: who has made that pin, 0 without one. ``outcome``: None while it is open.
    """

    id: bytes
    cents: int
    accepted_ms: int
    epoch: int
    holder: int
    pins: int = 0
    pin: Pin | None = None
    pin_epoch: int = 0
    outcome: Outcome | None = None


class Row(NamedTuple):
    """What became of a row, and what the store has after it; ``kept`` is None with ABSENT, and where the row is NEW."""

    verdict: Verdict
    kept: Kept | None = None


class Entry(NamedTuple):
    """An outcome in its cell's sequence. The first has the sequence 1."""

    sequence: int
    cents: int
    outcome: Outcome


class Page(NamedTuple):
    """What follows in a cell's sequence.

    Parameters:
      entries: in their order, without gaps. The first follows ``since``, or ``begin`` where that is higher.
      begin: entries up to this sequence are no longer there: retention has folded them (:meth:`Store.folded`).
      end: the newest entry's sequence, and the sequence at the last purge at least.
    """

    entries: tuple[Entry, ...]
    begin: int
    end: int


class Sum(NamedTuple):
    """Folded entries of one kind and one processor whose requested_ms is in this minute (0 where that is 0).

    From the sum of what was given up that of what was reopened is taken away.
    """

    kind: Kind
    processor: int
    minute_ms: int
    payments: int
    cents: int


class Folded(NamedTuple):
    """All outcomes in a cell's sequence up to ``begin``."""

    begin: int
    sums: tuple[Sum, ...]


class Member(NamedTuple):
    """A cell, as its newest epoch is.

    Parameters:
      until_ms: the end of its lease; 0 when it has left.
      holder: the epoch itself, or the one that has adopted it.
      end: the newest sequence of the cell.
      told_ms: each pin that the cell makes from now on has this requested_ms or a later one.
    """

    cell: int
    name: str
    epoch: int
    until_ms: int
    holder: int
    end: int
    told_ms: int


class Lease(NamedTuple):
    """What a cell hears when it shows that it lives.

    ``now_ms``: the store's clock, read while it answered. ``until_ms``: the caller's lease ends then. ``identity``: of
    the server; it changes when another one has taken over, which may have lost something.

    ``open_ms``: the least requested_ms of the pins of all open payments, whoever holds them; None: there is none.
    """

    now_ms: int
    until_ms: int
    identity: str
    members: tuple[Member, ...]
    open_ms: int | None = None


class Adoption(NamedTuple):
    """Who holds the payments of an epoch now, 0 when the store does not know that epoch. ``until_ms``: its lease runs
    until then, and it holds them itself."""

    holder: int
    until_ms: int = 0


class Question(NamedTuple):
    """A question that one cell asks a processor for all cells.

    ``subject`` says what is asked, by a number that cells agree upon. ``asked_ms``: the store's clock when it was last
    granted, before it was asked. ``asker``: the epoch that asks. ``status`` and ``body``: the answer to the question of
    ``answered_ms``.
    """

    subject: int
    asked_ms: int
    asker: int
    answered_ms: int = 0
    status: int = 0
    body: bytes = b""


class Discrepancy(NamedTuple):
    """An outcome that came second, and is not the same as the first. ``number`` rises."""

    number: int
    epoch: int
    outcome: Outcome
    first: Outcome


class Call(NamedTuple):
    """An operation as a value: the name of a method of Store, and its arguments in order."""

    operation: str
    arguments: tuple[Any, ...]
