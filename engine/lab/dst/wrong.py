"""The wrong code that :mod:`engine.lab.dst.mutants` puts in the place of the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest import mock
from uuid import UUID

import orjson

from engine.acts import rules
from engine.books import parked
from engine.books.reader import EXACT_MS, BooksReader, Sum, Window
from engine.books.writer import BooksWriter
from engine.connectors import answers, rinha
from engine.connectors.answers import Fee, Outcome, Silence, Verdict
from engine.dispatch import ending, life, pacing, starting
from engine.dispatch.acting import Acting
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.drain import Drain
from engine.dispatch.life import Course, Decision, Step
from engine.dispatch.loop import Loop
from engine.dispatch.pacing import Pass, Rhythm
from engine.dispatch.queries import Queries
from engine.dispatch.unresolved import Unresolved
from engine.dispatch.work import Work
from engine.intake import acceptor
from engine.intake.acceptor import Acceptor
from engine.intake.committer import Committer
from engine.lab.dst.plan import PROCESSORS
from engine.ledger.acts import ActionRow, ItemRow
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Command, Result
from engine.memory.words import WORD_MAX
from engine.operate import carrying
from engine.payment import Payment
from engine.ring.ids import IdMemory
from engine.ring.ring import RingReader, RingWriter
from engine.routing.plan import Queue
from engine.storage.migration import Memory


def of_error(sent: bool) -> Outcome:
    return answers.FAILED


def commit(self: BooksWriter) -> None:
    self._apply({**self._counts(), **self._pending}.items())
    self._pending.clear()
    self._settled.clear()


def recover_books(self: BooksWriter) -> None:
    self._words[layout.BOOKS_REDO_COUNT_AT] = 0
    self._words[layout.BOOKS_VERSION_AT] += self._words[layout.BOOKS_VERSION_AT] & 1


_fill = RingWriter.fill


def fill_head_first(self: RingWriter, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> None:
    self.words[layout.RING_HEAD_AT] = self.words[layout.RING_READY_AT] = self.head + 1
    _fill(self, id_high, id_low, cents, accepted_ms, origin)


_begin = starting.begin
_finish_all = Dispatcher.finish
_late: list[tuple[Any, int, int]] = []


def begin_late(work: Work, now: Now, processor: int, places: Iterable[tuple[int, int]]) -> list[Attempt]:
    begun = _begin(work, now, processor, places)
    for attempt in begun:
        reader = work.rings[attempt.ring]
        at = reader.offset(attempt.position) + layout.SLOT_PROGRESS
        _late.append((reader.words, at, reader.words[at]))
        reader.words[at] = layout.pack_progress(attempt.position, layout.QUEUED, processor, attempt.attempts - 1)
    return begun


def finish_late(self: Dispatcher, now: Now, ended: Any) -> None:
    while _late:
        words, at, word = _late.pop()
        words[at] = word
    _finish_all(self, now, ended)


_finish = ending.finish


def finish_absent(work: Work, now: Now, attempt: Attempt, end: Outcome) -> None:
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


def recover_as_queued(self: Work, now: Now) -> None:
    _recover(self, now)
    for unresolved in self.unresolved:
        for one in [one for one in unresolved if one.ring >= 0]:
            payment = self.settlement.payment(one.ring, one.position)
            self.settlement.store_progress(one.ring, one.position, layout.QUEUED, payment.processor, payment.attempts)
            unresolved.remove(one)
            self.delayed.wait(self.new_delayed(one.ring, payment), now.mono_ms)


def recover_late(self: Work, now: Now) -> None:
    _recover(self, now._replace(mono_ms=now.mono_ms + 500))


_remember = IdMemory.remember


def remember_unsaid(self: IdMemory, id_high: int, id_low: int) -> bool:
    _remember(self, id_high, id_low)
    return False


def none_parked(old: Memory, *details: Any) -> tuple[int, dict[int, int]]:
    return old.books[layout.BOOKS_PARKED_SEED_AT], {}


def commit_unsynced(self: Committer) -> None:
    self._is_set = False
    self._ring.release(self._ring.head)
    self._committed()


def lock_file_anew(index: int, starts: int) -> int:
    return -index - 2 - 8 * starts


def is_done_early(self: RingReader, position: int) -> bool:
    word = self.words[self.offset(position) + layout.SLOT_PROGRESS]
    return layout.unpack_progress(position, word)[0] != layout.QUEUED


def open_as_it_is(self: RingWriter, words: Any, is_synced: bool = False) -> None:
    RingReader.__init__(self, words)
    self._is_synced = is_synced
    words[layout.RING_READY_AT] = words[layout.RING_HEAD_AT]


def read_whatever(self: BooksReader, from_ms: int | None, to_ms: int | None) -> Any:
    sums = self._window(0, from_ms, to_ms, {}), self._window(1, from_ms, to_ms, {})
    beside = (
        (layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT),
        (layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT),
        (layout.BOOKS_DECLARED_AT, layout.BOOKS_DECLARED_CARRY_AT),
    )
    return Window(sums, EXACT_MS), *(self._sum(at, carry_at, {}) for at, carry_at in beside)


_window = BooksReader._window


def window_rounded_apart(
    self: BooksReader, processor: int, from_ms: int | None, to_ms: int | None, redo: dict[int, int]
) -> Sum:
    if from_ms is None or to_ms is None or self._moved_ms(to_ms + 1, redo) == EXACT_MS:
        return _window(self, processor, from_ms, to_ms, redo)
    width_ms = max(self._moved_ms(to_ms + 1, redo), EXACT_MS)
    return _window(self, processor, from_ms, (to_ms + 1) // width_ms * width_ms - 1, redo)


# --- what answers mean -----------------------------------------------------------------------------------------------

_read_payment = rinha.read_payment
_read_lookup = rinha.read_lookup
_after_lookup = life.after_lookup
_acceptor_accept = Acceptor._accept
_queue = Dispatcher._queue
_counts = BooksWriter._counts


def gateway_has_failed(status: int, body: bytes | bytearray) -> Outcome:
    return answers.FAILED if status in (503, 504) else _read_payment(status, body)


def accepted_is_charged(status: int, body: bytes | bytearray) -> Outcome:
    return answers.CHARGED if status == 202 else _read_payment(status, body)


def any_200_is_charged(status: int, body: bytes | bytearray) -> Outcome:
    return answers.CHARGED if status == 200 and body.startswith(b"{") else _read_payment(status, body)


def whatever_id(status: int, body: bytes | bytearray, id_high: int, id_low: int) -> Outcome:
    if status == 200 and b'"correlationId"' in body:
        number = UUID(orjson.loads(body)["correlationId"]).int
        id_high, id_low = number >> 64, number & WORD_MAX
    return _read_lookup(status, body, id_high, id_low)


def whose_ever(record_ms: int, payment: Payment, set_back: Iterable[tuple[int, int]]) -> Decision:
    return Decision(Step.SETTLE)


def settled_after_eight(
    course: Course, end: Outcome, payment: Payment, set_back: Iterable[tuple[int, int]]
) -> Decision:
    if course.is_told and course.absent >= 8 and end.verdict is Verdict.ABSENT:
        return Decision(Step.UNCONFIRMED, layout.REASON_UNCONFIRMED)
    return _after_lookup(course, end, payment, set_back)


def settled_without_lookup(
    course: Course, end: Outcome, payment: Payment, set_back: Iterable[tuple[int, int]]
) -> Decision:
    return _after_lookup(course._replace(is_doubted=True), end, payment, set_back)


def never_told(course: Course, end: Outcome, payment: Payment, set_back: Iterable[tuple[int, int]]) -> Decision:
    return _after_lookup(course._replace(is_told=False), end, payment, set_back)


def always_soon(self: Unresolved, now_ms: int) -> int:
    return 20


def amount_unsaid(course: Course, end: Outcome, payment: Payment, set_back: Iterable[tuple[int, int]]) -> Decision:
    decision = _after_lookup(course, end, payment, set_back)
    return Decision(decision.step) if decision.reason == layout.REASON_AMOUNT else decision


REFUSED_WAITS = {**life._AFTER_REQUEST, Verdict.REFUSED: (Step.PUT_BACK, Step.SEND_AGAIN)}


def undecided(self: Work, attempt: Attempt, decide: Any, otherwise: Any) -> Any:
    return decide()


def same_though_failed(self: Acceptor, *details: Any) -> acceptor.Verdict:
    verdict = _acceptor_accept(self, *details)
    return acceptor.Verdict.SAME if verdict is acceptor.Verdict.FAILED else verdict


def aged_by_the_wall(self: Dispatcher, now: Now, waiting: int) -> Queue:
    queue = _queue(self, now, waiting)
    if not waiting:
        return queue
    _, ring, position = self.work.backlog._front()
    reader = self.work.rings[ring]
    accepted_ms = reader.words[reader.offset(position) + layout.SLOT_ACCEPTED_MS]
    return queue._replace(oldest_ms=max(0, now.wall_ms - accepted_ms))


def no_carry(self: BooksWriter) -> dict[int, int]:
    counts = _counts(self)
    for processor in PROCESSORS:
        counts.pop(layout.BOOKS_CARRIES_AT + processor, None)
    return counts


def refused_by_one(refusals: Any, counted: Any, refusals_max: int) -> bool:
    return bool(max(refusals) >= refusals_max)


# --- the loop --------------------------------------------------------------------------------------------------------

_decide = pacing.decide
_is_late = Drain.is_late
_is_over = Drain.is_over
_heard_fee = Queries._heard_fee


def may_always_sleep(self: Loop) -> bool:
    self._doorbell.fall_asleep()
    return True


def deaf(rhythm: Rhythm, done: Pass, *details: Any) -> Any:
    return _decide(rhythm, done._replace(must_listen=False), *details)


def never_late(self: Drain, now_ms: int) -> bool:
    return False


def over_in_time(self: Drain, now_ms: int, in_flight: int, has_work: bool) -> bool:
    with mock.patch.object(Drain, "is_late", _is_late):
        return _is_over(self, now_ms, in_flight, has_work)


def fee_of_the_other(self: Queries, now: Now, word: Fee | Silence) -> None:
    _heard_fee(self, now, word._replace(processor=1 - word.processor) if isinstance(word, Fee) else word)


# --- operators' acts -------------------------------------------------------------------------------------------------


def put_before_row(
    world: carrying.World,
    action: ActionRow,
    rows: Sequence[ItemRow],
    wanted: Sequence[Command],
    rate: int,
    told: Callable[[int], None],
) -> None:
    for command in wanted:
        world.ring.put(command)
    world.record(action, rows)


def act_in_two_transactions(self: Acting, now: Now, command: Command) -> list[Attempt]:
    books = self._work.books
    books.begin(now.wall_ms)
    payment = parked.find(books.value, self._work.shape, command.id_high, command.id_low)
    word = acts_layout.pack_result(self._carried(now, command, payment))
    books.commit()
    books.put(0, layout.BOOKS_ACT_RESULT_AT, word)
    books.put(0, layout.BOOKS_ACTS_AT, self._done + 1)
    books.commit()
    self._observe_pauses()
    self._tell(now, self._done, command, word)
    self._done += 1
    return []


_decide_act = rules.decide
_do = Acting._do


def retry_whatever(act: int, payment: Payment, now_ms: int) -> Result:
    result = _decide_act(act, payment, now_ms)
    return Result.DONE if result is Result.MAY_BE_CHARGED else result


def retry_unknown(self: Acting, now: Now, act: int, payment: Payment) -> None:
    if act != Act.RETRY or payment.state == layout.FAILED:
        _do(self, now, act, payment)
        return
    work = self._work
    unresolved = work.unresolved[payment.processor]
    one = unresolved.get(payment.id_high << 64 | payment.id_low)
    assert one is not None
    unresolved.remove(one)
    waiting = payment._replace(state=layout.QUEUED, settled_ms=0, reason=layout.REASON_NONE)
    work.settlement.change(payment.position, waiting)
    work.delayed.wait(work.new_delayed(parked.RING, waiting), now.mono_ms)


def pause_without_memory(self: Acting) -> None:
    paused = self._work.books.value(layout.BOOKS_PAUSED_AT) if self._work.last_ticket else 0
    for number, observed in enumerate(self._work.router.observed):
        observed.is_paused = bool(paused >> number & 1)


def recover_untold(self: Acting, now: Now) -> None:
    self._done = self._work.books.value(layout.BOOKS_ACTS_AT)
    self._observe_pauses()
