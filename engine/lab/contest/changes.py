"""How the engine coped with each change of a processor between failing and not, as simulated ones tell it. Pure."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.lab.simulate.changes import SOON_MS, Onset, Recovery

Listing = Sequence[Mapping[str, Any]]  # what `engine.lab.services.processor.Processor.changes` gives


@dataclass
class JudgedRecovery(Recovery[str]):
    """A recovery during the load. ``due``: payments had to go there, because every cheaper processor was failing and
    kept failing for ``SOON_MS``. Otherwise ``first_ms`` says nothing about the engine.
    """

    due: bool = field(kw_only=True)


Change = Onset[str] | JudgedRecovery


@dataclass(frozen=True)
class Medians:
    """Medians over the changes of a run. None: there were none, or (``first_ms``) in half of them no payment came.

    Parameters:
      first_ms: of the recoveries that were due; one without a payment counts as the longest of all.
      recoveries, not_due: how many it was computed from, and how many were left out.
      wasted, caught, sent_soon, sent_later: of the onsets, a median each.
      onsets: how many those were.
    """

    first_ms: float | None
    recoveries: int
    not_due: int
    wasted: float | None
    caught: float | None
    sent_soon: float | None
    sent_later: float | None
    onsets: int


def during_load(listings: Mapping[str, Listing], fees: Mapping[str, Decimal], now_s: float) -> list[Change]:
    """The changes since the load began, in order.

    Parameters:
      listings: what each processor listed.
      fees: what each keeps; payments belong to the one that keeps least; of equal ones, to the first.
      now_s: when they were asked, in seconds since the load began.
    """
    ordered = sorted(listings, key=lambda name: fees[name])
    spans_s = {name: _failing_s(listing, now_s) for name, listing in listings.items()}
    found: list[Change] = []
    for processor, listing in listings.items():
        cheaper = ordered[: ordered.index(processor)]
        for change in listing:
            at_s = now_s - change["ago_ms"] / 1000
            if at_s < 0:
                continue
            if change["kind"] == "onset":
                counts = (change["caught"], change["sent_soon"], change["sent_later"])
                found.append(Onset(processor, at_s, *counts))
            else:
                due = all(_fails_on(spans_s[other], at_s) for other in cheaper)
                found.append(JudgedRecovery(processor, at_s, change["first_ms"], due=due))
    return sorted(found, key=lambda change: change.at_s)


def _failing_s(listing: Listing, now_s: float) -> list[tuple[float, float]]:
    """When it began to fail and when it stopped, in order; the last may not have stopped."""
    times_s = [(change["kind"], now_s - change["ago_ms"] / 1000) for change in listing]
    ends_s = [at_s for _, at_s in times_s[1:]] + [math.inf]
    return [(at_s, end_s) for (kind, at_s), end_s in zip(times_s, ends_s, strict=False) if kind == "onset"]


def _fails_on(spans_s: Sequence[tuple[float, float]], at_s: float) -> bool:
    index = bisect_right(spans_s, (at_s, math.inf)) - 1
    return index >= 0 and spans_s[index][1] >= at_s + SOON_MS / 1000


def medians(changes: Iterable[Change]) -> Medians:
    """The figures that a run's changes are judged by."""
    onsets, recoveries = [], []
    for change in changes:
        if isinstance(change, Onset):
            onsets.append(change)
        else:
            recoveries.append(change)
    due = [recovery for recovery in recoveries if recovery.due]
    first_ms = _median(math.inf if recovery.first_ms is None else recovery.first_ms for recovery in due)
    return Medians(
        first_ms=first_ms if first_ms is not None and math.isfinite(first_ms) else None,
        recoveries=len(due),
        not_due=len(recoveries) - len(due),
        wasted=_median(onset.wasted for onset in onsets),
        caught=_median(onset.caught for onset in onsets),
        sent_soon=_median(onset.sent_soon for onset in onsets),
        sent_later=_median(onset.sent_later for onset in onsets),
        onsets=len(onsets),
    )


def _median(numbers: Iterable[float]) -> float | None:
    ordered = list(numbers)
    return float(statistics.median(ordered)) if ordered else None
