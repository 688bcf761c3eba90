"""Soaks with the ledger in several places, side by side. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from engine.lab.ledger.place import OFF

Json = dict[str, Any]
SHARE_MIN = 0.7  # of what is settled without a ledger
_COLUMNS = (
    "ledger", "rounds", "settled a second", "of that without", "p99 of accepting, ms",
    "behind at most in the last minute", "caught up after", "bytes a payment", "MB a minute", "missing", "all hold",
)  # fmt: skip


def compare(outcomes: Sequence[Mapping[str, Any]]) -> Json:
    """What the soaks have in common. Each of ``outcomes`` is a result of `report`, with ``kind`` and ``round``.

    ``share``: settled a second, by that of the soak without a ledger of the same round; the median of all rounds.
    """
    without = {one["round"]: one["settled_per_s"] for one in outcomes if one["kind"] == OFF}
    kinds = dict.fromkeys(one["kind"] for one in outcomes)
    summary = {kind: _summary([one for one in outcomes if one["kind"] == kind], without) for kind in kinds}
    shares = {kind: each["share"] for kind, each in summary.items() if each["share"] is not None}
    return {"passed": all(share >= SHARE_MIN for share in shares.values()), "kinds": summary, "soaks": list(outcomes)}


def _summary(own: Sequence[Mapping[str, Any]], without: Mapping[int, float | None]) -> Json:
    shares = [
        one["settled_per_s"] / base
        for one in own
        if one["settled_per_s"] and (base := without.get(one["round"])) is not None
    ]
    ledgers = [one["ledger"] for one in own if one["ledger"] is not None]
    growths = [growth for one in own for growth in one["growth_mb_per_minute"].values()]
    return {
        "rounds": len(own),
        "settled_per_s": _middle(one["settled_per_s"] for one in own),
        "share": _middle(shares),
        "p99_ms": _middle(one["p99_ms"] for one in own),
        "lag_s_last_minute": _most(one["lag_s_last_minute"] for one in ledgers),
        "caught_up_s": _most(one["caught_up_s"] for one in ledgers),
        "bytes_per_payment": _middle(one["bytes_per_payment"] for one in ledgers),
        "growth_mb_per_minute": _most(growths),
        "missing": sum(sum(one["missing"].values()) for one in ledgers),
        "passed": sum(one["passed"] for one in own),
    }


def _middle(values: Iterable[float | None]) -> float | None:
    """The median; None when one is not known."""
    found = list(values)
    known = [one for one in found if one is not None]
    return median(known) if known and len(known) == len(found) else None


def _most(values: Iterable[float | None]) -> float | None:
    """The largest; None when one is not known."""
    found = list(values)
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else None


def table(compared: Mapping[str, Any]) -> str:
    """A table in Markdown: medians, and the largest of what is to be small. ``compared``: what `compare` gives."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    for kind, each in compared["kinds"].items():
        cells = (
            kind, str(each["rounds"]), _shown(each["settled_per_s"], "{:,.0f}".format),
            _shown(each["share"], "{:.0%}".format), _shown(each["p99_ms"], "{:.1f}".format),
            _shown(each["lag_s_last_minute"], "{:.1f} s".format), _shown(each["caught_up_s"], "{:.1f} s".format),
            _shown(each["bytes_per_payment"], "{:,.0f}".format), _shown(each["growth_mb_per_minute"], "{:+.2f}".format),
            f"{each['missing']:,}", f"{each['passed']} of {each['rounds']}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: float | None, text: Callable[[float], str]) -> str:
    return "-" if value is None else text(value)
