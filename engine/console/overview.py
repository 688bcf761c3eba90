"""The console's first screen as a document: how the engine is just now, and what it did in the last seconds. Pure.

It is made of the same samples as ``/metrics``, so that page and alerts never disagree. Money is text with two decimals,
because a number in JavaScript is a float. Rates, percentiles and the money of the last minute are differences to an
earlier look: null at the first one, and in the first minute of as much as was looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.console.scrape import Sample
from engine.ledger.report_text import amount
from engine.memory import metrics_layout
from engine.metrics.times import percentile_us
from engine.routing.state import ProcessorState

RATE_S: Final = 5  # what "now" is the mean of
TIMES_S: Final = 10  # whose durations percentiles are of
MONEY_S: Final = 60
CLOSE_S: Final = 0.75  # looks that are closer than this count as one
LOOKS_MAX: Final = 2 * MONEY_S

Key = tuple[str, ...]


class Look:
    """The samples of one moment; ``at_s``: monotonic."""

    def __init__(self, at_s: float, at_ms: int, samples: Iterable[Sample]) -> None:
        self.at_s = at_s
        self.at_ms = at_ms
        self._values: dict[Key, float | list[int]] = {(one.name, *one.labels): one.value for one in samples}

    def value(self, name: str, *labels: str) -> float | None:
        """The value of a metric; None: it is not there."""
        found = self._values.get((name, *labels))
        return found if isinstance(found, int | float) else None

    def number(self, name: str, *labels: str) -> int:
        """A value that is a whole number; 0: it is not there."""
        return int(self.value(name, *labels) or 0)

    def total(self, name: str) -> int:
        """The sum over all labels."""
        return int(sum(v for key, v in self._values.items() if key[0] == name and not isinstance(v, list)))

    def times(self, name: str, *labels: str) -> list[int] | None:
        """The buckets of a histogram."""
        found = self._values.get((name, *labels))
        return found if isinstance(found, list) else None

    def most(self, name: str) -> float | None:
        """The highest over all labels."""
        found = [v for key, v in self._values.items() if key[0] == name and not isinstance(v, list)]
        return max(found, default=None)


class Overview:
    """Makes documents of looks, a second apart.

    Parameters:
      names: of the processors.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._looks: deque[Look] = deque(maxlen=LOOKS_MAX)

    def document(self, look: Look, said: str, paused: int, ledger: dict[str, Any]) -> dict[str, Any]:
        """The document of a moment.

        Parameters:
          look: its samples.
          said: where payments go just now, in words.
          paused: a bit for each processor that a person has paused.
          ledger: what SQL says beside it (:func:`engine.console.recorded.summary`).
        """
        self._keep(look)
        settled = [look.number("engine_payments_settled_total", name) for name in self._names]
        cents = [look.number("engine_settled_cents_total", name) for name in self._names]
        unknown = [look.number("engine_unknown_payments", name) for name in self._names]
        rate, window, minute = self._before(RATE_S), self._before(TIMES_S), self._before(MONEY_S)
        return {
            "at": look.at_ms,
            "isUp": look.number("engine_up") == 1,
            "payments": {
                "accepted": look.total("engine_payments_accepted_total"),
                "settled": sum(settled),
                "pending": look.number("engine_payments_pending"),
                "failed": look.number("engine_payments_failed_total"),
                "chargedBefore": look.number("engine_payments_charged_before_total"),
                "refused": look.total("engine_payments_refused_total"),
                "acceptedPerSecond": _per_second(look, rate, "engine_payments_accepted_total"),
                "settledPerSecond": _per_second(look, rate, "engine_payments_settled_total"),
                "refusedPerSecond": _per_second(look, rate, "engine_payments_refused_total"),
            },
            "money": {
                "settled": amount(sum(cents)),
                "fees": amount(look.total("engine_fee_cents")),
                "net": amount(look.total("engine_net_cents")),
                "feesLastMinute": _last_minute(look, minute, "engine_fee_cents"),
                "netLastMinute": _last_minute(look, minute, "engine_net_cents"),
            },
            "unknown": {
                "payments": sum(unknown),
                "amount": amount(look.total("engine_unknown_cents")),
                "oldestSeconds": look.most("engine_unknown_oldest_age_seconds") or 0,
                "deadLetters": look.number("engine_dead_letters"),
                "parked": look.number("engine_parked_payments"),
            },
            "times": {
                "accepting": _percentiles(look, window, "engine_accepting_seconds"),
                "settling": self._settling(look, window),
            },
            "backlog": {
                "payments": look.number("engine_backlog_payments"),
                "oldestSeconds": look.value("engine_backlog_oldest_age_seconds") or 0,
            },
            "ring": {
                "unfinished": look.most("engine_ring_unfinished_ratio"),
                "isFull": bool(look.most("engine_ring_full")),
            },
            "ledger": ledger | {"lagSeconds": look.value("engine_ledger_lag_seconds")},
            "now": said,
            "processors": [self._processor(look, rate, window, paused, number) for number in range(len(self._names))],
        }

    def _processor(
        self, look: Look, rate: Look | None, window: Look | None, paused: int, number: int
    ) -> dict[str, Any]:
        name = self._names[number]
        states = [one for one in ProcessorState if look.number("engine_processor_state", name, one.name.lower())]
        expected = look.value("engine_expected_answer_seconds", name)
        return {
            "name": name,
            "state": states[0].name.lower() if states else "unknown",
            "isPaused": bool(paused >> number & 1),
            "isFailing": bool(look.number("engine_health_failing", name)),
            "healthAgeSeconds": look.value("engine_health_age_seconds", name),
            "inFlight": look.number("engine_in_flight_requests", name),
            "capacity": look.number("engine_capacity_requests", name),
            "expectedMs": None if expected is None else round(expected * 1000, 1),
            "settled": look.number("engine_payments_settled_total", name),
            "settledPerSecond": _per_second(look, rate, "engine_payments_settled_total", name),
            "amount": amount(look.number("engine_settled_cents_total", name)),
            "feePercent": round(100 * (look.value("engine_fee_ratio", name) or 0), 4),
            "net": amount(look.number("engine_net_cents", name)),
            "unknown": look.number("engine_unknown_payments", name),
            "unknownAmount": amount(look.number("engine_unknown_cents", name)),
            "answers": _percentiles(look, window, "engine_answer_seconds", name),
        }

    def _settling(self, look: Look, before: Look | None) -> dict[str, float | None]:
        of_each = [_between(look, before, "engine_settling_seconds", name) for name in self._names]
        known = [one for one in of_each if one is not None]
        return _quantiles([sum(values) for values in zip(*known, strict=True)] if known else None)

    def _keep(self, look: Look) -> None:
        """Keeps it to compare later ones with; of looks in quick succession the last, and none that is old."""
        looks = self._looks
        if len(looks) > 1 and look.at_s - looks[-2].at_s < CLOSE_S:
            looks.pop()
        looks.append(look)
        while look.at_s - looks[0].at_s > MONEY_S + CLOSE_S:
            looks.popleft()

    def _before(self, seconds: int) -> Look | None:
        """The look that was so many seconds ago, or the oldest; None while there is none before."""
        if len(self._looks) < 2:
            return None
        now_s = self._looks[-1].at_s
        return next((one for one in reversed(self._looks) if now_s - one.at_s >= seconds - 0.5), self._looks[0])


def _grown(look: Look, before: Look, name: str, labels: tuple[str, ...]) -> int:
    """By how much a counter has grown; after a purge, what it is now."""
    now, then = (one.number(name, *labels) if labels else one.total(name) for one in (look, before))
    return now - then if now >= then else now


def _per_second(look: Look, before: Look | None, name: str, *labels: str) -> float | None:
    if before is None or look.at_s <= before.at_s:
        return None
    return round(_grown(look, before, name, labels) / (look.at_s - before.at_s), 1)


def _last_minute(look: Look, before: Look | None, name: str) -> str | None:
    if before is None or look.at_s <= before.at_s:
        return None
    return amount(_grown(look, before, name, ()))


def _between(look: Look, before: Look | None, name: str, *labels: str) -> list[int] | None:
    now = look.times(name, *labels)
    then = before.times(name, *labels) if before is not None else None
    if now is None or then is None:
        return None
    return [max(0, one - other) for one, other in zip(now, then, strict=True)]


def _percentiles(look: Look, before: Look | None, name: str, *labels: str) -> dict[str, float | None]:
    return _quantiles(_between(look, before, name, *labels))


def _quantiles(buckets: Sequence[int] | None) -> dict[str, float | None]:
    """In ms; null: nothing has ended in this time."""

    def at(percent: int) -> float | None:
        found = None if buckets is None else percentile_us(buckets, percent)
        return None if found is None else found / 1000

    count = 0 if buckets is None else sum(buckets[: metrics_layout.TIMES_BUCKETS])
    return {"count": count, "p50Ms": at(50), "p99Ms": at(99)}
