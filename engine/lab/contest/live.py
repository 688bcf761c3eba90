"""What is shown while a run lasts: a screen that is redrawn once a second, or a plain line every five."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.lab.contest.recording import Recording, Tick
from engine.lab.contest.samples import Second
from engine.lab.contest.scenario import BEFORE_FIRST_STAGE, Condition, Stage
from engine.lab.results import say
from engine.lab.shown import Shown

PLAIN_EVERY_S = 5.0
NO_TICK = Tick(0.0, None, None, None, {})


class View(Protocol):
    """Shows a recording while it grows."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, recording: Recording, now_s: float) -> None:
        """Called about once a second."""


def view(console: Console) -> View:
    """The one for this console: a screen on a terminal, lines elsewhere."""
    return Screen(console) if console.is_terminal else Lines(console)


def _rates(recording: Recording, now_s: float) -> tuple[int, int]:
    """Requests and accepted ones in the last whole second."""
    second = recording.samples.seconds.get(int(now_s) - 1, Second())
    return len(second.durations_ms) + second.others, len(second.durations_ms)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _p99(recording: Recording) -> str:
    p99_ms = recording.samples.p99_ms()
    return "-" if p99_ms is None else f"{p99_ms:.2f} ms"


def _phase(recording: Recording, now_s: float) -> tuple[str, Stage]:
    scenario = recording.scenario
    if recording.end_s is not None:
        return "draining", BEFORE_FIRST_STAGE
    passed = sum(stage.at_s <= now_s for stage in scenario.stages)
    return f"stage {passed}/{len(scenario.stages)}", scenario.stage_at(now_s)


class Lines(Shown):
    """A line every five seconds, for logs."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._next_s = PLAIN_EVERY_S

    def show(self, recording: Recording, now_s: float) -> None:
        """Prints when five seconds have passed since the last line."""
        if now_s < self._next_s:
            return
        self._next_s = now_s - now_s % PLAIN_EVERY_S + PLAIN_EVERY_S
        tick = recording.ticks[-1] if recording.ticks else NO_TICK
        settled = [tick.settled[name].count if tick.settled else None for name in recording.fees]
        phase, stage = _phase(recording, now_s)
        differed = sum(audit.outcome != "ok" for audit in recording.audits)
        line = (
            f"{now_s:5.0f} s  {phase} ({stage.describe()})  vus {recording.scenario.load.vus_at(now_s)}  "
            f"{_rates(recording, now_s)[0]}/s  accepted {recording.samples.accepted:,}  p99 {_p99(recording)}  "
            f"settled {' + '.join(map(_number, settled))}  pending {_number(tick.pending)}  "
            f"failed {_number(tick.failed)}  audits {len(recording.audits) - differed} ok, {differed} not"
        )
        say(self.console, line)


class Screen(Shown):
    """A table that stays in its place."""

    def show(self, recording: Recording, now_s: float) -> None:
        """Draws the table anew."""
        self.draw(self._table(recording, now_s))

    def _table(self, recording: Recording, now_s: float) -> RenderableType:
        scenario, samples = recording.scenario, recording.samples
        tick = recording.ticks[-1] if recording.ticks else NO_TICK
        phase, stage = _phase(recording, now_s)
        requests, accepted = _rates(recording, now_s)
        differed = sum(audit.outcome != "ok" for audit in recording.audits)
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(style="cyan")
        table.add_column(justify="right", min_width=10)
        table.add_column(style="dim")
        conditions = [Text.assemble(*_condition(name, how)) for name, how in stage.conditions.items()]
        table.add_row(phase, "", Text("   ").join(conditions))
        table.add_row("users", f"{scenario.load.vus_at(now_s)}", f"{requests}/s, {accepted}/s accepted")
        others = samples.requested - samples.accepted
        table.add_row("accepted", f"{samples.accepted:,}", Text(f"{others} not", style="red") if others else "")
        table.add_row("p99 so far", _p99(recording), "")
        settled = tick.settled
        table.add_row(
            "settled",
            _number(settled.count if settled else None),
            ", ".join(f"{name} {total.count:,}" for name, total in settled.items()) if settled else "",
        )
        table.add_row("pending", _number(tick.pending), f"failed {_number(tick.failed)}")
        table.add_row(
            "audits",
            f"{len(recording.audits) - differed} ok",
            Text(f"{differed} not", style="bold red") if differed else "",
        )
        for name, cores in tick.cores.items():
            table.add_row(f"CPU {name}", f"{cores:.2f}", "cores")
        bar = ProgressBar(total=scenario.load.duration_s, completed=min(now_s, scenario.load.duration_s), width=50)
        return Group(Text(scenario.title, style="bold"), Text(f"{now_s:5.0f} s"), bar, table)


def _condition(name: str, condition: Condition) -> tuple[str, tuple[str, str]]:
    style = "bold red" if condition.failing else "yellow" if condition.delay_ms else "green"
    return f"{name} ", (condition.describe(), style)
