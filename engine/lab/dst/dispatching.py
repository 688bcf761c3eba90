"""The dispatcher's process: the real loop, over ports in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from engine.acts.ring import CommandReader
from engine.books.levels import Shape
from engine.books.writer import BooksWriter
from engine.connectors.answers import Outcome
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.drain import Drain
from engine.dispatch.history import History
from engine.dispatch.loop import Loop, Ports
from engine.dispatch.pacing import Rhythm
from engine.dispatch.queries import Queries
from engine.dispatch.work import Limits, Work
from engine.journal.writer import JournalWriter
from engine.lab.dst.memory import Points
from engine.lab.dst.network import Network
from engine.lab.dst.plan import Plan
from engine.lab.dst.processes import Process
from engine.lab.dst.processors import Processor
from engine.lab.dst.punctual import WAKE_MS, Punctuality
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.syncing import VirtualSegment
from engine.memory.doorbell import Doorbell
from engine.memory.status import StatusBlock
from engine.memory.words import Words
from engine.ring.ring import RingReader
from engine.routing.fees import believed_ppm
from engine.routing.router import Router
from engine.setting_groups import RoutingSettings
from engine.storage.durability import Syncing

Ends = Sequence[tuple[Attempt, Outcome]]


class Watchers(NamedTuple):
    """What is called when the dispatcher does something.

    ``recovered``: it has taken up what an earlier one has left. ``heard``: it is about to take these ends in;
    ``settled``: it has, and has committed them. ``sends``: an attempt is about to leave.
    """

    recovered: Callable[[], None]
    heard: Callable[[Ends], None]
    settled: Callable[[Ends], None]
    sends: Callable[[Attempt], None]


class WatchedDispatcher(Dispatcher):
    """The dispatcher, with watchers that are told what it takes in."""

    def __init__(self, work: Work, watchers: Watchers, commands: Words) -> None:
        super().__init__(work, CommandReader(commands))
        self._watchers = watchers

    def finish(self, now: Now, ended: Ends) -> None:
        """As the base class."""
        self._watchers.heard(ended)
        super().finish(now, ended)
        self._watchers.settled(ended)


class Bell:
    """The doorbell: it wakes a process that listens at once, and any other as soon as it listens."""

    descriptor = -1

    def __init__(self, wake: Callable[[], None], points: Points) -> None:
        self._wake = wake
        self._points = points
        self.is_ringing = False
        self.is_removed = False  # somebody has removed the pipe, and who rings has another one

    def ring(self) -> None:
        """See the port. A process that was asleep may be awake afterwards."""
        self._points.reach()
        if self.is_removed:
            return
        self.is_ringing = True
        self._wake()

    def hush(self) -> None:
        """See the port."""
        self.is_ringing = False

    def close(self) -> None:
        """See the port."""


class VirtualClock:
    """The scheduler's time. Other processes may run while it is read."""

    def __init__(self, scheduler: Scheduler, points: Points) -> None:
        self._scheduler = scheduler
        self._points = points

    def now(self) -> Now:
        """See the port."""
        self._points.reach()
        return self._scheduler.now


class Unkept:
    """The port of durability where shared memory survives every process."""

    before_books: Callable[[], None] | None = None

    def __init__(self, points: Points) -> None:
        self._points = points

    def begin(self) -> None:
        """See the port."""
        self._points.reach()

    def before_sends(self) -> None:
        """See the port."""
        self._points.reach()

    def end(self) -> None:
        """See the port."""
        self._points.reach()


class DispatcherProcess(Process):
    """Runs the loop, and is its waker.

    Parameters:
      segments: of the books and the rings, if they are to be brought to disk; none otherwise.
      commands: the command ring.
      journal: opens the journal, where there is one. waits_for_ledger: ENGINE_LEDGER is `require`.
      wake_in: asks for :meth:`go_on` in so many ms, or earlier if that was asked for already.
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
        punctuality: Punctuality,
        *,
        segments: Sequence[VirtualSegment],
        commands: Words,
        watchers: Watchers,
        journal: Callable[[], JournalWriter | None],
        waits_for_ledger: bool,
        wake_in: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        super().__init__()
        self._plan = plan
        self._shape = shape
        self._books = books
        self._rings = rings
        self._processors = processors
        self._scheduler = scheduler
        self._points = points
        self._punctuality = punctuality
        self._segments = segments
        self._watchers = watchers
        self._commands = commands
        self._journal = journal
        self._waits_for_ledger = waits_for_ledger
        self._wake_in = wake_in
        self._jitter = jitter
        self._status = StatusBlock(books)
        self.bell = Bell(self._wake, points)
        self._doorbell = Doorbell(self.bell, books)
        self.has_stopped = False
        self._work: Work | None = None  # of the loop that runs, or has died
        self.network = self._new_network()

    def _new_network(self) -> Network:
        return Network(
            self._processors,
            self._plan.request_timeout_ms,
            self._scheduler,
            self._points,
            sends=self._watchers.sends,
            arrived=self._arrived,
        )

    def boot(self) -> None:
        plan = self._plan
        fees_ppm = [fee if known else -1 for fee, known in zip(plan.fees_ppm, plan.known_fees, strict=True)]
        router = Router(routing_settings(plan), believed_ppm(*fees_ppm), plan.request_timeout_ms)
        keeping = Syncing(self._segments[0], self._segments[1:]) if self._segments else Unkept(self._points)
        journal = self._journal()
        work = Work(
            [RingReader(words) for words in self._rings],
            BooksWriter(self._books, self._shape, self._rings, keeping.before_books),
            self._shape,
            self._status,
            router,
            Limits(
                plan.give_up_ms,
                plan.park_ms,
                plan.dispatch_batch,
                plan.refusals_max,
                plan.dispatch_batch,
                waits_for_ledger=self._waits_for_ledger,
            ),
            None if journal is None else History(journal),
        )
        self.network = network = self._new_network()
        queries = Queries(
            router,
            network,
            self._status,
            fees_ppm,
            asks_fees=plan.fee_query,
            health_interval_ms=plan.health_interval_ms,
        )
        clock = VirtualClock(self._scheduler, self._points)
        self._work = work
        self.loop = Loop(
            WatchedDispatcher(work, self._watchers, self._commands),
            queries,
            Drain(plan.drain_ms),
            Rhythm(plan.dispatch_pause_ms, plan.target_batch, plan.dispatch_batch),
            self._status,
            Ports(clock, network, keeping, self, self._doorbell),
        )
        self._then: Callable[[], None] | None = None  # what comes before the next pass
        self._is_open = self._is_asleep = self._is_ready = False
        self.has_stopped = False
        self._punctuality.starts()
        self.loop.begin(self._scheduler.now)
        self._watchers.recovered()

    @property
    def begun(self) -> int:
        """Requests and lookups that it has begun, and whose ends it does not know."""
        return 0 if self._work is None else len(self._work.in_flight) + len(self._work.dropped)

    @property
    def in_flight(self) -> list[Attempt]:
        """Requests and lookups that have left, and whose ends it has not taken in."""
        return [] if self._work is None else list(self._work.in_flight.values())

    @property
    def dispatcher(self) -> Dispatcher:
        """What decides."""
        return self.loop.dispatcher

    def go_on(self) -> None:
        """What comes next: the last look before a sleep, or a pass."""
        then, self._then = self._then, None
        if then is not None:
            then()
            return
        self._is_open = self._is_ready = False
        if self._is_asleep:
            self._is_asleep = False
            self._doorbell.wake_up()
        self.bell.hush()
        self._punctuality.looks()
        if not self.loop.turn():
            self.loop.end()
            self.has_stopped = True

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._punctuality.asked_to_stop()
        self.loop.drain.ask(self._scheduler.mono_ms)

    # --- its waker ---------------------------------------------------------------------------------------------------

    def pause(self, for_ms: int) -> None:
        """See the port."""
        self._wake_in(for_ms)

    def listen(self, for_ms: int) -> None:
        """See the port."""
        self._listen(for_ms)

    def sleep(self, for_ms: int, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        """See the port."""
        self._then = partial(self._fall_asleep, until_ms, may_sleep)
        if for_ms:
            self._wake_in(for_ms)
        else:
            self.go_on()

    def _fall_asleep(self, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        self._is_asleep = True
        self._listen(max(0, until_ms - self._scheduler.mono_ms) if may_sleep() else 0)

    def _listen(self, for_ms: float) -> None:
        self._is_open = True
        self._wake_in(0 if self._is_ready or self.bell.is_ringing else for_ms)

    def _arrived(self) -> None:
        """Something is there for it from the network."""
        self._punctuality.answered(bool(self._status.listens))
        self._is_ready = True
        self._wake()

    def _wake(self) -> None:
        if self.alive and self._is_open:
            self._wake_in(self._jitter() * WAKE_MS)


def routing_settings(plan: Plan) -> RoutingSettings:
    """The router's settings."""
    return RoutingSettings(
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
    )
