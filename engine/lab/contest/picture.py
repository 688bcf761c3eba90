"""The picture of a run: what was settled where, what waited, how long answers took, in which stage. Drawn after it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import drawing
from engine.lab.drawing import ACCEPTED, DEFAULT, FALLBACK, GREY, PENDING, PROCESSORS, TROUBLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]

SHADES = {"healthy": "#eaf4ee", "slow": "#fdf3d8", "some failing": "#fbe0cf", "all failing": "#f3c4c4"}
SIZE_INCHES = (13.0, 10.0)
# Payments are said to wait by choice where, for so long, less than this part of what comes is settled at a processor
# that could take it, and more than this part is left waiting.
CHOICE_SHARE_MAX = 0.1
CHOICE_WAITING_MIN = 0.5
CHOICE_S_MIN = 2.0
CHOICE_NARROW = 0.12  # of the width: words in a narrower span are written upwards
CHOICE = (
    "By choice: payments wait some seconds for the cheaper processor, as long as that is worth more than to pay the "
    "dearer one's fee at once (docs/routing.md)."
)


def draw(outcome: Json, path: Path) -> None:
    """Draws ``outcome`` (what ``report.result`` gives) as a PNG at ``path``. Raises OSError."""
    from matplotlib.ticker import MaxNLocator

    figure = drawing.new_figure(*SIZE_INCHES, _title(outcome), title_size=13)
    rates, queue, latency, cores = figure.subplots(4, 1, sharex=True, height_ratios=(3.2, 1.8, 2.4, 1.5))
    requests, ticks = outcome["series"]["requests"], outcome["series"]["ticks"]
    _rates(rates, _names(outcome), requests, ticks)
    _queue(queue, ticks)
    _latency(latency, requests, outcome["p99_ms"])
    _cores(cores, ticks)
    end_s = max([outcome["duration_s"], *(tick["at_s"] for tick in ticks)])
    for axes in (rates, queue, latency, cores):
        axes.set_xlim(0, end_s)
        axes.grid(True, color="#ffffff", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        _shade(axes, outcome["stages"], outcome["duration_s"], end_s)
        _mark_audits(axes, outcome["audits"], outcome["duration_s"])
        drawing.legend_beside(axes)
    _label_stages(rates, outcome["stages"], outcome["duration_s"], end_s)
    _label_audits(rates, outcome["audits"], outcome["duration_s"])
    chosen = choices(outcome)
    _label_choices(rates, _names(outcome)[0], chosen, end_s)
    if chosen:
        drawing.line_below(figure, CHOICE)
    cores.set_xlabel("seconds since the load began")
    cores.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, steps=[1, 2, 5, 10]))
    figure.savefig(path, format="png")


def _names(outcome: Json) -> list[str]:
    """The processors: what a stage has beside its time."""
    return [key for key in outcome["stages"][0] if key != "at_s"]


def _title(outcome: Json) -> str:
    p99 = "-" if outcome["p99_ms"] is None else f"{outcome['p99_ms']:.2f} ms"
    state = "PASSED" if outcome["passed"] else "INTERRUPTED" if outcome["interrupted"] else "FAILED"
    return (
        f"{outcome['title']}\n"
        f"{state}   score {outcome['score']:,.0f}   p99 {p99}   accepted {outcome['accepted']:,}   "
        f"settled {outcome['settled']:,}   lag {outcome['lag']:,}   "
        f"audits differed {outcome['audits_differed']}/{len(outcome['audits'])}"
    )


def _rate(ticks: Sequence[Json], key: str) -> tuple[list[float], list[float]]:
    """Mid-points and rates between looks that saw anything; a purge in between would give a negative rate."""
    seen = [(tick["at_s"], tick[key]) for tick in ticks if tick[key] is not None]
    times, rates = [], []
    for (before_s, before), (after_s, after) in zip([(0.0, 0), *seen], seen, strict=False):
        # The look at the end of the load comes at any time: a few ms after another one, it would make a spike.
        if after_s - before_s >= 0.4:
            times.append((before_s + after_s) / 2)
            rates.append(max(after - before, 0) / (after_s - before_s))
    return times, rates


def choices(outcome: Json) -> list[tuple[float, float]]:
    """From when until when (s) payments waited for the first processor though another one would have charged them.

    That is so where the first is slow or fails, another one does not fail, and next to nothing is settled there while
    more and more payments wait.
    """
    names = _names(outcome)
    accepted = {second["second"]: second["accepted"] for second in outcome["series"]["requests"]}
    seen = [tick for tick in outcome["series"]["ticks"] if tick["pending"] is not None]
    spans: list[tuple[float, float]] = []
    for before, after in itertools.pairwise(seen):
        from_s, until_s = before["at_s"], after["at_s"]
        stage = next((stage for stage in reversed(outcome["stages"]) if stage["at_s"] <= from_s), None)
        if stage is None or until_s > outcome["duration_s"] or not _is_open(names, stage):
            continue
        came = accepted.get(int(from_s), 0) * (until_s - from_s)
        settled = sum(after[f"on_{name}"] - before[f"on_{name}"] for name in names[1:])
        waits = after["pending"] - before["pending"]
        if came and waits > CHOICE_WAITING_MIN * came and settled < CHOICE_SHARE_MAX * came:
            begin_s = spans.pop()[0] if spans and spans[-1][1] == from_s else from_s
            spans.append((begin_s, until_s))
    return [span for span in spans if span[1] - span[0] >= CHOICE_S_MIN]


def _is_open(names: Sequence[str], stage: Json) -> bool:
    """Whether there is a choice: the first processor is not healthy, and another one charges."""
    return _mood([stage[names[0]]]) != "healthy" and not all(stage[name]["failing"] for name in names[1:])


def _label_choices(axes: Axes, first: str, chosen: Sequence[tuple[float, float]], end_s: float) -> None:
    for from_s, until_s in chosen:
        is_narrow = until_s - from_s < CHOICE_NARROW * end_s
        axes.text(
            (from_s + until_s) / 2, 0.45, f"payments wait for {first},{' ' if is_narrow else chr(10)}by choice",
            transform=axes.get_xaxis_transform(), rotation=90 if is_narrow else 0, ha="center", va="center", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}, zorder=5,
        )  # fmt: skip


def _rates(axes: Axes, names: Sequence[str], requests: Sequence[Json], ticks: Sequence[Json]) -> None:
    seen = [_rate(ticks, f"on_{name}") for name in names]
    times = seen[0][0]  # a look sees all processors or none
    if times:
        axes.stackplot(
            times, *(rates for _, rates in seen),
            colors=PROCESSORS[: len(names)], labels=[f"settled at {name}" for name in names],
            alpha=0.85, linewidth=0, step="mid",
        )  # fmt: skip
    at_s = [second["second"] + 0.5 for second in requests]
    accepted = [second["accepted"] for second in requests]
    axes.plot(at_s, accepted, color=ACCEPTED, linewidth=1.6, drawstyle="steps-mid", label="accepted")
    if any(second["others"] for second in requests):
        others = [second["others"] for second in requests]
        axes.plot(at_s, others, color=TROUBLE, linewidth=1.4, drawstyle="steps-mid", label="refused, unanswered")
    axes.set_ylabel("payments per second")
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 1) * 1.1)  # room for the words about the audits


def _queue(axes: Axes, ticks: Sequence[Json]) -> None:
    seen = [tick for tick in ticks if tick["pending"] is not None]
    at_s = [tick["at_s"] for tick in seen]
    pending = [tick["pending"] for tick in seen]
    axes.fill_between(at_s, pending, color=PENDING, alpha=0.5, linewidth=0)
    axes.plot(at_s, pending, color=PENDING, linewidth=1.4, label="pending")
    if any(tick["failed"] for tick in seen):
        axes.plot(at_s, [tick["failed"] for tick in seen], color=TROUBLE, linewidth=1.4, label="failed")
    axes.set_ylabel("queued payments")
    axes.set_ylim(bottom=0, top=max([*pending, 1]) * 1.15)


def _latency(axes: Axes, requests: Sequence[Json], p99_ms: float | None) -> None:
    seen = [second for second in requests if second["p50_ms"] is not None]
    at_s = [second["second"] + 0.5 for second in seen]
    axes.plot(at_s, [second["max_ms"] for second in seen], color=GREY, linewidth=0.9, label="max by second")
    axes.plot(at_s, [second["p99_ms"] for second in seen], color=TROUBLE, linewidth=1.5, label="p99 by second")
    axes.plot(at_s, [second["p50_ms"] for second in seen], color=ACCEPTED, linewidth=1.5, label="p50 by second")
    if p99_ms is not None:
        axes.axhline(p99_ms, color=TROUBLE, linewidth=1, linestyle=(0, (4, 3)), label=f"p99 of all: {p99_ms:.2f} ms")
    drawing.logarithmic(axes)
    axes.set_ylabel("latency, ms")


def _cores(axes: Axes, ticks: Sequence[Json]) -> None:
    colors = {"engine": ACCEPTED, "k6": FALLBACK, "processors": DEFAULT, "contest": GREY}
    names = sorted({name for tick in ticks for name in tick["cores"]}, key=list(colors).index)
    for name in names:
        seen = [tick for tick in ticks if name in tick["cores"]]
        at_s = [tick["at_s"] for tick in seen]
        axes.plot(at_s, [tick["cores"][name] for tick in seen], color=colors[name], linewidth=1.4, label=name)
    axes.set_ylabel("CPU cores")
    axes.set_ylim(bottom=0)


def _spans(stages: Sequence[Json], end_s: float) -> list[tuple[float, float, Json]]:
    ends = [*(stage["at_s"] for stage in stages[1:]), end_s]
    return [(stage["at_s"], until_s, stage) for stage, until_s in zip(stages, ends, strict=True)]


def _shade(axes: Axes, stages: Sequence[Json], duration_s: float, end_s: float) -> None:
    axes.axvspan(0, stages[0]["at_s"], color=SHADES["healthy"], linewidth=0, zorder=-2)
    for from_s, until_s, stage in _spans(stages, duration_s):
        conditions = [how for name, how in stage.items() if name != "at_s"]
        axes.axvspan(from_s, until_s, color=SHADES[_mood(conditions)], linewidth=0, zorder=-2)
        axes.axvline(from_s, color="#b8c0c8", linewidth=0.8, zorder=-1)
    if end_s > duration_s:
        axes.axvspan(duration_s, end_s, facecolor="#eceff1", hatch="//", edgecolor="#ffffff", linewidth=0, zorder=-2)


def _mood(conditions: Sequence[Json]) -> str:
    failing = sum(how["failing"] for how in conditions)
    if failing:
        return "all failing" if failing == len(conditions) else "some failing"
    return "slow" if max(how["delay_ms"] for how in conditions) >= 50 else "healthy"


def _label_stages(axes: Axes, stages: Sequence[Json], duration_s: float, end_s: float) -> None:
    def label(from_s: float, until_s: float, text: str) -> None:
        axes.text(
            (from_s + until_s) / 2, 1.01, text,
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8,
        )  # fmt: skip

    for from_s, until_s, stage in _spans(stages, duration_s):
        lines = []
        for name in (key for key in stage if key != "at_s"):
            delay_ms, failing = stage[name]["delay_ms"], stage[name]["failing"]
            words = ([f"{delay_ms} ms"] if delay_ms else []) + (["FAILS"] if failing else [])
            lines.append(f"{name[0].upper()}: {' '.join(words) or 'ok'}")
        label(from_s, until_s, "\n".join(lines))
    if end_s - duration_s > 0.05 * end_s:
        label(duration_s, end_s, "load\nis over")


def _mark_audits(axes: Axes, audits: Sequence[Json], duration_s: float) -> None:
    for audit in audits:
        if audit["kind"] == "periodic" and audit["at_s"] <= duration_s + 1:
            color = DEFAULT if audit["outcome"] == "ok" else TROUBLE
            axes.axvline(audit["at_s"], color=color, linewidth=1.1, linestyle=(0, (1, 2)), zorder=3)


def _label_audits(axes: Axes, audits: Sequence[Json], duration_s: float) -> None:
    for audit in audits:
        if audit["kind"] == "periodic" and audit["at_s"] <= duration_s + 1:
            good = audit["outcome"] == "ok"
            axes.annotate(
                "audit ok" if good else f"audit {audit['outcome']}", (audit["at_s"], 0.97),
                xycoords=axes.get_xaxis_transform(), xytext=(-3, 0), textcoords="offset points",
                rotation=90, ha="right", va="top", fontsize=7, color=DEFAULT if good else TROUBLE,
            )  # fmt: skip
