"""Audits: do the engine's books and the processors' agree? Pure; the summaries are asked for in ``timetable``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.lab.contest.books import Total, Totals

Outcome = Literal["ok", "differed", "unanswered", "void"]


@dataclass(frozen=True)
class Answers:
    """What was answered to one audit; a text in place of totals is the reason why there are none.

    Parameters:
      processors: what each of them said, by name.
    """

    engine: Totals | str
    processors: Mapping[str, Total | str]


@dataclass(frozen=True)
class Audit:
    """One comparison.

    Parameters:
      at_s: when it was asked, in seconds since the load began.
      kind: ``periodic`` (those that the contest fines), ``everything`` (no bounds) or ``whole run``.
      window: the bounds that were asked for, ISO 8601, or None for none.
      outcome: ``ok``; ``differed``; ``unanswered``: the engine gave no usable answer, which counts as differing;
        ``void``: a processor gave none, so that nothing is known and nothing counts.
      payments: the difference in payments, each processor by itself, and at least 1 when only amounts differ.
      cents: the difference in amounts, each processor by itself.
      reason: in words, ``""`` when it is ok.
    """

    at_s: float
    kind: str
    window: tuple[str, str] | None
    answers: Answers
    outcome: Outcome
    payments: int
    cents: int
    reason: str

    @property
    def against_the_engine(self) -> bool:
        """Whether the contest would hold this audit against the engine."""
        return self.outcome in ("differed", "unanswered")


def compare(at_s: float, kind: str, window: tuple[str, str] | None, answers: Answers) -> Audit:
    """The audit that ``answers`` amount to. Each processor is compared by itself: two errors never cancel out."""

    def audit(outcome: Outcome, payments: int, cents: int, reason: str) -> Audit:
        return Audit(at_s, kind, window, answers, outcome, payments, cents, reason)

    charged = Totals()
    for name, answer in answers.processors.items():
        if isinstance(answer, str):
            return audit("void", 0, 0, f"{name} processor: {answer}")
        charged[name] = answer
    if isinstance(answers.engine, str):
        return audit("unanswered", 1, 0, f"engine: {answers.engine}")
    payments, cents, reasons = 0, 0, []
    for name, processor in charged.items():
        engine = answers.engine[name]
        if engine != processor:
            payments += max(abs(engine.count - processor.count), 1)
            cents += abs(engine.cents - processor.cents)
            reasons.append(
                f"{name}: engine {engine.count} payments, {money(engine.cents)}; "
                f"processor {processor.count}, {money(processor.cents)}"
            )
    return audit("differed" if reasons else "ok", payments, cents, "; ".join(reasons))


def money(cents: int) -> str:
    """Cents as people read them: ``1,234.50``."""
    return f"{cents / 100:,.2f}"
