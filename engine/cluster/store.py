"""The port of the store that cells share. docs/cluster.md says why it is as it is; ``tests/cluster/conformance.py``
holds every store to it.

A cell is one host with its engine. Each of its lives is an *epoch*, a number that no other epoch of any cell ever has.
An epoch *holds* payments: those that it has accepted, and those of epochs that it has adopted. A *pin* says under which
body a payment goes to which processor. An *outcome* ends a payment. Purging begins a new *era*: nothing of the one
before is left.

What holds for every operation:

- **When it returns, what it tells is durable**: its own changes, and also what others have written and it shows. How
  much the word means is up to the store's deployment (docs/cluster.md).
- **A batch is done as a whole, or not at all**, and its rows are judged in their order. It has ROWS_MAX rows at most.
- **NoAnswerError means that nothing is known**: it is done, not done, or will still be done a little later. Every
  operation may be repeated as it is, and changes nothing that it has changed before. Whoever gets no answer repeats
  until there is one, or reads what is kept. Only an answer ends the question, never a time-out.
- **A stale epoch changes nothing**: once :meth:`Store.adopt`, a later :meth:`Store.join` of the same cell, or
  :meth:`Store.leave` has returned, every operation of that epoch raises StaleEpochError, also one that was sent before
  and arrives now. An epoch whose lease is over is not stale by that alone: it is from the moment that it is adopted.
- **A stale era changes nothing**: after :meth:`Store.purge` every operation with the era of before raises
  StaleEraError.
- Times are ms since 1970 UTC. ``now_ms`` and leases are by the store's clock, all other times are the caller's. Money
  is an integer number of cents. Ids of payments, acts, places and lives are 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from engine.cluster.values import (
    Adoption,
    Call,
    Discrepancy,
    Epoch,
    Folded,
    Kept,
    Lease,
    Member,
    Offer,
    Outcome,
    Page,
    Pin,
    Question,
    Row,
)


class Store(Protocol):
    """A way to the store. One at a time uses it. Beside what is said here every operation raises NoAnswerError and
    UnusableError; each that takes ``by`` also StaleEpochError, and each but ``leave`` StaleEraError."""

    def join(self, name: str, place: bytes, life: bytes, replaces: int, lease_ms: int) -> Epoch:
        """Begins a life of the cell ``name``; its epoch of before is stale then, and what that still held is the new
        one's.

        Parameters:
          place: says which host's directory the cell lives in. From the same place a lease that still runs is ended:
            the caller proves by a lock of its host that nobody else of the cell is left there.
          life: drawn anew for each start. With the life of the cell's epoch this is a repetition, and returns that one.
          replaces: the epoch that the caller knows of (:meth:`members`), 0 when there was none. So a call that arrives
            late ends no epoch that has begun meanwhile.

        Raises TakenError when the cell lives in another place, or its epoch is not ``replaces``.
        """

    def lease(self, by: Epoch, lease_ms: int, told_ms: int) -> Lease:
        """Shows that the epoch lives: its lease ends ``lease_ms`` from now by the store's clock, and never earlier than
        before.

        ``told_ms``: each pin that the cell makes from now on has this requested_ms or a later one. The greatest counts.
        Who has followed every cell to its ``end`` in ``members`` has the sums whole up to the least of ``open_ms`` and
        the ``told_ms`` of all cells that nobody has adopted: the three are read at one moment.
        """

    def members(self) -> tuple[Member, ...]:
        """Every cell that has ever joined, by its number. Anybody may ask."""

    def adopt(self, by: Epoch, epoch: int) -> Adoption:
        """Takes over what an epoch holds, when its lease is over or it has left. It is stale when this returns.

        Another holder than ``by`` in what is returned says that it was not adopted by this: the lease runs, or somebody
        else was first. Whoever has adopted reads :meth:`held` after that, never before. A pin that an adopted epoch has
        made never moves: the store refuses another one.
        """

    def leave(self, by: Epoch) -> None:
        """Ends the caller's own epoch. What it still holds may be adopted at once. A repetition raises
        StaleEpochError."""

    def held(self, by: Epoch, after: bytes, limit: int) -> tuple[Kept, ...]:
        """The open payments that ``by`` holds, whose id is higher than ``after`` (16 zeros at first), by id."""

    def accept(self, by: Epoch, offers: Sequence[Offer]) -> tuple[Row, ...]:
        """Accepts payments, each id once over all cells: NEW, SAME or CONFLICT. An id may stand in it more than once.

        What is NEW is the caller's to pay, whatever its customer was told. So is what is SAME and held by the caller:
        an earlier call had no answer. The amount alone decides between SAME and CONFLICT; accepted_ms of the first is
        kept.
        """

    def pin(self, by: Epoch, pins: Sequence[Pin]) -> tuple[Row, ...]:
        """Says where payments go, before anything is sent: NEW, SAME, BEHIND, ENDED, ADOPTED, NOT_HELD or ABSENT.

        Only after NEW or SAME may the caller send, under this body. An id stands in it once.
        """

    def conclude(self, by: Epoch, outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
        """Settles, gives up and declares: the first outcome of an id counts, in the sequence of the caller's cell.

        NEW, SAME, DISCREPANCY (which is kept) or ABSENT. A GIVEN_UP also NOT_HELD, BEHIND, or ADOPTED when another
        epoch has made the pin: whoever did not send cannot know that nothing will be charged. What was charged, or
        declared, may be told by any epoch that lives. An id stands in it once. Raises ValueError for a REOPENED.
        """

    def reopen(self, by: Epoch, identity: bytes, act: bytes) -> Row:
        """Takes back a GIVEN_UP, once for each act: the payment is open and free, and its next outcome is the first.

        NEW, SAME (this act has done it before, whatever came then), NOT_GIVEN_UP, NOT_HELD or ABSENT. With NEW too the
        row has what is kept: the payment's next pin has a number above ``pins``.
        """

    def find(self, by: Epoch, ids: Sequence[bytes]) -> tuple[Kept | None, ...]:
        """What the store has of these payments, in the same order."""

    def follow(self, by: Epoch, cell: int, since: int, limit: int) -> Page:
        """The entries of a cell after the sequence ``since``: all of its epochs, in one sequence without gaps."""

    def folded(self, by: Epoch, cell: int) -> Folded:
        """What a follower begins with, or goes on from when it was away for longer than entries are kept."""

    def discrepancies(self, by: Epoch, since: int, limit: int) -> tuple[Discrepancy, ...]:
        """Discrepancies with a number higher than ``since``, by number."""

    def ask(self, by: Epoch, subject: int, pause_ms: int) -> Question:
        """Asks to be the one that asks. It is granted if ``asker`` is the caller's epoch and ``asked_ms`` has changed
        to this moment; the caller then asks once, not before this has returned. A call without an answer is not
        granted.

        Nothing is granted before ``pause_ms`` after the time before, or while another epoch asks whose lease runs.
        """

    def answer(self, by: Epoch, subject: int, asked_ms: int, status: int, body: bytes) -> None:
        """Shares the answer to the question that was granted at ``asked_ms``; an older one than is kept changes
        nothing."""

    def questions(self, by: Epoch) -> tuple[Question, ...]:
        """All questions with their newest answers, by subject."""

    def purge(self, by: Epoch) -> int:
        """Forgets all payments and outcomes of all cells; returns the new era. Epochs, leases and questions stay."""

    def forget(self, by: Epoch, cell: int, before_ms: int, limit: int) -> int:
        """Forgets what is in a cell's sequence from before this time of the store's clock, the oldest first.

        The entries are folded into sums, and the payments that they have ended are forgotten, with their acts and older
        discrepancies. Returns how many entries went, ``limit`` at most. An id that is forgotten may be accepted again:
        only its processor still knows it.
        """

    def perform(self, calls: Sequence[Call]) -> tuple[Any, ...]:
        """Does several operations in one round trip, in their order, each as if it were called by itself.

        Returns what each returns, or the StoreError that it raises, as a value. Raises ValueError for a call that is
        not well formed (:mod:`engine.cluster.rules`), as each operation does; those before it may be done.
        """

    def close(self) -> None:
        """Lets the connection go. Nothing is said of operations without an answer."""
