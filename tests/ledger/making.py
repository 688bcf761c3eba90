"""Rows and batches for the ledger's tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from engine.ledger.rows import AttemptRow, Batch, Cursor, PaymentRow, RingCursor
from engine.memory import layout

NOW_MS = 1_795_766_400_000  # 2026-11-27 08:00 UTC
ENGINE = bytes(range(16))
JOURNAL = 0xFEDC_BA98_7654_3210  # does not fit into 63 bits


def cursor(journal: int = 0, seen: int = 0, **changes: Any) -> Cursor:
    """A cursor of the engine with one ring."""
    rings = (RingCursor(0, seen, seen),) if seen else ()
    return Cursor(ENGINE, 0, 1, journal, 0, rings, JOURNAL)._replace(**changes)


def payment(number: int, /, **changes: Any) -> PaymentRow:
    """The payment of this number, completed at processor 0 after 20 ms."""
    at_ms = NOW_MS + number
    identity = random.Random(number).randbytes(16)
    row = PaymentRow(
        1, identity, layout.COMPLETED, 0, 1, 1990, at_ms, at_ms + 5, at_ms + 20, 50_000, layout.REASON_NONE, 0, number
    )
    return row._replace(**changes)


def attempt(number: int, sequence: int, /, **changes: Any) -> AttemptRow:
    """The attempt that settles the payment of this number."""
    row = payment(number)
    begin, end = row.accepted_ms + 5, row.accepted_ms + 20
    return AttemptRow(sequence, 1, row.id, 1, 0, False, begin, end, 0, 200, None, 15_000, begin)._replace(**changes)


def batch(first: int, count: int, *, ids: Sequence[bytes] = ()) -> Batch:
    """``count`` payments from the number ``first`` on, with an attempt each, after the batches before it."""
    numbers = range(first, first + count)
    rows = [payment(number) for number in numbers]
    attempts = [attempt(number, 2 * number) for number in numbers]
    if ids:
        rows = [row._replace(id=identity) for row, identity in zip(rows, ids, strict=True)]
        attempts = [row._replace(id=identity) for row, identity in zip(attempts, ids, strict=True)]
    end = first + count
    return Batch(cursor(2 * first, first), cursor(2 * end, end), tuple(rows), tuple(attempts))
