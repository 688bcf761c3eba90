"""What processes hold: rings and books count once and as a whole, and a leak in one process is seen there."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from engine.lab.machine import usage
from engine.lab.machine.processes import SUPERVISOR
from engine.lab.machine.use import Mapping, mappings

_ENTRY = """{range} {access} 00000000 00:01 {inode} {gap}{path}
Size:               1024 kB
Rss:                 512 kB
Pss:                 {pss} kB
Pss_Dirty:             0 kB
Anonymous:           {anonymous} kB
VmFlags: rd mr
"""


def entry(access: str, path: str, pss: int, anonymous: int) -> str:
    return _ENTRY.format(
        range="7f00-7f10", access=access, inode=5, gap=" " * 20, path=path, pss=pss, anonymous=anonymous
    )


def test_a_ring_is_told_from_what_else_a_process_maps() -> None:
    smaps = (
        entry("r-xp", "/usr/bin/python3", 300, 0)
        + entry("rw-p", "[heap]", 4000, 4000)
        + entry("rw-p", "", 50, 50)
        + entry("rw-s", "/dev/shm/engine-ring-0", 100, 0)
        + entry("rw-s", "/dev/zero (deleted)", 8, 0)
    )
    kb = 1024
    assert mappings(smaps) == [
        Mapping(None, 300 * kb, 0),
        Mapping(None, 4000 * kb, 4000 * kb),
        Mapping(None, 50 * kb, 50 * kb),
        Mapping("/dev/shm/engine-ring-0", 100 * kb, 0),
        Mapping(None, 8 * kb, 0),
    ]


def test_shared_memory_counts_as_a_whole_before_it_has_been_touched(tmp_path: Path) -> None:
    size = 4_000_000 // mmap.PAGESIZE * mmap.PAGESIZE
    before = usage.look(os.getpid())
    with open(tmp_path / "ring", "w+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        with mmap.mmap(file.fileno(), size):
            during = usage.look(os.getpid())
    assert size <= during.shared - before.shared < size * 1.1


def test_what_a_process_takes_is_seen() -> None:
    before = usage.look(os.getpid())
    # Not from the heap, which may have room left by the tests before.
    taken = mmap.mmap(-1, 8_000_000 // mmap.PAGESIZE * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(bytes(len(taken)))
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
    try:
        # Tests before this one may have left children of their own beside.
        was, now = (seen.processes[SUPERVISOR] for seen in (before, usage.look(os.getpid())))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert now.anonymous - was.anonymous > len(taken) * 0.9
    assert now.fds - was.fds == 10
    assert now.pid == os.getpid()
