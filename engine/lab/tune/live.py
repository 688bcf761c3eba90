"""What is shown while a tuning run lasts: a bar with the time left on a terminal, a line for each run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from engine.lab.contest.recording import Recording
from engine.lab.results import duration, say
from engine.lab.shown import Shown
from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.objective import Run, spread
from engine.lab.tune.plan import Plan, Slot

BAR_WIDTH = 50


class Progress:
    """How far a tuning run is, with ``slot`` being held now.

    Parameters:
      finished: the runs before it.
      overhead_s: what a contest takes beside its load, by experience.
    """

    def __init__(self, plan: Plan, finished: Mapping[Slot, Run], slot: Slot, overhead_s: float) -> None:
        self._plan = plan
        self._slot = slot
        self._begin_s = time.monotonic()
        self.done = len(finished)
        self.in_all = plans.runs_in_all(plan)
        self._left_s = plans.left_s(plan, finished, overhead_s)
        self._run_s = plans.rungs(plan)[slot.rung].seconds + overhead_s
        self._best = _best(plan, finished)

    @property
    def left_s(self) -> float:
        """Time left in seconds; a run that takes longer than expected does not use up the time of the others."""
        return self._left_s - min(time.monotonic() - self._begin_s, self._run_s)

    @property
    def left_after_s(self) -> float:
        """Time left in seconds when this run is over."""
        return self._left_s - self._run_s

    @property
    def part(self) -> float:
        """The part of the current run that is over, by time: 0 to 1."""
        return min((time.monotonic() - self._begin_s) / self._run_s, 1.0)

    def title(self) -> str:
        """``run 7 of 48, round 2 of 3``, with the rung of halving."""
        rungs = plans.rungs(self._plan)
        where = f"run {self.done + 1} of {self.in_all}, round {self._slot.round + 1} of {self._plan.rounds}"
        rung = rungs[self._slot.rung]
        contests = f"{rung.entrants} points, {rung.seconds:g} s each"
        return f"{where}, rung {self._slot.rung + 1} of {len(rungs)} ({contests})" if len(rungs) > 1 else where

    def point(self) -> str:
        """The values that are tried now."""
        return space.describe(self._plan.axes, self._plan.points[self._slot.point])

    def best(self) -> str:
        """The best of the runs before this one, ``""`` when there was none."""
        return self._best

    def value(self, run: Run) -> str:
        """What ``run`` brought."""
        if run.broken:
            return f"FAILED: {run.broken.splitlines()[0]}"
        objective = self._plan.objective
        return f"{objective.title}: {objective.text(run.measures.get(objective.measure))}"


def _best(plan: Plan, finished: Mapping[Slot, Run]) -> str:
    if not finished:
        return ""
    point, rung = plans.standing(plan, finished)[0]
    seen = spread(plans.runs_of_rung(plan, rung, finished)[point], plan.objective.measure)
    value = plan.objective.text(seen.median if seen else None)
    return f"best so far: {space.describe(plan.axes, plan.points[point])} ({plan.objective.title}: {value})"


class View(Protocol):
    """Shows a tuning run while it lasts."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, progress: Progress, recording: Recording, now_s: float) -> None:
        """Called about once a second while a contest is held, with its recording so far."""

    def done(self, progress: Progress, run: Run) -> None:
        """Called when the run that ``progress`` is about has ended."""


def view(console: Console) -> View:
    """The one for this console: a screen on a terminal, lines elsewhere."""
    return Screen(console) if console.is_terminal else Lines(console)


class Lines(Shown):
    """A line for each run, for logs."""

    def show(self, progress: Progress, recording: Recording, now_s: float) -> None:
        """Nothing: the line comes at the end."""

    def done(self, progress: Progress, run: Run) -> None:
        """Prints what was tried, what came of it, and the time left."""
        text = f"{progress.title()}: {progress.point()}: {progress.value(run)}; {duration(progress.left_after_s)} left"
        say(self.console, text)


class Screen(Shown):
    """A bar that stays in its place, below a line for each run. Redrawn once a second."""

    def show(self, progress: Progress, recording: Recording, now_s: float) -> None:
        """Draws the bar anew."""
        self.draw(self._bar(progress, recording, now_s))

    def done(self, progress: Progress, run: Run) -> None:
        """Prints what was tried and what came of it above the bar."""
        style = "red" if run.broken else ""
        self.console.print(f"{progress.point()}: {progress.value(run)}", style=style, markup=False, highlight=False)

    def _bar(self, progress: Progress, recording: Recording, now_s: float) -> RenderableType:
        p99_ms = recording.samples.p99_ms()
        duration_s = recording.scenario.load.duration_s
        now = (
            f"{min(now_s, duration_s):.0f} s of {duration_s:g}   accepted {recording.samples.accepted:,}   "
            f"p99 so far {'-' if p99_ms is None else f'{p99_ms:.2f} ms'}"
        )
        return Group(
            Text(f"{progress.title()}   {duration(progress.left_s)} left", style="bold"),
            ProgressBar(total=progress.in_all, completed=progress.done + progress.part, width=BAR_WIDTH),
            Text(progress.point(), style="cyan"),
            Text(now),
            Text(progress.best(), style="green"),
        )
