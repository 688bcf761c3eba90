"""The picture of a soak: rates, backlog, latency, memory, descriptors and CPU against time. Drawn after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import drawing
from engine.lab.drawing import ACCEPTED, GREY, PENDING, TROUBLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]

SHARED = "#d8dee6"
PROCESSES = ("#457b9d", "#2a7f62", "#8ab17d", "#e9c46a", "#e09f3e", "#e76f51", PENDING, GREY)
SIZE_INCHES = (13.0, 15.0)
MB = 1_000_000


def draw(outcome: Json, path: Path) -> None:
    """Draws ``outcome`` (what ``report.result`` gives) as a PNG at ``path``. Raises OSError."""
    figure = drawing.new_figure(*SIZE_INCHES, _title(outcome), title_size=13)
    panels = figure.subplots(6, 1, sharex=True, height_ratios=(2.2, 1.3, 2.2, 2.4, 1.5, 1.8))
    windows = outcome["windows"]
    for panel, axes in zip((_rates, _backlog, _latency, _memory, _descriptors, _cpu), panels, strict=True):
        panel(axes, windows)
        axes.grid(True, color="#dfe4ea", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(outcome["plan"]["warm_s"], color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        if outcome["paid_s"] is not None:
            axes.axvline(outcome["paid_s"], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        drawing.legend_beside(axes)
    _mark_audits(panels[0], outcome["audits"])
    panels[0].set_xlim(0, max([window["at_s"] for window in windows], default=1))
    panels[-1].set_xlabel("seconds since the first payment (dotted: warm, dashed: no more payments)")
    figure.savefig(path, format="png")


def _title(outcome: Json) -> str:
    state = "PASSED" if outcome["passed"] else "INTERRUPTED" if outcome["interrupted"] else "FAILED"
    broken = [check["name"] for check in outcome["checks"] if not check["holds"]]
    rate = outcome["settled_per_s"]
    return (
        f"{state}   {outcome['accepted']:,} payments"
        f"{'' if rate is None else f', {rate:,.0f}/s end to end'}   "
        f"p50 {outcome['p50_ms']:.2f} ms   p99 {outcome['p99_ms']:.2f} ms"
        + "".join(f"\nnot so: {name}" for name in broken)
    )


def _by_second(windows: Sequence[Json], total: Callable[[Json], float]) -> tuple[list[float], list[float]]:
    """Mid-points of the windows, and how fast ``total`` grew in each."""
    times, rates = [], []
    before_s = before = 0.0
    for window in windows:
        if window["at_s"] > before_s:
            times.append((before_s + window["at_s"]) / 2)
            rates.append((total(window) - before) / (window["at_s"] - before_s))
        before_s, before = window["at_s"], total(window)
    return times, rates


def _rates(axes: Axes, windows: Sequence[Json]) -> None:
    names = list(windows[-1]["settled"]) if windows else []
    settled = [_by_second(windows, partial(_settled, name=name)) for name in names]
    if settled:
        axes.stackplot(
            settled[0][0], *(rates for _, rates in settled),
            colors=drawing.PROCESSORS[: len(names)], labels=[f"settled at {name}" for name in names],
            alpha=0.8, linewidth=0,
        )  # fmt: skip
    axes.plot(*_by_second(windows, lambda window: window["accepted"]), color=ACCEPTED, linewidth=1.2, label="accepted")
    if any(window["refused"] or window["unanswered"] for window in windows):
        at_s = [window["at_s"] for window in windows]
        bad = [window["refused"] + window["unanswered"] for window in windows]
        axes.plot(at_s, bad, color=TROUBLE, linewidth=1.2, label="refused, unanswered\n(in a window)")
    axes.set_ylabel("payments per second")
    axes.set_ylim(bottom=0)


def _settled(window: Json, name: str) -> float:
    return float(window["settled"][name]["count"])


def _mark_audits(axes: Axes, audits: Sequence[Json]) -> None:
    for audit in audits:
        if audit["outcome"] != "ok":
            axes.axvline(audit["at_s"], color=TROUBLE, linewidth=1.2)


def _backlog(axes: Axes, windows: Sequence[Json]) -> None:
    at_s = [window["at_s"] for window in windows]
    axes.fill_between(at_s, [window["pending"] for window in windows], color=PENDING, alpha=0.5, linewidth=0)
    axes.plot(at_s, [window["pending"] for window in windows], color=PENDING, linewidth=1.2, label="pending")
    if any(window["failed"] for window in windows):
        axes.plot(at_s, [window["failed"] for window in windows], color=TROUBLE, linewidth=1.2, label="failed")
    axes.set_ylabel("backlog")
    axes.set_ylim(bottom=0)


def _latency(axes: Axes, windows: Sequence[Json]) -> None:
    seen = [window for window in windows if window["max_us"]]
    at_s = [window["at_s"] for window in seen]
    for key, color, width in (("max", GREY, 0.9), ("p99", TROUBLE, 1.3), ("p50", ACCEPTED, 1.3)):
        axes.plot(at_s, [window[f"{key}_us"] / 1000 for window in seen], color=color, linewidth=width, label=key)
    drawing.logarithmic(axes)
    axes.set_ylabel("accepting, ms")


def _roles(windows: Sequence[Json]) -> list[str]:
    """All processes that were seen, in the order of their coming."""
    return list(dict.fromkeys(role for window in windows for role in window["usage"]["processes"]))


def _memory(axes: Axes, windows: Sequence[Json]) -> None:
    at_s = [window["at_s"] for window in windows]
    roles = _roles(windows)
    layers = [[window["usage"]["shared"] / MB for window in windows]]
    for role in roles:
        layers.append([window["usage"]["processes"].get(role, {"own": 0})["own"] / MB for window in windows])
    axes.stackplot(
        at_s, *layers,
        colors=[SHARED, *_colors(len(roles))], labels=["rings and books", *roles], linewidth=0, alpha=0.9,
    )  # fmt: skip
    pss = [window["usage"]["pss"] / MB for window in windows]
    axes.plot(at_s, pss, color="#000000", linewidth=0.9, linestyle=(0, (2, 2)), label="PSS, as the kernel adds")
    axes.set_ylabel("memory, MB")
    axes.set_ylim(bottom=0)


def _descriptors(axes: Axes, windows: Sequence[Json]) -> None:
    roles = _roles(windows)
    for role, color in zip(roles, _colors(len(roles)), strict=True):
        seen = [window for window in windows if role in window["usage"]["processes"]]
        fds = [window["usage"]["processes"][role]["fds"] for window in seen]
        axes.plot([window["at_s"] for window in seen], fds, color=color, linewidth=1.2, label=role)
    axes.set_ylabel("descriptors")
    axes.set_ylim(bottom=0)


def _cpu(axes: Axes, windows: Sequence[Json]) -> None:
    roles = _roles(windows)
    others = sorted({name for window in windows for name in window["other_cpu_s"]})
    # A process that was started again begins at 0: that is no negative use.
    lines = {name: _by_second(windows, partial(_cpu_s, name=name)) for name in [*roles, *others]}
    for (name, (times, cores)), color in zip(lines.items(), _colors(len(lines)), strict=True):
        style = (0, (3, 2)) if name in others else "-"
        # The first is what the start took.
        used = [max(use, 0.0) for use in cores[1:]]
        axes.plot(times[1:], used, color=color, linewidth=1.2, linestyle=style, label=name)
    axes.set_ylabel("CPU cores")
    axes.set_ylim(bottom=0)


def _cpu_s(window: Json, name: str) -> float:
    use = window["usage"]["processes"].get(name)
    return use["cpu_ns"] / 1e9 if use else float(window["other_cpu_s"].get(name, 0.0))


def _colors(count: int) -> list[str]:
    return [PROCESSES[number % len(PROCESSES)] for number in range(count)]
