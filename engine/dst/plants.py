"""Bugs to plant: a simulation that does not find them proves nothing by finding none.

Each changes one thing of the product for as long as :func:`planted` lasts, and nothing outside of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from engine.books.reader import BooksReader
from engine.books.writer import BooksWriter
from engine.dispatch import ending, outcome, starting
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.outcome import Outcome, Verdict
from engine.dispatch.work import Work
from engine.dst.processes import VirtualDesk
from engine.memory import layout
from engine.ring.ring import RingReader, RingWriter


class Plant(NamedTuple):
    """``attribute`` of ``owner`` is replaced by ``wrong``, and so are ``others``."""

    text: str
    owner: object
    attribute: str
    wrong: Callable[..., Any]
    others: tuple[tuple[object, str, Callable[..., Any]], ...] = ()


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Has the bug ``name`` of :data:`PLANTS` in the product."""
    plant = PLANTS[name]
    with contextlib.ExitStack() as stack:
        for owner, attribute, wrong in ((plant.owner, plant.attribute, plant.wrong), *plant.others):
            stack.enter_context(mock.patch.object(owner, attribute, wrong))
        yield


def _of_error(sent: bool) -> Outcome:
    return outcome.FAILED


def _commit(self: BooksWriter) -> None:
    self._apply({**self._counts(), **self._pending}.items())
    self._pending.clear()
    self._settled.clear()


def _recover_books(self: BooksWriter) -> None:
    self._words[layout.BOOKS_REDO_COUNT_AT] = 0
    self._words[layout.BOOKS_VERSION_AT] += self._words[layout.BOOKS_VERSION_AT] & 1


_put = RingWriter.put


def _put_head_first(self: RingWriter, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> bool:
    position = self.head
    if position < self.slots or self.is_done(position - self.slots):
        self.words[layout.RING_HEAD_AT] = self.words[layout.RING_READY_AT] = position + 1
    return _put(self, id_high, id_low, cents, accepted_ms, origin)


_begin = starting.begin
_finish_all = Dispatcher.finish
_late: list[tuple[Any, int, int]] = []


def _begin_late(work: Work, now: Now, processor: int, is_probe: bool) -> Attempt | None:
    attempt = _begin(work, now, processor, is_probe)
    if attempt is not None:
        reader = work.rings[attempt.ring]
        at = reader.offset(attempt.position) + layout.SLOT_PROGRESS
        _late.append((reader.words, at, reader.words[at]))
        reader.words[at] = layout.pack_progress(attempt.position, layout.QUEUED, processor, attempt.attempts - 1)
    return attempt


def _finish_late(self: Dispatcher, now: Now, ended: Any) -> None:
    while _late:
        words, at, word = _late.pop()
        words[at] = word
    _finish_all(self, now, ended)


_finish = ending.finish


def _finish_absent(work: Work, now: Now, attempt: Attempt, end: Outcome) -> None:
    one = work.unresolved[attempt.processor].get(attempt.key)
    if end.verdict is Verdict.ABSENT and attempt.ring >= 0 and one is not None and one.out == attempt.ticket:
        work.unresolved[attempt.processor].remove(one)
        del work.in_flight[attempt.ticket]
        work.asking -= 1
        work.settlement.store_progress(one.ring, one.position, layout.QUEUED, attempt.processor, attempt.attempts)
        work.backlog.put_back(one.ring, one.position)
        return
    _finish(work, now, attempt, end)


_recover = Work.recover


def _recover_as_queued(self: Work, now: Now) -> None:
    _recover(self, now)
    for unresolved in self.unresolved:
        for one in [one for one in unresolved if one.ring >= 0]:
            payment = self.settlement.payment(one.ring, one.position)
            self.settlement.store_progress(one.ring, one.position, layout.QUEUED, payment.processor, payment.attempts)
            unresolved.remove(one)
            self.delayed.wait(self.new_delayed(one.ring, payment), now.mono_ms)


def _is_done_early(self: RingReader, position: int) -> bool:
    word = self.words[self.offset(position) + layout.SLOT_PROGRESS]
    return layout.unpack_progress(position, word)[0] != layout.QUEUED


def _open_as_it_is(self: RingWriter, words: Any, is_synced: bool = False) -> None:
    RingReader.__init__(self, words)
    self._is_synced = is_synced
    words[layout.RING_READY_AT] = words[layout.RING_HEAD_AT]


def _read_whatever(self: BooksReader, from_ms: int | None, to_ms: int | None) -> Any:
    sums = self._window(0, from_ms, to_ms, {}), self._window(1, from_ms, to_ms, {})
    failed = self._sum(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, {})
    return sums, failed, self._sum(layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT, {})


PLANTS = {
    "unknown-goes-anywhere": Plant(
        "a time-out is taken for a refusal, and the payment goes to the other processor", outcome, "of_error", _of_error
    ),
    "no-redo-log": Plant("a transaction of the books is stored without its log", BooksWriter, "commit", _commit),
    "redo-forgotten": Plant("a new writer drops what was committed", BooksWriter, "recover", _recover_books),
    "head-first": Plant("a payment is published before its slot is whole", RingWriter, "put", _put_head_first),
    "sent-before-stored": Plant(
        "PROCESSING is stored after the request was sent",
        starting,
        "begin",
        _begin_late,
        ((Dispatcher, "finish", _finish_late),),
    ),
    "absent-is-not-charged": Plant("a 404 is taken for a refusal", ending, "finish", _finish_absent),
    "recovered-as-queued": Plant(
        "after a crash, what was in flight may go anywhere", Work, "recover", _recover_as_queued
    ),
    "no-lock": Plant("two API processes look up and put at the same time", VirtualDesk, "accept", VirtualDesk._accept),
    "slot-given-early": Plant("a slot is given away before its payment is over", RingReader, "is_done", _is_done_early),
    "leftover-kept": Plant(
        "a new API process leaves what its predecessor had not published", RingWriter, "__init__", _open_as_it_is
    ),
    "torn-reading": Plant("the books are read without their version", BooksReader, "_read", _read_whatever),
    "aside-not-found": Plant("what was put aside is not looked up", BooksReader, "aside", lambda *_: None),
}
