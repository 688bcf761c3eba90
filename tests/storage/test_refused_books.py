"""The disk refuses the books, the kernel forgets what was not written of them, and the machine goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.books.levels import lay_out_books, shape
from engine.books.writer import BooksWriter, seal_log
from engine.memory import layout
from engine.memory.words import PAGE_WORDS, SECTOR_WORDS, zeros
from engine.storage.durability import Syncing
from tests.durability.disk import Disk
from tests.durability.machine import Machine, small_settings

SEEDS = range(30, 60)  # 41 has books whose log is not whole
STEPS = 120
LOSSES = 8


def _lose_books(disk: Disk) -> None:
    """Every process has ended, for its sync was refused; the boot is the same."""
    for name, file in disk.files.items():
        if name.endswith("-books"):
            file.lose_power(disk.chance)


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Runs the life of a machine."""
    settings = small_settings(tmp_path)

    def run(seed: int) -> None:
        machine = Machine(seed, settings)
        monkeypatch.setattr(Disk, "lose_power", _lose_books)
        machine.take_the_place(monkeypatch)
        machine.live(STEPS, LOSSES)

    return run


@pytest.mark.timeout(300)
def test_nothing_promised_is_lost_or_charged_twice_when_the_disk_refuses_the_books(
    live: Callable[[int], None],
) -> None:
    for seed in SEEDS:
        try:
            live(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("slots", [64, 128, 1024])
def test_a_dispatcher_that_starts_writes_each_page_again_that_has_words_of_its_own(slots: int) -> None:
    disk = Disk(random.Random(1))
    ring, books = disk.create("ring", layout.ring_words(slots)), disk.create("books", 5 * PAGE_WORDS)
    layout.lay_out_ring(ring.words, slots, 3, 5)
    files = [disk.files["ring"], disk.files["books"]]
    for file in files:
        file.synced()
    Syncing(books, [ring]).begin()
    written = [{sector * SECTOR_WORDS // PAGE_WORDS for sector in file.versions} for file in files]
    fields = range(layout.SLOT_PROGRESS, layout.SLOT_WORDS)
    places = (place for field in fields for place in layout.slot_places(slots, field))
    assert written[0] == {0, *(place // PAGE_WORDS for place in places)} and written[1] == set(range(5))


@pytest.mark.parametrize("left", [layout.SYNCED, layout.UNCLEAN])
def test_a_log_that_is_not_whole_is_dropped_if_a_writer_with_sync_has_left_it_and_done_otherwise(left: int) -> None:
    books = shape(recent_seconds=30, horizon_hours=0, parked_slots=8, processors=2)
    words = zeros(books.words)
    lay_out_books(words, books, 5)
    words[layout.BOOKS_CLEAN_AT] = left
    words[layout.REDO_AT], words[layout.REDO_AT + 1] = layout.BOOKS_TOTALS_AT, 7
    words[layout.BOOKS_REDO_COUNT_AT] = 1
    seal_log(words, 1)
    words[layout.REDO_AT + 1] = 3  # an older page
    BooksWriter(words, books, []).recover()
    assert words[layout.BOOKS_TOTALS_AT] == (0 if left == layout.SYNCED else 3)
    assert words[layout.BOOKS_REDO_COUNT_AT] == 0 and words[layout.BOOKS_VERSION_AT] % 2 == 0
