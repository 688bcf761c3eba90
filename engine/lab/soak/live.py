"""What is shown while a soak lasts: a screen that is redrawn once a second, or a plain line every ten."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.lab.results import duration, say
from engine.lab.shown import Shown
from engine.lab.soak.recording import Plan, Recording, Window

SCREEN_EVERY_S = 1.0
LINE_EVERY_S = 10.0
MB = 1_000_000


def share_done(plan: Plan, accepted: int, now_s: float) -> float:
    """How much of the paying is done, from 0 to 1: of the time or of the payments, what is nearer to its end."""
    return min(max(accepted / plan.payments, now_s / plan.seconds), 1.0)


def left_s(plan: Plan, accepted: int, now_s: float) -> float | None:
    """How long the paying still takes if it goes on like this; None as long as nothing is known."""
    done = share_done(plan, accepted, now_s)
    return now_s * (1 - done) / done if done else None


class View(Shown):
    """Shows a recording as it grows. A context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._next_s = 0.0

    def show(self, seen: Recording, now_s: float) -> None:
        """Draws if it is time to: drawing takes CPU from what is measured."""
        if time.monotonic() < self._next_s or not seen.windows:
            return
        self._next_s = time.monotonic() + (SCREEN_EVERY_S if self.console.is_terminal else LINE_EVERY_S)
        if self.console.is_terminal:
            self.draw(_screen(seen, now_s))
        else:
            say(self.console, _line(seen, now_s))


def _rates(windows: list[Window]) -> tuple[float, float]:
    """Payments accepted and settled a second in the last window."""
    last = windows[-1]
    before_s, accepted, settled = 0.0, 0, 0
    if len(windows) > 1:
        before_s, accepted, settled = windows[-2].at_s, windows[-2].accepted, windows[-2].settled.count
    seconds = last.at_s - before_s
    return (last.accepted - accepted) / seconds, (last.settled.count - settled) / seconds


def _left(seen: Recording, now_s: float) -> str:
    if seen.paid_s is not None:
        return "settling the rest"
    seconds = left_s(seen.plan, seen.accepted, now_s)
    return "" if seconds is None else f"{duration(seconds)} left"


def _audits(seen: Recording) -> str:
    differed = sum(audit.outcome != "ok" for audit in seen.audits)
    return f"{len(seen.audits) - differed} ok, {differed} not"


def _line(seen: Recording, now_s: float) -> str:
    window = seen.windows[-1]
    accepted, settled = _rates(seen.windows)
    return (
        f"{now_s:6.0f} s  {share_done(seen.plan, seen.accepted, now_s):4.0%}  {_left(seen, now_s)}  "
        f"accepted {window.accepted:,} ({accepted:,.0f}/s)  settled {window.settled.count:,} ({settled:,.0f}/s)  "
        f"pending {window.pending:,}  p99 {window.p99_us / 1000:.1f} ms  memory {window.usage.memory / MB:.1f} MB  "
        f"fds {sum(use.fds for use in window.usage.processes.values())}  audits {_audits(seen)}"
    )


def _screen(seen: Recording, now_s: float) -> Group:
    window = seen.windows[-1]
    accepted, settled = _rates(seen.windows)
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column(justify="right", min_width=12)
    table.add_column(style="dim")
    table.add_row("accepted", f"{window.accepted:,}", f"{accepted:,.0f}/s")
    table.add_row("settled", f"{window.settled.count:,}", f"{settled:,.0f}/s")
    table.add_row("pending", f"{window.pending:,}", f"failed {window.failed:,}")
    table.add_row("refused", f"{seen.refused.total():,}", f"unanswered {seen.unanswered.total():,}")
    table.add_row("p50", f"{window.p50_us / 1000:.2f} ms", "")
    table.add_row("p99", f"{window.p99_us / 1000:.2f} ms", f"max {window.max_us / 1000:.1f} ms")
    table.add_row("memory", f"{window.usage.memory / MB:.1f} MB", f"rings and books {window.usage.shared / MB:.1f} MB")
    for name, use in window.usage.processes.items():
        table.add_row(f"  {name}", f"{use.own / MB:.1f} MB", f"{use.fds} descriptors, {use.threads} threads")
    table.add_row("audits", _audits(seen), "")
    bar = ProgressBar(total=1.0, completed=share_done(seen.plan, seen.accepted, now_s), width=50)
    return Group(Text(f"{duration(now_s)}  {_left(seen, now_s)}", style="bold"), bar, table)
