"""What the dispatcher shows of itself on its page of the metrics, once a second: what waits, and what it knows."""

from __future__ import annotations

from typing import Final

from engine.dispatch.attempt import Now
from engine.dispatch.work import Work
from engine.memory import metrics_layout as layout
from engine.memory.words import Words

EVERY_MS: Final = 1000  # between two writings
LOOKS_MAX: Final = 16_384  # so many unresolved payments of a processor are searched for the oldest: a millisecond


class Gauges:
    """Writes the words of ``metrics_layout.DISPATCHER_...`` about ``work``; the caller is their one writer."""

    def __init__(self, words: Words, work: Work) -> None:
        self._words = words
        self._work = work

    def show(self, now: Now) -> None:
        """Writes what is known now."""
        words, work, at = self._words, self._work, layout.DISPATCHER_AT
        waiting = work.backlog.waiting
        words[at + layout.DISPATCHER_WAITING] = waiting
        words[at + layout.DISPATCHER_OLDEST_MS] = work.backlog.oldest_ms() if waiting else 0
        words[at + layout.DISPATCHER_DELAYED] = len(work.delayed)
        for processor, observed in enumerate(work.router.observed):
            shown_at = at + layout.DISPATCHER_SHOWN + processor * layout.SHOWN_WORDS
            unresolved = work.unresolved[processor]
            words[shown_at + layout.SHOWN_CAPACITY] = observed.in_flight + observed.room(now.mono_ms)
            words[shown_at + layout.SHOWN_STATE] = observed.state
            words[shown_at + layout.SHOWN_PROBES] = observed.probes_in_flight
            words[shown_at + layout.SHOWN_UNKNOWN_CENTS] = unresolved.cents
            words[shown_at + layout.SHOWN_UNKNOWN_OLDEST_MS] = unresolved.oldest_ms(LOOKS_MAX) or 0
