"""What is carried into the ledger, and how it is shown. Pure.

Times are integer milliseconds since 1970 UTC by the wall clock, money is integer cents, ids have 16 bytes. A processor
is its number in the list. None stands for what is not known, or not known yet.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, NamedTuple

from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.processors import PPM

# States are those of shared memory, and the ledger's own two.
PURGED: Final = 32  # it was open when its era ended
UNKNOWN_GAP: Final = 33  # something of it was carried, and what became of it lies in a gap
STATE_NAMES: Final = {
    layout.QUEUED: "queued",
    layout.PROCESSING: "processing",
    layout.COMPLETED: "completed",
    layout.FAILED: "failed",
    layout.PARKED: "processing",
    layout.CHARGED_BEFORE: "charged before",
    layout.ALREADY: "processing",
    PURGED: "purged",
    UNKNOWN_GAP: "unknown",
}
OPEN: Final = (layout.QUEUED, layout.PROCESSING, layout.PARKED, layout.ALREADY)
# A row replaces one of the same payment whose state has the same rank or a lower one. So what is over stays over, and
# what was charged in this era stays charged, also when the id is accepted a second time.
RANKS: Final = {PURGED: 1, layout.FAILED: 2, layout.CHARGED_BEFORE: 3, layout.COMPLETED: 4}
RANK_OPEN: Final = 0

DROPPED: Final = 255  # an attempt's outcome, beside those of a connector: another answer had decided by then
OUTCOME_NAMES: Final = {
    0: "charged",
    1: "already there",
    2: "rejected",
    3: "failed",
    4: "refused",
    5: "unknown",
    6: "found",
    7: "absent",
    DROPPED: "dropped",
}
PROCESSOR_STATE_NAMES: Final = ("healthy", "slow", "suspect", "open")  # engine.routing's ProcessorState


def fee_cents(cents: int, ppm: int) -> int:
    """The fee of a payment: ``ppm`` millionths of ``cents``, rounded half up to a cent."""
    return (cents * ppm + PPM // 2) // PPM


class PaymentRow(NamedTuple):
    """A payment at the moment of a batch.

    ``state``: see STATE_NAMES; ``reason``: of ``layout.REASON_NAMES``, and an open payment with one is a dead letter.
    ``ring``, ``position``: where it was accepted.
    """

    era: int
    id: bytes
    state: int
    processor: int | None
    attempts: int
    cents: int
    accepted_ms: int
    requested_ms: int | None
    settled_ms: int | None
    fee_ppm: int | None
    reason: int
    ring: int
    position: int

    @property
    def rank(self) -> int:
        """Which states it may replace: see RANKS."""
        return RANKS.get(self.state, RANK_OPEN)

    @property
    def accepted(self) -> tuple[bytes, int]:
        """Which payment it is: its id, and when it was accepted. An id that is accepted again is another payment."""
        return self.id, self.accepted_ms


class AttemptRow(NamedTuple):
    """A request for a payment, or a lookup of it. ``sequence``: of the journal's record that it was sent.

    A row without ``ended_ms`` waits for its answer. A later row of the same sequence completes it. Where the journal's
    record of the sending was lost, ``number`` and ``began_ms`` are None. ``status``: HTTP's, None without an answer.
    """

    sequence: int
    era: int
    id: bytes
    number: int | None
    processor: int
    is_lookup: bool
    began_ms: int | None
    ended_ms: int | None = None
    outcome: int | None = None
    status: int | None = None
    error: str | None = None
    latency_us: int | None = None
    requested_ms: int | None = None


class HealthRow(NamedTuple):
    """An answer about a processor's health. ``failing`` is None when it gave none that can be read."""

    sequence: int
    processor: int
    at_ms: int
    failing: bool | None
    min_response_ms: int | None
    status: int | None


class ProcessorStateRow(NamedTuple):
    """What the engine believes of a processor from ``at_ms`` on, see PROCESSOR_STATE_NAMES.

    ``failures``: failed payments in a row; ``rate_ppm``: of its payments fail.
    """

    sequence: int
    processor: int
    at_ms: int
    state: int
    failures: int | None
    rate_ppm: int | None


class ActRow(NamedTuple):
    """What became of an operator's command. ``action``: of which it is a part; ``payment``: its id, 16 zero bytes for
    an act on a processor. ``act``, ``result``: of :mod:`engine.memory.acts_layout`; states and reasons: of the payment.
    """

    action: bytes
    payment: bytes
    act: int
    processor: int
    result: int
    state_before: int
    reason_before: int
    state_after: int
    reason_after: int
    at_ms: int

    @property
    def is_retry(self) -> bool:
        """Whether a payment that had failed waits again since then."""
        return self.act == Act.RETRY and self.result == Result.DONE


class FeeRow(NamedTuple):
    """A processor's fee from ``valid_from_ms`` on."""

    processor: int
    valid_from_ms: int
    ppm: int


class SampleRow(NamedTuple):
    """The ``seconds`` that begin at ``at_ms``: payments accepted and settled, what both took, and who waits."""

    at_ms: int
    seconds: int
    accepted: int
    settled: int
    accept_p50_us: int | None
    accept_p99_us: int | None
    settle_p50_us: int | None
    settle_p99_us: int | None
    backlog: int


class EraRow(NamedTuple):
    """The time between two purges. ``ended_ms`` is None while it lasts; carrying its end purges its open payments."""

    number: int
    began_ms: int
    ended_ms: int | None
    generation: int
    why: str


class GapRow(NamedTuple):
    """What the ledger could not see: of ``source``, such as ``journal`` or ``ring 0``, the numbers from ``first`` to
    ``last``, both included; ``missing`` of them are not in SQL."""

    source: str
    first: int
    last: int
    missing: int
    at_ms: int
    why: str


class RingCursor(NamedTuple):
    """How far a ring is in SQL.

    Positions below ``mark`` are terminal there, or parked: then the cursor of parked places counts. Those from ``mark``
    to ``seen`` are there, and terminal or parked if they lie in one of the intervals ``above`` (from, to; to excluded).
    Nothing from ``seen`` on is there. ``begin``: where the era began. ``earlier``: where those before it began, as far
    as something below is not there yet (position, era).
    """

    ring: int
    mark: int
    seen: int
    above: tuple[tuple[int, int], ...] = ()
    begin: int = 0
    earlier: tuple[tuple[int, int], ...] = ()

    def has_left(self, position: int) -> bool:
        """Whether the ring has nothing more to tell of the payment at ``position``, which SQL has."""
        if not self.mark <= position < self.seen:
            return position < self.mark
        before = bisect_right(self.above, (position, self.seen))
        return before > 0 and position < self.above[before - 1][1]


class Cursor(NamedTuple):
    """How far SQL has come: written with the rows, in one transaction.

    Parameters:
      engine: 16 random bytes, the engine's for ever.
      generation: of the memory that ``rings`` and ``parked`` count in.
      era: of the payments.
      journal: records below it are in SQL, or in a gap.
      parked: changes of parked places below it are in SQL.
      rings: one for each ring.
      journal_number: which journal is meant; a journal that is made anew counts from 0 again.
      purges: what the books of this generation count as their era, when the ledger's era is ``era``.
    """

    engine: bytes
    generation: int
    era: int
    journal: int
    parked: int
    rings: tuple[RingCursor, ...]
    journal_number: int = 0
    purges: int = 0

    def has_open(self, row: PaymentRow) -> bool:
        """Whether SQL has this open payment in the slot of ``row``, and not as one that has left it to be parked."""
        return any(one.ring == row.ring and not one.has_left(row.position) for one in self.rings)


class Batch(NamedTuple):
    """What is carried at once: rows, from the cursor ``expected`` to the new ``cursor``."""

    expected: Cursor
    cursor: Cursor
    payments: tuple[PaymentRow, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()
    health: tuple[HealthRow, ...] = ()
    states: tuple[ProcessorStateRow, ...] = ()
    fees: tuple[FeeRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    eras: tuple[EraRow, ...] = ()
    gaps: tuple[GapRow, ...] = ()
    acts: tuple[ActRow, ...] = ()
