"""Another list of processors: a longer one is accepted, another order is not, a shorter one if nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from engine import settings as settings_module
from engine.addresses import fingerprint
from engine.books import listed, parked
from engine.books.reader import BooksReader, Sum
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.payment import Payment
from engine.ring.ring import RingWriter
from engine.settings import Settings
from engine.storage import filesystem, fingerprints, mapping, recovery
from engine.storage.migration import Memory
from tests.durability.disk import NEVER, Disk, File, KilledError
from tests.storage.filled import CLOCK_MS, NOW_MS, fill, see

STEP = 53
URLS = {"default": "http://d:1", "fallback": "http://f:1", "third": "http://t:1", "fourth": "http://q:1"}


def settings_of(*names: str) -> Settings:
    return settings_module.read(
        {
            "ENGINE_NAME": "shop",
            "ENGINE_DURABILITY": "disk",
            "ENGINE_DATA_DIR": "/the/disk",
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            "ENGINE_PARKED_SLOTS": "64",
            "ENGINE_RING_SLOTS": "128",
            "ENGINE_PROCESSORS": ",".join(f"{name}={URLS.get(name, f'http://{name}:1')}" for name in names),
        }
    )


TWO = settings_of("default", "fallback")
THREE = settings_of("default", "fallback", "third")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(random.Random(1))
    monkeypatch.setattr(mapping, "store", lambda _: made)
    monkeypatch.setattr(filesystem, "complaint", lambda _: "")
    monkeypatch.setattr(recovery, "boot", lambda: made.boot)
    yield made


def memory_of(settings: Settings) -> Memory:
    """The engine's memory after a start with these settings."""
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    fingerprints.keep(settings.processors.urls, books.words)
    return Memory(books.words, mapping.books_shape(settings), [ring.words for ring in rings])


def contents(disk: Disk) -> dict[str, bytes]:
    return {name: bytes(file.cache) for name, file in disk.files.items()}


def put(memory: Memory, state: int, processor: int) -> None:
    """A payment of ring 0 in a state, with what belongs to it in the books."""
    ring = RingWriter(memory.rings[0])
    assert ring.put(1, ring.head, 100, NOW_MS, CLOCK_MS)
    position = ring.head - 1
    books = BooksWriter(memory.books, memory.shape, memory.rings)
    books.begin(NOW_MS)
    if state == layout.COMPLETED:
        books.settle(processor, NOW_MS, 100)
    elif state == layout.FAILED:
        books.fail(100)
    elif state == layout.CHARGED_BEFORE:
        books.charged_before(100)
    elif state == layout.PARKED:
        payment = ring.read(position)
        assert payment is not None
        parked.put(books, memory.shape, payment._replace(state=layout.PROCESSING, processor=processor))
    word = layout.pack_progress(position, state, processor, 1)
    books.put(1, ring.offset(position) + layout.SLOT_PROGRESS, word)
    books.commit()


@pytest.mark.parametrize("names", [("default", "fallback", "third"), ("default", "fallback", "third", "fourth")])
def test_a_list_that_has_grown_at_its_end_goes_on_with_all_there_is(disk: Disk, names: tuple[str, ...]) -> None:
    memory = memory_of(TWO)
    fill(memory, random.Random(3), 200)
    before, windows = (
        see(memory),
        [BooksReader(memory.books, memory.shape).window(NOW_MS + at, None) for at in (0, 500)],
    )
    memory = memory_of(settings_of(*names))
    after, nothing = see(memory), (Sum(0, 0),) * (len(names) - 2)
    assert (after.unfinished, after.done) == (before.unfinished, before.done)
    assert (after.parked, after.parked_done) == (before.parked, before.parked_done)
    assert after.totals == before.totals._replace(settled=before.totals.settled + nothing)
    reader = BooksReader(memory.books, memory.shape)
    assert [reader.window(NOW_MS + at, None) for at in (0, 500)] == [one + nothing for one in windows]
    assert listed.read(memory.books) == names
    put(memory, layout.COMPLETED, len(names) - 1)
    assert reader.totals().settled[-1] == Sum(1, 100)


def test_whoever_is_killed_while_the_list_grows_leaves_the_old_or_the_new_one(disk: Disk) -> None:
    fill(memory_of(TWO), random.Random(4), 60)
    before, kept = see(memory_of(TWO)), contents(disk)
    left, is_killed = 0, True
    while is_killed:
        disk.files = {name: File(content) for name, content in kept.items()}
        disk.left, disk.trouble, is_killed = left, KilledError, False
        try:
            memory_of(THREE)
        except KilledError:
            is_killed = True
        disk.left = NEVER
        after = see(memory_of(THREE))
        assert (after.unfinished, after.done, after.parked) == (before.unfinished, before.done, before.parked)
        assert after.totals.settled[:2] == before.totals.settled
        left += STEP
    assert left > 10 * STEP


@pytest.mark.parametrize("names", [("fallback", "default"), ("default", "other"), ("third", "default", "fallback")])
@pytest.mark.parametrize(
    "state", [layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE, layout.PROCESSING, layout.PARKED, layout.ALREADY]
)
def test_another_order_or_name_is_refused_with_the_way_out(disk: Disk, names: tuple[str, ...], state: int) -> None:
    put(memory_of(TWO), state, 0)
    before = see(memory_of(TWO))
    with pytest.raises(SegmentError) as caught:
        memory_of(settings_of(*names))
    said = str(caught.value)
    assert "shop: its payments are counted for default, fallback, in this order" in said
    assert f"ENGINE_PROCESSORS names {', '.join(names)}" in said
    assert "Begin the list with default, fallback" in said and "`./engine.sh reset`" in said
    assert len(disk.files) == 3 and see(memory_of(TWO)) == before


@pytest.mark.parametrize("names", [("fallback", "default"), ("one", "other"), ("third", "default", "fallback")])
def test_memory_in_which_nothing_depends_on_a_processor_takes_any_list(disk: Disk, names: tuple[str, ...]) -> None:
    put(memory_of(TWO), layout.QUEUED, 1)
    before = see(memory_of(TWO))
    books = mapping.open_books(settings_of(*names)).words
    assert listed.read(books) == names
    assert [books[layout.BOOKS_FINGERPRINTS_AT + number] for number in range(8)] == [0] * 8
    assert see(memory_of(settings_of(*names))).unfinished == before.unfinished


def test_the_last_of_a_list_may_go_when_it_was_never_used(disk: Disk) -> None:
    memory = memory_of(THREE)
    put(memory, layout.COMPLETED, 0)
    put(memory, layout.PROCESSING, 1)
    put(memory, layout.QUEUED, 2)  # it was refused there, certainly not charged
    before = see(memory)
    memory = memory_of(TWO)
    after = see(memory)
    assert (after.unfinished, after.done) == (before.unfinished, before.done)
    assert after.totals.settled == before.totals.settled[:2]
    assert listed.read(memory.books) == ("default", "fallback")
    assert memory.books[layout.BOOKS_FINGERPRINTS_AT] == fingerprint(URLS["default"])
    assert memory.books[layout.BOOKS_FINGERPRINTS_AT + 2] == 0


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (layout.COMPLETED, "it has settled 1 payments"),
        (layout.PROCESSING, "1 payments are unresolved there"),
        (layout.ALREADY, "1 payments are unresolved there"),
        (layout.PARKED, "1 payments are unresolved there"),
        (layout.CHARGED_BEFORE, "1 payments had been charged there before"),
    ],
)
def test_the_last_of_a_list_stays_while_something_depends_on_it(disk: Disk, state: int, why: str) -> None:
    memory = memory_of(THREE)
    put(memory, layout.COMPLETED, 0)
    put(memory, state, 2)
    before = see(memory_of(THREE))
    with pytest.raises(SegmentError, match=f"third cannot leave the list of ENGINE_PROCESSORS: {why}. Name it"):
        memory_of(TWO)
    assert len(disk.files) == 3 and see(memory_of(THREE)) == before


def test_refusals_of_a_processor_that_has_left_are_not_those_of_its_successor(disk: Disk) -> None:
    memory = memory_of(THREE)
    put(memory, layout.COMPLETED, 0)
    books = BooksWriter(memory.books, memory.shape, memory.rings)
    books.begin(NOW_MS)
    payment = Payment(0, 1, 2, 100, NOW_MS, layout.QUEUED, 2, 3, NOW_MS, 0, 0, CLOCK_MS)
    assert parked.put(books, memory.shape, payment, 0x33_22_11) is not None
    books.commit()
    (one,) = see(memory_of(TWO)).parked.values()
    assert one.refusals == 0x22_11
    (one,) = see(memory_of(settings_of("default", "fallback", "fourth"))).parked.values()
    assert one.refusals == 0x22_11


def test_books_that_count_for_more_processors_than_there_can_be_are_refused(disk: Disk) -> None:
    memory_of(TWO).books[layout.BOOKS_PROCESSORS_AT] = 9
    with pytest.raises(SegmentError, match="shop-books: it counts for 9 processors"):
        memory_of(TWO)


def test_a_name_fills_its_place() -> None:
    words = memoryview(bytearray(8 * layout.REDO_AT)).cast("Q")
    names = tuple(f"{number}" + "x" * 31 for number in range(8))
    words[layout.BOOKS_PROCESSORS_AT] = 8
    listed.write(names, words)  # type: ignore[arg-type]
    assert listed.read(words) == names  # type: ignore[arg-type]
    assert not any(words[layout.BOOKS_TOTALS_AT :])
