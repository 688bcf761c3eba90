"""A machine that runs the engine with ENGINE_DURABILITY=sync over a :class:`Disk`, and the world it must agree with.

The engine's code is the real one, from opening the files to the dispatcher's loop; only sockets, clock and disk are
not. Processes run by turns, and are cut at any store and any sync: killed alone, or all of them with the power.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.books.reader import BooksReader, Sum
from engine.connectors.answers import ABSENT, ALREADY, CHARGED, FAILED, REJECTED, UNKNOWN, Outcome, Verdict
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.loop import Loop, Ports, loop_over
from engine.intake import acceptor
from engine.intake.acceptor import Acceptor, FileLock, Place
from engine.intake.alarm import Alarm
from engine.intake.committer import Committer
from engine.memory import layout
from engine.memory.doorbell import Doorbell
from engine.memory.words import Words
from engine.processors import DEFAULT, FALLBACK
from engine.ring.ring import LostError, RingReader, RingWriter
from engine.settings import Settings
from engine.storage import durability, filesystem, making, mapping, recovery
from engine.storage.durability import Keeping
from engine.storage.segment import Segment
from tests.dispatch.ports import NoBell, NoWaker, SetClock
from tests.durability.disk import NEVER, Disk, KilledError, PowerLossError

START_MS = 1_760_000_000_000
PASSES_MAX = 400  # passes in which everything must settle once the trouble is over
Id = tuple[int, int]


def small_settings(run_dir: Path) -> Settings:
    """An engine whose rings, books and parking table are full soon."""
    return settings_module.read(
        {
            "ENGINE_DURABILITY": "sync",
            "ENGINE_RUN_DIR": str(run_dir),
            "ENGINE_DATA_DIR": "/the/disk",
            "ENGINE_RING_SLOTS": "64",
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            "ENGINE_PARK_SECONDS": "1",
            "ENGINE_PARKED_SLOTS": "16",
            "ENGINE_IN_FLIGHT_MAX": "32",
        }
    )


class BrokenPromiseError(AssertionError):
    """What the engine says or did is not what it promised."""


@dataclass
class Payment:
    """A payment as its customer and the world know it."""

    identity: Id
    cents: int
    promised: bool = False  # it was answered 202
    forgotten: bool = False  # a purge
    owner: int | None = None  # the processor that got it, unless the dispatcher has seen its refusal


@dataclass
class World:
    """The customers and both processors: ``charged`` has, by id, every charge as (processor, requestedAt, cents)."""

    payments: dict[Id, Payment] = field(default_factory=dict)
    charged: dict[Id, list[tuple[int, int, int]]] = field(default_factory=dict)
    purges: int = 0

    def charge(self, attempt: Attempt) -> bool:
        """Charges at a processor; False when that one has it already."""
        identity = attempt.id_high, attempt.id_low
        payment = self.payments.get(identity)
        if payment is None or payment.cents != attempt.cents:
            raise BrokenPromiseError(f"a payment was sent that was never handed in: {attempt}")
        charges = self.charged.setdefault(identity, [])
        if any(processor == attempt.processor for processor, _, _ in charges):
            return False
        if charges:
            raise BrokenPromiseError(f"{identity} is charged at both processors")
        charges.append((attempt.processor, attempt.requested_ms, attempt.cents))
        return True

    def forget(self, identity: Id) -> None:
        """A purge, here and at the processors."""
        self.payments[identity].forgotten = True
        self.charged.pop(identity, None)


class Network:
    """In the place of the dispatcher's transport. A request is at the processor as soon as it is sent."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._ends: list[tuple[Attempt, Outcome]] = []
        self.is_calm = False

    def send(self, attempt: Attempt) -> None:
        """See :class:`engine.dispatch.transport.Transport`."""
        outcome = self._asked(attempt) if attempt.lookup else self._paid(attempt)
        self._ends.append((attempt, outcome))

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Any]]:
        """Some of what has ended."""
        self._chance.shuffle(self._ends)
        count = len(self._ends) if self.is_calm else self._chance.randint(0, len(self._ends))
        ended, self._ends = self._ends[:count], self._ends[count:]
        for attempt, outcome in ended:
            if outcome.verdict in (Verdict.FAILED, Verdict.REJECTED) and not attempt.tries and not attempt.lookup:
                self._world.payments[attempt.id_high, attempt.id_low].owner = None
        return ended, []

    def ask_health(self, _processor: int) -> None:
        """There are no answers."""

    def ask_fee(self, _processor: int) -> None:
        """There are no answers."""

    def kick(self) -> None:
        """Nothing waits."""

    def wait_ms(self) -> float | None:
        """Nothing waits."""
        return None

    def drop(self, attempt: Attempt) -> None:
        """Forgets one request."""
        self._ends = [(other, outcome) for other, outcome in self._ends if other is not attempt]

    def abandon(self) -> None:
        """Forgets all requests."""
        self._ends.clear()

    def _paid(self, attempt: Attempt) -> Outcome:
        fate = 1.0 if self.is_calm else self._chance.random()
        self._world.payments[attempt.id_high, attempt.id_low].owner = attempt.processor
        if fate < 0.1:
            return self._chance.choice((FAILED, REJECTED, UNKNOWN))
        if not self._world.charge(attempt):
            return ALREADY
        return UNKNOWN if fate < 0.25 else CHARGED

    def _asked(self, attempt: Attempt) -> Outcome:
        for processor, requested_ms, cents in self._world.charged.get((attempt.id_high, attempt.id_low), ()):
            if processor == attempt.processor:
                return Outcome(Verdict.FOUND, requested_ms, cents)
        return ABSENT


class NoAlarm:
    """In the place of the API process's alarm: the machine says when to commit."""

    def set(self, _delay_ms: int) -> None:
        """See :class:`Alarm`."""


class Api:
    """An API process."""

    def __init__(self, settings: Settings, index: int) -> None:
        segments, books = mapping.open_rings(settings), mapping.open_books(settings)
        durability.of(settings).api_takes(segments[index])
        self.own = RingWriter(segments[index].words, is_synced=True)
        rings = [self.own if number == index else RingReader(one.words) for number, one in enumerate(segments)]
        reader = BooksReader(books.words, mapping.books_shape(settings))
        self.acceptor = Acceptor(rings, self.own, reader, FileLock(_lock_file(settings)))
        self.committer = Committer(self.own, segments[index], lambda _: cast(Alarm, NoAlarm()), lambda: None)
        self.committer.start()
        self.waiting: list[tuple[Payment, Place | None]] = []  # customers who have had no answer yet


def _lock_file(settings: Settings) -> str:
    """In the place of the books' file, which is none here."""
    path = f"{settings.host.run_dir}/locks"
    Path(path).touch()
    return path


class Known:
    """What shared memory has at this moment. It is opened once for all payments that are looked for."""

    def __init__(self, settings: Settings) -> None:
        self._rings = rings(settings)
        self._books = BooksReader(mapping.open_books(settings).words, mapping.books_shape(settings))

    def find(self, identity: Id) -> Any:
        """The payment, None if it is not there. Raises LostError."""
        for ring in self._rings:
            payment = ring.find(*identity)
            if payment is not None and payment.state != layout.PARKED:
                return payment
        return self._books.parked(*identity)

    def has(self, identity: Id) -> bool:
        """Just after a purge: what is lost then is forgotten too."""
        try:
            return self.find(identity) is not None
        except LostError:
            return False


def rings(settings: Settings) -> list[RingReader]:
    """All rings."""
    return [RingReader(mapping.open_ring(settings, index).words) for index in range(settings.host.api_processes)]


Mutant = Callable[[Segment, Sequence[Segment]], Keeping]  # what a dispatcher over books and rings does to keep them


class Machine:
    """See the module.

    Parameters:
      seed: of everything that is left to chance.
      settings: of the engine.
      refuses: the power stays; instead the disk refuses a ring, and every process ends, for the next sync of each is
        refused. The kernel takes the ring for written, and reads what the disk has of it at once, later, or never. The
        refused sync may be the very moment of it.
      mutant: gives each dispatcher something else than the mode's :class:`Keeping`, which has a fault.
    """

    def __init__(self, seed: int, settings: Settings, mutant: Mutant | None = None, *, refuses: bool = False) -> None:
        self.chance = random.Random(seed)
        self.settings = settings
        self.disk = Disk(self.chance)
        self.world = World()
        self._mutant = mutant
        self._refuses = refuses
        self._mono_ms = 0
        self._next_id = 0
        self._unmended: set[int] = set()  # rings that the disk has refused, and no API process has mended since
        self._forgotten = [0] * settings.host.api_processes
        self.apis: list[Api | None] = [None] * settings.host.api_processes
        self.loop: Loop | None = None
        self.network = Network(self.world, self.chance)

    def take_the_place(self, patch: pytest.MonkeyPatch) -> None:
        """Has the engine's code use this machine's disk and boot, and chance that its seed decides."""
        patch.setattr(mapping, "store", lambda _: self.disk)
        patch.setattr(filesystem, "complaint", lambda _: "")
        patch.setattr(recovery, "boot", lambda: self.disk.boot)
        patch.setattr(making, "random_odd_word", lambda: self.chance.getrandbits(64) | 1)

    @property
    def now(self) -> Now:
        """This moment."""
        return Now(self._mono_ms, START_MS + self._mono_ms)

    def live(self, steps: int, losses: int) -> None:
        """Runs with this many failures on the way, then without failures until all is settled. Checks all the time."""
        self._draw_trouble(losses)
        for _ in range(steps):
            try:
                self._step()
            except PowerLossError:
                self.loop = None
                self.apis = [None] * len(self.apis)
                if self._refuses:
                    self._lose_a_ring()
                else:
                    self.disk.lose_power()
                losses -= 1
                self._draw_trouble(losses)
        self.disk.left = self.disk.syncs_left = NEVER
        self._revive()
        self._check_recovered()
        self._settle_all()
        self._check_settled()

    # --- what happens ------------------------------------------------------------------------------------------------

    def _draw_trouble(self, losses: int) -> None:
        """After some more stores and syncs, power is lost or a process dies."""
        disk, chance = self.disk, self.chance
        disk.left = disk.syncs_left = NEVER
        if losses > 0 and chance.random() < 0.3:  # few stores lie between a log and its sync
            disk.syncs_left = chance.randrange(60)
        elif losses > 0:
            disk.left = int(chance.random() ** 2 * chance.choice((60, 300, 1500)))
        disk.trouble = KilledError if chance.random() < 0.25 else PowerLossError

    def _step(self) -> None:
        chance = self.chance
        if chance.random() < 0.03:
            self._evict(0.5)
        self._mono_ms += chance.choice((1, 3, 10, 40, 200)) if chance.random() < 0.98 else 5_000_000
        who = chance.randrange(len(self.apis) + 1)
        try:
            if who < len(self.apis):
                self.apis[who] = api = self.apis[who] or self._start_api(who)
                self._intake(api)
            else:
                self.loop = self.loop or self._start_loop()
                self._pass(self.loop)
        except KilledError:
            if who < len(self.apis):
                self.apis[who] = None
            else:
                self.loop = None
            # The power may go before it is back.
            self.disk.left, self.disk.trouble = chance.randint(0, 200), PowerLossError

    def _lose_a_ring(self) -> None:
        rings = [name for name in self.disk.files if "-ring-" in name]
        self.disk.left = self.disk.syncs_left = NEVER
        if rings:
            name = self.chance.choice(rings)
            self.disk.files[name].refuse(self.chance)
            self._evict(self.chance.choice((0.0, 0.5, 1.0, 1.0)))
            self._unmended.add(int(name.rpartition("-")[2].partition(".")[0]))  # it may be a new one

    def _evict(self, share: float) -> None:
        for file in self.disk.files.values():
            file.evict(self.chance, share)

    def _start_api(self, index: int) -> Api:
        """An API process starts. It mends its ring, and does what the log of a purge says, dispatcher or not."""
        api = Api(self.settings, index)
        self._unmended.discard(index)
        self._see_purges()
        self._check_recovered()
        return api

    def _intake(self, api: Api) -> None:
        chance, world = self.chance, self.world
        for _ in range(chance.randint(0, 5)):
            again = [one for one in list(world.payments.values())[-12:] if not one.forgotten]
            payment = chance.choice(again) if again and chance.random() < 0.3 else self._new_payment()
            try:
                verdict = api.acceptor.accept(*payment.identity, payment.cents, self.now.wall_ms, self.now.mono_ms)
            except LostError:
                continue  # 503
            if verdict is acceptor.Verdict.CONFLICT:
                raise BrokenPromiseError(f"{payment} is there with another amount")
            if verdict is not acceptor.Verdict.FULL:
                api.waiting.append((payment, api.acceptor.place(*payment.identity)))
        if chance.random() < 0.7:
            api.committer.commit()
        api.waiting = [waiting for waiting in api.waiting if not _is_answered(*waiting)]
        if chance.random() < 0.01:
            api.own.words[layout.RING_PURGE_ASKED_AT] += 1

    def _new_payment(self) -> Payment:
        self._next_id += 1
        identity = self.chance.getrandbits(64), self._next_id
        # Some amounts differ in their high bits only.
        payment = Payment(identity, 1990 + (self.chance.randrange(4) << 24) + self.chance.randrange(3))
        self.world.payments[identity] = payment
        return payment

    def _start_loop(self) -> Loop:
        settings = self.settings
        books, rings = mapping.open_books(settings), mapping.open_rings(settings)
        keeping = (self._mutant or durability.of(settings).keeping)(books, rings)
        self.network = Network(self.world, self.chance)
        ports = Ports(SetClock(self.now), self.network, keeping, NoWaker(), Doorbell(NoBell(), books.words))
        self.loop = loop = loop_over(settings, books.words, [ring.words for ring in rings], ports)
        loop.begin(self.now)
        self._see_purges()
        self._check_recovered()
        return loop

    def _pass(self, loop: Loop) -> None:
        loop.step(self.now)
        self._see_purges()

    def _revive(self) -> None:
        """Starts every process that is not running."""
        for index, api in enumerate(self.apis):
            self.apis[index] = api or self._start_api(index)
        self.loop = self.loop or self._start_loop()

    def _settle_all(self) -> None:
        loop = self.loop
        assert loop is not None
        self.network.is_calm = True
        for api in self.apis:
            assert api is not None
            api.committer.commit()
        for _ in range(PASSES_MAX):
            self._mono_ms += 500
            self._pass(loop)
            if not loop.dispatcher.has_work:
                return
        raise BrokenPromiseError("not all is settled")

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _see_purges(self) -> None:
        """A purge that was carried out has forgotten what was below it; the processors are purged at the same time."""
        below = [ring.forgotten_below for ring in rings(self.settings)]
        if below == self._forgotten:
            return
        self._forgotten = below
        memory = Known(self.settings)
        known = {identity for identity in self.world.payments if memory.has(identity)}
        for identity in self.world.payments.keys() - known:
            self.world.forget(identity)

    def _check_recovered(self) -> None:
        """After every start of a process: what was promised is there, whole, and what was sent is not QUEUED.

        What the disk has refused is there again only when its API process has started, if some of it was evicted.
        """
        if self._unmended:
            return
        memory = Known(self.settings)
        for payment in self.world.payments.values():
            if payment.forgotten:
                continue
            found = memory.find(payment.identity)
            if found is None:
                # Only what is settled may have given its slot away.
                if payment.promised and payment.identity not in self.world.charged:
                    raise BrokenPromiseError(f"{payment} was answered 202 and is gone")
                continue
            if found.cents != payment.cents:
                raise BrokenPromiseError(f"{payment} is read as {found}")
            if payment.owner is not None and found.state == layout.QUEUED:
                raise BrokenPromiseError(f"{payment} was sent and may be sent elsewhere: {found}")

    def _check_settled(self) -> None:
        world = self.world
        for payment in world.payments.values():
            if payment.promised and not payment.forgotten and len(world.charged.get(payment.identity, ())) != 1:
                raise BrokenPromiseError(f"{payment} was answered 202 and not charged")
        charges = [charge for charges in world.charged.values() for charge in charges]
        words, shape = mapping.open_books(self.settings).words, mapping.books_shape(self.settings)
        books = BooksReader(words, shape)
        expected = (_sum(charges, 0), _sum(charges, 1)), Sum(0, 0)
        if books.totals()[:2] != expected:
            raise BrokenPromiseError(f"the books say {books.totals()}, the processors {expected}")
        for level in shape.levels:
            floor, head = words[level.floor_at], words[level.head_at]
            by_bucket: dict[tuple[int, int], tuple[int, int]] = {}
            for processor, requested_ms, cents in charges:
                number = requested_ms // level.width_ms
                if floor <= number <= head:
                    count, total = by_bucket.get((processor, number % level.buckets), (0, 0))
                    by_bucket[processor, number % level.buckets] = count + 1, total + cents
            for processor in (DEFAULT, FALLBACK):
                for which, at in enumerate((level.counts_at[processor], level.cents_at[processor])):
                    wanted = memoryview(array("Q", bytes(8 * level.buckets)))
                    for (whose, bucket), sums in by_bucket.items():
                        if whose == processor:
                            wanted[bucket] = sums[which]
                    for first, end in _stretches(floor, head, level.buckets):
                        if words[at + first : at + end] != cast(Words, wanted[first:end]):
                            raise BrokenPromiseError(f"of {level.width_ms} ms the books have other sums than {charges}")


def _stretches(floor: int, head: int, buckets: int) -> list[tuple[int, int]]:
    """Where the buckets of these numbers are, in a circle of so many."""
    if head < floor:
        return []
    assert head - floor < buckets
    first, end = floor % buckets, head % buckets + 1
    return [(first, end)] if first < end else [(first, buckets), (0, end)]


def _is_answered(payment: Payment, place: Place | None) -> bool:
    """Whether a customer who waits is answered now."""
    try:
        is_kept = place is None or place.is_kept()
    except LostError:
        return True  # 503
    payment.promised = payment.promised or (is_kept and not payment.forgotten)
    return is_kept


def _sum(charges: Sequence[tuple[int, int, int]], processor: int) -> Sum:
    cents = [charge[2] for charge in charges if charge[0] == processor]
    return Sum(len(cents), sum(cents))
