"""An engine's segments are made and taken over as a whole or not at all, wherever a kill or a loss of power comes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import pytest

from engine import settings as settings_module
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.processors import FALLBACK
from engine.ring.ring import RingWriter
from engine.settings import Settings
from engine.storage import filesystem, making, mapping, recovery
from engine.storage.migration import Memory
from tests.durability.disk import NEVER, Disk, File, KilledError, PowerLossError
from tests.storage.filled import CLOCK_MS, NOW_MS, Seen, check_taken_over, fill, see

STEP = 9  # a process is killed after every 9 stores: relatively prime to the length of the code's loops
SIZES = {"ENGINE_API_PROCESSES": "2", "ENGINE_RING_SLOTS": "128"}
OTHERS = {"ENGINE_API_PROCESSES": "3", "ENGINE_RING_SLOTS": "64", "ENGINE_PARKED_SLOTS": "32"}
FEWER = {"ENGINE_API_PROCESSES": "1", "ENGINE_RING_SLOTS": "256"}


def settings_of(durability: str = "sync", **environment: str) -> Settings:
    return settings_module.read(
        {
            "ENGINE_NAME": "shop",
            "ENGINE_DURABILITY": durability,
            "ENGINE_DATA_DIR": "/the/disk",
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            "ENGINE_PARKED_SLOTS": "64",
            **SIZES,
            **environment,
        }
    )


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
    return Memory(books.words, mapping.books_shape(settings), [ring.words for ring in rings])


def generations(memory: Memory) -> set[int]:
    return {
        memory.books[layout.BOOKS_GENERATION_AT],
        *(words[layout.RING_GENERATION_AT] for words in memory.rings),
    }


def copy_of(files: dict[str, File]) -> dict[str, File]:
    return {name: File(bytes(file.cache)) for name, file in files.items()}


def start_in_trouble(disk: Disk, settings: Settings, left: int, trouble: type[BaseException] = KilledError) -> bool:
    """A start that is killed, or loses power, after ``left`` stores and syncs. Returns whether that happened."""
    disk.left, disk.trouble = left, trouble
    try:
        memory_of(settings)
    except KilledError:
        return True
    except PowerLossError:
        disk.lose_power()
        return True
    finally:
        disk.left = NEVER
    return False


def fill_and_see(settings: Settings, seed: int) -> Seen:
    memory = memory_of(settings)
    fill(memory, random.Random(seed), 230)
    return see(memory)


def test_all_segments_of_an_engine_have_one_generation_and_another_engine_has_another(disk: Disk) -> None:
    (first,) = generations(memory_of(settings_of()))
    (again,) = generations(memory_of(settings_of()))
    (other,) = generations(memory_of(settings_of(ENGINE_NAME="other")))
    assert first == again != 0
    assert other not in (0, first)


@pytest.mark.parametrize("trouble", [KilledError, PowerLossError])
def test_whoever_is_killed_while_the_first_segments_are_made_leaves_what_is_made_anew(
    disk: Disk, trouble: type[BaseException]
) -> None:
    left = 0
    while start_in_trouble(disk, settings_of(), left, trouble):
        memory = memory_of(settings_of())
        assert len(generations(memory)) == 1
        assert RingWriter(memory.rings[1]).put(1, 2, 3, NOW_MS, CLOCK_MS)
        assert sorted(disk.files) == ["shop-books", "shop-ring-0", "shop-ring-1"]
        disk.files.clear()
        left += STEP
    assert left > 30 * STEP


@pytest.mark.parametrize("trouble", [KilledError, PowerLossError])
@pytest.mark.parametrize("others", [OTHERS, FEWER], ids=["others", "fewer"])
def test_nothing_is_lost_or_there_twice_wherever_a_start_with_other_sizes_is_killed(
    disk: Disk, others: dict[str, str], trouble: type[BaseException]
) -> None:
    old, new = settings_of(), settings_of(**others)
    before = fill_and_see(old, seed=5)
    room = {id(settings): settings.host.api_processes * settings.storage.ring_slots for settings in (old, new)}
    for file in disk.files.values():
        file.synced()
    kept = copy_of(disk.files)
    left = 0
    while start_in_trouble(disk, new, left, trouble):
        # The next one wants what this one wanted, or the old sizes again, and may be killed too.
        chance = random.Random(left)
        again = chance.choice((old, new))
        while chance.random() < 0.5:
            start_in_trouble(disk, again, chance.randrange(700), trouble)
            again = chance.choice((old, new))
        after = see(memory_of(again))
        assert after.unfinished == before.unfinished and after.parked == before.parked
        assert (after.totals, after.counters, after.accepted) == (before.totals, before.counters, before.accepted)
        memory = memory_of(new)
        check_taken_over(before, see(memory), room[id(new)]) if again is new else None
        assert len(generations(memory)) == 1
        assert len(disk.files) == 1 + new.host.api_processes
        disk.files = copy_of(kept)
        left += STEP
    assert left > 30 * STEP
    check_taken_over(before, see(memory_of(new)), room[id(new)])


def test_a_committed_transaction_that_a_killed_dispatcher_left_is_done_before_anything_is_taken_over(
    disk: Disk,
) -> None:
    memory = memory_of(settings_of("disk"))
    assert RingWriter(memory.rings[1]).put(1, 2, 3, NOW_MS, CLOCK_MS)
    at = layout.slot_offset(128, 0) + layout.SLOT_PROGRESS
    memory.books[layout.REDO_AT] = 2 << layout.ADDRESS_SEGMENT_SHIFT | at
    memory.books[layout.REDO_AT + 1] = layout.pack_progress(0, layout.PROCESSING, FALLBACK, 7)
    memory.books[layout.REDO_AT + 2] = layout.BOOKS_DISCREPANCIES_AT
    memory.books[layout.REDO_AT + 3] = 4
    memory.books[layout.BOOKS_REDO_COUNT_AT] = 2
    memory = memory_of(settings_of("disk", **OTHERS))
    payment = see(memory).unfinished[1, 2]
    assert (payment.state, payment.processor, payment.attempts) == (layout.PROCESSING, FALLBACK, 7)
    assert memory.books[layout.BOOKS_DISCREPANCIES_AT] == 4
    assert memory.books[layout.BOOKS_REDO_COUNT_AT] == 0


def test_what_does_not_fit_is_refused_and_stays_as_it_was(disk: Disk) -> None:
    settings = settings_of()
    memory = memory_of(settings)
    for words in memory.rings:
        for number in range(100):
            assert RingWriter(words).put(id(words), number, 3, NOW_MS, CLOCK_MS)
    before = see(memory)
    with pytest.raises(SegmentError, match=r"200 payments are unfinished.*2 x 64") as caught:
        memory_of(settings_of(ENGINE_RING_SLOTS="64"))
    assert "ENGINE_RING_SLOTS says 64 and the memory has 128" in str(caught.value)
    assert see(memory_of(settings)) == before
    assert len(disk.files) == 3


def test_after_a_reboot_the_engines_clock_goes_on_where_it_was_last_seen(disk: Disk) -> None:
    from engine.memory import clock

    memory = memory_of(settings_of())
    memory.books[layout.STATUS_CLOCK_MS] = 123_456
    disk.boot += 1
    assert 0 <= clock.read_ms(memory_of(settings_of()).books) - 123_456 < 60_000
    disk.boot += 1
    assert 0 <= clock.read_ms(memory_of(settings_of(**OTHERS)).books) - 123_456 < 60_000


@pytest.mark.parametrize("name", ["shop-books", "shop-ring-0", "shop-ring-1"])
def test_a_segment_that_was_removed_stops_every_start_and_is_named(disk: Disk, name: str) -> None:
    memory_of(settings_of())
    disk.remove(name)
    kept = copy_of(disk.files)
    for settings in (settings_of(), settings_of(**OTHERS)):
        with pytest.raises(SegmentError, match=f"{name}: it was removed"):
            memory_of(settings)
    assert disk.files.keys() == kept.keys()


def test_a_segment_of_another_generation_stops_every_start_and_is_named(disk: Disk) -> None:
    memory_of(settings_of())
    kept = copy_of(disk.files)
    disk.files.clear()
    memory_of(settings_of())
    disk.files["shop-ring-1"] = kept["shop-ring-1"]
    for settings in (settings_of(), settings_of(**OTHERS)):
        with pytest.raises(SegmentError, match=r"shop-ring-1: it is not of one generation with shop-books"):
            memory_of(settings)


def test_a_ring_that_is_too_many_stops_every_start_and_is_named(disk: Disk) -> None:
    memory_of(settings_of())
    disk.files["shop-ring-7"] = copy_of(disk.files)["shop-ring-1"]
    with pytest.raises(SegmentError, match=r"shop-ring-7: it is none of this engine's"):
        memory_of(settings_of())


@pytest.mark.parametrize("index", [0, None])
def test_memory_of_a_newer_layout_is_refused_and_the_way_out_is_said(disk: Disk, index: int | None) -> None:
    memory = memory_of(settings_of())
    if index is None:
        memory.books[layout.BOOKS_LAYOUT_AT] = 4
    else:
        memory.rings[index][layout.RING_LAYOUT_AT] = 4
    with pytest.raises(SegmentError, match=r"layout version 4, .*let the engine that wrote it settle them.*--force"):
        memory_of(settings_of())


@pytest.mark.parametrize("version", [1, 2])
def test_a_ring_of_an_older_layout_than_the_books_is_refused(disk: Disk, version: int) -> None:
    memory_of(settings_of()).rings[1][layout.RING_LAYOUT_AT] = version
    with pytest.raises(SegmentError, match=f"shop-ring-1: it has layout version {version}, where 3 is expected"):
        memory_of(settings_of())


def test_a_disk_without_room_for_the_new_memory_leaves_the_old_one(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fill_and_see(settings_of(), seed=6)
    create: Callable[..., object] = disk.create

    def refuse(name: str, length: int) -> object:
        if "ring-1" in name:
            raise OSError(28, "No space left on device")
        return create(name, length)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "create", refuse)
        with pytest.raises(SegmentError, match=r"shop-ring-1: it cannot be made with its .* No space left"):
            memory_of(settings_of(**OTHERS))
    assert len(disk.files) == 3
    assert see(memory_of(settings_of())) == before


def test_an_engine_that_is_used_keeps_its_sizes(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fill_and_see(settings_of(), seed=7)
    opened = disk.open

    def held(name: str) -> object:
        segment = opened(name)
        if name == "shop-ring-1":
            segment.lock = lambda *, shared=False: False  # type: ignore[method-assign]
        return segment

    with monkeypatch.context() as patch:
        patch.setattr(disk, "open", held)
        with pytest.raises(
            SegmentError, match=r"ENGINE_RING_SLOTS says 64.*while the engine called shop runs: stop it"
        ):
            memory_of(settings_of(**OTHERS))
        memory_of(settings_of())
    assert see(memory_of(settings_of())) == before


def test_removing_leaves_the_lock_to_the_last(disk: Disk) -> None:
    settings = settings_of()
    memory_of(settings)
    with contextlib.suppress(KilledError):
        disk.left, disk.trouble = 1, KilledError
        making.remove(disk, "shop")
    disk.left = NEVER
    assert "shop-books" in disk.files, "what is left says that it is not whole"
    with pytest.raises(SegmentError, match="was removed"):
        memory_of(settings)
    making.remove(disk, "shop")
    assert disk.files == {}
