"""Whole cells over private memory: an API process's ring, the dispatcher's real loop, the agent's core, and a stub.

Each :meth:`World.run` makes passes of 1 ms. What the processors answer is the test's to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from engine import settings as settings_module
from engine.books.levels import lay_out_books, shape_of
from engine.books.reader import BooksReader
from engine.cluster.actions import Say
from engine.cluster.cell import Bounds, Moment
from engine.cluster.core import Core, Memory, Who
from engine.cluster.stub import Stub
from engine.cluster.values import NoAnswerError
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.loop import Ports, loop_over
from engine.intake.acceptor import Acceptor, FileLock
from engine.intake.problem import Answer
from engine.intake.verdicts import Verdicts
from engine.memory import cell_layout, layout
from engine.memory.doorbell import Doorbell
from engine.memory.words import zeros
from engine.ring.ring import RingReader, RingWriter
from engine.storage import sizes
from tests.dispatch.ports import NoBell, NoDurability, NoWaker, SetClock
from tests.dispatch.recorded import Network

WALL_MS = 1_784_203_200_000
SLOTS = 64
LEASE_MS = 5000
CENTS = 1990
CHARGED = Outcome(Verdict.CHARGED)
_lives = itertools.count()


class NoAlarm:
    """The test looks at verdicts by itself."""

    def set(self, delay_ms: int) -> None:
        """See :class:`engine.intake.alarm.Alarm`."""


class Host:
    """One cell. ``network``: what its dispatcher has sent. ``is_cut``: nothing goes to the store or comes from it."""

    def __init__(self, world: World, name: str, **environment: str) -> None:
        self.world, self.name = world, name
        self.settings = settings_module.read(
            {
                "ENGINE_DURABILITY": "cluster",
                "ENGINE_CLUSTER_URL": "postgresql://nowhere",
                "ENGINE_CELL": name,
                "ENGINE_RING_SLOTS": str(SLOTS),
                "ENGINE_API_PROCESSES": "1",
                "ENGINE_HEALTH_INTERVAL_MS": "3600000",
                **environment,
            }
        )
        shape = sizes.asked(self.settings).shape
        self.books, self.ring = zeros(shape.words), zeros(layout.ring_words(SLOTS))
        self.words = zeros(cell_layout.cell_words(1, SLOTS))
        lay_out_books(self.books, shape, 3)
        layout.lay_out_ring(self.ring, SLOTS, 5, 7)
        cell_layout.lay_out_cell(self.words, 1, SLOTS, 1)
        self.is_cut = False
        self._answers: list[tuple[int, Any]] = []
        self.writer = RingWriter(self.ring, is_synced=True)
        self.reader = BooksReader(self.books, shape_of(self.books))
        self.verdicts = Verdicts(
            self.words, [self.writer], self.writer, lambda _: NoAlarm(), lambda: None, lambda: world.mono_ms  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        self.acceptor = Acceptor([self.writer], self.writer, self.reader, FileLock("/dev/null"))
        self.start_agent()
        self.start_dispatcher()

    @property
    def now(self) -> Now:
        return Now(self.world.mono_ms, WALL_MS + self.world.mono_ms)

    def start_agent(self) -> None:
        """The agent is killed, and another one takes over."""
        self._answers = []
        self._mine = next(_lives)
        who = Who(self.name, self.name.encode().ljust(16, b"-"), LEASE_MS, 2, self.world.keep_ms)
        memory = Memory(self.words, self.books, [self.ring])
        self.core = Core(memory, who, Bounds(SLOTS, 86_400_000), Moment(*self.now))

    def start_dispatcher(self) -> None:
        """The dispatcher is killed, and another one takes over."""
        self.network = Network()
        ports = Ports(SetClock(self.now), self.network, NoDurability(), NoWaker(), Doorbell(NoBell(), self.books))
        self.loop = loop_over(self.settings, self.books, [self.ring], ports, cell=self.words)
        self.loop.begin(self.now)

    def step(self) -> None:
        """A pass of each of its processes."""
        answers, self._answers = self._answers, []
        self.core.step(Moment(*self.now), answers)
        calls, self.core.calls = self.core.calls, []
        for call in calls:
            self._say(call)
        self.loop.step(self.now)
        self.verdicts.commit()

    def _say(self, call: Say) -> None:
        if not self.is_cut:
            result = self.world.store.perform([call.call])[0]
            if not isinstance(result, NoAnswerError):
                self._answers.append((call.number, result))

    def pay(self, number: int, cents: int = CENTS) -> Callable[[], Answer | None]:
        """A customer hands in the payment ``number``; returns what tells the answer, or None before there is one."""
        if not self.verdicts.may_accept:
            return lambda: Answer(b"503 refused at once")
        known = self.acceptor.find(number, number)
        if known is None:
            assert self.writer.put(number, number, cents, self.now.wall_ms, self.now.mono_ms)
        elif known.cents != cents:
            return lambda: Answer(b"409 Conflict")
        waited = self.verdicts.wait(self.acceptor.place(number, number))
        return (lambda: waited) if isinstance(waited, Answer) else waited

    def counted(self) -> list[tuple[int, int]]:
        """Payments and cents by processor, as its books say."""
        return [(total.payments, total.cents) for total in self.reader.totals().settled]

    def requests(self) -> list[Attempt]:
        """The requests in flight, lookups left out."""
        return [one for one in self.network.sent if not one.lookup]

    def lookups(self) -> list[Attempt]:
        """The lookups in flight."""
        return [one for one in self.network.sent if one.lookup]


class World:
    """Cells, their store and the time."""

    def __init__(self, *names: str, keep_ms: int = 0, **environment: str) -> None:
        self.mono_ms = 10_000
        self.keep_ms = keep_ms
        self.store = Stub(lambda: WALL_MS + self.mono_ms)
        self.hosts = [Host(self, name, **environment) for name in names]
        self.dead: set[str] = set()
        self.run_until(lambda: all(one.verdicts.may_accept for one in self.hosts))

    def run(self, ms: int) -> None:
        """So many passes of all cells that live."""
        for _ in range(ms):
            self.mono_ms += 1
            for host in self.hosts:
                if host.name not in self.dead:
                    host.step()

    def run_until(self, condition: Callable[[], bool], ms_max: int = 20_000) -> int:
        """Passes until ``condition``; how many it took."""
        for passed in range(ms_max):
            if condition():
                return passed
            self.run(1)
        raise AssertionError(f"not within {ms_max} ms")


def reader_of(host: Host) -> RingReader:
    """The ring of a host, as others read it."""
    return RingReader(host.ring)
