"""The result of a soak: for JSON, and as tables for people. Pure but for the console that it is handed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import linear_regression
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.lab.chaos.checks import Check
from engine.lab.contest.audit import Audit
from engine.lab.results import duration
from engine.lab.soak.checks import lag_s_max
from engine.lab.soak.recording import DATABASE, Recorded, Recording, Window

Json = dict[str, Any]
MB = 1_000_000


def cpu_us_for_each(seen: Recording) -> dict[str, float]:
    """CPU µs for each payment by process, payer and processors too, since the end of the first window: before that,
    they start. Empty when there were no payments since."""
    if len(seen.windows) < 2 or seen.windows[-1].accepted == seen.windows[0].accepted:
        return {}
    first, last = _cpu_us(seen.windows[0]), _cpu_us(seen.windows[-1])
    payments = seen.windows[-1].accepted - seen.windows[0].accepted
    return {name: (last[name] - used_us) / payments for name, used_us in first.items() if name in last}


def _cpu_us(window: Window) -> dict[str, float]:
    by_role = {role: use.cpu_ns / 1000 for role, use in window.usage.processes.items()}
    return by_role | {name: seconds * 1e6 for name, seconds in window.other_cpu_s.items()}


def growth_mb_per_minute(seen: Recording) -> dict[str, float]:
    """How fast the memory of each process grows since the engine was warm, programs and libraries left out: the slope
    of a straight line through all windows. Empty when there are fewer than two.
    """
    windows = seen.after_warm
    if len(windows) < 2 or windows[0].at_s == windows[-1].at_s:
        return {}
    roles = windows[0].usage.processes.keys() & windows[-1].usage.processes.keys()
    series = {
        role: [(one.at_s, one.usage.processes[role].anonymous) for one in windows if role in one.usage.processes]
        for role in sorted(roles)
    }
    if any(one.database_bytes for one in windows):
        series[DATABASE] = [(one.at_s, one.database_bytes) for one in windows]
    return {role: linear_regression(*zip(*points, strict=True)).slope * 60 / MB for role, points in series.items()}


def _ledger(seen: Recording, ledger: Recorded) -> Json:
    lags = [asdict(one) | {"at_s": round(one.at_s - seen.begin_epoch_s, 3)} for one in ledger.lags]
    return asdict(ledger) | {
        "lags": lags,
        "lag_s_last_minute": lag_s_max(seen),
        "bytes_per_payment": ledger.size_bytes / ledger.payments if ledger.payments else None,
    }


def result(seen: Recording, checks: Sequence[Check]) -> Json:
    """Everything about a run, for JSON. Times in seconds since the first payment could be begun."""
    latencies = seen.latencies
    return {
        "passed": passed(seen, checks),
        "interrupted": seen.interrupted,
        "plan": asdict(seen.plan),
        "checks": [asdict(check) for check in checks],
        "begun": seen.begun,
        "accepted": seen.accepted,
        "refused": {str(status): count for status, count in seen.refused.items()},
        "unanswered": dict(seen.unanswered),
        "paid_s": seen.paid_s,
        "drain_s": seen.drain_s,
        "settled_per_s": _settled_per_s(seen),
        "p50_ms": latencies.quantile(0.5) / 1000,
        "p99_ms": latencies.quantile(0.99) / 1000,
        "p99.9_ms": latencies.quantile(0.999) / 1000,
        "max_ms": latencies.max / 1000,
        "cpu_us_for_each": cpu_us_for_each(seen),
        "growth_mb_per_minute": growth_mb_per_minute(seen),
        "ledger": None if seen.ledger is None else _ledger(seen, seen.ledger),
        "audits": [_audit(audit) for audit in seen.audits],
        "windows": [window.as_json() for window in seen.windows],
    }


def _audit(audit: Audit) -> Json:
    fields = asdict(audit)
    answers = fields["answers"]
    return fields | {"answers": {"engine": answers["engine"], **answers["processors"]}}


def passed(seen: Recording, checks: Sequence[Check]) -> bool:
    """Whether every promise held for as long as was planned."""
    return all(check.holds for check in checks) and not seen.interrupted


def print_tables(seen: Recording, checks: Sequence[Check], console: Console) -> None:
    """What was seen, and what held."""
    latencies = seen.latencies
    table = Table(title="Soak", title_style="bold", show_header=False, padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    settled_per_s = _settled_per_s(seen)
    rate = "not all settled" if settled_per_s is None else f"{settled_per_s:,.0f} settled a second, end to end"
    table.add_row("payments", f"{seen.accepted:,}", rate)
    drained = "" if seen.drain_s is None else f"the rest settled {seen.drain_s:.1f} s later"
    table.add_row("paid for", duration(seen.paid_s or 0.0), drained)
    table.add_row("p50, p99", f"{latencies.quantile(0.5) / 1000:.2f}, {latencies.quantile(0.99) / 1000:.2f} ms",
                  f"p99.9 {latencies.quantile(0.999) / 1000:.1f} ms, max {latencies.max / 1000:.1f} ms")  # fmt: skip
    if seen.windows:
        usage = seen.windows[-1].usage
        own = ", ".join(f"{name} {use.own / MB:.1f}" for name, use in usage.processes.items())
        table.add_row(
            "memory at the end", f"{usage.memory / MB:.1f} MB", f"rings, books {usage.shared / MB:.1f}, {own}"
        )
    used = ", ".join(f"{role} {used_us:.0f}" for role, used_us in cpu_us_for_each(seen).items())
    table.add_row("CPU µs a payment", "", used)
    grown = ", ".join(f"{role} {mb:+.2f}" for role, mb in growth_mb_per_minute(seen).items())
    table.add_row("memory, MB a minute", "", grown)
    if seen.ledger is not None:
        size = seen.ledger.size_bytes
        table.add_row("ledger", f"{size / MB:.1f} MB", f"{seen.ledger.kind}, {seen.ledger.attempts:,} attempts")
    console.print(table)
    table = Table(title="What must hold", title_style="bold", padding=(0, 1))
    table.add_column("promise", style="cyan")
    table.add_column("", no_wrap=True)
    table.add_column("seen", overflow="fold")
    for check in checks:
        table.add_row(check.name, "[green]holds[/]" if check.holds else "[bold red]BROKEN[/]", check.detail)
    console.print(table)
    broken = "; ".join(check.name for check in checks if not check.holds)
    if seen.interrupted:
        console.print(f"INTERRUPTED. {f'Not shown: {broken}' if broken else 'All held until then.'}", style="yellow")
    elif broken:
        console.print(f"FAILED. Not so: {broken}", style="bold red", markup=False)
    else:
        console.print("PASSED", style="green")


def _settled_per_s(seen: Recording) -> float | None:
    if seen.paid_s is None or seen.drain_s is None:
        return None
    return seen.accepted / (seen.paid_s + seen.drain_s)
