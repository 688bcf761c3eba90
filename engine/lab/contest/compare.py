"""Contests with the ledger in several places, side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from engine.lab.ledger.place import OFF

Json = dict[str, Any]
P99_RATIO_MAX = 1.15  # of accepting, by that without a ledger
CPU_US_MORE_MAX = 60.0  # for a payment, more than without
_OURS = ("engine", "database")  # trees of processes whose CPU counts: nginx is below the engine's supervisor
_COLUMNS = (
    "ledger", "rounds", "p99 of accepting, ms", "by that without", "CPU for a payment, µs", "more than without, µs",
    "of that ledger and database", "all hold",
)  # fmt: skip


def compare(outcomes: Sequence[Mapping[str, Any]]) -> Json:
    """What the contests have in common. Each of ``outcomes`` is a result of `report`, with ``kind`` and ``round``.

    Ratios and differences are those of the contests of one round; of all rounds, the median, the least and the most.
    """
    figures = [_figures(one) for one in outcomes]
    without = {one["round"]: one for one in figures if one["kind"] == OFF}
    kinds = dict.fromkeys(one["kind"] for one in figures)
    summary = {kind: _summary([one for one in figures if one["kind"] == kind], without) for kind in kinds}
    return {
        "passed": all(one["passed"] for one in outcomes) and all(each["is_cheap"] for each in summary.values()),
        "kinds": summary,
        "contests": list(outcomes),
    }


def _figures(outcome: Mapping[str, Any]) -> Json:
    trees = [outcome["resources"][name] for name in _OURS if name in outcome["resources"]]
    payments = max(outcome["accepted"], 1)
    own_s = outcome["resources"]["engine"]["roles"].get("ledger", {"cpu_s": 0.0})["cpu_s"]
    own_s += outcome["resources"].get("database", {"cpu_s": 0.0})["cpu_s"]
    return {
        "kind": outcome["kind"],
        "round": outcome["round"],
        "passed": outcome["passed"],
        "p99_ms": outcome["p99_ms"],
        "cpu_us": sum(tree["cpu_s"] for tree in trees) * 1e6 / payments,
        "ledger_us": own_s * 1e6 / payments,
    }


def _summary(own: Sequence[Json], without: Mapping[int, Json]) -> Json:
    pairs = [(one, without[one["round"]]) for one in own if one["round"] in without]
    ratios = _spread(one["p99_ms"] / base["p99_ms"] for one, base in pairs if one["p99_ms"] and base["p99_ms"])
    more = _spread(one["cpu_us"] - base["cpu_us"] for one, base in pairs)
    return {
        "rounds": len(own),
        "passed": sum(one["passed"] for one in own),
        "p99_ms": _spread(one["p99_ms"] for one in own if one["p99_ms"]),
        "p99_ratio": ratios,
        "cpu_us": _spread(one["cpu_us"] for one in own),
        "cpu_us_more": more,
        "ledger_us": _spread(one["ledger_us"] for one in own),
        "is_cheap": (ratios is None or ratios[0] <= P99_RATIO_MAX) and (more is None or more[0] <= CPU_US_MORE_MAX),
    }


def _spread(values: Iterable[float]) -> tuple[float, float, float] | None:
    """Median, least and most; None when there is none."""
    found = list(values)
    return (median(found), min(found), max(found)) if found else None


def table(compared: Mapping[str, Any]) -> str:
    """A table in Markdown: medians (least to most). ``compared``: what `compare` gives."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    for kind, each in compared["kinds"].items():
        cells = (
            kind, str(each["rounds"]), _shown(each["p99_ms"], 2), _shown(each["p99_ratio"], 2),
            _shown(each["cpu_us"], 0), _shown(each["cpu_us_more"], 0), _shown(each["ledger_us"], 0),
            f"{each['passed']} of {each['rounds']}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(spread: tuple[float, float, float] | None, digits: int) -> str:
    if spread is None:
        return "-"
    middle, low, high = (f"{value:.{digits}f}" for value in spread)
    return f"{middle} ({low} to {high})"
