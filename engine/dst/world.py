"""One run of a seed: the world is built, goes wrong in every way its plan says, heals, and must come to rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any
from unittest import mock

from engine.books.levels import Shape, lay_out_books, shape
from engine.books.writer import BooksWriter
from engine.dispatch import life, work
from engine.dispatch.attempt import Attempt
from engine.dispatch.life import Course, Decision
from engine.dst.account import Account
from engine.dst.checks import Checks
from engine.dst.memory import NEVER, KilledError, Points, shared_words
from engine.dst.model import Model, ViolationError
from engine.dst.plan import NEVER_MS, PLAIN, draw
from engine.dst.processes import ApiProcess, DispatcherProcess, Lock, Process
from engine.dst.processors import Processor
from engine.dst.replay import Replay
from engine.dst.scheduler import Scheduler
from engine.dst.trace import Trace
from engine.intake import desk
from engine.memory import layout
from engine.ring.ring import Payment, RingReader

QUIET_MS_MAX = 90_000  # after everything has healed, all must be settled within so long
DEPTH_MAX = 3  # processes that stand in the middle of a step at one moment
EVENTS_MAX = 200_000  # of a run: beyond it something turns without getting anywhere
LOOK_EVERY = 24  # events between two looks
SUMS = (
    *((layout.BOOKS_TOTALS_AT + 2 * processor, layout.BOOKS_CARRIES_AT + processor) for processor in layout.PROCESSORS),
    (layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT),
    (layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT),
)
REPEATS_MAX = 6  # times that a customer sends one payment


class World:
    """The world of ``seed``; :meth:`run` raises ViolationError, or whatever the engine raised."""

    def __init__(self, seed: int) -> None:
        self.trace = Trace()
        self._chance = chance = Random(seed)
        self.plan = plan = draw(chance)
        self._scheduler = Scheduler(chance, plan.start_ms, plan.start_wall_ms)
        self._points = points = Points()
        books_shape = shape(plan.books_recent_seconds, 0, plan.aside_slots)
        self._books = shared_words(0, books_shape.words, points)
        lay_out_books(self._books, books_shape, plan.seeds[-1])
        self._rings = []
        for index in range(plan.api_processes):
            words = shared_words(index + 1, layout.ring_words(plan.ring_slots), points)
            layout.lay_out_ring(words, plan.ring_slots, *plan.seeds[2 * index : 2 * index + 2])
            self._rings.append(words)
        self._lock = Lock()
        self._apis = [
            ApiProcess(index, books_shape, self._books, self._rings, self._lock) for index in range(plan.api_processes)
        ]
        self._lay_out_sums(books_shape)
        self._model = Model(
            plan, self._books, books_shape, [RingReader(words) for words in self._rings], self._scheduler, self.trace
        )
        self._checks = Checks(self._books, books_shape, self._rings, self._apis, self._model, self._scheduler, chance)
        self._processors = [
            Processor(
                number,
                plan.stages[number],
                plan.start_ms,
                plan.request_timeout_ms,
                plan.connect_timeout_ms,
                plan.mute[number],
                self._model,
                self._scheduler,
                chance,
            )
            for number in layout.PROCESSORS
        ]
        self._dispatcher = DispatcherProcess(
            plan,
            books_shape,
            self._books,
            self._rings,
            self._processors,
            self._scheduler,
            points,
            heard=self._model.heard,
            settled=self._model.settled,
            begun=self._begun,
            wake=self._wake,
        )
        self._replay = Replay(books_shape, self._model, self._checks, chance)
        self._stack: list[Process] = []
        self._crashes_left = plan.crashes_max
        self._troubled = True
        self._pass_due_ms = NEVER_MS * 10
        # Just now; with the ring's head before, and whether the id memory knows the id.
        self._accepting: list[tuple[ApiProcess, Account, int, bool]] = []
        self._cursed = {order.cents for order in plan.orders if order.odd.cursed}
        can_last = any(plan.mute) or any(by_ms < 0 for _, by_ms in plan.clock_steps)
        self._lasting_max = sum(can_last or order.odd is not PLAIN for order in plan.orders)
        self._rest_ms = plan.start_ms + max(plan.length_ms, *(order.at_ms for order in plan.orders))
        self._sent = [0] * len(plan.orders)
        self._passes = 0  # of the dispatcher
        self._starts = 0  # of it

    def _lay_out_sums(self, books_shape: Shape) -> None:
        """What the books begin with, from a time that they hold no more."""
        carry, cents = divmod(self.plan.sums, layout.SUM_MODULUS)
        if not self.plan.sums:
            return
        BooksWriter(self._books, books_shape, self._rings).begin(self._scheduler.now.wall_ms)
        for at, carry_at in SUMS:
            self._books[at], self._books[at + 1], self._books[carry_at] = 1, cents, carry

    def run(self) -> None:
        """From the first payment to the last proof."""
        with (
            mock.patch.object(life, "after_lookup", partial(self._after_lookup, life.after_lookup)),
            mock.patch.object(work.log, "disabled", True),  # it would tell of each curse
        ):
            self._run()

    def _after_lookup(self, after_lookup: Callable[..., Decision], course: Course, *details: Any) -> Decision:
        """Raises, which nobody has foreseen, for a payment that is cursed."""
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
        for order, account in zip(plan.orders, self._model.accounts, strict=True):
            scheduler.after(order.at_ms, self._send, account, account.cents)
        for at_ms in plan.purges:
            scheduler.after(at_ms, self._purge)
        for at_ms, by_ms in plan.clock_steps:
            scheduler.after(at_ms, self._step_clock, by_ms)
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
        self._restart_all()

    def _go_on(self, until_ms: int, over: Callable[[], bool]) -> None:
        for number in range(EVENTS_MAX):
            if over() or not self._scheduler.run_next(until_ms):
                return
            if number % LOOK_EVERY == 0:
                self._checks.look()
        raise ViolationError(f"{EVENTS_MAX} events and no end")

    def _heal(self) -> None:
        self._model.note("everything heals", None)
        self._troubled = False
        self._points.left = NEVER

    def _is_quiet(self) -> bool:
        processes = (*self._apis, self._dispatcher)
        if not all(process.alive for process in processes) or any(processor.handled for processor in self._processors):
            return False
        if any(words[layout.RING_PURGE_ASKED_AT] != words[layout.RING_PURGE_DONE_AT] for words in self._rings):
            return False
        if self._scheduler.mono_ms < self._rest_ms:
            return False
        open_payments = self._dispatcher.dispatcher.open_payments()
        return not open_payments or (open_payments <= self._lasting_max and self._checks.is_quiet())

    def _restart_all(self) -> None:
        """Stopping and starting an engine that is at rest changes nothing."""
        open_payments = self._dispatcher.dispatcher.open_payments()
        for process in (*self._apis, self._dispatcher):
            process.boot()
        if self._dispatcher.dispatcher.open_payments() != open_payments:
            raise ViolationError("a dispatcher started over settled payments finds something to do")
        self._checks.quiet()

    # --- processes ---------------------------------------------------------------------------------------------------

    def _boot(self, process: Process) -> None:
        if process.alive or process.busy:
            return
        self._model.note("starts", None, process.name)
        if self._step(process, process.boot):
            process.alive = True
            if process is self._dispatcher:
                self._starts += 1
                self._wake()

    def _step(self, process: Process, action: Callable[[], object]) -> bool:
        """Lets ``process`` do something, whoever stands in the middle of something else; False when it was killed."""
        points = self._points
        is_replayed = not self._stack and points.left < NEVER and self._chance.random() < self.plan.replay
        if is_replayed:
            before = self._replay.remember(self._books, self._rings)
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
        if is_replayed:
            journal, points.journal = points.journal, None
            self._notice_published()
            self._replay.read_beside(before, journal or [])
        return survived

    def _died(self, process: Process) -> None:
        process.alive = False
        self._model.note("is killed", None, process.name)
        self._points.left = self._draw_points()
        if process is self._dispatcher:
            self._dispatcher.network.abandon()
            self._model.crashed()
        self._scheduler.after(self._chance.random() ** 2 * 3000, self._boot, process)

    def _crash_any(self) -> None:
        """Between two steps, one process dies, or all."""
        processes = [*self._apis, self._dispatcher]
        if self._chance.random() < 0.7:
            processes = [self._chance.choice(processes)]
        for process in processes:
            if process.alive:
                self._died(process)

    def _interrupt(self) -> None:
        """A process stands between two stores."""
        points = self._points
        if not self._stack:
            points.left = self._draw_points()
            return
        chance = self._chance.random()
        if chance < 0.3 and self._crashes_left > 0:
            self._crashes_left -= 1
            points.left = 0  # should the dying process store once more, it is here again
            raise KilledError
        points.left = self._draw_points()
        self._notice_published()
        if chance < 0.65 and len(self._stack) < DEPTH_MAX:
            self._disturb()
        self._checks.look()

    def _disturb(self) -> None:
        """Another process runs while this one stands still."""
        chance = self._chance
        if self._stack[-1] is not self._dispatcher and chance.random() < 0.3:
            self._pass()
            return
        if not self._accepting or chance.random() < 0.5:
            account = chance.choice(self._model.accounts)
        else:
            account = self._accepting[-1][1]
        self._send(account, account.cents)

    def _draw_points(self) -> int:
        return 1 + int(self._chance.random() * 2 * self.plan.points_mean) if self._troubled else NEVER

    # --- customers ---------------------------------------------------------------------------------------------------

    def _send(self, account: Account, cents: int) -> None:
        """A customer sends a payment to some API process; without an answer, or told to wait, it may do so again."""
        chance, model = self._chance, self._model
        number = account.number
        if self._sent[number] >= REPEATS_MAX or (account.position >= 0 and not model.remembers(account)):
            return  # who comes later begins another payment with the same id: an order of its own
        api = self._apis[int(chance.random() * len(self._apis))]
        if not api.alive or api.busy or self._lock.is_held(account.id_high, account.id_low):
            self._scheduler.after(chance.random() * 120, self._send, account, cents)
            return
        self._sent[number] += 1
        is_seen = self.plan.id_memory and (any(model.lives(account)) or chance.random() < self.plan.mistaken_ids)
        self._accepting.append((api, account, self._rings[api.index][layout.RING_HEAD_AT], is_seen))
        self._step(api, lambda: self._accept(api, account, cents, is_seen))
        self._notice_published()
        self._accepting.pop()
        if chance.random() < self.plan.repeats or not account.promised:
            wrong = account.promised and chance.random() < 0.2
            again_ms = chance.choice((0, 2, 300, 3000)) * chance.random()
            self._scheduler.after(again_ms, self._send, account, account.cents * (3 if wrong else 1))

    def _notice_published(self) -> None:
        """A payment counts as accepted from when its ring's head is stored, also if its customer never hears of it."""
        for api, account, head, is_seen in self._accepting:
            if account.position < 0 and self._rings[api.index][layout.RING_HEAD_AT] != head:
                account.ring, account.position = api.index, head
                account.accepted_ms, account.is_seen = self._scheduler.mono_ms, is_seen
                self._model.note("is published", account.number, api.name, "position", head)
                if any(self._model.lives(account)):
                    self._model.note("is here again", account.number, "seen" if is_seen else "unseen")

    def _accept(self, api: ApiProcess, account: Account, cents: int, is_seen: bool) -> None:
        number, model = account.number, self._model
        head = self._rings[api.index][layout.RING_HEAD_AT]
        passes, final = self._passes, account.final
        clock_ms = self._scheduler.mono_ms
        # As an id memory has it.
        origin = clock_ms | layout.ORIGIN_SEEN if is_seen else clock_ms
        others = [other for other in model.lives(account) if not other.forgotten]
        verdict = api.desk.accept(account.id_high, account.id_low, cents, self._scheduler.now.wall_ms, origin)
        model.note(verdict.name, number, api.name, cents)
        if verdict is desk.Verdict.ACCEPTED:
            if account.position >= 0 and (account.ring, account.position) != (api.index, head):
                raise ViolationError(f"payment {number} is accepted a second time", number)
            self._notice_published()
            if account.position < 0:
                raise ViolationError(f"payment {number} is accepted and not published", number)
            if any(model.remembers(other) for other in others):
                raise ViolationError(f"payment {number} is accepted while another one has its id", number)
            account.promised = True
            if self._chance.random() < 0.8:
                self._wake()
        elif verdict is desk.Verdict.FULL:
            if self._passes == passes:  # else the oldest may have been settled since
                self._checks.check_refusal(api.index)
        elif verdict is desk.Verdict.CONFLICT and others:
            pass
        elif account.position < 0:
            raise ViolationError(f"{verdict.name} for payment {number}, which is not there", number)
        elif (verdict is desk.Verdict.CONFLICT) != (cents != account.cents):
            raise ViolationError(f"{verdict.name} for payment {number} with {cents} cents", number)
        elif verdict is desk.Verdict.FAILED:
            held = model.held(account)
            if held is not None and held.state != layout.FAILED:
                raise ViolationError(f"payment {number} is said to have failed, and is {held}", number)
        elif verdict is desk.Verdict.SAME:
            if final is not None and final.state == layout.FAILED:
                raise ViolationError(f"payment {number} has failed, and is accepted as if it had not", number)
            account.promised = True

    def _purge(self) -> None:
        api = self._chance.choice(self._apis)
        if api.alive and not api.busy:
            self._model.note("purge asked", None, api.name)
            self._model.purge_asked()
            self._step(api, api.ask_purge)
            self._wake()

    # --- dispatcher --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._pass_in(self._chance.random() * 4)

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
        whole = self._step(process, process.run_pass)
        if whole:
            self._checks.check_dispatcher(
                process.dispatcher, process.router, process.network.in_flight, self.plan.in_flight_max
            )
            self._checks.check_given_up()
            self._pass_in(process.wait_ms())

    def _begun(self, attempt: Attempt) -> None:
        account = self._model.payment(attempt)
        account.sent(attempt)
        self._checks.check_account(account, self._starts)
        name = layout.PROCESSOR_NAMES[attempt.processor]
        self._model.note("asks" if attempt.lookup else "sends to", account.number, name, attempt.requested_ms)

    def _step_clock(self, by_ms: int) -> None:
        self._model.note("wall clock steps", None, by_ms, "ms")
        self._scheduler.step_wall_clock(by_ms)
