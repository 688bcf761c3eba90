"""The contest's score, as its rules have it. Pure: the numbers are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.lab.contest.books import Totals

# From the rules: each millisecond of p99 below 11 is worth 2 %; one audit that differed costs 35 %.
BONUS_BELOW_MS = 11.0
BONUS_PER_MS = 0.02
FINE_FOR_INCONSISTENCY = 0.35


@dataclass(frozen=True)
class Score:
    """What a run is worth. ``net`` and ``score`` are in whole currency units, not cents.

    Parameters:
      net: settled amounts less fees.
      bonus, fine: shares of ``net`` that are added and taken off.
      disqualified: more was settled than requested; the score is then 0.
    """

    net: Decimal
    bonus: float
    fine: float
    disqualified: bool
    score: float


def net(settled: Totals, fees: Mapping[str, Decimal]) -> Decimal:
    """Settled amounts less ``fees`` (by processor, 0.05 being 5 %), in currency units."""
    kept = sum((total.cents * (1 - fees[name]) for name, total in settled.items()), Decimal(0))
    return kept / 100


def bonus(p99_ms: float | None) -> float:
    """The share of net that a quick answer earns; none when nothing was answered."""
    return 0.0 if p99_ms is None else max(0.0, (BONUS_BELOW_MS - p99_ms) * BONUS_PER_MS)


def score(
    settled: Totals, fees: Mapping[str, Decimal], p99_ms: float | None, audits_differed: int, requested: int
) -> Score:
    """The score of a run.

    Parameters:
      settled: what the processors had charged when the run ended.
      fees: what each of them keeps, as a share.
      p99_ms: over all accepted requests, in ms; None when there were none.
      audits_differed: audits during the run that are held against the engine.
      requested: requests that were sent, accepted or not.
    """
    worth, plus = net(settled, fees), bonus(p99_ms)
    minus = FINE_FOR_INCONSISTENCY if audits_differed else 0.0
    disqualified = settled.count > requested
    result = 0.0 if disqualified else float(worth) * (1 + plus - minus)
    return Score(net=worth, bonus=plus, fine=minus, disqualified=disqualified, score=result)
