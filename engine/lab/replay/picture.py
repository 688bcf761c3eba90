"""Pictures of replays: one contest as each policy decided it beside the oracle's plan, and many contests in a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from engine.lab.contest.scenario import Condition, Fees, Scenario
from engine.lab.drawing import ACCEPTED, DEFAULT, FALLBACK, PENDING, TROUBLE, legend_beside, new_figure
from engine.lab.replay.account import account
from engine.lab.replay.oracle import SERIES_MS, Best
from engine.lab.replay.result import BIN_MS, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 13.0
LINE_COLORS = (ACCEPTED, TROUBLE, PENDING, "#3a86c8", "#8d6e63", "#607d8b")  # of the policies, in turn
SLOW_MS, VERY_SLOW_MS = 50, 1500
SHADES = {"healthy": "#dcefe3", "slow": "#fbe7ae", "very slow": "#f2b271", "failing": "#d1495b"}
ACCOUNT = (
    ("fees_unavoidable", "fees that the oracle pays too", "#c5ccd3"),
    ("left_unavoidable", "left by the oracle too", "#98a3ae"),
    ("fees_unknowing", "fees for lack of knowledge", FALLBACK),
    ("left", "left at the end", PENDING),
    ("fine", "fine", TROUBLE),
)
TARGETS = ((0.985, "mean wanted: 0.985"), (0.95, "worst allowed: 0.95"))

assert BIN_MS == SERIES_MS
BIN_S = BIN_MS / 1000
RATE_BINS = 1000 // BIN_MS  # rates are drawn by the second: a dispatcher's batches would be a comb


def draw(path: Path, scenario: Scenario, runs: Mapping[str, Result], best: Best) -> None:
    """Draws one contest as a PNG: the stages, what was settled where by the oracle and by each of ``runs``, how far
    each was behind the oracle in money, what waited, and where the money went.

    ``runs``: at least one, by the policy's name, all of the same contest as ``best``. Raises OSError.
    """
    height = 5.4 + 1.15 * (len(runs) + 1) + 0.3 * len(runs)
    figure = new_figure(WIDTH_INCHES, height, _title(scenario, runs, best))
    ratios = (0.75, *[1.15] * (len(runs) + 1), 1.6, 1.25, 0.75 + 0.3 * len(runs))
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    bands = figure.add_subplot(grid[0])
    timed = [figure.add_subplot(grid[row], sharex=bands) for row in range(1, len(ratios) - 1)]
    sums = figure.add_subplot(grid[-1])
    settled_axes, money, backlog = timed[:-2], timed[-2], timed[-1]

    end_s = max(run.end_s for run in runs.values())
    accepted = next(iter(runs.values())).series.accepted
    _bands(bands, scenario, end_s)
    plans = {"oracle": (best.series, None)} | {
        name: (list(zip(*run.series.settled, strict=True)), run) for name, run in runs.items()
    }
    for axes, (name, (series, run)) in zip(settled_axes, plans.items(), strict=True):
        _settled(axes, name, series, accepted, scenario, run)
    legend_beside(settled_axes[0])
    _money(money, scenario, runs, best)
    _backlog(backlog, runs)
    for axes in timed:
        _frame(axes)
        for stage in scenario.stages:
            axes.axvline(stage.at_s, color="#b8c0c8", linewidth=0.8, zorder=-1)
        axes.tick_params(labelbottom=axes is backlog)
    bands.tick_params(labelbottom=False)
    bands.set_xlim(0, end_s)
    backlog.set_xlabel("seconds since the load began", fontsize=9)
    _account(sums, runs, best)
    figure.savefig(path, format="png")


def _title(scenario: Scenario, runs: Mapping[str, Result], best: Best) -> str:
    run = next(iter(runs.values()))
    nets = f"of {run.requested:,.2f} requested the oracle nets {best.net:,.2f}"
    return f"{scenario.title}\n{sum(run.series.accepted):,} payments, {nets}"


def draw_many(path: Path, table: Mapping[str, Sequence[float]]) -> None:
    """Draws, as a PNG, what share of the oracle's net each policy reached in many scenarios: its ratios from the lowest
    to the highest, and once more its lower end, which decides what a policy is worth.

    ``table``: for each policy one ratio for each scenario, as many for all, at least one. Raises OSError.
    """
    figure = new_figure(WIDTH_INCHES, 6.5)
    all_of_it, top = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    for color, (name, ratios) in zip(_colors(table), table.items(), strict=True):
        ordered = sorted(ratios)
        shares = [(number + 0.5) / len(ordered) * 100 for number in range(len(ordered))]
        label = f"{name}: mean {sum(ordered) / len(ordered):.4f}, worst {ordered[0]:.4f}"
        for axes in (all_of_it, top):
            axes.plot(
                shares, ordered, color=color, linewidth=1.8, label=label,
                marker="o" if len(ordered) < 50 else None, markersize=3,
            )  # fmt: skip
    for axes in (all_of_it, top):
        for target, text in TARGETS:
            axes.axhline(target, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
            if axes is top:
                axes.annotate(
                    text, (100, target), xytext=(-2, 3), textcoords="offset points", ha="right", fontsize=8,
                    color="#555555", bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
                )  # fmt: skip
        _frame(axes)
        axes.set_xlim(0, 100)
        axes.set_xlabel("scenarios, from the worst of the policy to its best (%)", fontsize=9)
    all_of_it.set_ylabel("net after the fine, of the oracle's", fontsize=9)
    all_of_it.set_ylim(min(0.9, *map(min, table.values())) - 0.02, 1.005)
    all_of_it.set_title("all", fontsize=10, loc="left")
    top.set_ylim(0.9, 1.002)
    top.set_title("from 0.9 up", fontsize=10, loc="left")
    top.legend(loc="lower right", bbox_to_anchor=(1.0, 0.02), fontsize=9, frameon=True, facecolor="white")
    count = len(next(iter(table.values())))
    figure.suptitle(
        f"{count} contests: what each policy earned of what was possible", fontsize=12, x=0.01, ha="left",
        fontweight="bold",
    )  # fmt: skip
    figure.savefig(path, format="png")


def _colors(names: Mapping[str, object]) -> list[str]:
    return [LINE_COLORS[number % len(LINE_COLORS)] for number in range(len(names))]


def _frame(axes: Axes) -> None:
    axes.grid(True, color="#e6e9ec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _mood(condition: Condition) -> str:
    if condition.failing:
        return "failing"
    return "very slow" if condition.delay_ms >= VERY_SLOW_MS else "slow" if condition.delay_ms >= SLOW_MS else "healthy"


def _bands(axes: Axes, scenario: Scenario, end_s: float) -> None:
    """A row for each processor, coloured and labelled by what it was like."""
    from matplotlib.patches import Patch

    bounds = [0.0, *(stage.at_s for stage in scenario.stages), end_s]
    for from_s, until_s in pairwise(bounds):
        stage = scenario.stage_at(from_s)
        for row, condition in ((1, stage.default), (0, stage.fallback)):
            mood = _mood(condition)
            axes.broken_barh(
                [(from_s, until_s - from_s)], (row + 0.04, 0.92), facecolor=SHADES[mood], edgecolor="white"
            )
            text = f"{condition.delay_ms:,}" if condition.delay_ms else ""
            # A label that is wider than its stage would run into the next one.
            if text and (until_s - from_s) / end_s * WIDTH_INCHES >= 0.09 * len(text):
                color = "white" if condition.failing else "#333333"
                axes.text((from_s + until_s) / 2, row + 0.48, text, ha="center", va="center", fontsize=7.5, color=color)
    axes.set_yticks([0.5, 1.5], ["fallback", "default"], fontsize=9)
    axes.set_ylim(0, 2)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.legend(
        handles=[Patch(facecolor=shade, label=mood) for mood, shade in SHADES.items()], title="delay in ms",
        loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, title_fontsize=8.5, frameon=False, handlelength=1.4,
    )  # fmt: skip


def _by_second(counts: Sequence[int]) -> list[int]:
    return [sum(counts[begin : begin + RATE_BINS]) for begin in range(0, len(counts), RATE_BINS)]


def _settled(
    axes: Axes,
    name: str,
    series: Sequence[tuple[int, int]],
    accepted: Sequence[int],
    scenario: Scenario,
    run: Result | None,
) -> None:
    """Payments per second, settled at default, at fallback above it, and accepted. No ``run``: the oracle's."""
    default, fallback = (_by_second([pair[processor] for pair in series]) for processor in (0, 1))
    at_s = [second + 0.5 for second in range(len(default))]
    axes.stackplot(
        at_s, default, fallback, colors=[DEFAULT, FALLBACK], labels=["settled at default", "settled at fallback"],
        alpha=0.9, linewidth=0, step="mid",
    )  # fmt: skip
    rates = _by_second(accepted)
    seconds = [second + 0.5 for second in range(len(rates))]
    axes.plot(seconds, rates, color=ACCEPTED, linewidth=1.3, drawstyle="steps-mid", label="accepted")
    # A backlog is settled within a second or two, at a multiple of the load: the peak is cut off.
    axes.set_ylim(0, 2.2 * max([*rates, 1]))
    share = sum(fallback) / max(sum(default) + sum(fallback), 1)
    axes.set_ylabel(name, fontsize=10, fontweight="bold")
    words = f"{share:.1%} on fallback"
    if run is not None:
        words += f", {run.left:,} left" if run.left else ""
        for audit in run.audits:
            color = TROUBLE if audit.missed else "#7f8c8d"
            axes.axvline(audit.at_s, color=color, linewidth=1.6 if audit.missed else 0.9, linestyle=(0, (1, 2)))
        if run.audits_missed:
            words += f", {run.audits_missed} of {len(run.audits)} audits missed"
    axes.text(
        0.004, 0.94, words, transform=axes.transAxes, fontsize=8.5, va="top",
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _earned(series: Sequence[tuple[int, int]], fees: Fees, amount_cents: int) -> list[float]:
    """Net so far at the end of each step, in currency units."""
    kept = [float(1 - fee) * amount_cents / 100 for fee in (fees.default, fees.fallback)]
    return list(accumulate(default * kept[0] + fallback * kept[1] for default, fallback in series))


def _money(axes: Axes, scenario: Scenario, runs: Mapping[str, Result], best: Best) -> None:
    amount_cents = scenario.load.amount_cents
    ideal = _earned(best.series, scenario.fees, amount_cents)
    for color, (name, run) in zip(_colors(runs), runs.items(), strict=True):
        earned = _earned(list(zip(*run.series.settled, strict=True)), scenario.fees, amount_cents)
        ahead = [ours - most for ours, most in zip(earned, ideal, strict=False)]
        at_s = [(number + 1) * BIN_S for number in range(len(ahead))]
        axes.plot(at_s, ahead, color=color, linewidth=1.5, label=f"{name}: {ahead[-1] if ahead else 0:+,.0f}")
    axes.axhline(0, color="#555555", linewidth=0.9)
    axes.set_ylabel("net so far\nless the oracle's", fontsize=9)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
    axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False, handlelength=1.4,
        title="at the end, before the fine", title_fontsize=8.5,
    )  # fmt: skip


def _backlog(axes: Axes, runs: Mapping[str, Result]) -> None:
    for color, (name, run) in zip(_colors(runs), runs.items(), strict=True):
        at_s = [(number + 1) * BIN_S for number in range(len(run.series.waiting))]
        axes.plot(at_s, run.series.waiting, color=color, linewidth=1.3, label=f"{name}: {run.backlog_max:,}")
    axes.set_ylabel("payments\nthat wait", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
    axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False, handlelength=1.4, title="most",
        title_fontsize=8.5,
    )  # fmt: skip


def _account(axes: Axes, runs: Mapping[str, Result], best: Best) -> None:
    """What was taken off all that was requested, in percent of it, a bar for each policy."""
    names = list(runs)
    accounts = [account(run, best) for run in runs.values()]
    # What was saved (fees for payments that were left) goes to the left of zero.
    right, left = [0.0] * len(names), [0.0] * len(names)
    for field, label, color in ACCOUNT:
        shares = [float(getattr(one, field) / one.requested) * 100 if one.requested else 0.0 for one in accounts]
        starts = [right[row] if share >= 0 else left[row] for row, share in enumerate(shares)]
        axes.barh(range(len(names)), shares, left=starts, color=color, label=label, height=0.68)
        for row, share in enumerate(shares):
            if share >= 0:
                right[row] += share
            else:
                left[row] += share
    for row, one in enumerate(accounts):
        axes.annotate(
            f"{one.ratio:.4f} of the oracle's", (right[row], row), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    _frame(axes)
    axes.axvline(0, color="#555555", linewidth=0.9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(min([*left, 0.0]) * 1.05, max([*right, 1.0]) * 1.18)
    axes.set_xlabel("% of all that was requested", fontsize=9)
    legend_beside(axes)
