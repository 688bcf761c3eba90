"""A recording of a soak in which every promise held, for tests to break one of them."""

from __future__ import annotations

from engine.lab.contest.audit import Answers, Audit
from engine.lab.contest.books import Total, Totals
from engine.lab.ledger.gauge import Behind
from engine.lab.machine.usage import Usage, Use
from engine.lab.soak.recording import Charged, Plan, Recorded, Recording, Window

MB = 1_000_000
PLAN = Plan(
    seconds=10, payments=10**9, rate_per_s=1000, backlog_max=100, connections=4, settle_s=5, warm_s=3, window_s=1
)
TOTALS = Totals(default=Total(900, 900_000), fallback=Total(100, 100_000))
AUDIT = Audit(5.0, "periodic", ("a", "b"), Answers(TOTALS, TOTALS), "ok", 0, 0, "")


def window(number: int) -> Window:
    """The ``number``-th window, from 1 on: 100 payments more were accepted, and all but 3 are settled."""
    processes = {
        "dispatcher": Use(11, own=30 * MB, anonymous=20 * MB, fds=40, threads=1, cpu_ns=number * 10**8),
        "api 0": Use(12, own=20 * MB, anonymous=10 * MB, fds=30, threads=1, cpu_ns=number * 10**7),
    }
    return Window(
        at_s=float(number),
        accepted=100 * number,
        settled=Totals(default=Total(100 * number - 3, 1), fallback=Total(0, 0)),
        pending=3,
        failed=0,
        refused=0,
        unanswered=0,
        p50_us=300,
        p99_us=2000,
        max_us=9000,
        usage=Usage(processes, shared=25 * MB, pss=70 * MB),
        other_cpu_s={"payer": number * 0.1, "processors": number * 0.2},
    )


def recording() -> Recording:
    """Ten windows, a thousand payments."""
    seen = Recording(PLAN, in_flight_max=100, windows=[window(number) for number in range(1, 11)])
    for _ in range(1000):
        seen.latencies.add(300)
    seen.begun = seen.accepted = 1000
    seen.cents, seen.fingerprint = 1_000_000, 12345
    seen.paid_s, seen.drain_s, seen.pending, seen.failed = 10.0, 0.5, 0, 0
    seen.settled, seen.charged = TOTALS, Charged(1000, 12345)
    seen.audits = [AUDIT]
    return seen


def behind(at_s: float, lag_ms: int) -> Behind:
    """How far the ledger was behind so long after the first payment."""
    return Behind(at_s, lag_ms, 0, 0, 0, True, False)


def recorded() -> Recorded:
    """A ledger that has everything, and was 2 s behind at most while the thousand payments came."""
    lags = [behind(1.0, 2000), behind(9.0, 500), behind(10.4, 9000)]
    return Recorded("sqlite", lags, 0.5, 1000, 1100, {}, 0, 300_000)
