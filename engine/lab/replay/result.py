"""What a replay ended with: plain values that become JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from engine.lab.contest.books import Total, Totals
from engine.lab.contest.scenario import Fees
from engine.lab.contest.score import FINE_FOR_INCONSISTENCY, net
from engine.lab.simulate.changes import Onset, Recovery
from engine.processors import CONTEST_NAMES

BIN_MS = 250  # of the series


@dataclass(frozen=True)
class AuditSeen:
    """An audit at ``at_s``; ``missed`` payments were in a processor's books and not in the engine's, or the reverse."""

    at_s: float
    missed: int


@dataclass(frozen=True)
class Series:
    """The run in steps of ``BIN_MS``: what happened in each, or (``waiting``, ``in_flight``) how it was at its end.
    Pairs are default and fallback. ``settled`` counts when the processor had it.
    """

    accepted: list[int]
    begun: tuple[list[int], list[int]]
    settled: tuple[list[int], list[int]]
    waiting: list[int]
    in_flight: tuple[list[int], list[int]]


@dataclass(frozen=True)
class Result:
    """A contest in virtual time.

    Parameters:
      scenario, policy: their names.
      accepted: payments. All are of ``amount_cents``.
      settled: at default and fallback when the run ended, at ``end_s``.
      left: payments that were not settled then.
      fees: what the processors keep.
      wasted: attempts that failed; rejected: turned away with 429; timed_out: not answered in time.
      voluntary_ms: the longest time that a payment waited while some processor was in truth healthy and not kept busy.
      waited_ms: the longest time between a payment's acceptance and its last sending.
      backlog_max: most payments that waited.
    """

    scenario: str
    policy: str
    accepted: int
    amount_cents: int
    fees: Fees
    settled: tuple[int, int]
    left: int
    end_s: float
    wasted: int
    rejected: int
    timed_out: int
    voluntary_ms: float
    waited_ms: float
    backlog_max: int
    onsets: list[Onset[int]]
    recoveries: list[Recovery[int]]
    audits: list[AuditSeen]
    series: Series

    @property
    def requested(self) -> Decimal:
        """All that was accepted, in currency units."""
        return Decimal(self.accepted * self.amount_cents) / 100

    @property
    def net(self) -> Decimal:
        """Settled amounts less fees, in currency units."""
        totals = (Total(count, count * self.amount_cents) for count in self.settled)
        return net(Totals(zip(CONTEST_NAMES, totals, strict=True)), self.fees.by_name)

    @property
    def audits_missed(self) -> int:
        """Audits that differed."""
        return sum(audit.missed > 0 for audit in self.audits)

    @property
    def fine(self) -> Decimal:
        """What the missed audits cost, in currency units."""
        return self.net * Decimal(str(FINE_FOR_INCONSISTENCY)) if self.audits_missed else Decimal(0)

    @property
    def worth(self) -> Decimal:
        """Net after the fine: the figure that policies are compared by."""
        return self.net - self.fine

    def json(self) -> dict[str, Any]:
        """All of it for a JSON file; money as numbers."""
        fees = {name: float(fee) for name, fee in self.fees.by_name.items()}
        return asdict(self) | {
            "fees": fees,
            "on_default": self.settled[0],
            "on_fallback": self.settled[1],
            "net": float(self.net),
            "fine": float(self.fine),
            "worth": float(self.worth),
            "audits_missed": self.audits_missed,
            "bin_ms": BIN_MS,
        }
