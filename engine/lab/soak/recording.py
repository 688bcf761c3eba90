"""All that was seen of a soak, as it grows: constant in size, however many payments there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from engine.lab.contest.audit import Audit
from engine.lab.contest.books import Totals
from engine.lab.machine.usage import Usage
from engine.lab.soak.histogram import Histogram

if TYPE_CHECKING:
    from engine.lab.ledger.gauge import Behind

Json = dict[str, Any]
PAYER, PROCESSORS, DATABASE = "payer", "processors", "database"


@dataclass(frozen=True)
class Plan:
    """How long to pay, and how.

    Parameters:
      seconds: of paying at most.
      payments: at most so many.
      rate_per_s: at most so many a second.
      backlog_max: accepted payments that may wait to be settled.
      connections: of the payer.
      settle_s: how long the engine may take to settle the rest.
      warm_s: what is held is compared with what was held so long after the beginning.
      window_s: how often to look.
    """

    seconds: float
    payments: int
    rate_per_s: float
    backlog_max: int
    connections: int
    settle_s: float
    warm_s: float
    window_s: float


@dataclass(frozen=True)
class Window:
    """A stretch of the run, from the end of the window before to ``at_s``.

    Parameters:
      at_s: its end, in seconds since the first payment could be begun.
      accepted: payments that the payer was told were accepted, since the beginning.
      settled: what the engine says was settled, since the beginning; asked after ``pending`` and ``failed``.
      pending, failed: as the engine says; asked after ``accepted`` was told.
      refused, unanswered: requests of this window.
      p50_us, p99_us, max_us: latency of what was accepted in this window.
      usage: of the engine at the end of the window.
      other_cpu_s: CPU time of the payer, of the processors and of the ledger's server since the beginning.
      database_bytes: memory of that server (PSS), 0 where there is none.
    """

    at_s: float
    accepted: int
    settled: Totals
    pending: int
    failed: int
    refused: int
    unanswered: int
    p50_us: int
    p99_us: int
    max_us: int
    usage: Usage
    other_cpu_s: dict[str, float]
    database_bytes: int = 0

    def as_json(self) -> Json:
        """For one line of a file."""
        return asdict(self)


@dataclass(frozen=True)
class Charged:
    """What the processors list, all in all.

    Parameters:
      payments: charges.
      fingerprint: sum of their correlationIds, see `engine.lab.soak.payer`.
    """

    payments: int
    fingerprint: int


@dataclass(frozen=True)
class Recorded:
    """The ledger of a run.

    Parameters:
      kind: of database.
      lags: how far it was behind over time; ``at_s`` is epoch seconds.
      caught_up_s: when it had everything, in seconds after the last payment was settled; None: it had not in time.
      payments, attempts: rows.
      missing: what is in gaps, by their source.
      rejected: rows that were set apart.
      size_bytes: of the database, less what an empty one takes.
    """

    kind: str
    lags: Sequence[Behind]
    caught_up_s: float | None
    payments: int
    attempts: int
    missing: dict[str, int]
    rejected: int
    size_bytes: int


@dataclass
class Recording:
    """Everything about one run.

    Parameters:
      in_flight_max: requests in flight at each processor, see ENGINE_IN_FLIGHT_MAX.
      begin_epoch_s: when the first payment could be begun.
      paid_s: how long the paying took; None until the paying is over.
      drain_s: how long the engine took to settle the rest; None when it did not within the time it has.
      accepted, cents, fingerprint, begun: what the payer was told in the end.
      pending, failed: what the engine says in the end.
      settled: what the engine says in the end; None when it does not say.
      charged: what the processors list in the end.
      engine_log: what its supervisor has printed.
      ledger: what became of it, where there is one.
    """

    plan: Plan
    in_flight_max: int
    begin_epoch_s: float = 0.0
    windows: list[Window] = field(default_factory=list)
    latencies: Histogram = field(default_factory=Histogram)
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    audits: Sequence[Audit] = ()
    begun: int = 0
    accepted: int = 0
    cents: int = 0
    fingerprint: int = 0
    paid_s: float | None = None
    drain_s: float | None = None
    pending: int | None = None
    failed: int | None = None
    settled: Totals | None = None
    charged: Charged | None = None
    engine_log: str = ""
    ledger: Recorded | None = None
    interrupted: bool = False

    @property
    def warm(self) -> Window | None:
        """The first window after the engine was warm; None when it never was."""
        return next((window for window in self.windows if window.at_s >= self.plan.warm_s), None)

    @property
    def after_warm(self) -> list[Window]:
        """The windows from :attr:`warm` on."""
        return [window for window in self.windows if window.at_s >= self.plan.warm_s]
