"""A start takes over memory of an older layout. No kill on the way loses or doubles a payment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine import settings as settings_module
from engine.books.reader import BooksReader
from engine.memory import clock, layout
from engine.memory.errors import SegmentError
from engine.payment import Payment
from engine.ring.ids import check_ids, ids_buckets, ids_words, lay_out_ids
from engine.settings import Settings
from engine.storage import durability, filesystem, making, mapping, old_layouts, recovery
from engine.storage.migration import Memory
from tests.durability.disk import NEVER, Disk, File, KilledError, PowerLossError
from tests.storage import remembered
from tests.storage.filled import Seen, see

STEP = 61  # a process is killed after every 61 stores, and at each of the ...
LAST = 15  # ... last ones
NAMES = ("filled", "killed", "purged")
OTHERS = {
    "ENGINE_API_PROCESSES": "3",
    "ENGINE_RING_SLOTS": "128",
    "ENGINE_PARKED_SLOTS": "128",
    "ENGINE_BOOKS_RECENT_SECONDS": "60",
}
MORE = {"ENGINE_PROCESSORS": "default=http://127.0.0.1:8001,fallback=http://127.0.0.1:8002,third=http://127.0.0.1:8003"}
SWAPPED = {"ENGINE_PROCESSORS": "fallback=http://127.0.0.1:8002,default=http://127.0.0.1:8001"}
each_version = pytest.mark.parametrize("version", [1, 2])


def settings_of(durability: str = "sync", **environment: str) -> Settings:
    given = {"ENGINE_NAME": "shop", "ENGINE_DURABILITY": durability, "ENGINE_DATA_DIR": "/the/disk"}
    return settings_module.read({**given, **remembered.SIZES, **environment})


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(random.Random(1))
    monkeypatch.setattr(mapping, "store", lambda _: made)
    monkeypatch.setattr(filesystem, "complaint", lambda _: "")
    monkeypatch.setattr(recovery, "boot", lambda: made.boot)
    yield made


def install(disk: Disk, version: int, name: str, boot: int = 1, state: int = layout.SYNCED) -> None:
    """Lets the disk have a memory of an old layout, last used in the boot ``boot`` and left in ``state``."""
    for part, words in remembered.segments(version, name).items():
        remembered.mark(version, part, words, boot, state)  # type: ignore[arg-type]
        disk.files[f"shop-{part}"] = File(bytes(words))


def memory_of(settings: Settings) -> Memory:
    """The engine's memory after a start with these settings."""
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    return Memory(books.words, mapping.books_shape(settings), [ring.words for ring in rings])


def contents(disk: Disk) -> dict[str, bytes]:
    return {name: bytes(file.cache) for name, file in disk.files.items()}


def payments_of(seen: Seen) -> list[Payment]:
    return [*seen.unfinished.values(), *seen.done.values()]


def check(version: int, told: Any, memory: Memory) -> None:
    """All that the old code read is there, once."""
    seen = see(memory)
    assert remembered.rows(payments_of(seen)) == remembered.rows_of(version, told, "payments")
    kept = [*seen.parked.values(), *seen.parked_done.values()]
    assert remembered.rows(one.payment for one in kept) == remembered.rows_of(version, told, "parked")
    assert sorted(one.refusals for one in kept) == (told["refusals"] or [0] * len(kept))
    assert [list(one) for one in (*seen.totals.settled[:2], seen.totals.failed)] == told["totals"][:3]
    assert list(seen.totals.before) == (told["totals"][3] if version > 1 else [0, 0])
    assert (seen.accepted, seen.refused) == (told["accepted"], told["refused"])
    reader = BooksReader(memory.books, memory.shape)
    for from_ms, to_ms, sums in told["windows"]:
        assert [list(one) for one in reader.window(from_ms, to_ms)[:2]] == sums


@each_version
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", [{}, OTHERS, MORE], ids=["as it was", "others", "three processors"])
def test_a_start_has_all_that_an_older_engine_had(disk: Disk, version: int, name: str, others: dict[str, str]) -> None:
    install(disk, version, name)
    settings = settings_of(**others)
    memory = memory_of(settings)
    check(version, remembered.expected(version, name), memory)
    assert sorted(disk.files) == sorted(["shop-books", *(f"shop-ring-{one}" for one in range(len(memory.rings)))])
    assert memory.books[layout.BOOKS_LAYOUT_AT] == layout.LAYOUT_VERSION
    assert memory.books[layout.BOOKS_GENERATION_AT] not in (0, old_layouts.GENERATION_OF_LAYOUT_1, 0x6E5)
    before = contents(disk)
    memory_of(settings)
    assert contents(disk) == before, "the next start finds nothing to do"


@each_version
@pytest.mark.parametrize("trouble", [KilledError, PowerLossError])
@pytest.mark.parametrize("others", [{}, OTHERS], ids=["as it was", "others"])
def test_nothing_is_lost_or_there_twice_wherever_the_start_is_killed(
    disk: Disk, version: int, others: dict[str, str], trouble: type[BaseException]
) -> None:
    told, settings, chance = remembered.expected(version, "killed"), settings_of(**others), random.Random(3)
    install(disk, version, "killed")
    disk.left = NEVER
    check(version, told, memory_of(settings))
    steps = NEVER - disk.left
    # The last ones are the renamings, which put the new memory in force.
    for left in (*range(0, steps - LAST, STEP), *range(steps - LAST, steps)):
        disk.files.clear()
        install(disk, version, "killed", disk.boot)
        before = contents(disk)
        disk.left, disk.trouble = left, trouble
        with pytest.raises(trouble):
            memory_of(settings)
        disk.left = NEVER
        if trouble is PowerLossError:
            disk.lose_power()
        if disk.files["shop-books"].cache[layout.BOOKS_LAYOUT_AT] == version:
            assert before.items() <= contents(disk).items(), "the old memory is as it was until the new one is true"
        assert not [name for name in disk.files if name.endswith(".new")], "an older engine would throw that away"
        check(version, told, memory_of(settings if chance.random() < 0.5 else settings_of(**OTHERS)))
    assert steps > 10 * STEP


@each_version
def test_after_a_loss_of_power_a_log_that_is_whole_is_done(disk: Disk, version: int) -> None:
    install(disk, version, "killed", boot=7)
    check(version, remembered.expected(version, "killed"), memory_of(settings_of()))


@each_version
def test_after_a_loss_of_power_a_log_that_is_not_whole_never_was(disk: Disk, version: int) -> None:
    install(disk, version, "killed", boot=7)
    disk.files["shop-books"].cache[old_layouts.BY_VERSION[version].redo_at + 1] ^= 1
    check(version, remembered.expected(version, "filled"), memory_of(settings_of()))


@each_version
@pytest.mark.parametrize("part", remembered.PARTS)
def test_files_that_were_not_left_whole_when_the_machine_went_down_are_refused(
    disk: Disk, version: int, part: str
) -> None:
    install(disk, version, "filled", boot=7)
    remembered.mark(version, part, disk.files[f"shop-{part}"].cache, 7, layout.UNCLEAN)  # type: ignore[arg-type]
    before = contents(disk)
    with pytest.raises(SegmentError, match="the machine went down while the engine ran"):
        memory_of(settings_of())
    assert contents(disk) == before


@each_version
@pytest.mark.parametrize("boot", [1, 7], ids=["the same boot", "another boot"])
def test_a_payment_that_is_damaged_stops_the_start(disk: Disk, version: int, boot: int) -> None:
    install(disk, version, "filled", boot)
    cents, changed = layout.SLOT_CENTS, 0  # the same word in each layout
    ring, slot_words = disk.files["shop-ring-0"].cache, old_layouts.BY_VERSION[version].slot_words
    for at in range(layout.slot_offset(64, 0), len(ring), slot_words):
        ring[at + cents] += 1
        changed += 1
    before = contents(disk)
    with pytest.raises(SegmentError, match=r"damaged"):
        memory_of(settings_of())
    assert changed == 64 and contents(disk) == before


@each_version
def test_an_engine_that_runs_keeps_its_memory(disk: Disk, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    install(disk, version, "filled")
    before, opened = contents(disk), disk.open

    def held(name: str) -> object:
        segment = opened(name)
        if name == "shop-ring-1":
            segment.lock = lambda *, shared=False: False  # type: ignore[method-assign]
        return segment

    monkeypatch.setattr(disk, "open", held)
    with pytest.raises(SegmentError, match=f"layout version {version}.*the engine called shop runs: stop it first"):
        memory_of(settings_of())
    assert contents(disk) == before


@each_version
def test_a_segment_that_is_missing_or_cut_short_stops_the_start_and_is_named(disk: Disk, version: int) -> None:
    install(disk, version, "filled")
    whole = disk.files["shop-ring-0"]
    disk.files["shop-ring-0"] = File(bytes(whole.cache[:-1]))
    with pytest.raises(SegmentError, match=r"shop-ring-0: it has \d+ words and should have"):
        memory_of(settings_of())
    del disk.files["shop-ring-0"]
    with pytest.raises(SegmentError, match=r"shop-ring-0: it was removed"):
        memory_of(settings_of())


@each_version
def test_the_engines_clock_goes_on(disk: Disk, version: int) -> None:
    install(disk, version, "filled", boot=7)
    books = memory_of(settings_of()).books
    if version == 1:
        assert clock.read_ms(books) - 1_760_000_000_000 > 0, "it begins at the wall clock"
    else:
        assert 0 <= clock.read_ms(books) - 5_061_000 < 60_000, "it goes on where it was last seen"
        assert books[layout.BOOKS_FINGERPRINTS_AT] == 0xFEED
        assert books[layout.BOOKS_SET_BACK_AT] == 1_760_000_000_000 - 9
        assert (books[layout.BOOKS_DISCREPANCIES_AT], books[layout.BOOKS_UNCONFIRMED_AT]) == (4, 5)


def test_a_parked_payment_of_layout_1_knows_the_slot_that_it_had(disk: Disk) -> None:
    install(disk, 1, "filled")
    memory = memory_of(settings_of())
    homes = 0
    for at in range(memory.shape.parked_at, memory.shape.words, layout.PARKED_WORDS):
        home = memory.books[at + layout.PARKED_HOME]
        if home:
            position = home & (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1
            words = memory.rings[(home >> layout.ADDRESS_SEGMENT_SHIFT) - 1]
            slot = layout.slot_offset(64, position)
            assert words[slot + layout.SLOT_ID_LOW] == memory.books[at + layout.PARKED_ID_LOW]
            homes += 1
    assert homes > 5


def test_what_an_engine_of_layout_2_left_half_taken_over_is_finished_first(disk: Disk) -> None:
    install(disk, 2, "filled")
    for index in (0, 1):
        disk.files[f"shop-ring-{index}.new"] = disk.files[f"shop-ring-{index}"]
    for index in range(3):
        older = File(bytes(disk.files["shop-ring-0.new"].cache))
        older.cache[layout.RING_GENERATION_AT] = 7
        disk.files[f"shop-ring-{index}"] = older
    replaced_at = old_layouts.LAYOUT_2.replaced_at
    assert replaced_at is not None
    disk.files["shop-books"].cache[replaced_at] = 7
    check(2, remembered.expected(2, "filled"), memory_of(settings_of()))
    assert sorted(disk.files) == ["shop-books", "shop-ring-0", "shop-ring-1"]


def test_the_id_memory_goes_on(disk: Disk) -> None:
    install(disk, 2, "filled")
    buckets, ring = ids_buckets(1), disk.files["shop-ring-0"].cache
    words: Any = memoryview(bytearray(8 * ids_words(buckets))).cast("Q")
    lay_out_ids(words, buckets, ring, 5)  # type: ignore[arg-type]
    assert words[layout.IDS_LAYOUT_AT] == 2
    assert check_ids(words, buckets, memory_of(settings_of()).rings[0]) == ""


@each_version
def test_another_order_of_processors_is_refused_and_changes_nothing(disk: Disk, version: int) -> None:
    install(disk, version, "filled")
    before = contents(disk)
    with pytest.raises(SegmentError, match=r"counted for default, fallback, in this order, and .* fallback, default"):
        memory_of(settings_of(**SWAPPED))
    assert contents(disk) == before


@each_version
def test_what_a_removal_would_forget_is_counted_and_nothing_is_changed(disk: Disk, version: int) -> None:
    install(disk, version, "killed")
    before, told = contents(disk), remembered.expected(version, "killed")
    states = [row[told["fields"].index("state")] for row in told["payments"]]
    parked = [row[told["fields"].index("state")] for row in told["parked"]]
    open_states = (layout.QUEUED, layout.PROCESSING, layout.ALREADY)
    left = making.unfinished(disk, "shop", durability.MODES["sync"])
    assert left.in_rings == sum(state in open_states for state in states) > 0
    assert left.parked == sum(state in open_states for state in parked) > 0
    assert contents(disk) == before


@each_version
def test_a_person_may_say_that_a_processor_has_moved_before_the_first_start(disk: Disk, version: int) -> None:
    install(disk, version, "filled")
    making.make_ready(disk, "shop", None, durability.MODES["sync"])
    check(version, remembered.expected(version, "filled"), memory_of(settings_of()))
