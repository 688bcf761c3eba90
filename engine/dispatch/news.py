"""What changes about the processors is said once, with what happens to payments now; and it is shown in ``/health``.

A change is told when it has lasted for ``SETTLED_MS``. What changes again and again is told ever more rarely.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from engine.memory.status import StatusBlock
from engine.routing.observed import ObservedProcessor
from engine.routing.router import Router
from engine.routing.state import ProcessorState
from engine.situation import Condition, Situation, conditions_word, of_word

SETTLED_MS = 400
GAP_FIRST_MS = 1_000  # between two lines about the same thing: twice as long after each line ...
GAP_LAST_MS = 60_000  # ... up to this ...
QUIET_MS = 60_000  # ... until there was nothing to say for this long

_CONDITIONS = {
    ProcessorState.HEALTHY: Condition.HEALTHY,
    ProcessorState.SLOW: Condition.SLOW,
    ProcessorState.SUSPECT: Condition.LATE,
    ProcessorState.OPEN: Condition.FAILING,
}

T = TypeVar("T")


class Line(NamedTuple):
    """What is to be said: the level of :mod:`logging`, the words, the event of the log and its other fields."""

    level: int
    text: str
    event: str
    fields: dict[str, Any]


class Sources(NamedTuple):
    """What the news are made of, besides the router.

    ``troubles``: for each processor why a request had no answer, as the transport knows it; 0 if the last query had
    one. Cleared here when a payment is charged.
    ``words``: of a processor and its trouble.
    ``charged``: how many payments a processor has charged.
    """

    troubles: list[int]
    words: Callable[[int, int], str]
    charged: Callable[[int], int]


class _Told(Generic[T]):
    """A thing that changes: as it is seen, as it has been for long enough to be shown, and as it was last said."""

    def __init__(self, unknown: T, usual: T) -> None:
        self.seen = self.shown = unknown
        self.said = usual
        self._unknown = unknown
        self.seen_ms = 0
        self._said_ms = -QUIET_MS
        self._gap_ms = 0

    def see(self, now_ms: int, seen: T) -> None:
        """It is like this now. What is seen first counts at once."""
        if seen != self.seen:
            self.seen, self.seen_ms = seen, now_ms
        if self.shown == self._unknown or now_ms - self.seen_ms >= SETTLED_MS:
            self.shown = seen

    def is_news(self, now_ms: int) -> bool:
        """Whether to say it now."""
        return self.shown != self.said and now_ms - self._said_ms >= self._gap_ms

    def say(self, now_ms: int) -> None:
        """It is said now."""
        is_quiet = now_ms - self._said_ms >= QUIET_MS + self._gap_ms
        self._gap_ms = GAP_FIRST_MS if is_quiet else min(2 * self._gap_ms, GAP_LAST_MS)
        self.said, self._said_ms = self.shown, now_ms


class News:
    """Watches the router. ``names``: of the processors, for people."""

    def __init__(self, router: Router, status: StatusBlock, names: Sequence[str], sources: Sources) -> None:
        self._router = router
        self._status = status
        self._names = names
        self._sources = sources
        self._charged = [sources.charged(number) for number in range(len(names))]
        self._told = [_Told(Condition.UNKNOWN, Condition.HEALTHY) for _ in names]
        self._flow: _Told[Situation | None] = _Told(None, None)
        self._bad_ms = [0] * len(names)  # when it ceased to be healthy, as it was said
        self._usual_order: bool | None = None  # which one costs less, while all is well; None: it is not

    def look(self, now_ms: int) -> list[Line]:
        """Shows how things are, and returns what is to be said of it."""
        if self._is_as_it_was():  # nearly always, so this is done first
            return []
        seen = [self._condition(number, one) for number, one in enumerate(self._router.observed)]
        for told, condition in zip(self._told, seen, strict=True):
            told.see(now_ms, condition)
        # The router does not know yet what no payment has met.
        silent = [
            number for number in range(len(seen)) if seen[number] is Condition.SILENT and self._is_healthy(number)
        ]
        situation = self._router.situation(now_ms, silent)
        self._flow.see(now_ms, situation)
        self._status.conditions = conditions_word([told.shown for told in self._told])
        self._show(self._flow.shown or situation, now_ms)
        lines = self._lines(now_ms)
        self._usual_order = self._order() if self._is_all_usual() else None
        return lines

    def _show(self, situation: Situation, now_ms: int) -> None:
        """Shows what happens to payments, and since when: also since before this dispatcher started."""
        status = self._status
        if not status.situation_ms or not situation.is_like(of_word(status.situation, len(self._names))):
            status.situation_ms = min(now_ms, self._flow.seen_ms or now_ms)
        status.situation = situation.word()

    def _is_as_it_was(self) -> bool:
        """Whether all was well at the last look, and nothing has changed since."""
        first, second = self._router.observed
        if self._usual_order is None or any(self._sources.troubles) or not (first.is_healthy and second.is_healthy):
            return False
        self._charged = [self._sources.charged(number) for number in range(len(self._names))]
        return self._order() is self._usual_order

    def _is_all_usual(self) -> bool:
        flow = self._flow
        well = all(told.seen is told.shown is told.said is Condition.HEALTHY for told in self._told)
        return well and flow.seen == flow.shown == flow.said

    def _order(self) -> bool:
        """Which of the two costs less."""
        first, second = self._router.observed
        return first.cost_ppm <= second.cost_ppm

    def _condition(self, number: int, observed: ObservedProcessor) -> Condition:
        """What is known of a processor at this moment."""
        if observed.is_paused:
            return Condition.PAUSED
        condition, charged = _CONDITIONS[observed.state], self._sources.charged(number)
        if charged != self._charged[number]:
            self._charged[number], self._sources.troubles[number] = charged, 0
        is_silent = self._sources.troubles[number] and condition in (Condition.HEALTHY, Condition.FAILING)
        return Condition.SILENT if is_silent else condition

    def _is_healthy(self, number: int) -> bool:
        return self._router.observed[number].is_healthy

    def _lines(self, now_ms: int) -> list[Line]:
        changed = [number for number, told in enumerate(self._told) if told.is_news(now_ms)]
        lines = [self._line(now_ms, number) for number in changed]
        flow = self._flow
        if flow.said is None and not lines:
            flow.said = flow.shown  # how it is at the start is nothing new
        if flow.shown is not None and (lines or flow.is_news(now_ms)):
            if flow.shown != flow.said:
                flow.say(now_ms)
            level = lines[-1].level if lines else logging.INFO
            to = [self._names[number] for number in flow.shown.to]
            why = flow.shown.why([told.shown for told in self._told])
            news = flow.shown.sentence(self._names)
            lines.append(Line(level, f"now {news}", "routing_changed", {"news": news, "to": to, "why": str(why)}))
        return lines

    def _line(self, now_ms: int, number: int) -> Line:
        level, text = self._said_of(now_ms, number)
        fields = {"processor": self._names[number], "condition": self._told[number].shown.name.lower(), "news": text}
        return Line(level, text, "processor_changed", fields)

    def _said_of(self, now_ms: int, number: int) -> tuple[int, str]:
        told, name = self._told[number], self._names[number]
        was, observed = told.said, self._router.observed[number]
        told.say(now_ms)
        if was is Condition.HEALTHY:
            self._bad_ms[number] = told.seen_ms
        if told.shown is Condition.HEALTHY:
            return logging.INFO, f"{name} is healthy again, after {(told.seen_ms - self._bad_ms[number]) / 1000:.1f} s"
        trouble = self._sources.words(number, self._sources.troubles[number])
        return logging.WARNING, {
            Condition.SLOW: f"{name} is slow: an answer takes {observed.usual_ms / 1000:.1f} s",
            Condition.LATE: f"{name} is late: answers are overdue",
            Condition.FAILING: f"{name} fails: it answers with errors, or says so itself",
            Condition.SILENT: f"{name} does not answer: {trouble}",
            Condition.PAUSED: f"{name} is paused: an operator wants it to get no new payments",
        }[told.shown]
