"""How fast the ledger carries: ``python -m tests.ledger.speed [--cpu 1] [--rounds 5] sqlite|postgresql``.

A batch has as many payments as attempts. The process, and the server with all of its processes, run on one core. The
time of `carry` is measured, from rows in memory to the commit, with fsync on, and the CPU time of all these processes,
which says what one core could do where nobody else wants it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from engine.lab.ledger import server
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger, write_cursor
from tests.ledger import making


def main() -> None:
    """Prints the rate of each round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("sqlite", "postgresql"))
    parser.add_argument("--cpu", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--payments", type=int, default=5000, help="of a batch")
    parser.add_argument("--normal", action="store_true", help="synchronous=NORMAL in SQLite")
    parser.add_argument("--place", default="/var/tmp", help="where SQLite's file is")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.cpu})
    with opened(options.kind, options.place, not options.normal) as database:
        first, rates = 0, list[float]()
        tree = psutil.Process()
        for number in range(options.rounds):
            batches = []
            for _ in range(options.batches):
                ids = [random.randbytes(16) for _ in range(options.payments)]
                batches.append(making.batch(first, options.payments, ids=ids))
                first += options.payments
            begin, begin_cpu = time.perf_counter(), used(tree)
            for batch in batches:
                assert carry(database, batch) == 0
            taken, cpu = time.perf_counter() - begin, used(tree) - begin_cpu
            count = options.batches * options.payments
            rates.append(count / cpu)
            print(
                f"round {number}: {count / taken:8,.0f} payments and as many attempts a second, "
                f"{cpu / count * 1e6:.1f} us of CPU each: {rates[-1]:8,.0f} a second of a core"
            )
        print(f"median {statistics.median(rates):,.0f} a second of a core; {first:,} payments in the end")


def used(tree: psutil.Process) -> float:
    """CPU seconds of this process and its children, those that have ended too."""
    own = [os.times().user + os.times().system]
    for process in tree.children(recursive=True):
        times = process.cpu_times()
        own.append(times.user + times.system + times.children_user + times.children_system)
    return sum(own)


@contextlib.contextmanager
def opened(kind: str, place: str, is_full: bool) -> Iterator[Database]:
    """An empty ledger."""
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=place))}/{Path('ledger.db')}"
        else:
            url = stack.enter_context(server.running(fsync="on", full_page_writes="on")).new_database("speed")
        database = open_ledger(url, name="engine", engine=making.ENGINE, is_full=is_full, limit_s=60)
        stack.callback(database.close)
        with database.transaction() as connection:
            write_cursor(connection, making.cursor(), making.NOW_MS)
        yield database


if __name__ == "__main__":
    main()
