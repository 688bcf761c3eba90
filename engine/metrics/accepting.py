"""How long accepting takes, in all API processes together."""

from __future__ import annotations

from engine.memory import metrics_layout as layout
from engine.memory.words import Words
from engine.metrics import times


def accepting(words: Words, api_processes: int) -> list[int]:
    """The times of accepting (buckets and sum) so far; ``words``: the segment of the metrics."""
    pages = map(layout.api_at, range(api_processes))
    return times.added([times.copy(words, at + layout.API_ACCEPTING) for at in pages])
