"""The engine's processes over the same shared memory: each can be killed at any point and is started anew later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.books.writer import BooksWriter
from engine.connectors.answers import Outcome
from engine.dispatch.attempt import Attempt
from engine.dispatch.dispatcher import Dispatcher
from engine.intake.acceptor import Acceptor, Verdict
from engine.lab.dst.memory import Points
from engine.lab.dst.network import Network
from engine.lab.dst.plan import Plan
from engine.lab.dst.processors import Processor
from engine.lab.dst.scheduler import Scheduler
from engine.memory import layout
from engine.memory.layout import STRIPES
from engine.memory.words import Words
from engine.ring.ring import RingReader, RingWriter
from engine.routing.router import Router
from engine.setting_groups import RoutingSettings


class Process:
    """``alive``: it has started; ``busy``: it stands in the middle of a step."""

    name = ""

    def __init__(self) -> None:
        self.alive = False
        self.busy = False

    def boot(self) -> None:
        """Starts anew over whatever shared memory holds."""
        raise NotImplementedError


class Lock:
    """The record locks between API processes. Who finds one held would wait: the world asks before."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def is_held(self, id_high: int, id_low: int) -> bool:
        """Whether some process, stopped in the middle of it, is accepting what shares a lock with this payment."""
        return (id_high ^ id_low) % STRIPES in self._held

    @contextlib.contextmanager
    def holding(self, id_high: int, id_low: int) -> Iterator[None]:
        """Holds the lock of a payment; a process that dies lets go of it."""
        stripe = (id_high ^ id_low) % STRIPES
        assert stripe not in self._held
        self._held.add(stripe)
        try:
            yield
        finally:
            self._held.remove(stripe)


class VirtualAcceptor(Acceptor):
    """The acceptor with a lock that is no file."""

    def __init__(self, rings: Sequence[RingReader], own: RingWriter, books: BooksReader, lock: Lock) -> None:
        # The base class would open the file.
        self._rings, self._own, self._books, self.memory = rings, own, books, None
        self._virtual_lock = lock

    def accept(self, id_high: int, id_low: int, cents: int, now_ms: int, clock_ms: int) -> Verdict:
        """As the base class."""
        with self._virtual_lock.holding(id_high, id_low):
            return self._accept(id_high, id_low, cents, now_ms, clock_ms)


class ApiProcess(Process):
    """Accepts payments into its own ring."""

    def __init__(self, index: int, shape: Shape, books: Words, rings: Sequence[Words], lock: Lock) -> None:
        super().__init__()
        self.name = f"api {index}"
        self.index = index
        self._shape = shape
        self._books = books
        self._rings = rings
        self._lock = lock

    def boot(self) -> None:
        own = RingWriter(self._rings[self.index])
        rings = [own if index == self.index else RingReader(words) for index, words in enumerate(self._rings)]
        self.acceptor = VirtualAcceptor(rings, own, BooksReader(self._books, self._shape), self._lock)

    def ask_purge(self) -> None:
        """Asks the dispatcher to forget everything."""
        self._rings[self.index][layout.RING_PURGE_ASKED_AT] += 1


class DispatcherProcess(Process):
    """The loop of :mod:`engine.dispatch.command` without sockets, epoll and sleep.

    Parameters:
      recovered: called when it has taken up what an earlier one has left.
      heard: called with the ends of attempts before the dispatcher takes them in.
      settled: called with the ends of attempts that the dispatcher has taken in and committed.
      begun: called with each attempt that is about to be sent.
      wake: called when something arrived.
    """

    name = "dispatcher"

    def __init__(
        self,
        plan: Plan,
        shape: Shape,
        books: Words,
        rings: Sequence[Words],
        processors: Sequence[Processor],
        scheduler: Scheduler,
        points: Points,
        *,
        recovered: Callable[[], None],
        heard: Callable[[Sequence[tuple[Attempt, Outcome]]], None],
        settled: Callable[[Sequence[tuple[Attempt, Outcome]]], None],
        begun: Callable[[Attempt], None],
        wake: Callable[[], None],
    ) -> None:
        super().__init__()
        self._plan = plan
        self._shape = shape
        self._books = books
        self._rings = rings
        self._processors = processors
        self._scheduler = scheduler
        self._points = points
        self._recovered = recovered
        self._heard = heard
        self._settled = settled
        self._begun = begun
        self._wake = wake
        self.network = self._new_network()

    def _new_network(self) -> Network:
        return Network(self._processors, self._plan.request_timeout_ms, self._scheduler, self._wake)

    def boot(self) -> None:
        plan = self._plan
        self.router = Router(
            RoutingSettings(
                in_flight_min=1,
                in_flight_max=plan.in_flight_max,
                breaker_failures=plan.breaker_failures,
                probe_interval_ms=plan.probe_interval_ms,
                probes_max=plan.in_flight_max,
                suspect_ms=100,
                slow_ms=1450,
                wait_cost_ppm=plan.wait_cost_ppm,
                wait_share_ppm=20_000,
                wait_max_ms=10_000,
                audit_interval_ms=10_000,
                audit_guard_ms=150,
                health_interval_ms=plan.health_interval_ms,
            ),
            (50_000, 150_000),
            plan.request_timeout_ms,
        )
        self.dispatcher = Dispatcher(
            [RingReader(words) for words in self._rings],
            BooksWriter(self._books, self._shape, self._rings),
            self._shape,
            self.router,
            give_up_ms=plan.give_up_ms,
            park_ms=plan.park_ms,
            batch=plan.dispatch_batch,
            refusals_max=plan.refusals_max,
        )
        self.network = self._new_network()
        self.dispatcher.recover(self._scheduler.now)
        self._recovered()

    def run_pass(self) -> None:
        """One round: what ended, then what begins."""
        now, dispatcher, network = self._scheduler.now, self.dispatcher, self.network
        if dispatcher.purge_if_asked(now):
            network.abandon()
        ended = network.results()
        for processor, observed in enumerate(self.router.observed):
            if observed.wants_health(now.mono_ms):
                observed.health_asked(now.mono_ms)
                observed.health_ended(now.mono_ms)
                health = self._processors[processor].health()
                if health is not None:
                    observed.health(now.mono_ms, *health)
        self._heard(ended)
        dispatcher.finish(now, ended)
        for attempt in dispatcher.take_dropped():
            network.drop(attempt)
        self._settled(ended)
        for attempt in dispatcher.start(now):
            self._points.reach()
            self._begun(attempt)
            network.send(attempt)

    def wait_ms(self) -> int:
        """How long the loop would wait now for a socket or the doorbell."""
        now_ms = self._scheduler.mono_ms
        due_ms = [*(observed.health_due_ms() for observed in self.router.observed), now_ms + 500]
        wake_ms = self.dispatcher.wake_ms(now_ms)
        if wake_ms is not None:
            due_ms.append(wake_ms)
        return max(min(due_ms) - now_ms, self._plan.dispatch_pause_ms)
