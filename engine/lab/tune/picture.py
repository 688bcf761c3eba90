"""Pictures of what a tuning run has found: the effect of each variable, heat maps of pairs, and the path of halving.

Effects and heat maps are of the first rung: it is the only one in which every point took part.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from engine.lab.drawing import ACCEPTED, DEFAULT, FALLBACK, PENDING, TROUBLE, new_figure
from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.objective import KEPT, Run, rank, spread, tier
from engine.lab.tune.plan import Plan, Slot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE, DOT, OUT = ACCEPTED, FALLBACK, "#b8c0c8"
THIN = (DEFAULT, PENDING, "#4c9be8", "#b56576", "#8a9a5b", "#7d8790")
PANEL_INCHES = (5.2, 4.0)
PANELS_IN_A_ROW = 3
THIN_LINES_MAX = len(THIN)  # with more of them, single lines cannot be seen
MAPS_MAX = 6
CELLS_WITH_TEXT_MAX = 150
NAMES_MAX = 40
DEFAULT_MARK = "#6c757d"
LOG_FROM_RATIO = 20.0

# The finished runs of the first rung, by point; only points with a value of the objective.
Runs = Mapping[int, Sequence[Run]]


def draw(plan: Plan, finished: Mapping[Slot, Run], directory: Path) -> list[Path]:
    """Draws what there is to see into ``directory``: ``effects.png``, ``heat.png`` if more than one variable has more
    than one value, and ``halving.png``. Returns the files. Raises OSError.

    A point that broke a promise has crosses for dots in the first, and no colour in the second.
    """
    measure = plan.objective.measure
    first = {point: runs for point, runs in plans.runs_of_rung(plan, 0, finished).items() if spread(runs, measure)}
    moving = [number for number, axis in enumerate(plan.axes) if len(axis.values) > 1]
    figures: dict[str, Figure] = {}
    if first and moving:
        figures["effects"] = _effects(plan, moving, first)
    good = {point: runs for point, runs in first.items() if tier(plan.objective, runs) == KEPT}
    if good and len(moving) > 1:
        figures["heat"] = _heat(plan, list(itertools.combinations(moving, 2))[:MAPS_MAX], good)
    if first and plan.halving:
        figures["halving"] = _halving(plan, finished)
    paths = []
    for name, figure in figures.items():
        paths.append(directory / f"{name}.png")
        figure.savefig(paths[-1], format="png")
    return paths


def _panels(plan: Plan, count: int, what: str) -> tuple[Figure, Iterator[Axes]]:
    """A figure with ``count`` places for a drawing, row by row."""
    across = min(count, PANELS_IN_A_ROW)
    down = -(-count // across)
    seconds = plans.rungs(plan)[0].seconds
    held = f"{Path(plan.scenario).stem}: contests of {seconds:g} s, {plan.rounds_told}"
    title = f"{plan.objective.title}: {what}\n{held}"
    figure = new_figure(max(PANEL_INCHES[0] * across, 7.0), PANEL_INCHES[1] * down + 0.6, title)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return figure, iter(grid.flat)


def _effects(plan: Plan, moving: Sequence[int], first: Runs) -> Figure:
    figure, panels = _panels(plan, len(moving), "the effect of each variable")
    for number, axes in zip(moving, panels, strict=False):
        _effect(axes, plan, number, first)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    _legend_below(
        figure,
        [
            Line2D([], [], color=DOT, marker="o", markersize=4, linestyle="", label="a contest"),
            Line2D([], [], color=TROUBLE, marker="x", markersize=4, linestyle="", label="one that broke a promise"),
            Line2D([], [], color=LINE, marker="s", markersize=5, linewidth=2.2, label="median"),
            Patch(facecolor=LINE, alpha=0.08, label="lowest to highest"),
            Line2D([], [], color=DEFAULT_MARK, linestyle=(0, (4, 3)), label="the default"),
        ],
    )
    return figure


def _legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """What the marks of all panels mean."""
    figure.legend(handles=list(handles), loc="outside lower left", ncols=len(handles), fontsize=8, frameon=False)


def _effect(axes: Axes, plan: Plan, number: int, first: Runs) -> None:
    """Values of one variable from left to right: a dot for each run, squares for the medians, and thin lines where only
    this variable moves."""
    axis, measure = plan.axes[number], plan.objective.measure
    place = {value: at for at, value in enumerate(axis.values)}
    lines: dict[tuple[str, ...], list[tuple[int, float]]] = {}
    medians: dict[int, list[float]] = {}
    reach: dict[int, list[float]] = {}
    seen: list[float] = []
    for point, runs in sorted(first.items()):
        values = plan.points[point]
        at = place[values[number]]
        middle = spread(runs, measure)
        assert middle is not None, "only points with a value are drawn"
        medians.setdefault(at, []).append(middle.median)
        lines.setdefault((*values[:number], *values[number + 1 :]), []).append((at, middle.median))
        for run in runs:
            if measure in run.measures:
                seen.append(run.measures[measure])
                axes.plot(at, seen[-1], "x" if run.broken else "o", color=TROUBLE if run.broken else DOT, markersize=4)
                reach.setdefault(at, []).append(seen[-1])
    ats = sorted(reach)
    axes.fill_between(ats, [min(reach[at]) for at in ats], [max(reach[at]) for at in ats], color=LINE, alpha=0.08)
    if 1 < len(lines) <= THIN_LINES_MAX:
        others = [other for index, other in enumerate(plan.axes) if index != number]
        for color, (rest, steps) in zip(THIN, lines.items(), strict=False):
            moved = [f"{o.label}={v}" for o, v in zip(others, rest, strict=True) if len(o.values) > 1]
            axes.plot(*zip(*sorted(steps), strict=True), color=color, linewidth=1.2, label=" ".join(moved))
        axes.legend(fontsize=7, frameon=False, loc="best")
    middles = [(at, median(found)) for at, found in sorted(medians.items())]
    axes.plot(*zip(*middles, strict=True), color=LINE, linewidth=2.2, marker="s", markersize=5)
    axes.set_xticks(range(len(axis.values)), axis.values, rotation=30 if len(axis.values) > 6 else 0)
    axes.set_xlim(-0.3, len(axis.values) - 0.7)
    default = space.default_of(axis)
    if default in place:
        axes.axvline(place[default], color=DEFAULT_MARK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlabel(
        axis.name + ("" if default is None or default in place else f" (the default, {default}, was not held)")
    )
    axes.set_ylabel(plan.objective.title)
    if min(seen) > 0 and max(seen) / min(seen) > LOG_FROM_RATIO:
        axes.set_yscale("log")
    axes.grid(True, color="#e6eaee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _heat(plan: Plan, pairs: Sequence[tuple[int, int]], first: Runs) -> Figure:
    what = "pairs of variables" + (" (medians over the others)" if len(pairs) > 1 else "")
    figure, panels = _panels(plan, len(pairs), what)
    for pair, axes in zip(pairs, panels, strict=False):
        _map(figure, axes, plan, pair, first)
    from matplotlib.patches import Patch

    _legend_below(
        figure,
        [
            Patch(fill=False, edgecolor=TROUBLE, linewidth=2.2, label="the best"),
            Patch(fill=False, edgecolor=DEFAULT_MARK, linewidth=2.0, linestyle="--", label="the defaults"),
            Patch(fill=False, edgecolor="#d0d5da", label="white: not held yet, or broke a promise"),
        ],
    )
    return figure


def _map(figure: Figure, axes: Axes, plan: Plan, pair: tuple[int, int], first: Runs) -> None:
    """One variable downwards, one across, the median in each cell, frames around the best and the defaults."""
    down, across = (plan.axes[number] for number in pair)
    cells: dict[tuple[int, int], list[float]] = {}
    for point, runs in first.items():
        values, middle = plan.points[point], spread(runs, plan.objective.measure)
        assert middle is not None, "only points with a value are drawn"
        cell = (down.values.index(values[pair[0]]), across.values.index(values[pair[1]]))
        cells.setdefault(cell, []).append(middle.median)
    medians = {cell: median(found) for cell, found in cells.items()}
    table = [
        [medians.get((row, column), float("nan")) for column in range(len(across.values))]
        for row in range(len(down.values))
    ]
    # Better values are brighter.
    image = axes.imshow(table, cmap="viridis" if plan.objective.higher_is_better else "viridis_r", aspect="auto")
    low, high = min(medians.values()), max(medians.values())
    if len(medians) <= CELLS_WITH_TEXT_MAX:
        for (row, column), value in medians.items():
            part = (value - low) / (high - low) if high > low else 0.5
            is_dark = part < 0.6 if plan.objective.higher_is_better else part > 0.4
            color = "white" if is_dark else "black"
            axes.text(
                column, row, plan.objective.text(value), ha="center", va="center", fontsize=7.5, color=color
            )  # fmt: skip
    best = (max if plan.objective.higher_is_better else min)(medians, key=lambda cell: medians[cell])
    _frame(axes, best, edgecolor=TROUBLE, linewidth=2.2)
    defaults = space.default_of(down), space.default_of(across)
    if defaults[0] in down.values and defaults[1] in across.values:
        cell = down.values.index(defaults[0]), across.values.index(defaults[1])
        _frame(axes, cell, inset=0.07, edgecolor="white", linewidth=2.6)
        _frame(axes, cell, inset=0.07, edgecolor=DEFAULT_MARK, linewidth=2.0, linestyle="--")
    axes.set_xticks(range(len(across.values)), across.values, rotation=30 if len(across.values) > 6 else 0)
    axes.set_yticks(range(len(down.values)), down.values)
    axes.set_xlabel(across.name)
    axes.set_ylabel(down.name)
    figure.colorbar(image, ax=axes, shrink=0.85, label="brighter is better")


def _frame(axes: Axes, cell: tuple[int, int], inset: float = 0.0, **style: Any) -> None:
    """A frame around a cell, given as its row and column."""
    from matplotlib.patches import Rectangle

    side = 1 - 2 * inset
    axes.add_patch(Rectangle((cell[1] - 0.5 + inset, cell[0] - 0.5 + inset), side, side, fill=False, **style))


def _halving(plan: Plan, finished: Mapping[Slot, Run]) -> Figure:
    """The place of every point in each rung, those that go on in colour."""
    rungs = plans.rungs(plan)
    places = [
        {point: place for place, point in enumerate(rank(plan.objective, plans.runs_of_rung(plan, rung, finished)), 1)}
        for rung in range(len(rungs))
    ]
    begun = [found for found in places if found]
    shown = min(len(begun[0]), NAMES_MAX)
    what = f"{plan.objective.title}: places in successive halving, the best at the top\n{Path(plan.scenario).stem}"
    figure = new_figure(3.0 * len(rungs) + 4.5, 1.6 + 0.24 * shown, what)
    axes = figure.subplots()
    for point in begun[0]:
        steps = [(rung, found[point]) for rung, found in enumerate(begun) if point in found]
        went_on = len(steps) > 1
        axes.plot(
            *zip(*steps, strict=True), marker="o", markersize=4, linewidth=2.0 if went_on else 0,
            color=LINE if went_on else OUT, alpha=0.85,
        )  # fmt: skip
        last_rung, place = steps[-1]
        name = space.describe(plan.axes, plan.points[point])
        middle = spread(plans.runs_of_rung(plan, last_rung, finished)[point], plan.objective.measure)
        mark = " (the defaults)" if space.is_default(plan.axes, plan.points[point]) else ""
        text = f"{name}{mark}: {plan.objective.text(middle.median if middle else None)}"
        is_best = last_rung == len(begun) - 1 and place == 1
        if place <= NAMES_MAX:
            axes.annotate(
                text, steps[-1], xytext=(7, 0), textcoords="offset points", va="center", fontsize=7,
                color=TROUBLE if is_best else LINE if went_on else "#7d8790",
                fontweight="bold" if is_best else "normal",
            )  # fmt: skip
    axes.set_xticks(
        range(len(rungs)),
        [f"rung {number + 1}\n{rung.entrants} x {rung.seconds:g} s" for number, rung in enumerate(rungs)],
    )
    axes.set_xlim(-0.2, len(rungs) - 1 + 1.3)
    axes.set_ylim(shown + 0.7, 0.3)
    axes.set_ylabel("place")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    from matplotlib.lines import Line2D

    _legend_below(
        figure,
        [
            Line2D([], [], color=LINE, marker="o", markersize=4, linewidth=2.0, label="went on"),
            Line2D([], [], color=OUT, marker="o", markersize=4, linestyle="", label="ended in its first rung"),
        ],
    )
    return figure
