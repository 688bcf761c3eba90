"""50 discrepancies at the simulated processors, and what was found: ``python -m tests.reconcile.planted [--seed N]``.

Payments of two hours; ten of each kind: removed, added, other amount, moved by a millisecond, and two that cancel (one
removed, one of the same amount added, in the same window). First as a run without lookups finds them, then deep.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from contextlib import closing
from typing import NamedTuple

from engine.ledger.database import Database, open_ledger, write_cursor
from engine.ledger.rows import PaymentRow
from engine.reconcile.check import WINDOW_MS
from engine.reconcile.finding import Finding
from engine.reconcile.span import Span
from tests.ledger import making
from tests.ledger.making import NOW_MS
from tests.reconcile.world import World

EACH = 10
KINDS = ("removed", "added", "other amount", "moved", "cancel")
HOURS_MS = 2 * 3_600_000
SPAN = Span(NOW_MS, NOW_MS + HOURS_MS - 1)


class Planted(NamedTuple):
    """A discrepancy. ``at``: the milliseconds that a finding must name; ``ids``: of ours that it must name."""

    kind: str
    processor: int
    at: tuple[int, ...]
    ids: tuple[bytes, ...]


def plant(world: World, each: int = EACH) -> list[Planted]:
    """Plants ``each`` of every kind at payments of their own milliseconds."""
    times = Counter((row.processor, row.requested_ms) for row in world.rows)
    free = [row for row in world.rows if times[row.processor, row.requested_ms] == 1]
    victims = world.draw.sample(free, each * (len(KINDS) - 1))
    planted = [_plant(world, KINDS[place % len(KINDS)], victims) for place in range(each * len(KINDS))]
    world.apply()
    return planted


def _plant(world: World, kind: str, victims: list[PaymentRow]) -> Planted:
    if kind == "added":
        anywhere, when_ms = world.draw.randrange(2), NOW_MS + world.draw.randrange(HOURS_MS)
        world.add(anywhere, when_ms, world.draw.randrange(1, 10**5))
        return Planted(kind, anywhere, (when_ms,), ())
    row = victims.pop()
    assert row.processor is not None and row.requested_ms is not None
    processor, at_ms = row.processor, row.requested_ms
    if kind in ("removed", "cancel"):
        del world.charged[processor][row.id]
    if kind == "other amount":
        world.charge(row, cents=row.cents + world.draw.randrange(1, 10**5))  # so that no two of them cancel
    if kind == "moved":
        world.charge(row, at_ms=at_ms + 1)
    if kind != "cancel":
        return Planted(kind, processor, (at_ms,), (row.id,))
    window = at_ms - at_ms % WINDOW_MS
    other_ms = window + world.draw.randrange(WINDOW_MS)
    world.add(processor, other_ms, row.cents)
    return Planted(kind, processor, (at_ms, other_ms), (row.id,))


def is_found(one: Planted, findings: list[Finding]) -> bool:
    """Whether every millisecond of it is named, and every id."""
    mine = [finding for finding in findings if finding.processor == one.processor]
    ids = {finding.id for finding in mine}
    return set(one.at) <= {finding.span.from_ms for finding in mine} and set(one.ids) <= ids


def world_of(database: Database, count: int, seed: int) -> World:
    """A world of SPAN."""
    return World(database, count, seed, SPAN.length_ms)


def main() -> None:
    """Prints how many of each kind were found, and what that cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--payments", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{place}/ledger.db"
        with closing(open_ledger(url, name="engine", engine=making.ENGINE, is_full=False)) as database:
            with database.transaction() as connection:
                write_cursor(connection, making.cursor(), NOW_MS)
            world = world_of(database, options.payments, options.seed)
            planted = plant(world)
            for is_deep in (False, True):
                run, count = world.reconcile(SPAN, deep=is_deep)
                found = Counter(one.kind for one in planted if is_found(one, world.open()))
                told = ", ".join(f"{found[kind]} of {EACH} {kind}" for kind in KINDS)
                print(f"{'deep' if is_deep else 'sums'}: {told}")
                print(
                    f"      {count} open, {run.summaries} summary calls, {run.lookups} lookups, {run.windows} windows"
                )


if __name__ == "__main__":
    main()
