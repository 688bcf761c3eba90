"""A process that attaches to a segment never removes it, and each segment has its own locks."""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys
import uuid
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from engine.storage import locks, names
from engine.storage.segment import FileStore, SharedMemoryStore, Store
from tests.storage.places import REPOSITORY, on_disk

LENGTH = 1 << 20


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield SharedMemoryStore()
    else:
        with on_disk() as directory:
            yield FileStore(str(directory))


@pytest.fixture
def name(store: Store) -> Iterator[str]:
    made = f"test-{uuid.uuid4().hex[:12]}"
    yield made
    for one in (made, f"{made}.new"):
        store.remove(one)


def test_what_was_stored_is_there_for_whoever_attaches_later(store: Store, name: str) -> None:
    first = store.create(name, 100)
    first.words[99] = 1 << 63
    first.close()
    second = store.open(name)
    assert (len(second.words), second.words[98], second.words[99]) == (100, 0, 1 << 63)
    second.close()


def test_attaching_that_fails_removes_nothing(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = store.create(name, 100)
    made.words[5] = 7
    descriptors = len(os.listdir("/proc/self/fd"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    for module, function in ((mmap, "mmap"), (os, "fstat")):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, refuse)
            with pytest.raises(OSError, match="Cannot allocate memory"):
                store.open(name)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert made.is_current()
    assert store.open(name).words[5] == 7


PROGRAM = """
import resource, sys
from engine.storage.segment import FileStore, SharedMemoryStore
store = FileStore(sys.argv[2]) if sys.argv[2] else SharedMemoryStore()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
try:
    store.{call}
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("call", "said"), [("open(sys.argv[1])", "allocate"), ("create(sys.argv[1], 1 << 20)", "exists")]
)
def test_a_process_without_address_space_removes_nothing(store: Store, name: str, call: str, said: str) -> None:
    made = store.create(name, LENGTH)
    directory = getattr(store, "_directory") if isinstance(store, FileStore) else ""  # noqa: B009
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call), name, directory],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said in done.stdout
    assert made.is_current()


def test_making_what_is_there_fails_and_leaves_it(store: Store, name: str) -> None:
    made = store.create(name, 100)
    made.words[5] = 7
    with pytest.raises(FileExistsError):
        store.create(name, 200)
    assert made.is_current() and made.words[5] == 7


def test_making_without_room_leaves_nothing_and_nothing_of_others_goes(store: Store, name: str) -> None:
    other = store.create(f"{name}.new", 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.create(name, LENGTH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert name not in store.names()
    assert other.is_current()


def test_making_that_cannot_be_mapped_leaves_nothing(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", refuse)
        with pytest.raises(OSError, match="Cannot allocate memory"):
            store.create(name, 100)
    assert name not in store.names()


def test_whoever_is_attached_notices_that_the_name_means_something_else(store: Store, name: str) -> None:
    made = store.create(name, 100)
    seen = store.open(name)
    assert made.is_current() and seen.is_current()
    store.create(f"{name}.new", 100).close()
    store.rename(f"{name}.new", name)
    assert not seen.is_current()
    again = store.open(name)
    assert again.is_current()
    store.remove(name)
    assert not again.is_current()


def test_a_segment_is_held_by_one_process_until_it_lets_go(store: Store, name: str) -> None:
    store.create(name, 100).close()
    first, second = store.open(name), store.open(name)
    assert first.lock() and not second.lock()
    first.unlock()
    assert second.lock() and not first.lock()
    second.close()
    assert first.lock()


def test_locks_of_single_bytes_are_those_of_one_opening_and_go_with_it(store: Store, name: str) -> None:
    kept = store.create(name, 100)
    first, second = (os.open(kept.lock_path, os.O_RDWR) for _ in range(2))
    assert locks.take(first, 7)
    assert not locks.take(second, 7, wait=False)
    assert locks.take(second, 8, wait=False)
    os.close(os.open(kept.lock_path, os.O_RDWR))  # POSIX record locks would go now
    assert not locks.take(second, 7, wait=False)
    os.close(first)
    assert locks.take(second, 7, wait=False)
    locks.free(second, 7)
    os.close(second)


def test_a_lock_file_that_is_removed_while_it_is_waited_for_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "lock")
    with locks.holding(path, 0):
        with pytest.raises(BlockingIOError), locks.holding(path, 0, wait=False):
            pass
        with locks.holding(path, 1):
            pass
    removed: list[str] = []

    def take(descriptor: int, byte: int, wait: bool = True) -> bool:
        taken = really_take(descriptor, byte, wait)
        if not removed:
            os.unlink(path)
            removed.append(path)
        return taken

    really_take = locks.take
    monkeypatch.setattr(locks, "take", take)
    with locks.holding(path, 0):
        monkeypatch.undo()
        with pytest.raises(BlockingIOError), locks.holding(path, 0, wait=False):
            pass
    assert removed


@pytest.mark.parametrize(
    ("engine", "name", "is_own"),
    [
        ("shop", "shop-books", True),
        ("shop", "shop-ring-0", True),
        ("shop", "shop-ring-15.new", True),
        ("shop", "shop-books.new", True),
        ("shop", "shop-books-books", False),
        ("shop", "shop-ring-0-ring-0", False),
        ("shop", "shop-ring-0-books", False),
        ("shop", "shop-ring-x", False),
        ("shop", "shop-ring-", False),
        ("shop", "shop-ring-00", False),
        ("shop", "rcshop-books", False),
        ("rc", "rcshop-books", False),
        ("shop", "shopper-books", False),
        ("shop", "shop.lock", False),
        ("shop-ring-0", "shop-ring-0", False),
        ("shop-ring-0", "shop-ring-0-books", True),
        ("shop-books", "shop-books", False),
        ("shop-books", "shop-books-books", True),
    ],
)
def test_an_engine_owns_its_segments_and_no_other_engines(engine: str, name: str, is_own: bool) -> None:
    assert names.own(engine, [name]) == ([name] if is_own else [])


def test_segments_are_made_by_the_standard_library_and_not_tracked(name: str, store: Store) -> None:
    if isinstance(store, SharedMemoryStore):
        made = store.create(name, 100)
        assert isinstance(made._memory, SharedMemory)
        subprocess.run(
            [sys.executable, "-c", f"from engine.storage.segment import *; SharedMemoryStore().open({name!r})"],
            cwd=REPOSITORY, check=True,
        )  # fmt: skip
        assert made.is_current()
