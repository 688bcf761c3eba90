"""How the engine took each change of a processor between failing and not failing, as the simulated ones tell it. Pure.

The replay in virtual time uses the same notions, see ``engine.lab.replay.result``.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.lab.contest.scenario import Fees
from engine.lab.simulate.changes import SOON_MS

Listing = Sequence[Mapping[str, Any]]  # what `engine.lab.simulate.client.ProcessorAdmin.changes` gives


@dataclass(frozen=True)
class Onset:
    """``processor`` (its name) began to fail at ``at_s``. Attempts that failed there until it recovered or the load
    ended: ``caught`` had arrived before, ``sent_soon`` arrived within ``SOON_MS`` after it, ``sent_later`` were probes.
    """

    processor: str
    at_s: float
    caught: int
    sent_soon: int
    sent_later: int

    @property
    def wasted(self) -> int:
        """All of them."""
        return self.caught + self.sent_soon + self.sent_later


@dataclass(frozen=True)
class Recovery:
    """``processor`` stopped failing at ``at_s``; the first payment was inserted there ``first_ms`` later.

    None: there was none before it failed again or the load ended. ``due``: payments had to go there, as it is the
    cheaper processor, or the cheaper one was failing and went on to for ``SOON_MS``. Where they had not,
    ``first_ms`` says nothing about the engine.
    """

    processor: str
    at_s: float
    first_ms: float | None
    due: bool


@dataclass(frozen=True)
class Medians:
    """Over the changes of a run. None: there were none, or (``first_ms``) in half of them no payment came.

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


def during_load(default: Listing, fallback: Listing, fees: Fees, now_s: float) -> list[Onset | Recovery]:
    """The changes since the load began, in order.

    Parameters:
      default, fallback: what the processors listed.
      fees: what they keep; payments belong to the one that keeps less.
      now_s: when they were asked, in seconds since the load began.
    """
    listings = {"default": default, "fallback": fallback}
    cheaper = "default" if fees.default <= fees.fallback else "fallback"
    spans_s = _failing_s(listings[cheaper], now_s)
    found: list[Onset | Recovery] = []
    for processor, listing in listings.items():
        for change in listing:
            at_s = now_s - change["ago_ms"] / 1000
            if at_s < 0:
                continue
            if change["kind"] == "onset":
                counts = (change["caught"], change["sent_soon"], change["sent_later"])
                found.append(Onset(processor, at_s, *counts))
            else:
                due = processor == cheaper or _fails_on(spans_s, at_s)
                found.append(Recovery(processor, at_s, change["first_ms"], due))
    return sorted(found, key=lambda change: change.at_s)


def _failing_s(listing: Listing, now_s: float) -> list[tuple[float, float]]:
    """When it began to fail and when it stopped, in order; the last may not have stopped."""
    times_s = [(change["kind"], now_s - change["ago_ms"] / 1000) for change in listing]
    ends_s = [at_s for _, at_s in times_s[1:]] + [math.inf]
    return [(at_s, end_s) for (kind, at_s), end_s in zip(times_s, ends_s, strict=False) if kind == "onset"]


def _fails_on(spans_s: Sequence[tuple[float, float]], at_s: float) -> bool:
    index = bisect_right(spans_s, (at_s, math.inf)) - 1
    return index >= 0 and spans_s[index][1] >= at_s + SOON_MS / 1000


def medians(changes: Iterable[Onset | Recovery]) -> Medians:
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
