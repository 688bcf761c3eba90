"""A lock whose holder does not give it back: who waits for it is told who has it, and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.books.levels import lay_out_books, shape
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor, FileLock
from engine.intake.keeper import Keeper
from engine.memory import layout
from engine.memory.words import zeros
from engine.ring import ids
from engine.ring.ring import RingWriter
from engine.storage import locks
from engine.storage.segment import SharedMemoryStore

HOLD = """
import os, sys, time
from engine.storage import locks
descriptor = os.open(sys.argv[1], os.O_RDWR)
locks.take(descriptor, int(sys.argv[2]))
print("held", flush=True)
time.sleep(1000)
"""
BYTE = 7


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to lock."""
    path = tmp_path / "books"
    path.write_bytes(bytes(4096))
    return path


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has BYTE of it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path, str(BYTE)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def opening(path: Path) -> Iterator[int]:
    """An opening of it."""
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STOPPED_SECONDS", 0.05)


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGSTOP)
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


@pytest.mark.parametrize("count", [1, 1024])
def test_the_wait_for_a_stopped_process_ends_with_its_name_and_a_remedy_and_nothing_is_held(
    holder: subprocess.Popen[str], opening: int, path: Path, count: int
) -> None:
    _stop(holder)
    with pytest.raises(locks.StuckError) as error:
        locks.take(opening, BYTE if count == 1 else 0, count)
    assert f"process {holder.pid} (" in str(error.value) and "is stopped and keeps" in str(error.value)
    assert str(path) in str(error.value) and f"kill -CONT {holder.pid}" in str(error.value)
    other = os.open(path, os.O_RDWR)
    assert locks.take(other, 0, BYTE, wait=False) and locks.take(other, BYTE + 1, 4000, wait=False)
    os.close(other)


def test_a_process_that_works_is_waited_for_longer_and_then_named_too(
    holder: subprocess.Popen[str], opening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.2)
    looks = []
    really = locks.holders

    def holders(*what: int) -> list[locks.Holder]:
        looks.append(really(*what))
        return looks[-1]

    monkeypatch.setattr(locks, "holders", holders)
    with pytest.raises(locks.StuckError, match=rf"process {holder.pid} \(.*\) keeps .* locked: end it"):
        locks.take(opening, 0, 100)
    assert all([one.pid for one in found] == [holder.pid] for found in looks)


def test_a_lock_that_is_given_back_in_time_is_had(holder: subprocess.Popen[str], opening: int) -> None:
    ending = threading.Timer(0.02, holder.kill)
    ending.start()
    assert locks.take(opening, 0, 100)
    ending.join()


def test_an_api_process_that_starts_does_not_wait_for_ever_for_one_that_is_stopped(
    holder: subprocess.Popen[str], path: Path
) -> None:
    words = zeros(layout.ring_words(64))
    layout.lay_out_ring(words, 64, 3, 5)
    ring = RingWriter(words)
    books_shape = shape(recent_seconds=30, horizon_hours=0, parked_slots=8, processors=2)
    books = zeros(books_shape.words)
    lay_out_books(books, books_shape, 5)
    store, name = SharedMemoryStore(), f"test-locks-{os.getpid()}-ids"
    segment = store.create(name, ids.ids_words(1))
    try:
        ids.lay_out_ids(segment.words, 1, words, 9)
        lock = FileLock(str(path))
        acceptor = Acceptor([ring], ring, BooksReader(books, books_shape), lock)
        assert ring.put(1, 1, 1990, 1, 1)
        _stop(holder)
        with pytest.raises(locks.StuckError, match="is stopped"):
            Keeper(acceptor, ring, segment).start()
        assert words[layout.RING_IDS_AT] == 0
        acceptor.close()
    finally:
        segment.close()
        store.remove(name)
