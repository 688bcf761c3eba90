"""What a run has reached: a simulation that never comes to the dark corners proves nothing about them."""

from __future__ import annotations

from collections import Counter

from engine.lab.dst.plan import DAY_STEP_MS, PROCESSORS
from engine.lab.dst.world import World
from engine.ledger.rows import PURGED
from engine.memory import layout

_DETAILED = ("is killed", "ended", "is here again", "is asked to stop", "stops")  # whose last detail is counted too
_WORDS = {
    "parked": layout.BOOKS_PARKED_TAKEN_AT,
    "dead letters": layout.BOOKS_DEAD_AT,
    "another amount": layout.BOOKS_DISCREPANCIES_AT,
    "unconfirmed": layout.BOOKS_UNCONFIRMED_AT,
}


def reached(world: World) -> Counter[str]:
    """How often each thing has happened in a run that is over."""
    counts: Counter[str] = Counter()
    for _, what, _, details in world.trace.events:
        counts[what] += 1
        if what in _DETAILED:
            counts[f"{what} {details[-1]}"] += 1
        elif what == "wall clock steps" and abs(details[0]) > DAY_STEP_MS // 2:
            counts["a day forwards" if details[0] > 0 else "a day back"] += 1
    books, sums = world.books, world.plan.sums
    for what, at in _WORDS.items():
        counts[what] += books[at]
    counts.update(world.operators.reached())
    counts["charged before"] += books[layout.BOOKS_BEFORE_AT] - (sums > 0)
    counts["accepted by the fast path too"] += world.taken
    counts["laps"] += any(ring[layout.RING_HEAD_AT] > ring[layout.RING_SLOTS_AT] for ring in world.rings)
    carries = [books[layout.BOOKS_CARRIES_AT + processor] for processor in PROCESSORS]
    counts["sums carried"] += sums > 0 and max(carries) > sums // layout.SUM_MODULUS
    for account in world.accounts:
        if account.final is not None:
            counts[f"ends: {layout.REASON_NAMES[account.final.reason]}"] += 1
    sql = world.ledger.sql
    for gap in sql.gaps:
        counts[f"gap: {gap.row.source.partition(' ')[0]}"] += 1
    counts["purged rows"] += sum(row.state == PURGED for row in sql.payments.values())
    counts["eras after the first"] += max(0, len(sql.eras) - 1)
    for payment in world.dead_letters():
        counts[f"dead letter: {layout.REASON_NAMES[payment.reason]}"] += 1
    return counts
