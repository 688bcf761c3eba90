"""Files that are not as they should be are refused with a clear message, and never misread."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.books.writer import BooksWriter
from engine.intake.alarm import Alarm
from engine.intake.committer import Committer
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings
from engine.storage import mapping, recovery
from engine.storage.segment import Segment
from tests.durability.disk import Disk

PAGE_SECTORS = 8
SLOTS = 256
NOW_MS = 1_700_000_000_000


def settings_in(directory: Path, durability: str = "sync", **others: str) -> Settings:
    return settings_module.read(
        {
            "ENGINE_NAME": "files",
            "ENGINE_DURABILITY": durability,
            "ENGINE_RUN_DIR": str(directory / "run"),
            "ENGINE_DATA_DIR": str(directory / "some" / "data"),
            "ENGINE_RING_SLOTS": str(SLOTS),
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            **others,
        }
    )


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Segment, Segment]]:
    """Ring 0 and the books."""
    ring, books = mapping.open_ring(settings, 0), mapping.open_books(settings)
    try:
        yield ring, books
    finally:
        ring.close()
        books.close()


def pay(ring: Segment) -> None:
    """One payment, (1, 1), with a 202."""
    writer = RingWriter(ring.words)
    assert writer.put(1, 1, 1990, NOW_MS, 0)


def file_of(settings: Settings, name: str) -> Path:
    return Path(settings.storage.data_dir, f"{settings.host.name}-{name}")


def cut(to_bytes: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, to_bytes)


def store(index: int, value: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with open(path, "r+b") as file:
            file.seek(8 * index)
            file.write(value.to_bytes(8, "little"))

    return change


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(bytes(8))


@pytest.mark.parametrize("name", ["ring-0", "books"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut(8), "cut short: 8 bytes are left"),
        (cut(500), "cut short"),
        (cut(4096), "words and should have"),
        (grow, "words and should have"),
        (store(0, 0x6761626761626761), "it is not"),
        (store(layout.RING_LAYOUT_AT, 0), "it has layout version 0, this engine writes"),
        (lambda path: path.write_bytes(os.urandom(5000)), "it is not"),
        (lambda path: path.write_text("hello"), "it is empty"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "its beginning is blank"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be opened"),
    ],
    ids=[
        "8 bytes",
        "500 bytes",
        "4096",
        "longer",
        "magic",
        "layout",
        "garbage",
        "hello",
        "zeros",
        "nothing",
        "directory",
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, name: str, change: Callable[[Path], object], words: str
) -> None:
    settings = settings_in(tmp_path)
    with opened(settings):
        pass
    path = file_of(settings, name)
    change(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(SegmentError, match=words) as caught, opened(settings):
        pass
    assert path.name in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


# --- the machine went down -------------------------------------------------------------------------------------------


def reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = recovery.boot()
    monkeypatch.setattr(recovery, "boot", lambda: boot + 1)


@pytest.mark.parametrize("now", ["disk", "sync"])
@pytest.mark.parametrize("at", [layout.RING_CLEAN_AT, layout.RING_CLOSED_AT])
def test_what_ran_without_sync_is_refused_whatever_mode_the_next_run_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str, at: int
) -> None:
    with opened(settings_in(tmp_path, "disk")) as (ring, _):
        ring.mark(layout.UNCLEAN, at)
    reboot(monkeypatch)
    with pytest.raises(SegmentError, match=r"the machine went down while the engine ran.*\./engine\.sh reset"):
        mapping.open_ring(settings_in(tmp_path, now), 0)


@pytest.mark.parametrize("now", ["disk", "sync"])
def test_what_ran_with_sync_is_repaired_whatever_mode_the_next_run_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    with opened(settings_in(tmp_path, "sync")) as (ring, _):
        pay(ring)
        ring.words[layout.RING_READY_AT] = 0
    reboot(monkeypatch)
    with opened(settings_in(tmp_path, now)) as (ring, _):
        assert RingReader(ring.words).ready == 1


def test_files_of_a_run_with_disk_are_safe_as_soon_as_a_run_with_sync_has_opened_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(settings_in(tmp_path, "disk")) as (ring, books):
        ring.mark(layout.UNCLEAN, layout.RING_CLEAN_AT, layout.RING_CLOSED_AT)
        books.mark(layout.UNCLEAN, layout.BOOKS_CLEAN_AT)
        pay(ring)
    with opened(settings_in(tmp_path, "sync")):
        pass
    reboot(monkeypatch)
    with opened(settings_in(tmp_path, "sync")) as (ring, _):
        assert RingReader(ring.words).find(1, 1) is not None


def test_a_log_that_a_run_with_disk_left_open_is_done_by_a_run_with_sync_though_the_machine_goes_down_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(settings_in(tmp_path, "disk")) as (ring, books):
        books.mark(layout.UNCLEAN, layout.BOOKS_CLEAN_AT)
        address = 1 << layout.ADDRESS_SEGMENT_SHIFT | layout.slot_offset(SLOTS, 3) + layout.SLOT_SETTLED
        books.words[layout.REDO_AT], books.words[layout.REDO_AT + 1] = address, 42
        books.words[layout.BOOKS_REDO_COUNT_AT] = 1  # committed, and killed before it was applied
    with opened(settings_in(tmp_path, "sync")):
        pass
    reboot(monkeypatch)
    settings = settings_in(tmp_path, "sync")
    with opened(settings) as (ring, books):
        assert books.words[layout.BOOKS_REDO_COUNT_AT] == 1
        BooksWriter(books.words, mapping.books_shape(settings), [ring.words], books.sync).recover()
        assert ring.words[address & (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1] == 42


# --- a disk that refuses ---------------------------------------------------------------------------------------------


def test_a_disk_without_room_stops_the_start_in_clear_words_and_leaves_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    result = subprocess.run(
        [sys.executable, "-m", "engine", "up"],
        env=os.environ | settings_module.as_environment(settings),
        preexec_fn=little_room,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "files-books: it cannot be made with its" in result.stderr
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(settings.storage.data_dir) == ["files.lock"]


class DeafSegment(Segment):
    """A file whose disk refuses."""

    def __init__(self, segment: Segment) -> None:
        self.words = segment.words

    def sync(self) -> None:
        raise OSError(5, "Input/output error")


class ExitError(Exception):
    """In the place of os._exit."""


def test_a_disk_that_refuses_ends_the_process_and_no_payment_is_kept_or_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, segment = a_ring()
    committed: list[int] = []
    committer = Committer(ring, DeafSegment(segment), no_alarm, lambda: committed.append(1))
    assert ring.put(1, 1, 1990, NOW_MS, 0)

    def leave(code: int) -> None:
        raise ExitError(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(ExitError, match="1"):
        committer.commit()
    assert (ring.ready, committed) == (0, [])


def test_the_next_process_writes_every_page_again_before_it_answers() -> None:
    ring, segment = a_ring()
    file = segment._file
    Committer(ring, segment, no_alarm, lambda: None)
    file.synced()
    synced: list[set[int]] = []
    file.synced = lambda: synced.append({number // PAGE_SECTORS for number in file.versions})
    Committer(ring, segment, no_alarm, lambda: None).start()
    first_page = layout.slot_offset(SLOTS, 0) * 8 // 4096
    last_page = (len(segment.words) - 1) * 8 // 4096
    assert synced[0] >= {0, *range(first_page, last_page + 1)}


def no_alarm(_: Callable[[], None]) -> Alarm:
    return cast(Alarm, None)


def a_ring() -> tuple[RingWriter, Any]:
    segment = Disk(random.Random(1)).create("ring", layout.ring_words(SLOTS))
    layout.lay_out_ring(segment.words, SLOTS, 1, 3)
    return RingWriter(segment.words, is_synced=True), segment


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_books_have_one_dispatcher_wherever_its_run_directory_is(tmp_path: Path, durability: str) -> None:
    here = settings_in(tmp_path, durability)
    elsewhere = settings_in(tmp_path, durability, ENGINE_RUN_DIR=str(tmp_path / "b"))
    first, second = mapping.open_books(here), mapping.open_books(elsewhere)
    try:
        assert first.lock() and not second.lock()
        first.close()
        assert second.lock()
    finally:
        second.close()
        mapping.remove_all(here)
