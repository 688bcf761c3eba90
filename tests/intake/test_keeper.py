"""What is promised of the id memory over starts, stops, other sizes and loss of power: an id that has left its ring is
known; and where it is not asked for there is none."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor, FileLock, Place, Verdict
from engine.intake.alarm import Alarm
from engine.intake.committer import Committer
from engine.intake.keeper import Keeper
from engine.intake.payment import parse_id
from engine.memory import layout
from engine.payment import Payment
from engine.ring.ids import IdMemory, ids_buckets, ids_words
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings
from engine.storage import filesystem, making, mapping, recovery
from engine.storage.segment import SHARED_MEMORY_DIRECTORY, Segment
from tests.durability.disk import NEVER, Disk, DiskSegment, KilledError, PowerLossError
from tests.intake.engine import Engine, engine, new_id, pay
from tests.intake.test_acceptor import CLOCK_MS, NOW_MS, lock_file
from tests.ring.test_ids import LEAST
from tests.ring.test_ring import finish

SLOTS = 64
ON = {"ENGINE_ID_MEMORY": str(LEAST)}
Id = tuple[int, int]


@contextlib.contextmanager
def opened_ids(made: Engine, **others: str) -> Iterator[Segment]:
    settings = settings_module.read(made.environment | others)
    segment = mapping.open_ids(settings, made.segments[0])
    assert segment is not None
    try:
        yield segment
    finally:
        segment.close()


def segments_of(made: Engine) -> set[str]:
    return {path.name for path in Path(SHARED_MEMORY_DIRECTORY).glob(f"{made.settings.host.name}-*")}


def pay_and_settle(made: Engine, *identities: str) -> Payment:
    """Payments at API process 0; the last one as it was accepted."""
    with made.client() as client:
        for identity in identities:
            assert pay(client, identity).status_code == 202
            payment = made.rings[0].read(made.rings[0].head - 1)
            assert payment is not None and (payment.id_high, payment.id_low) == parse_id(identity)
            made.settle(0, payment.position)
    assert payment is not None
    return payment


def lap(made: Engine) -> None:
    """The ring goes round once."""
    pay_and_settle(made, *(new_id() for _ in range(SLOTS)))


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


# --- on and off ------------------------------------------------------------------------------------------------------


def test_by_default_there_is_no_id_memory_and_an_id_that_left_its_ring_is_new(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        made.start()
        identity = new_id()
        pay_and_settle(made, identity)
        lap(made)
        assert not pay_and_settle(made, identity).is_seen
        assert segments_of(made) == {
            f"{made.settings.host.name}-{part}" for part in ("books", "metrics", "ring-0", "ring-1")
        }


@pytest.mark.parametrize("durability", ["memory", "disk", "sync"])
def test_an_id_that_left_its_ring_is_accepted_and_marked_also_after_a_kill_and_after_a_stop(
    tmp_path: Path, durability: str
) -> None:
    with engine(str(tmp_path), ENGINE_DURABILITY=durability, **ON) as made:
        process = made.start()
        identity = new_id()
        assert not pay_and_settle(made, identity).is_seen
        lap(made)
        assert made.rings[0].find(*parse_id(identity)) is None
        assert pay_and_settle(made, identity).is_seen
        lap(made)
        process.kill()
        process.wait()
        process = made.start()
        assert pay_and_settle(made, identity).is_seen
        lap(made)
        stop(process)
        made.start()
        assert pay_and_settle(made, identity).is_seen
        assert not pay_and_settle(made, new_id()).is_seen


def test_what_was_accepted_while_it_was_off_is_known_from_the_ring_when_it_is_on_again(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        before, meanwhile = new_id(), new_id()
        stop(made.start())
        with_memory = made.environment.copy()
        made.environment["ENGINE_ID_MEMORY"] = "0"
        process = made.start()
        pay_and_settle(made, before)
        lap(made)
        pay_and_settle(made, meanwhile)
        stop(process)
        assert made.rings[0].words[layout.RING_IDS_AT] == 0
        made.environment.update(with_memory)
        made.start()
        lap(made)
        assert pay_and_settle(made, meanwhile).is_seen
        assert not pay_and_settle(made, before).is_seen  # it had left the ring by then


def test_reset_removes_it(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        stop(made.start())
        assert f"{made.settings.host.name}-ids" in segments_of(made)
        subprocess.run(
            [sys.executable, "-m", "engine", "reset", "--force"], env=made.environment, check=True, capture_output=True
        )
        assert segments_of(made) == set()


# --- another size ----------------------------------------------------------------------------------------------------


def test_a_memory_of_another_size_is_made_anew_the_log_says_so_and_it_knows_what_the_rings_do(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        process = made.start()
        old, young = new_id(), new_id()
        pay_and_settle(made, old)
        lap(made)
        pay_and_settle(made, young)
        stop(process)
        process = made.launch(0, ENGINE_ID_MEMORY=str(LEAST + 1))
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "WARNING" in said and f"{made.settings.host.name}-ids: it has 1024 buckets" in said
        assert "asks for 2048; it is made anew and knows what the rings remember" in said
        assert "api 0 on" in process.stderr.readline()
        with opened_ids(made, ENGINE_ID_MEMORY=str(LEAST + 1)) as segment:
            memory = IdMemory(segment.words)
            assert memory.contains(*parse_id(young))
            assert not memory.contains(*parse_id(old))


def test_a_memory_that_a_process_uses_is_not_made_anew_under_it(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        made.start()
        other = made.launch(1, ENGINE_ID_MEMORY=str(LEAST + 1))
        assert other.wait(10) == 2
        assert other.stderr is not None
        assert "asks for 2048, and a process uses it as it is; stop all API processes first" in other.stderr.read()
        made.start(1)


def test_a_memory_whose_maker_died_is_made_anew(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        with opened_ids(made) as segment:
            number = segment.words[layout.IDS_NUMBER_AT]
            segment.words[layout.IDS_MAGIC_AT] = 0
        with opened_ids(made) as segment:
            assert segment.words[layout.IDS_NUMBER_AT] not in (0, number)


def test_a_memory_beside_a_ring_with_other_seeds_is_made_anew(tmp_path: Path) -> None:
    with engine(str(tmp_path), **ON) as made:
        with opened_ids(made) as segment:
            number = segment.words[layout.IDS_NUMBER_AT]
        made.rings[0].words[layout.RING_SEED_LOW_AT] += 2
        with opened_ids(made) as segment:
            assert segment.words[layout.IDS_NUMBER_AT] != number
            assert IdMemory(segment.words).seeds[1] == made.rings[0].words[layout.RING_SEED_LOW_AT]


# --- what leaves the ring is on disk ---------------------------------------------------------------------------------


class Later(Executor):
    """In the place of the thread that syncs: it is done when chance says so, or when somebody waits."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **names: Any) -> Future[Any]:
        chance = self._chance

        class Waiting(Future[Any]):
            def done(self) -> bool:
                if not super().done() and chance.random() < 0.2:
                    self.result()
                return super().done()

            def result(self, timeout: float | None = None) -> Any:
                if not super().done():
                    self.set_result(function(*arguments, **names))
                return super().result(timeout)

        return Waiting()


class NoAlarm:
    """The machine says when to commit."""

    def set(self, _delay_ms: int) -> None:
        """See :class:`Alarm`."""


class Api:
    """An API process as engine/intake/command.py starts it."""

    def __init__(self, settings: Settings, index: int, chance: random.Random) -> None:
        self.segments, books = mapping.open_rings(settings), mapping.open_books(settings)
        self.own = RingWriter(self.segments[index].words, is_synced=True)
        rings = [self.own if number == index else RingReader(one.words) for number, one in enumerate(self.segments)]
        ids = mapping.open_ids(settings, self.segments[0])
        assert ids is not None
        reader = BooksReader(books.words, mapping.books_shape(settings))
        self.memory = IdMemory(ids.words)
        self.acceptor = Acceptor(rings, self.own, reader, FileLock(lock_file(Path(settings.host.run_dir))), self.memory)
        keeper = Keeper(self.acceptor, self.own, ids, Later(chance))
        keeper.start()
        keeper.write_again()
        alarm = cast(Alarm, NoAlarm())
        self.committer = Committer(self.own, self.segments[index], lambda _: alarm, lambda: None, keeper)
        self.committer.start()
        self.index = index

    def knows(self, identity: Id) -> bool:
        return self.acceptor.find(*identity) is not None or self.memory.contains(*identity)


class Machine:
    """Two API processes, a disk and a dispatcher. At any store and sync, power is lost or a process dies."""

    def __init__(self, seed: int, settings: Settings) -> None:
        self.chance = random.Random(seed)
        self.disk = Disk(self.chance)
        self.settings = settings
        self.apis: list[Api | None] = [None, None]
        self.promised: list[Id] = []
        self._waiting: list[tuple[int, Id, Place | None]] = []

    def live(self, steps: int, losses: int) -> None:
        for _ in range(losses):
            self.disk.left = self.chance.randint(0, 6000)
            for _ in range(steps):
                try:
                    self._step()
                except PowerLossError:
                    break
                except KilledError:
                    self._close(self._who)
                    self.disk.left, self.disk.trouble = self.chance.randint(0, 6000), PowerLossError
            self.disk.left = NEVER
            for index in (0, 1):
                self._close(index)
            if self.chance.random() < 0.9:
                self.disk.lose_power()
            self._waiting.clear()
            for index in (0, 1):
                self.apis[index] = Api(self.settings, index, self.chance)
            for api in self.apis:
                assert api is not None
                forgotten = [one for one in self.promised if not api.knows(one)]
                assert not forgotten, f"forgotten: {forgotten}"
            self.disk.trouble = KilledError if self.chance.random() < 0.3 else PowerLossError
        for index in (0, 1):
            self._close(index)

    def _step(self) -> None:
        chance, self._who = self.chance, self.chance.randrange(2)
        api = self.apis[self._who] = self.apis[self._who] or Api(self.settings, self._who, chance)
        for _ in range(chance.choice((1, 5, 40, 100))):
            again = self.promised and chance.random() < 0.1
            identity = chance.choice(self.promised) if again else (chance.getrandbits(64), chance.getrandbits(64))
            if api.acceptor.accept(*identity, 100, NOW_MS, CLOCK_MS) in (Verdict.ACCEPTED, Verdict.SAME):
                place = api.acceptor.place(*identity)
                self._waiting.append((self._who, identity, place))
                if place is not None and not place.is_kept():
                    api.committer.gather()
            if chance.random() < 0.05:
                self._settle(api)
        if chance.random() < 0.8:
            api.committer.commit()
            self._settle(api)

    def _settle(self, api: Api) -> None:
        """What is on disk has its 202, and most of it is settled."""
        waiting, self._waiting = self._waiting, []
        for index, identity, place in waiting:
            if index == api.index and (place is None or place.is_kept()):
                self.promised.append(identity)
            else:
                self._waiting.append((index, identity, place))
        for position in range(max(0, api.own.head - SLOTS), api.own.ready):
            if not api.own.is_done(position) and self.chance.random() < 0.95:
                finish(api.own.words, position)
        api.segments[api.index].sync()

    def _close(self, index: int) -> None:
        api = self.apis[index]
        if api is not None:
            api.acceptor.close()
        self.apis[index] = None


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Runs the life of a machine by its seed."""
    settings = settings_module.read(
        {
            "ENGINE_DURABILITY": "sync",
            "ENGINE_RUN_DIR": str(tmp_path),
            "ENGINE_DATA_DIR": "/the/disk",
            "ENGINE_RING_SLOTS": str(SLOTS),
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            "ENGINE_PARKED_SLOTS": "16",
            **ON,
        }
    )

    def run(seed: int) -> None:
        machine = Machine(seed, settings)
        monkeypatch.setattr(mapping, "store", lambda _: machine.disk)
        monkeypatch.setattr(filesystem, "complaint", lambda _: "")
        monkeypatch.setattr(recovery, "boot", lambda: machine.disk.boot)
        monkeypatch.setattr(making, "random_odd_word", lambda: machine.chance.getrandbits(64) | 1)
        monkeypatch.setattr(DiskSegment, "lock", lambda _, *, shared=False: shared or True)
        machine.live(steps=40, losses=4)

    return run


SEEDS = range(30)
MUTANT_SEEDS = range(60)  # the mutant must be found within this many


def test_with_sync_every_id_that_has_had_its_202_is_known_wherever_the_power_goes(live: Callable[[int], None]) -> None:
    for seed in SEEDS:
        try:
            live(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def insert_in_the_wrong_order(memory: IdMemory, at: int, fingerprint: int) -> None:
    """The fingerprint before the cursor, which may then still point to it after the power has gone."""
    lane = (memory.words[at] & 0xFFFF) + 1
    place, shift = at + lane // 4, lane % 4 * 16
    memory.words[place] = memory.words[place] & ~(0xFFFF << shift) | fingerprint << shift
    memory.words[at] = memory.words[at] & ~0xFFFF | lane % layout.IDS_BUCKET_LANES


@pytest.mark.parametrize(
    ("where", "what", "instead"),
    [
        (Keeper, "start", lambda _: None),
        (Keeper, "keep", lambda *_: None),
        (IdMemory, "_insert", insert_in_the_wrong_order),
    ],
    ids=["the ring's ids", "syncing", "the order"],
)
def test_whatever_is_left_out_is_found_out(
    live: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, where: type, what: str, instead: Callable[..., None]
) -> None:
    monkeypatch.setattr(where, what, instead)
    with pytest.raises(AssertionError, match="forgotten"):
        for seed in MUTANT_SEEDS:
            live(seed)


class Slow(Executor):
    """A sync that is done when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Future[None]] = []

    def submit(self, function: Callable[..., Any], /, *_: Any, **__: Any) -> Future[Any]:
        self.begun.append(Future())
        return self.begun[-1]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Keeper, Slow, RingWriter]]:
    with engine(str(tmp_path), **ON) as made, opened_ids(made) as segment:
        own = RingWriter(made.segments[0].words)
        rings: list[RingReader] = [own, made.rings[1]]
        acceptor = Acceptor(rings, own, made.reader, FileLock(lock_file(tmp_path)), IdMemory(segment.words))
        slow = Slow()
        yield Keeper(acceptor, own, segment, slow), slow, own
        acceptor.close()


def test_a_sync_begins_each_quarter_of_a_lap_and_one_at_a_time(kept: tuple[Keeper, Slow, RingWriter]) -> None:
    keeper, slow, _ = kept
    keeper.keep(SLOTS // 4 - 1)
    assert len(slow.begun) == 0
    keeper.keep(SLOTS // 4)
    keeper.keep(SLOTS // 2 - 1)
    assert len(slow.begun) == 1
    slow.begun[0].set_result(None)
    keeper.keep(SLOTS // 2 - 1)
    assert len(slow.begun) == 1
    keeper.keep(SLOTS // 2)
    assert len(slow.begun) == 2


def test_a_process_that_starts_writes_every_page_again(tmp_path: Path) -> None:
    segment = Disk(random.Random(1)).create("ids", ids_words(ids_buckets(LEAST)))
    content = memoryview(random.Random(2).randbytes(len(segment.words) * 8)).cast("Q")
    segment.words[0 : len(content)] = content  # type: ignore[call-overload]
    segment.sync()
    file = cast(DiskSegment, segment)._file
    with engine(str(tmp_path)) as made:
        own = RingWriter(made.segments[0].words)
        acceptor = Acceptor([own], own, made.reader, FileLock(lock_file(tmp_path)))
        Keeper(acceptor, own, segment).write_again()
        acceptor.close()
    pages = -(-len(content) // 512)
    assert {sector // 8 for sector in file.versions} == set(range(pages))
    assert file.cache == content


def test_a_disk_that_refuses_the_memory_is_told_to_the_commit(kept: tuple[Keeper, Slow, RingWriter]) -> None:
    keeper, slow, _ = kept
    keeper.keep(SLOTS // 4)
    slow.begun[0].set_exception(OSError(5, "Input/output error"))
    with pytest.raises(OSError, match="Input/output"):
        keeper.keep(SLOTS // 4 + 1)
