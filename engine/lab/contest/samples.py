"""What the load generator says about each request, and what follows from it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ACCEPTED = frozenset((200, 201, 202, 204))
NOTES_MAX = 20

# Keys of the result, and what k6's summary calls them.
PERCENTILES = {"p50": "med", "p90": "p(90)", "p95": "p(95)", "p99": "p(99)", "p99.9": "p(99.9)", "max": "max"}
_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class LoadError(Exception):
    """The load generator did not do what it was started for; the text quotes what it said."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The ``share`` quantile of an ordered, non-empty sequence, interpolated as k6 does."""
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def percentiles(ordered: Sequence[float]) -> dict[str, float] | None:
    """The keys of :data:`PERCENTILES` with their values; None when there is nothing to measure."""
    return {key: percentile(ordered, share) for key, share in _SHARES.items()} if ordered else None


@dataclass
class Second:
    """The requests that were answered (or abandoned) within one second; durations in ms, of accepted ones."""

    durations_ms: list[float] = field(default_factory=list)
    others: int = 0


@dataclass
class Samples:
    """All requests so far, fed line by line.

    Parameters:
      begin_ms, end_ms: when the load began and ended, epoch ms; None until it is known.
      accepted: answers with one of :data:`ACCEPTED`.
      refused: number of the other answers by HTTP status.
      unanswered: number of requests without an answer, by k6's error code: 1050 is a time-out, 1212 a refused
        connection. Whether one that timed out was accepted is not known.
      seconds: by whole seconds since the load began.
      notes: the first other lines, which are k6's complaints.
    """

    begin_ms: int | None = None
    end_ms: int | None = None
    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[int] = field(default_factory=Counter)
    seconds: dict[int, Second] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _ordered: list[float] = field(default_factory=list)
    _is_ordered: bool = True

    @property
    def requested(self) -> int:
        """Requests so far, whatever became of them."""
        return self.accepted + self.refused.total() + self.unanswered.total()

    def feed(self, line: str) -> None:
        """Takes one line of the load generator's output."""
        words = line.split()
        try:
            match words:
                case ["s", at_ms, status, duration_ms, code, _correlation_id]:
                    self._request(int(at_ms), int(status), float(duration_ms), int(code))
                case ["begin", at_ms]:
                    self.begin_ms = int(at_ms)
                case ["end", at_ms]:
                    self.end_ms = int(at_ms)
                case _:
                    self._note(line)
        except ValueError:
            self._note(line)

    def _note(self, line: str) -> None:
        # "Request Failed" is all that is left of k6's warnings without their fields; the codes tell more.
        if line.strip() not in ("", "Request Failed") and len(self.notes) < NOTES_MAX:
            self.notes.append(line.strip()[:300])

    def _request(self, at_ms: int, status: int, duration_ms: float, code: int) -> None:
        if self.begin_ms is None:
            raise ValueError("a request before the load began")
        second = self.seconds.setdefault(max(at_ms - self.begin_ms, 0) // 1000, Second())
        if status in ACCEPTED:
            self.accepted += 1
            second.durations_ms.append(duration_ms)
            self._ordered.append(duration_ms)
            self._is_ordered = False
            return
        second.others += 1
        if status:
            self.refused[status] += 1
        else:
            self.unanswered[code] += 1

    def ordered_ms(self) -> Sequence[float]:
        """Durations of all accepted requests in order."""
        if not self._is_ordered:
            self._ordered.sort()  # cheap each second: all but the newest are in order already
            self._is_ordered = True
        return self._ordered

    def p99_ms(self) -> float | None:
        """The p99 so far in ms; None while nothing was accepted."""
        ordered = self.ordered_ms()
        return percentile(ordered, 0.99) if ordered else None


@dataclass(frozen=True)
class LoadTotals:
    """What k6 counted itself, over all requests. ``durations_ms`` as :data:`PERCENTILES`, of accepted requests."""

    requested: int
    accepted: int
    durations_ms: dict[str, float] | None


def load_totals(content: Any) -> LoadTotals:
    """The totals in the file that ``handleSummary`` wrote. Raises LoadError."""
    try:
        requested = int(content["requested"]["count"]) if content["requested"] else 0
        # A rate of failures: `passes` counts the requests that did fail, `fails` those that did not.
        accepted = int(content["failed"]["fails"]) if content["failed"] else 0
        durations = content["duration"] if accepted else None
        named = None if durations is None else {key: float(durations[k6]) for key, k6 in PERCENTILES.items()}
    except (KeyError, TypeError, ValueError):
        raise LoadError(f"k6's summary cannot be read: {content!r:.300}") from None
    return LoadTotals(requested=requested, accepted=accepted, durations_ms=named)
