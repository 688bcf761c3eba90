"""What must hold in a soak. Pure: what was seen is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.lab.chaos.checks import Check, examples, own_deaths
from engine.lab.machine.usage import Use
from engine.lab.soak.recording import Recorded, Recording, Window

MB = 1_000_000
LAST_S = 60.0  # how far the ledger is behind is judged in the last minute of paying
SPARE = 32  # descriptors of a process beside its connections, and of each pool of connections beside what is in flight


@dataclass(frozen=True)
class Limits:
    """What is promised.

    Parameters:
      growth: bytes of all processes with rings and books, after the engine was warm.
      memory: bytes of all, ever.
      lag_s: so far may the ledger be behind in the last minute, and so long may it take to catch up afterwards.
      creep: descriptors of one process, which come and go with what is in flight: the fewest that it has at any time
        may rise by so many.
    """

    growth: int = 5 * MB
    memory: int = 200 * MB
    creep: int = 16
    lag_s: float = 5.0


def all_checks(recording: Recording, limits: Limits) -> list[Check]:
    """Every promise."""
    ledger = [] if recording.ledger is None else of_ledger(recording, recording.ledger, limits.lag_s)
    return [
        accepted_all(recording),
        conserved(recording),
        never_missing(recording),
        charged_once(recording),
        audited(recording),
        own_deaths(recording.engine_log, may_collide=False),
        growth(recording, limits.growth),
        memory(recording, limits.memory),
        descriptors(recording, limits.creep),
        threads(recording),
        *ledger,
    ]


def accepted_all(recording: Recording) -> Check:
    """Every payment was accepted in the end, and every request was answered; a 503 is an answer."""
    refused = ", ".join(f"{count} of {status}" for status, count in sorted(recording.refused.items())) or "none"
    broken = recording.unanswered.total()
    return Check(
        "every payment is accepted, every request answered",
        recording.accepted == recording.begun > 0 and not broken and set(recording.refused) <= {503},
        f"{recording.accepted:,} of {recording.begun:,} accepted; refused: {refused}; unanswered: {broken}"
        + examples(list(recording.unanswered)),
    )


def conserved(recording: Recording) -> Check:
    """Accepted = settled + pending + failed to the payment and to the cent, with nothing pending or failed."""
    name = "accepted = settled + pending + failed"
    if recording.settled is None or recording.pending is None or recording.failed is None:
        return Check(name, False, "the engine does not say")
    settled = recording.settled
    holds = (settled.count, settled.cents) == (recording.accepted, recording.cents)
    return Check(
        name,
        holds and not recording.pending and not recording.failed and recording.drain_s is not None,
        f"{recording.accepted:,} = {settled.count:,} + {recording.pending:,} + {recording.failed:,}; "
        f"{recording.cents:,} cents accepted, {settled.cents:,} settled",
    )


def never_missing(recording: Recording) -> Check:
    """At any time, every payment that was accepted before is settled, pending or failed."""
    short = [
        window
        for window in recording.windows
        if window.settled.count + window.pending + window.failed < window.accepted
    ]
    detail = f"looked {len(recording.windows):,} times"
    if short:
        detail += f"; {len(short)} times something was missing, first after {short[0].at_s:.0f} s"
    return Check("no accepted payment is missing at any time", bool(recording.windows) and not short, detail)


def charged_once(recording: Recording) -> Check:
    """What the processors have charged is what was accepted, each payment once."""
    name = "each payment is charged once, and nothing else"
    charged = recording.charged
    if charged is None:
        return Check(name, False, "the processors do not say")
    same = charged.fingerprint == recording.fingerprint
    return Check(
        name,
        same and charged.payments == recording.accepted,
        f"{charged.payments:,} charges of {recording.accepted:,} payments, {'the same' if same else 'OTHER'} ids",
    )


def audited(recording: Recording) -> Check:
    """The engine's summary and the processors' agreed in every window that was asked for."""
    wrong = [audit for audit in recording.audits if audit.outcome != "ok"]
    detail = f"{len(recording.audits)} windows, {len(wrong)} differ"
    if wrong:
        detail += f"; the first, {wrong[0].kind} {wrong[0].window} at {wrong[0].at_s:.0f} s: {wrong[0].reason}"
    return Check("the summary is the processors' own in every window", bool(recording.audits) and not wrong, detail)


def growth(recording: Recording, limit: int) -> Check:
    """Memory at its most after the engine was warm, against what it was then; programs and libraries do not count."""
    name = f"memory grows by less than {limit / MB:g} MB after {recording.plan.warm_s:.0f} s"
    if recording.warm is None:
        return Check(name, False, "it never was that old")
    first = recording.warm.usage
    most = max((window.usage for window in recording.after_warm), key=lambda usage: usage.taken)
    by_role = {
        role: use.anonymous - first.processes[role].anonymous
        for role, use in most.processes.items()
        if role in first.processes
    }
    parts = ", ".join(f"{role} {grown / MB:+.2f}" for role, grown in by_role.items())
    grown = most.taken - first.taken
    return Check(name, grown < limit, f"{grown / MB:+.2f} MB at most ({parts})")


def memory(recording: Recording, limit: int) -> Check:
    """Memory at its most."""
    most = max((window.usage.memory for window in recording.windows), default=0)
    name = f"memory is under {limit / MB:g} MB in all"
    return Check(name, 0 < most < limit, f"{most / MB:.1f} MB at most, rings and books included")


def descriptors(recording: Recording, creep: int) -> Check:
    """No process has more descriptors than its connections explain, and none keeps ever more of them.

    A leak raises the fewest that there are at any time; a moment in which much is in flight does not.
    """
    name = "descriptors are bounded and do not creep"
    windows = recording.after_warm
    if len(windows) < 2:
        return Check(name, False, "it never was that old")
    part = max(len(windows) // 3, 1)
    most = 2 * (recording.in_flight_max + SPARE) + 4 * recording.plan.connections
    bad, shown = [], []
    for role in windows[0].usage.processes:
        first, whole, last = (_counts(some, role, _fds) for some in (windows[:part], windows, windows[-part:]))
        if not last or min(last) - min(first) > creep or max(whole) > most:
            bad.append(role)
        shown.append(f"{role} {min(whole)} to {max(whole)}")
    detail = f"at most {most}: {', '.join(shown)}"
    return Check(name, not bad, f"{', '.join(bad)} broke it; {detail}" if bad else detail)


def threads(recording: Recording) -> Check:
    """No process has more threads than when the engine was warm."""
    name = f"threads stay as many as after {recording.plan.warm_s:.0f} s"
    windows = recording.after_warm
    if not windows:
        return Check(name, False, "it never was that old")
    seen = {role: _counts(windows, role, _threads) for role in windows[0].usage.processes}
    shown = ", ".join(f"{role} {counts[0]} to {max(counts)}" for role, counts in seen.items())
    return Check(name, all(max(counts) <= counts[0] for counts in seen.values()), shown)


def of_ledger(recording: Recording, ledger: Recorded, limit_s: float) -> list[Check]:
    """The ledger has every payment, is never far behind at the end of the paying, and soon has everything after it."""
    lag_s = lag_s_max(recording)
    gaps = ", ".join(f"{source} {missing:,}" for source, missing in ledger.missing.items()) or "none"
    caught_up_s = ledger.caught_up_s
    return [
        Check("the ledger has every payment", ledger.payments == recording.accepted and not ledger.rejected,
              f"{ledger.payments:,} of {recording.accepted:,}, {ledger.rejected} rows set apart; missing: {gaps}"),
        Check(f"the ledger is at most {limit_s:g} s behind in the last minute", lag_s is not None and lag_s <= limit_s,
              "nobody looked" if lag_s is None else f"{lag_s:.1f} s at most"),
        Check(f"the ledger has caught up {limit_s:g} s after the last is settled",
              caught_up_s is not None and caught_up_s <= limit_s,
              "not in time" if caught_up_s is None else f"{caught_up_s:.1f} s"),
    ]  # fmt: skip


def lag_s_max(recording: Recording) -> float | None:
    """How far the ledger was behind at most, in seconds, in the last minute of paying; None: nobody looked."""
    if recording.ledger is None or recording.paid_s is None:
        return None
    end_s = recording.begin_epoch_s + recording.paid_s
    lags = [one.lag_ms for one in recording.ledger.lags if end_s - LAST_S <= one.at_s <= end_s]
    return max(lags) / 1000 if lags else None


def _counts(windows: Sequence[Window], role: str, count: Callable[[Use], int]) -> list[int]:
    return [count(window.usage.processes[role]) for window in windows if role in window.usage.processes]


def _fds(use: Use) -> int:
    return use.fds


def _threads(use: Use) -> int:
    return use.threads
