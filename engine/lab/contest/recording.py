"""All that was seen of one run, as it grows; ``report`` makes the result of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.lab.contest.audit import Audit
from engine.lab.contest.books import Totals
from engine.lab.contest.changes import Change
from engine.lab.contest.samples import LoadTotals, Samples
from engine.lab.contest.scenario import Scenario
from engine.lab.contest.timetable import AppliedStage
from engine.lab.machine.tree import TreeUse

# k6's error codes for name resolution and connecting.
NEVER_SENT = range(1100, 1300)


@dataclass(frozen=True)
class Tick:
    """One look, about once a second. What did not answer is None.

    Parameters:
      at_s: seconds since the load began.
      settled: at the processors so far.
      pending, failed: payments in the engine's queues.
      cores: CPU cores that each watched process tree used since the tick before.
    """

    at_s: float
    settled: Totals | None
    pending: int | None
    failed: int | None
    cores: dict[str, float]


@dataclass(frozen=True)
class Twice:
    """Payments that were charged more than once, or without having been accepted.

    ``by`` says how it is known: ``listing`` (every charge was looked at) or ``totals`` (more settled than accepted;
    requests without an answer may have been accepted and do not count).
    """

    payments: int
    by: str


@dataclass
class Recording:
    """A run. ``None`` is what has not been seen (yet, or because the run was interrupted).

    Parameters:
      fees: what each processor says it keeps, by name, 0.05 being 5 %; in the order in which they are shown.
      begin_epoch_s: when the load began.
      end_s: when the load had ended and ``settled_at_end`` was asked for, in seconds since it began.
      changes: of the processors between failing and not, until then; None where they do not tell.
      load: k6's own totals.
      drain_s: how long the engine took to settle the rest after the load; None if it did not in the time it had.
      interrupted: the run was ended before its time.
      notes: what else a reader should know.
    """

    scenario: Scenario
    fees: Mapping[str, Decimal]
    begin_epoch_s: float = 0.0
    end_s: float | None = None
    samples: Samples = field(default_factory=Samples)
    load: LoadTotals | None = None
    ticks: list[Tick] = field(default_factory=list)
    stages: list[AppliedStage] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    settled_at_end: Totals | None = None
    changes: list[Change] | None = None
    settled_after_drain: Totals | None = None
    drain_s: float | None = None
    twice: Twice | None = None
    resources: dict[str, TreeUse] = field(default_factory=dict)
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def requested(self) -> int:
        """Requests that were sent, by k6's own count where there is one."""
        return self.load.requested if self.load else self.samples.requested

    @property
    def accepted(self) -> int:
        """Requests that were answered with 200, 201, 202 or 204."""
        return self.load.accepted if self.load else self.samples.accepted

    @property
    def unsure(self) -> int:
        """Requests that may have been accepted although their client was not told: those that were connected but had no
        answer, and those with a 5xx, which a load balancer gives when the instance behind it has died."""
        samples = self.samples
        unanswered = sum(count for code, count in samples.unanswered.items() if code not in NEVER_SENT)
        return unanswered + sum(count for status, count in samples.refused.items() if status >= 500)

    def note_fees(self) -> None:
        """Notes when a processor keeps another fee than the scenario says: the processor's own is scored."""
        for name, planned in self.scenario.fees.by_name.items():
            theirs = self.fees[name]
            if theirs != planned:
                self.notes.append(f"{name} keeps {theirs:%}, the scenario says {planned:%}: scored with the former")
