"""What a tuning run has found: as a table for people, and as CSV with a line for each point. Pure but for writing."""

from __future__ import annotations

import csv
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from engine.lab.results import say
from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.objective import KEPT, MEASURES, TIERS, Run, Spread, spread, tier
from engine.lab.tune.plan import Plan, Slot

ROWS_SHOWN_MAX = 15
ROUNDS_MEANINGFUL = 3  # of fewer, lowest and highest are hardly a spread
OTHERS_CORES_MAX = 0.2
DEFAULTS = "defaults"
REMARK_WIDTH_MIN = len(DEFAULTS)
BORDERS = 3  # what a column takes in the table besides its text
SHOWN = (("p99_ms", "p99 ms"), ("p999_ms", "p99.9 ms"), ("cpu_us", "CPU µs"), ("memory_mb", "MB"), ("lost", "lost"))


@dataclass(frozen=True)
class Row:
    """A point and what it brought in the last rung in which it took part.

    Parameters:
      point: its number.
      rung: from 0.
      runs: of that rung.
      tier: as ``objective.tier`` has it.
      spread: of the objective; None when no run had a result.
    """

    point: int
    rung: int
    runs: tuple[Run, ...]
    tier: int
    spread: Spread | None


def rows(plan: Plan, finished: Mapping[Slot, Run]) -> list[Row]:
    """Every point that has a finished run, the best first."""
    found = []
    for point, rung in plans.standing(plan, finished):
        runs = tuple(plans.runs_of_rung(plan, rung, finished)[point])
        value = spread(runs, plan.objective.measure)
        found.append(Row(point, rung, runs, tier(plan.objective, runs), value))
    return found


def alike(found: Sequence[Row]) -> list[Row]:
    """The rows whose runs overlap with those of the best, which is the first: the best may be so by chance."""
    if not found or found[0].spread is None:
        return []
    best = found[0].spread
    return [
        row
        for row in found[1:]
        if row.tier == KEPT and row.rung == found[0].rung and row.spread is not None and row.spread.overlaps(best)
    ]


def settings(plan: Plan, point: int) -> list[str]:
    """The lines of shell that set what ``point`` was run with; a comment says where a split of the CPU belongs."""
    values = dict(plan.fixed) | space.assignment(plan.axes, plan.points[point])
    split = values.pop(space.SPLIT, None)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(values.items())]
    if split is not None:
        front, api, dispatcher = space.cpus(split)
        lines.append(f"# docker-compose.yml, cpus: nginx {front}, each API process {api}, dispatcher {dispatcher}")
    return lines


def write_summary(plan: Plan, finished: Mapping[Slot, Run], path: Path) -> None:
    """Writes a line for each point: its place and values, medians, and lowest and highest of the objective.

    Raises OSError.
    """
    names = [axis.name for axis in plan.axes]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["place", "point", *names, "rung", "seconds", "runs", *MEASURES, "objective", "low", "high", "remark"]
        )
        for place, row in enumerate(rows(plan, finished), 1):
            medians = (spread(row.runs, measure) for measure in MEASURES)
            writer.writerow(
                [
                    place,
                    row.point,
                    *plan.points[row.point],
                    row.rung,
                    plans.rungs(plan)[row.rung].seconds,
                    len(row.runs),
                    *("" if seen is None else round(seen.median, 4) for seen in medians),
                    plan.objective.name,
                    "" if row.spread is None else round(row.spread.low, 4),
                    "" if row.spread is None else round(row.spread.high, 4),
                    TIERS[row.tier],
                ]
            )


def print_table(plan: Plan, finished: Mapping[Slot, Run], console: Console) -> None:
    """The best points with their spreads, those that cannot be told from the best, and how to set the best."""
    found = rows(plan, finished)
    if not found:
        return
    is_done = plans.next_slot(plan, finished) is None
    console.print(_table(plan, found, is_done, console.width))
    for axis in plan.axes:
        default = space.default_of(axis)
        if default is not None and default not in axis.values:
            console.print(
                f"{axis.name}: the default, {default}, is not among the values.", style="dim", highlight=False
            )
    hidden = sum(not _is_shown(plan, place, row) for place, row in enumerate(found, 1))
    if hidden:
        console.print(f"and {hidden} more in summary.csv", style="dim")
    best = found[0]
    if best.tier != KEPT:
        console.print("No point is good: see the remarks.", style="bold red")
        return
    busy = max((run.measures.get("others_cores", 0.0) for run in finished.values()), default=0.0)
    if busy > OTHERS_CORES_MAX:
        console.print(
            f"Other work took up to {busy:.2f} cores meanwhile: see others_cores in runs.csv.", style="yellow"
        )
    same = alike(found)
    if len(best.runs) < ROUNDS_MEANINGFUL:
        console.print("So few rounds hardly tell an effect from chance: more --rounds would.", style="yellow")
    if same:
        console.print(
            f"{_others(len(same))} cannot be told from the best: runs overlap with its own. More --rounds or longer "
            "contests (--seconds) would tell, if there is a difference.",
            style="yellow",
        )
    by_default = next((row for row in found if _is_default(plan, row)), None)
    if by_default is not None and by_default.point != best.point and by_default.rung == best.rung:
        console.print(f"The defaults: {_value(plan, by_default)}; the best: {_value(plan, best)}", highlight=False)
    console.print("The best:" if is_done else "The best so far:", style="bold green")
    for line in settings(plan, best.point):
        say(console, line)


def _others(count: int) -> str:
    return "1 other point" if count == 1 else f"{count} other points"


def _table(plan: Plan, found: Sequence[Row], is_done: bool, width: int) -> Table:
    """The table. Where ``width`` has no room for all, measures are left out from the right, then the variables' names
    stand below it. No varied value is left out."""
    contests = "successive halving" if plan.halving else "grid"
    so_far = "" if is_done else " (not all held yet)"
    table = Table(
        title=f"{plan.objective.title}: {contests}, medians of {plan.rounds_told}{so_far}", title_style="bold"
    )
    value_title = f"{plan.objective.name} (low to high)"
    lengths = {"": 2, value_title: max(len(_value(plan, row)) for row in found)}
    if plan.halving:
        lengths["of"] = max(len(f"{rung.seconds:g} s") for rung in plans.rungs(plan))
    left = (
        width - 1 - BORDERS - REMARK_WIDTH_MIN - sum(max(len(title), most) + BORDERS for title, most in lengths.items())
    )
    headings = [axis.label.replace("_", "_\n") for axis in plan.axes]
    if _width(plan, headings) > left:
        headings = list(string.ascii_uppercase[: len(headings)])
        keys = "\n".join(f"{letter}: {axis.name}" for letter, axis in zip(headings, plan.axes, strict=True))
        table.caption, table.caption_justify = keys, "left"
    shown = _with_room(plan, found, left - _width(plan, headings))
    table.add_column("", justify="right", style="dim", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", style="cyan", no_wrap=True)
    table.add_column(value_title, justify="right", no_wrap=True)
    for title in (["of"] if plan.halving else []) + [title for _, title in shown]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("remark", style="yellow", min_width=REMARK_WIDTH_MIN)
    for place, row in enumerate(found, 1):
        if not _is_shown(plan, place, row):
            continue
        cells = [str(place), *plan.points[row.point], _value(plan, row)]
        if plan.halving:
            cells.append(f"{plans.rungs(plan)[row.rung].seconds:g} s")
        cells += [_median(plan, row, measure) for measure, _ in shown]
        cells.append(", ".join(filter(None, (DEFAULTS if _is_default(plan, row) else "", _remark(row)))))
        table.add_row(*cells, style="bold" if place == 1 else "")
    return table


def _width(plan: Plan, headings: Sequence[str]) -> int:
    """What the columns of the axes take in the table."""
    texts = [[*heading.split("\n"), *axis.values] for heading, axis in zip(headings, plan.axes, strict=True)]
    return sum(max(map(len, each)) + BORDERS for each in texts)


def _with_room(plan: Plan, found: Sequence[Row], width: int) -> list[tuple[str, str]]:
    """The measures, with their titles, for which there is room beside the rest of the table."""
    shown = []
    for measure, title in SHOWN:
        if measure != plan.objective.measure:
            width -= max(len(title), *(len(_median(plan, row, measure)) for row in found)) + BORDERS
            if width < 0:
                break
            shown.append((measure, title))
    return shown


def _median(plan: Plan, row: Row, measure: str) -> str:
    seen = spread(row.runs, measure)
    return "-" if seen is None else plan.objective.text(seen.median)


def _is_default(plan: Plan, row: Row) -> bool:
    return space.is_default(plan.axes, plan.points[row.point])


def _is_shown(plan: Plan, place: int, row: Row) -> bool:
    """Whether the row is in the table: the first ones, and the defaults wherever they stand."""
    return place <= ROWS_SHOWN_MAX or _is_default(plan, row)


def _value(plan: Plan, row: Row) -> str:
    if row.spread is None:
        return "-"
    text = plan.objective.text
    return f"{text(row.spread.median)} ({text(row.spread.low)} to {text(row.spread.high)})"


def _remark(row: Row) -> str:
    """What is wrong with the point, with the first reason that a run gave."""
    reason = next((run.broken for run in row.runs if run.broken), "")
    return f"{TIERS[row.tier]}: {reason:.80}" if reason else TIERS[row.tier]
