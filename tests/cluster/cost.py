"""What a payment costs the store in PostgreSQL: bytes that it keeps, bytes of the log, time of a batch.

``.venv/bin/python -m tests.cluster.cost [PAYMENTS [BATCH]]``; fsync and full_page_writes are on.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

from engine.cluster.postgres import SCHEMA, Postgres
from engine.cluster.values import ROWS_MAX, Epoch, Kind, Offer, Outcome, Pin, Verdict
from engine.lab.ledger import server

NOW_MS = 1_795_766_400_000
TABLES = ("payment", "entry", "folded")
INDEXES = ("payment_pkey", "payment_open", "payment_pinned", "entry_pkey")


def measure(own: server.Server, payments: int, batch: int) -> None:
    """Accepts, pins and settles so many payments, and prints what that took."""
    store = Postgres(own.url, limit_s=60)
    by = store.join("cell", bytes(16), random.randbytes(16), 0, 600_000)
    with psycopg.connect(own.url, autocommit=True, options=f"-c search_path={SCHEMA}") as session:
        session.execute("CHECKPOINT")
        log = position(session)
        took = [0.0, 0.0, 0.0]
        for first in range(0, payments, batch):
            settle(store, by, first, batch, took)
        written = position(session) - log
        print(f"{payments} payments in batches of {batch}")
        for name, seconds in zip(("accept", "pin", "conclude"), took, strict=True):
            print(f"{name}: {seconds / payments * batch * 1000:.1f} ms a batch, {payments / seconds:.0f} a second")
        print(f"log: {written / payments:.0f} bytes a payment")
        sizes(session, payments, "as it is")
        for table in TABLES:
            session.execute(f"VACUUM {table}")
        sizes(session, payments, "after a vacuum")
        session.execute("REINDEX SCHEMA engine_cluster")
        session.execute("VACUUM FULL payment")
        sizes(session, payments, "rewritten")
        began = time.monotonic()
        while store.forget(by, by.cell, NOW_MS * 2, ROWS_MAX):
            pass
        print(f"forget: {payments / (time.monotonic() - began):.0f} payments a second")
        for table in TABLES:
            session.execute(f"VACUUM {table}")
        sizes(session, payments, "all forgotten")
    store.close()


def settle(store: Postgres, by: Epoch, first: int, batch: int, took: list[float]) -> None:
    """One batch; the seconds are added to ``took``."""
    draw = random.Random(first)
    ids = [draw.randbytes(16) for _ in range(batch)]
    at_ms = NOW_MS + first
    steps: list[Callable[[], Any]] = [
        lambda: store.accept(by, [Offer(one, 1990, at_ms) for one in ids]),
        lambda: store.pin(by, [Pin(one, 1, 0, at_ms) for one in ids]),
        lambda: store.conclude(by, [Outcome(one, Kind.SETTLED, 0, at_ms, at_ms) for one in ids]),
    ]
    for number, step in enumerate(steps):
        began = time.monotonic()
        rows = step()
        took[number] += time.monotonic() - began
        assert all(row.verdict == Verdict.NEW for row in rows)


def position(session: psycopg.Connection[Any]) -> int:
    """How many bytes of the log are written."""
    row = session.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def sizes(session: psycopg.Connection[Any], payments: int, when: str) -> None:
    """Prints bytes for each payment."""
    found = {}
    for name in (*TABLES, *INDEXES):
        row = session.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone()
        assert row is not None
        found[name] = row[0] / payments
    total = sum(found[table] for table in TABLES)
    print(f"{when}: {total:.0f} bytes a payment:", ", ".join(f"{name} {size:.0f}" for name, size in found.items()))


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    count, rows = arguments + [100_000, 500][len(arguments) :]
    with server.running(fsync="on", full_page_writes="on") as running:
        measure(running, count, rows)
