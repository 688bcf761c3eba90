"""A cell among the others: it joins, keeps its lease, adopts the dead, and follows everybody's outcomes. Pure.

=================  ==================================================================================================
standing           what happens
=================  ==================================================================================================
without an epoch   it reads who there is, and joins; what its own epoch of before held is handed over
joined             it asks for its lease, and for what it holds; nothing is accepted or sent before it has the lease
living             it accepts, pins, concludes; adopts whoever's lease is over; follows all sequences
its lease is over  by its own clock: it accepts and sends nothing for the first time, and goes on asking for its lease
its epoch is over  the store says so: it forgets what it held, and joins anew
=================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from engine.cluster import health
from engine.cluster.actions import AskHealth, HealthTold, Say
from engine.cluster.books import Books
from engine.cluster.calls import Operation, Said
from engine.cluster.cell import Cell, Moment
from engine.cluster.membership import RENEW_MS
from engine.cluster.values import (
    Adoption,
    Call,
    Epoch,
    Folded,
    Kept,
    Lease,
    Member,
    NoAnswerError,
    Page,
    Question,
    Row,
    StaleEpochError,
    StaleEraError,
    StoreError,
)

FOLLOW_MS = 100  # between two looks into another cell's sequence
PAGE_ROWS = 512
FORGET_MS = 10_000  # between two looks for what is old enough to be forgotten
FORGET_ROWS = 4096  # entries that one call forgets
FIRST = bytes(16)  # an id before all others


class Identity(NamedTuple):
    """``name``: of the cell; ``place``: of its host's directory, 16 bytes; ``life``: makes the name of a new life, 16
    bytes.
    """

    name: str
    place: bytes
    life: Callable[[], bytes]


class Agent:
    """See the module.

    Parameters:
      cell: what it holds; identity: who it is; books: the books of all, on this cell.
      processors: how many there are; keep_ms: how long the store keeps what has ended, 0: for ever.
    """

    def __init__(self, cell: Cell, identity: Identity, books: Books, processors: int, keep_ms: int = 0) -> None:
        self._keep_ms = keep_ms
        self.cell = cell
        self.health = health.Asking(processors)
        self.has_left = self._is_leaving = False
        self._era = 0  # the last one that the store has told
        self._identity = identity
        self._life = identity.life()
        self._books = books
        self._membership = cell.membership
        self._calls = cell.calls
        self._next_ms: dict[Hashable, int] = {}
        self._read: set[Hashable] = set()  # epochs that this one has adopted, and has asked for what they have left
        self._tried = set[int]()  # ... and that it has said it adopts: a call that is late may still do it
        self._answers: dict[Operation, Callable[[Moment, Said, Any], None]] = {
            Operation.MEMBERS: self._listed,
            Operation.JOIN: self._joined,
            Operation.LEASE: self._leased,
            Operation.LEAVE: self._left,
            Operation.ADOPT: self._adopted,
            Operation.HELD: self._handed_over,
            Operation.ACCEPT: self._accepted,
            Operation.PIN: self._pinned,
            Operation.CONCLUDE: self._concluded,
            Operation.REOPEN: self._reopened,
            Operation.FOLLOW: self._followed,
            Operation.FOLDED: self._folded,
            Operation.ASK: self._asked,
            Operation.ANSWER: self._shared,
            Operation.PURGE: self._purged,
            Operation.FORGET: self._forgotten,
        }

    def purge(self) -> None:
        """Everything of all cells is to be forgotten."""
        self._calls.want(Operation.PURGE)

    def reopen(self, payment: bytes, act: bytes) -> None:
        """A person takes back that a payment was given up; ``act``: the 16 bytes that name what the person did."""
        self._calls.want(Operation.REOPEN, (payment, act), (payment, act))

    def share_health(self, asked: AskHealth, status: int, body: bytes) -> None:
        """A processor has answered a query that this cell has asked for all."""
        self._calls.want(Operation.ANSWER, asked.processor, (asked.processor, asked.asked_ms, status, body))

    def begin_anew(self) -> None:
        """Whoever sends for this cell has begun a new life: so does the cell, as if its epoch were over. What was sent
        is adopted then, and all that was counted is counted again.
        """
        self._lost()
        self.cell.following.forget()
        self._books.forget()

    def leave(self) -> None:
        """The cell stops; what it still holds is handed over. Nothing is said any more once the store has that."""
        self.cell.is_closed = self._is_leaving = True

    def tick(self, now: Moment) -> None:
        """Some time has passed: says what is due. A cell that has left says nothing."""
        self.cell.tick(now)
        if self.has_left:
            return
        by = self._membership.by
        if by is None:
            self.has_left = self._is_leaving
            if not (self.has_left or self._calls.is_wanted(Operation.JOIN)):
                self._calls.want(Operation.MEMBERS)
        else:
            self._want_what_is_due(now)
        self.say(now)

    def say(self, now: Moment) -> None:
        """Says what is wanted and not under way. It may be called more often than :meth:`tick`."""
        by = self._membership.by
        for said in self._calls.due(now.mono_ms):
            if by is not None or said.operation in (Operation.MEMBERS, Operation.JOIN):
                self.cell.actions.append(Say(said.number, self._call(now, said, by)))

    def answered(self, now: Moment, number: int, result: Any) -> None:
        """The store has answered the call ``number``: ``result`` is what the operation returns, or its StoreError.

        NoAnswerError is no answer: the call is said again when its time is over.
        """
        said = None if isinstance(result, NoAnswerError) else self._calls.answered(number)
        if said is None:
            return
        if isinstance(result, StaleEpochError):
            self._lost()
        elif isinstance(result, StaleEraError):
            self._forget(result.era)
        elif isinstance(result, StoreError):
            if said.operation is Operation.JOIN:
                self._calls.done(Operation.JOIN)  # somebody has joined meanwhile: it is looked up who
        else:
            self._answers[said.operation](now, said, result)

    # --- what is said ------------------------------------------------------------------------------------------------

    def _want_what_is_due(self, now: Moment) -> None:
        if self._is_leaving:
            self._calls.want(Operation.LEAVE)
        if self._is_due(now, Operation.LEASE, RENEW_MS):
            self._calls.want(Operation.LEASE)
        if not self._membership.until_ms:
            return
        for cell in self.cell.following.since:
            if self._is_due(now, (Operation.FOLLOW, cell), FOLLOW_MS):
                self._calls.want(Operation.FOLLOW, cell)
        if self._keep_ms and self._is_due(now, Operation.FORGET, FORGET_MS):
            for cell in self._membership.keeps(self.cell.following.since):
                self._calls.want(Operation.FORGET, cell)
        for processor in self.health.due(now.mono_ms):
            self._calls.want(Operation.ASK, processor, health.PAUSE_MS)

    def _is_due(self, now: Moment, what: Hashable, every_ms: int) -> bool:
        if now.mono_ms < self._next_ms.get(what, 0):
            return False
        self._next_ms[what] = now.mono_ms + every_ms
        return True

    def _call(self, now: Moment, said: Said, by: Epoch | None) -> Call:
        key, row = next(iter(said.rows.items()))
        membership, operation = self._membership, said.operation
        arguments: tuple[Any, ...]
        if operation is Operation.MEMBERS:
            arguments = ()
        elif operation is Operation.JOIN:
            identity = self._identity
            arguments = identity.name, identity.place, self._life, row, membership.lease_ms
        elif operation is Operation.LEASE:
            arguments = by, membership.lease_ms, membership.tell(now.mono_ms, self.cell.unsure_ms())
        elif operation is Operation.HELD:
            arguments = by, row[1], PAGE_ROWS
        elif operation in (Operation.REOPEN, Operation.ANSWER):
            arguments = by, *row
        elif operation is Operation.FOLLOW:
            arguments = by, key, self.cell.following.since[int(str(key))], PAGE_ROWS
        elif operation is Operation.FORGET:
            arguments = by, key, membership.store_ms_max(now.mono_ms) - self._keep_ms, FORGET_ROWS
        elif operation in (Operation.ACCEPT, Operation.PIN, Operation.CONCLUDE):
            arguments = by, tuple(said.rows.values())
        else:
            arguments = by, *((key,) if key is not None else ()), *((row,) if row is not None else ())
        return Call(operation.value, arguments)

    # --- what the answers mean ---------------------------------------------------------------------------------------

    def _listed(self, now: Moment, said: Said, members: tuple[Member, ...]) -> None:
        self._calls.done(Operation.MEMBERS)
        name = self._identity.name
        self._calls.want(Operation.JOIN, None, next((one.epoch for one in members if one.name == name), 0))

    def _joined(self, now: Moment, said: Said, by: Epoch) -> None:
        self._calls.done(Operation.JOIN)
        if by.era != self._era:
            self._forget(by.era)  # everything was purged between its lives
        self._membership.joined(by)
        self._next_ms.clear()
        self._read.clear()
        self._tried.clear()
        self._read_what_is_held(by.number)

    def _leased(self, now: Moment, said: Said, lease: Lease) -> None:
        self._calls.done(Operation.LEASE)
        self._membership.renewed(said.asked_ms, now.mono_ms, now.wall_ms, lease)
        self.cell.following.heard(lease)
        by = self._membership.by
        for member in lease.members:  # a call that was done late has adopted it, and nobody heard
            if by is not None and member.holder == by.number != member.epoch and member.epoch not in self._read:
                self._read.add(member.epoch)
                self._read_what_is_held(member.epoch)
        # Nobody lists any more who holds the epoch of a cell that has joined anew; after that, no late call adopts it.
        over = self._tried - {member.epoch for member in lease.members}
        self._tried -= over
        for epoch in sorted(over - self._read):
            self._read_what_is_held(epoch)
        if self._membership.may_adopt(now.mono_ms):
            for member in lease.members:
                if member.holder == member.epoch and member.until_ms <= lease.now_ms:
                    self._tried.add(member.epoch)
                    self._calls.want(Operation.ADOPT, member.epoch)

    def _left(self, now: Moment, said: Said, result: None) -> None:
        self._lost()

    def _adopted(self, now: Moment, said: Said, adoption: Adoption) -> None:
        (epoch,) = said.rows
        self._calls.done(Operation.ADOPT, epoch)
        by = self._membership.by
        if by is not None and adoption.holder == by.number:
            self._read.add(epoch)
            self._read_what_is_held(int(str(epoch)))

    def _read_what_is_held(self, of: int, after: bytes = FIRST) -> None:
        """Reads what this epoch holds, since that of another one was handed over, or a page more.

        Each hand-over is read by itself: what was asked before an adoption shows nothing of it.
        """
        self._calls.want(Operation.HELD, (of, after), (of, after))

    def _handed_over(self, now: Moment, said: Said, page: tuple[Kept, ...]) -> None:
        ((of, after),) = said.rows.values()
        self._calls.done(Operation.HELD, (of, after))
        for kept in page:
            self.cell.take(now, kept, said.asked_ms)
        if len(page) == PAGE_ROWS:
            self._read_what_is_held(of, page[-1].id)

    def _accepted(self, now: Moment, said: Said, rows: tuple[Row, ...]) -> None:
        for offer, row in zip(said.rows.values(), rows, strict=True):
            self.cell.accepted(now, offer.id, offer.cents, row, said.asked_ms)

    def _pinned(self, now: Moment, said: Said, rows: tuple[Row, ...]) -> None:
        for pin, row in zip(said.rows.values(), rows, strict=True):
            self.cell.pinned(now, pin, row, said.asked_ms)

    def _concluded(self, now: Moment, said: Said, rows: tuple[Row, ...]) -> None:
        for outcome, row in zip(said.rows.values(), rows, strict=True):
            self.cell.concluded(now, outcome.id, row, said.asked_ms)

    def _reopened(self, now: Moment, said: Said, row: Row) -> None:
        ((payment, act),) = said.rows.values()
        self._calls.done(Operation.REOPEN, (payment, act))
        self.cell.reopened(now, payment, row, said.asked_ms)

    def _followed(self, now: Moment, said: Said, page: Page) -> None:
        cell = int(str(next(iter(said.rows))))
        self._calls.done(Operation.FOLLOW, cell)
        if self.cell.following.must_begin_anew(cell, page):
            self._calls.want(Operation.FOLDED, cell)
            return
        for entry in self.cell.following.next(cell, page):
            self._books.count(cell, entry)
        if len(page.entries) == PAGE_ROWS and self._books.has_room:
            self._calls.want(Operation.FOLLOW, cell)

    def _folded(self, now: Moment, said: Said, folded: Folded) -> None:
        cell = int(str(next(iter(said.rows))))
        self._calls.done(Operation.FOLDED, cell)
        if folded.begin > self.cell.following.since[cell]:
            self._books.replace(cell, folded)
            self.cell.following.begin_anew(cell, folded.begin)

    def _asked(self, now: Moment, said: Said, question: Question) -> None:
        self._calls.done(Operation.ASK, question.subject)
        by = self._membership.by
        store_ms = self._membership.store_ms_max(now.mono_ms)
        if by is not None and self.health.is_granted(store_ms, said, question, by.number):
            self.cell.actions.append(AskHealth(question.subject, question.asked_ms))
        if self.health.is_newer(question):
            self.cell.actions.append(HealthTold(question.subject, question.status, question.body))

    def _shared(self, now: Moment, said: Said, result: None) -> None:
        for processor in said.rows:
            self._calls.done(Operation.ANSWER, processor)

    def _forgotten(self, now: Moment, said: Said, entries: int) -> None:
        if entries < FORGET_ROWS:
            self._calls.done(Operation.FORGET, next(iter(said.rows)))

    def _purged(self, now: Moment, said: Said, era: int) -> None:
        self._forget(era)

    def _forget(self, era: int) -> None:
        is_purged, self._era = self._era != 0, era
        self.cell.forget(is_purged=is_purged)
        self.cell.following.forget()
        self._books.forget()
        if self._membership.by is not None:
            self._membership.by = self._membership.by._replace(era=era)

    def _lost(self) -> None:
        self._life = self._identity.life()
        self._membership.ended()
        self.cell.lost()
