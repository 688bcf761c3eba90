"""One run of a seed: the world is built, goes wrong in every way its plan says, heals, and must come to rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any
from unittest import mock

from engine.acts import rules
from engine.books import parked
from engine.books.levels import lay_out_books, shape
from engine.books.writer import BooksWriter
from engine.dispatch import life, work
from engine.dispatch.attempt import Attempt
from engine.dispatch.life import Course, Decision
from engine.dispatch.loop import Loop
from engine.dispatch.starting import ASKING_MAX
from engine.intake import acceptor
from engine.intake.committer import Committer
from engine.lab.dst.account import Account
from engine.lab.dst.carried import Carried
from engine.lab.dst.checks import Checks
from engine.lab.dst.customers import Customers
from engine.lab.dst.dispatching import DispatcherProcess, Ends, Watchers
from engine.lab.dst.ledgered import Ledgered, pressed
from engine.lab.dst.locks import VirtualLocks, VirtualTime
from engine.lab.dst.memory import NEVER, UNTOLD, KilledError, Points, overwrite, shared_words
from engine.lab.dst.model import Model, ViolationError
from engine.lab.dst.operators import UNDER_WAY_MS, Operators
from engine.lab.dst.plan import NEVER_MS, PLAIN, PROCESSORS, draw
from engine.lab.dst.processes import ApiProcess, Process
from engine.lab.dst.processors import Processor
from engine.lab.dst.punctual import WAKE_MS, Punctuality
from engine.lab.dst.replay import Replay
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.stages import Stage
from engine.lab.dst.syncing import VirtualSegment
from engine.lab.dst.trace import Trace
from engine.memory import layout
from engine.memory.words import Words
from engine.payment import Payment
from engine.processors import CONTEST_NAMES
from engine.ring.ids import IdMemory, ids_words, lay_out_ids
from engine.ring.ring import RingReader
from engine.storage import fingerprints, migration
from engine.storage.migration import Memory

# What a killed dispatcher had sent is in the books so long after the next one's start, if its processor can be asked:
# three pauses and an answer.
FOUND_MS = 350
QUIET_MS_MAX = 90_000  # after everything has healed, all must be settled within so long
DEPTH_MAX = 3  # processes that stand in the middle of a step at one moment
EVENTS_MAX = 200_000  # of a run: beyond it, something repeats without end
# Chance that a process that stands between two stores dies there. Most points are the dispatcher's.
KILLED_DISPATCHING, KILLED_ACCEPTING = 0.2, 0.7
LOOK_EVERY = 24  # events between two looks
URLS = ("http://default:8080", "http://fallback:8080")
SUMS = (
    *((layout.BOOKS_TOTALS_AT + 2 * processor, layout.BOOKS_CARRIES_AT + processor) for processor in PROCESSORS),
    (layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT),
    (layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT),
    (layout.BOOKS_DECLARED_AT, layout.BOOKS_DECLARED_CARRY_AT),
)


class World:
    """The world of ``seed``; :meth:`run` raises ViolationError, or whatever the engine raised.

    ``books``, ``rings``: the engine's shared memory.
    """

    def __init__(self, seed: int) -> None:
        self.trace = Trace()
        self._chance = chance = Random(seed)
        self.plan = plan = pressed(seed, draw(chance))
        self._scheduler = Scheduler(chance, plan.start_ms, plan.start_wall_ms)
        self._points = points = Points()
        books_shape = shape(plan.books_recent_seconds, 0, plan.parked_slots, len(CONTEST_NAMES))
        self.books = shared_words(0, books_shape.words, points)
        lay_out_books(self.books, books_shape, plan.seeds[-1])
        self.rings = []
        for index in range(plan.api_processes):
            words = shared_words(index + 1, layout.ring_words(plan.ring_slots), points)
            layout.lay_out_ring(words, plan.ring_slots, *plan.seeds[2 * index : 2 * index + 2])
            self.rings.append(words)
        self._segments = self._new_segments() if plan.is_synced else []
        self._shape = books_shape
        fingerprints.keep(URLS, self.books)
        self._lay_out_sums()
        self._model = Model(
            plan, self.books, books_shape, [RingReader(words) for words in self.rings], self._scheduler, self.trace
        )
        self._punctuality = Punctuality(self._model, self._scheduler)
        self.operators = Operators(
            seed, plan, self.books, books_shape, self._model, self._scheduler, points, self._step
        )
        memory = self.books, books_shape, self.rings
        self.ledger = Ledgered(
            seed,
            plan,
            memory,
            self._model,
            self._scheduler,
            points,
            step=self._step,
            disturb=self._disturb_beside,
            boot=self._boot,
        )
        self._processors = [
            Processor(
                number,
                plan.stages[number],
                plan.start_ms,
                plan.request_timeout_ms,
                plan.connect_timeout_ms,
                plan.health_interval_ms,
                plan.fees_ppm[number],
                plan.mute[number],
                self._model,
                self._scheduler,
                chance,
            )
            for number in PROCESSORS
        ]
        self._dispatcher = DispatcherProcess(
            plan,
            books_shape,
            self.books,
            self.rings,
            self._processors,
            self._scheduler,
            points,
            self._punctuality,
            segments=self._segments,
            commands=self.operators.words,
            watchers=Watchers(self._recovered, self._heard, self._model.settled, self._sends),
            journal=self.ledger.history_journal,
            waits_for_ledger=self.ledger.is_required,
            wake_in=self._pass_in,
            jitter=chance.random,
        )
        self._locks = VirtualLocks((plan.seeds[0], plan.seeds[1]))
        self._time = VirtualTime(self._scheduler)
        self._ids = self._new_ids() if plan.id_memory else None
        self._apis = [self._new_api(index) for index in range(plan.api_processes)]
        self._checks = Checks(self.books, books_shape, self.rings, self._apis, self._model, self._scheduler, chance)
        self._carried = Carried(self.ledger, *memory, self._model, self._checks)
        self._customers = Customers(
            self._apis,
            self._locks,
            self._model,
            self._checks,
            self._scheduler,
            chance,
            self._punctuality,
            step=self._step,
            passes=lambda: self._passes,
        )
        self._replay = Replay(books_shape, self._model, self._checks, chance)
        self._stack: list[Process] = []
        self._crashes_left = plan.crashes_max
        self._troubled = True
        self._pass_due_ms = NEVER_MS * 10
        self._cursed = {order.cents for order in plan.orders if order.odd.cursed}
        can_last = any(plan.mute) or any(by_ms < 0 for _, by_ms in plan.clock_steps)
        self._lasting_max = sum(can_last or order.odd is not PLAIN for order in plan.orders)
        self._rest_ms = plan.start_ms + max(plan.length_ms, *(order.at_ms for order in plan.orders))
        self._passes = 0  # of the dispatcher
        self._starts = 0  # of it

    def _lay_out_sums(self) -> None:
        """What the books begin with, from a time that they hold no more."""
        carry, cents = divmod(self.plan.sums, layout.SUM_MODULUS)
        if not self.plan.sums:
            return
        BooksWriter(self.books, self._shape, self.rings).begin(self._scheduler.now.wall_ms)
        for at, carry_at in SUMS:
            self.books[at], self.books[at + 1], self.books[carry_at] = 1, cents, carry

    def _new_api(self, index: int) -> ApiProcess:
        return ApiProcess(
            index,
            self._shape,
            self.books,
            self.rings,
            self._locks,
            self._time,
            self._points,
            self._dispatcher.bell,
            segments=self._segments,
            ids=self._ids,
            is_compared=self.plan.is_compared,
            waits_for_ledger=self.ledger.is_required,
            commit_in=self._commit_in,
            committed=self._committed,
        )

    def _new_segments(self) -> list[VirtualSegment]:
        """Of the books and the rings, all on disk."""
        segments = [VirtualSegment(self.books, self._points, is_ring=False)]
        segments += [VirtualSegment(words, self._points, is_ring=True) for words in self.rings]
        for segment in segments:
            segment.sync()
        return segments

    def _new_ids(self) -> Words:
        """The id memory. It takes some ids for known that never were here."""
        words = shared_words(UNTOLD, ids_words(layout.STRIPES), self._points)
        lay_out_ids(words, layout.STRIPES, self.rings[0], 1)
        memory = IdMemory(words)
        for order in self.plan.orders:
            if self._chance.random() < self.plan.mistaken_ids:
                memory.remember(order.id_high, order.id_low)
        return words

    @property
    def accounts(self) -> Sequence[Account]:
        """The truth of every payment."""
        return self._model.accounts

    def dead_letters(self) -> list[Payment]:
        """Payments that only a person can decide, at the end of the run."""
        payments = parked.open_payments(self.books.__getitem__, self._shape)
        return [payment for payment in payments if payment.reason != layout.REASON_NONE]

    def run(self) -> None:
        """From the first payment to the last proof."""
        with (
            mock.patch.object(life, "after_lookup", partial(self._after_lookup, life.after_lookup)),
            mock.patch.object(work.log, "log", lambda *_, **__: None),  # it would log each curse
            mock.patch.object(rules, "UNDER_WAY_MS", UNDER_WAY_MS),
            mock.patch.object(acceptor, "locks", self._locks),
            mock.patch.object(acceptor, "time", self._time),
            self.ledger.running(),
        ):
            try:
                self._run()
            finally:
                for api in self._apis:
                    api.close()

    @property
    def taken(self) -> int:
        """How many payments the fast path has accepted beside the Python code."""
        return self._customers.taken

    def _after_lookup(self, after_lookup: Callable[..., Decision], course: Course, *details: Any) -> Decision:
        """Raises an unforeseen error for a payment that is cursed."""
        if self._is_cursed(details[1]):
            raise ArithmeticError("this payment is cursed")
        return after_lookup(course, *details)

    def _is_cursed(self, payment: Payment) -> bool:
        if not self._troubled and self.plan.is_curse_lifted:
            return False
        return payment.cents in self._cursed

    def _run(self) -> None:
        plan, scheduler = self.plan, self._scheduler
        for process in (*self._apis, self._dispatcher):
            self._boot(process)
        self._customers.begin()
        self.operators.begin()
        self.ledger.begin()
        for at_ms in plan.purges:
            scheduler.after(at_ms, self._purge)
        for at_ms in plan.audits:
            scheduler.after(at_ms, self._audit)
        for at_ms in plan.stops:
            scheduler.after(at_ms, self._stop)
        for from_ms, to_ms in plan.removals:
            scheduler.after(from_ms, self._remove_pipe)
            scheduler.after(to_ms, self._renew_pipe)
        for at_ms, by_ms in plan.clock_steps:
            scheduler.after(at_ms, self._step_clock, by_ms)
        for at_ms, processor in plan.moves:
            scheduler.after(at_ms, self._move, processor)
        for at_ms, rings, slots in plan.sizes:
            scheduler.after(at_ms, self._resize, rings, slots)
        for _ in range(plan.crashes_max // 3):
            scheduler.after(self._chance.random() * plan.length_ms, self._crash_any)
        self._points.interrupt = self._interrupt
        self._points.left = self._draw_points()
        self._go_on(plan.start_ms + plan.length_ms, lambda: False)
        self._heal()
        self._go_on(scheduler.mono_ms + QUIET_MS_MAX, self._is_quiet)
        if not self._is_quiet():
            raise ViolationError(f"{QUIET_MS_MAX} ms after everything has healed there is still something to do")
        self._checks.quiet()
        self.operators.quiet()
        self._carried.quiet(self._dispatcher.in_flight)
        self._restart_all()

    def _go_on(self, until_ms: int, over: Callable[[], bool]) -> None:
        for number in range(EVENTS_MAX):
            if over() or not self._scheduler.run_next(until_ms):
                return
            if number % LOOK_EVERY == 0:
                self._checks.look()
                self.operators.look()
        raise ViolationError(f"{EVENTS_MAX} events and no end")

    def _heal(self) -> None:
        self._model.note("everything heals", None)
        self._troubled = False
        self._points.left = NEVER
        self.operators.heal()
        self.ledger.heal()

    def _is_quiet(self) -> bool:
        processes = (*self._apis, self._dispatcher, *self.ledger.processes)
        if not all(process.alive for process in processes) or any(processor.handled for processor in self._processors):
            return False
        if any(words[layout.RING_PURGE_ASKED_AT] != words[layout.RING_PURGE_DONE_AT] for words in self.rings):
            return False
        if any(words[layout.RING_READY_AT] != words[layout.RING_HEAD_AT] for words in self.rings):
            return False
        if self._scheduler.mono_ms < self._rest_ms or not self.operators.is_quiet:
            return False
        open_payments = self._dispatcher.dispatcher.open_payments()
        return not open_payments or (open_payments <= self._lasting_max and self._checks.is_quiet())

    def _restart_all(self) -> None:
        """Stopping and starting an engine that is at rest changes nothing."""
        open_payments = self._dispatcher.dispatcher.open_payments()
        in_flight = self._dispatcher.in_flight
        self._carried.died(len(in_flight))
        for process in (*self._apis, self._dispatcher, *self.ledger.processes):
            process.boot()
        if self._dispatcher.dispatcher.open_payments() != open_payments:
            raise ViolationError("a dispatcher started over settled payments finds something to do")
        self._checks.quiet()
        self._carried.quiet(in_flight)  # they are still shown by their slots

    # --- processes ---------------------------------------------------------------------------------------------------

    def _boot(self, process: Process) -> None:
        processes = (*self._apis, self._dispatcher, *self.ledger.processes)
        if process.alive or process.busy or process not in processes:
            return
        self._model.note("starts", None, process.name)
        if self._step(process, process.boot):
            process.alive = True
            if process is self._dispatcher:
                self._starts += 1
                self._pass_in(self._chance.random() * WAKE_MS)
            elif process is self.ledger.process:
                self.ledger.started()

    def _step(self, process: Process, action: Callable[[], object]) -> bool:
        """Lets ``process`` do something, even while others stand in the middle of a step; False when it was killed."""
        points = self._points
        is_replayed = self._is_replayed(process)
        if is_replayed:
            before = self._replay.remember(self.books, self.rings)
            points.journal = []
        self._stack.append(process)
        process.busy = True
        try:
            action()
            survived = True
        except KilledError:
            self._died(process)
            survived = False
        finally:
            self._stack.pop()
            process.busy = False
        if process is self._dispatcher:
            self._carried.look_for_purge()
        if is_replayed:
            journal, points.journal = points.journal, None
            self._customers.notice_published()
            self._replay.read_beside(before, journal or [])
        return survived

    def _is_replayed(self, process: Process) -> bool:
        if self._stack or self._points.left >= NEVER or process is self.ledger.process:
            return False
        return self._chance.random() < self.plan.replay

    def _died(self, process: Process) -> None:
        process.alive = False
        self._model.note("is killed", None, process.name)
        self._points.left = self._draw_points()
        if process is self.operators:
            return
        if process is self._dispatcher:
            self._carried.died(process.begun)
            self._dispatcher.network.close()
        self._scheduler.after(self._chance.random() ** 2 * 3000, self._boot, process)

    def _crash_any(self) -> None:
        """Between two steps, one process dies, or all."""
        processes = [*self._apis, self._dispatcher, *self.ledger.processes]
        if self._chance.random() < 0.7:
            processes = [self._chance.choice(processes)]
        for process in processes:
            if process.alive:
                self._died(process)

    def _move(self, processor: int) -> None:
        """Somebody stops the engine, gives a processor another address, and starts it: it must refuse as long as only
        the old one knows of a payment. Then that is taken back.
        """
        self._stop_all()
        urls = list(URLS)
        urls[processor] = "http://elsewhere:8080"
        told = fingerprints.complaint(urls, Memory(self.books, self._shape, self.rings))
        self._model.note("refuses another address" if told else "takes another address", None, processor)
        self._checks.check_move(processor, told)

    def _stop_all(self) -> None:
        """Every process dies, and what was committed is done to its end."""
        for process in (*self._apis, self._dispatcher):
            if process.alive:
                self._died(process)
        BooksWriter(self.books, self._shape, self.rings).recover()

    def _resize(self, count: int, slots: int) -> None:
        """The engine is started with other sizes, and takes over what is there, if that fits."""
        self._stop_all()
        self._model.mark_forgotten()
        old = Memory(self.books, self._shape, self.rings)
        try:
            plan = migration.plan(
                old, count, slots, self._shape, lambda: self._chance.getrandbits(64) | 1, self.ledger.is_required
            )
        except migration.MisfitError:
            self._model.note("does not fit", None, count, slots)
            return
        self._model.note("has other sizes", None, count, slots)
        self._carried.note_homes()
        books = shared_words(UNTOLD, self._shape.words, self._points)
        rings = []
        for index in range(count):
            rings.append(shared_words(index + 1, layout.ring_words(slots), self._points))
            layout.lay_out_ring(rings[-1], slots, *self.plan.seeds[:2])
        migration.carry_over(plan, old, Memory(books, self._shape, rings))
        for api in self._apis:
            api.close()
        overwrite(self.books, books)
        self.rings[:] = rings
        if self._segments:
            self._segments[:] = self._new_segments()
        self.ledger.resized()
        self._model.carried_over([RingReader(words) for words in rings])
        self._carried.note_left_out()
        self._checks.carried_over([RingReader(words) for words in rings])
        self._apis[count:] = [self._new_api(index) for index in range(len(self._apis), count)]
        for process in (*self._apis, self._dispatcher):
            self._scheduler.after(self._chance.random() * 1000, self._boot, process)
        self._checks.look()

    def _interrupt(self) -> None:
        """A process stands between two stores."""
        points = self._points
        points.interrupts += 1
        if not self._stack:
            points.left = self._draw_points()
            return
        chance = self._chance.random()
        killed = KILLED_DISPATCHING if self._stack[-1] is self._dispatcher else KILLED_ACCEPTING
        if chance < killed and self._crashes_left > 0:
            self._crashes_left -= 1
            points.left = 0  # if the dying process stores once more, this is called again
            raise KilledError
        points.left = self._draw_points()
        self._customers.notice_published()
        if self._chance.random() < 0.5 and len(self._stack) < DEPTH_MAX:
            self._disturb()
        self._checks.look()

    def _disturb_beside(self) -> None:
        """The ledger stands between two loads, and another process runs."""
        if len(self._stack) < DEPTH_MAX:
            self._disturb()

    def _disturb(self) -> None:
        """Another process runs while this one stands still."""
        chance = self._chance
        if self.ledger.looks_beside():
            return
        if self._stack[-1] is not self._dispatcher and chance.random() < 0.3:
            self._pass()
            return
        self._customers.disturb()

    def _draw_points(self) -> int:
        return 1 + int(self._chance.random() * 2 * self.plan.points_mean) if self._troubled else NEVER

    def _commit_in(self, api: ApiProcess, commit: Callable[[], None], wait_ms: int) -> None:
        """An API process wants its ring brought to disk. If it dies before, the next one does it."""
        self._scheduler.after(wait_ms, self._commit, api, api.committer, commit)

    def _commit(self, api: ApiProcess, committer: Committer | None, commit: Callable[[], None]) -> None:
        if api.alive and api.committer is committer:
            self._step(api, commit)

    def _committed(self, api: ApiProcess) -> None:
        self._customers.committed(api)

    # --- dispatcher and clock ----------------------------------------------------------------------------------------

    def _purge(self) -> None:
        api = self._chance.choice(self._apis)
        if api.alive and not api.busy:
            self._model.note("purge asked", None, api.name)
            self._step(api, api.ask_purge)
            self._model.purge_asked()

    def _audit(self) -> None:
        api = self._chance.choice(self._apis)
        if api.alive and not api.busy:
            self._step(api, lambda: api.note_summary(self._scheduler.now.wall_ms))

    def _stop(self) -> None:
        """SIGTERM, whatever the dispatcher is doing."""
        if self._dispatcher.alive:
            self._model.note("is asked to stop", None, self._dispatcher.name)
            self._dispatcher.ask_to_stop()

    def _recovered(self) -> None:
        """A dispatcher has taken up what there is. Soon the books have what is charged, where one can ask."""
        self._model.recovered()
        if self._scheduler.is_set_back:  # a time before that proves nothing
            return
        left = [account for account in self.accounts if self._model.is_left(account)]
        stages = [processor.stage for processor in self._processors]
        askable = [processor.number for processor in self._processors if processor.is_askable]
        found = [account for account in left if account.charged_at and account.charged_at[0] in askable]
        if found and len(left) <= ASKING_MAX // 2:
            self._scheduler.after(FOUND_MS, self._check_found, self._dispatcher.loop, found, stages)

    def _check_found(self, loop: Loop, found: Sequence[Account], stages: Sequence[Stage]) -> None:
        process = self._dispatcher
        if not process.alive or process.loop is not loop or loop.drain.is_asked or self._scheduler.is_set_back:
            return
        for account in found:
            processor = account.charged_at[0]
            if self._processors[processor].stage is stages[processor]:
                self._model.note("is asked for after a start", account.number)
                self._checks.check_counted(account, processor)

    def _remove_pipe(self) -> None:
        self._model.note("the doorbell's pipe is removed", None)
        self._dispatcher.bell.is_removed, self._punctuality.is_heard = True, False

    def _renew_pipe(self) -> None:
        self._dispatcher.bell.is_removed, self._punctuality.is_heard = False, True

    def _pass_in(self, wait_ms: float) -> None:
        due_ms = self._scheduler.mono_ms + int(wait_ms)
        if due_ms < self._pass_due_ms:
            self._pass_due_ms = due_ms
            self._scheduler.after(int(wait_ms), self._pass_if_due, due_ms)

    def _pass_if_due(self, due_ms: int) -> None:
        if due_ms == self._pass_due_ms:
            self._pass_due_ms = NEVER_MS * 10
            self._pass()

    def _pass(self) -> None:
        process = self._dispatcher
        if not process.alive or process.busy:
            return
        self._passes += 1
        self._pass_due_ms = NEVER_MS * 10
        if not self._step(process, process.go_on):
            return
        self._checks.check_dispatcher(process.dispatcher, process.network.in_flight, self.plan.in_flight_max)
        self._checks.check_fees(process.dispatcher, process.network.fees_told)
        self._checks.check_given_up()
        if process.has_stopped:
            self._model.note("stops", None, process.name)
            self._carried.died(process.begun)
            process.alive = False
            process.network.close()
            self._scheduler.after(self._chance.random() ** 2 * 3000, self._boot, process)

    def _heard(self, ended: Ends) -> None:
        self._model.heard(ended)
        self._carried.heard(ended)

    def _sends(self, attempt: Attempt) -> None:
        account = self._model.payment(attempt)
        self._carried.sends(attempt)
        self._punctuality.sends(account)
        is_of_slot = self._segments and attempt.ring != parked.RING and not attempt.lookup
        if is_of_slot and not self._segments[attempt.ring + 1].has_sent(attempt):
            raise ViolationError(f"payment {account.number} is sent before that is on disk", account.number)
        if not attempt.lookup:
            self.operators.sends(attempt.processor)
        account.sent(attempt)
        self._checks.check_account(account, self._starts)
        name = CONTEST_NAMES[attempt.processor]
        self._model.note("asks" if attempt.lookup else "sends to", account.number, name, attempt.requested_ms)

    def _step_clock(self, by_ms: int) -> None:
        self._model.note("wall clock steps", None, by_ms, "ms")
        self._scheduler.step_wall_clock(by_ms)
