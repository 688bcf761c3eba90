"""Pictures of a benchmark's result: latencies beside the floor's, CPU by process, and the splits that were tried."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import drawing
from engine.lab.bench.sides import ENGINE, FLOOR
from engine.lab.drawing import ACCEPTED, DEFAULT, FALLBACK, GREY, PENDING, TROUBLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]

# From the client to the processors; roles that are not here take the remaining colours in turn.
COLORS = {
    "nginx": GREY,
    "nginx worker": ACCEPTED,
    "api 0": DEFAULT,
    "api 1": "#74b49b",
    "dispatcher": FALLBACK,
    "supervisor": PENDING,
}
SPARE_COLORS = ("#457b9d", "#a8dadc", "#b5838d", "#606c38")
SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)
LABELLED_FROM = 0.04  # of the tallest column


def draw(outcome: Json, directory: Path) -> list[Path]:
    """Draws all of ``outcome`` (of ``report.result``) that has values; returns the files. Raises OSError."""
    load, paths = outcome["contest_load"], []
    if load and ENGINE in load:
        paths.append(_drawn(directory / "latency.png", (10.0, 6.0), lambda axes: _latency(axes, outcome)))
        paths.append(_drawn(directory / "cpu.png", (8.0, 6.0), lambda axes: _cpu(axes, outcome)))
    return paths


def draw_splits(outcome: Json, directory: Path) -> list[Path]:
    """Draws the splits of ``outcome`` (of ``split.result``); returns the files. Raises OSError."""
    height = 1.5 + 0.32 * len(outcome["splits"])
    return [_drawn(directory / "split.png", (10.0, height), lambda axes: _splits(axes, outcome))]


def _drawn(path: Path, size: tuple[float, float], content: Callable[[Axes], None]) -> Path:
    figure = drawing.new_figure(*size)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    content(axes)
    figure.savefig(path, format="png")
    return path


def _latency(axes: Axes, outcome: Json) -> None:
    """Duration over the share of requests that took longer: the tail, invisible in a histogram, is half of it."""
    load = outcome["contest_load"]
    rarity = load["one_in"]
    for name, color in ((FLOOR, GREY), (ENGINE, ACCEPTED)):
        rounds = [each[name]["quantiles_ms"] for each in load["rounds"] if name in each and each[name]["quantiles_ms"]]
        for values in rounds:
            axes.plot(rarity, values, color=color, linewidth=0.8, alpha=0.4)
        middle = [statistics.median(at) for at in zip(*rounds, strict=True)]
        p99 = load[name]["latency_ms"]["p99"]["median"]
        axes.plot(rarity, middle, color=color, linewidth=2.2, label=f"{name}: median p99 {p99:.2f} ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1 / (1 - share) for share in SHARES], [f"p{share * 100:g}" for share in SHARES])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    marks = [mark * 10.0**power for power in range(-2, 4) for mark in (1, 2, 5)]
    shown = [mark for mark in marks if low <= mark <= high]
    axes.set_yticks(shown, [f"{mark:g}" for mark in shown])
    axes.set_ylabel("accepting, ms")
    axes.grid(True, color="#dde3e8", linewidth=0.8)
    axes.legend(frameon=False)
    axes.set_title(
        f"Accepting under the contest's load: {load['to_floor']['p99']['median']:.2f} x the floor's p99\n"
        f"{_conditions(outcome)}; a thin line is a round",
        loc="left", fontsize=11,
    )  # fmt: skip


def _cpu(axes: Axes, outcome: Json) -> None:
    load = outcome["contest_load"]
    sides = [name for name in (FLOOR, ENGINE) if name in load]
    of_all = [load[name]["cpu_us_all"] for name in sides]
    tallest = max(each["median"] for each in of_all)
    roles = sorted({role for name in sides for role in load[name]["cpu_us"]}, key=_order)
    feet = [0.0] * len(sides)
    spare = iter(SPARE_COLORS)
    for role in roles:
        heights = [load[name]["cpu_us"].get(role, {"median": 0.0})["median"] for name in sides]
        color = COLORS.get(role) or next(spare, TROUBLE)
        axes.bar(sides, heights, bottom=feet, color=color, width=0.55, label=role)
        for index, height in enumerate(heights):
            if height > LABELLED_FROM * tallest:
                axes.text(
                    index, feet[index] + height / 2, f"{role} {height:.0f}",
                    ha="center", va="center", color="white", fontsize=9,
                )  # fmt: skip
        feet = [foot + height for foot, height in zip(feet, heights, strict=True)]
    for index, each in enumerate(of_all):
        text = f"{each['median']:.0f} ({each['low']:.0f} to {each['high']:.0f})"
        axes.text(index, feet[index] + 0.01 * tallest, text, ha="center", va="bottom", fontweight="bold")
    axes.set_ylim(top=tallest * 1.12)
    axes.set_ylabel("CPU for each settled payment, µs")
    axes.legend(frameon=False, loc="upper left")
    axes.set_title(f"CPU by process under the contest's load\n{_conditions(outcome)}", loc="left", fontsize=11)


def _order(role: str) -> tuple[int, str]:
    known = list(COLORS)
    return (known.index(role) if role in known else len(known), role)


def _conditions(outcome: Json) -> str:
    options, limits = outcome["options"], "applied" if outcome["limits"]["applied"] else "not applied"
    return f"{len(outcome['contest_load']['rounds'])} rounds of {options['seconds']:g} s, limits {limits}"


def _splits(axes: Axes, outcome: Json) -> None:
    splits = outcome["splits"][::-1]
    for row, each in enumerate(splits):
        p99 = each["p99_ms"]
        color = DEFAULT if each["name"] == outcome["best"] else FALLBACK if each["is_shipped"] else GREY
        axes.barh(row, p99["median"], color=color, height=0.7)
        axes.plot([p99["low"], p99["high"]], [row, row], color=TROUBLE, linewidth=1.2)
        axes.text(
            p99["high"], row, f"  {each['throttled_percent']['median']:.1f} % throttled, {each['rounds']} rounds",
            va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(splits)), [each["name"] for each in splits], fontsize=8)
    axes.set_xlim(right=1.3 * max(each["p99_ms"]["high"] for each in splits))
    axes.set_xlabel("p99 of accepting, ms: median, and least to most")
    axes.set_title(
        "CPU for nginx / each API process / dispatcher (green: best, orange: the compose file's)",
        loc="left", fontsize=11,
    )  # fmt: skip
