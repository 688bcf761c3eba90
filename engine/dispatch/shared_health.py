"""The network of a cell's dispatcher. A processor is queried for its health by one cell for all: when the store grants
it, and not when this dispatcher would like to know. Everything else goes through as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.connectors.answers import Health, Outcome, Query, Silence
from engine.dispatch.attempt import Attempt
from engine.dispatch.ports import Transport, Word


class SharedHealth:
    """See the module; a :class:`engine.dispatch.ports.Transport` over ``transport``.

    ``answers``: what was answered to granted queries, with the processor and the time of its grant.
    ``told``: what other cells were answered; the next :meth:`results` has it.
    """

    def __init__(self, transport: Transport) -> None:
        self.answers: list[tuple[int, Health]] = []
        self.told: list[Health] = []
        self._transport = transport
        self._granted: dict[int, int] = {}
        self.send, self.ask_fee, self.kick = transport.send, transport.ask_fee, transport.kick
        self.drop, self.abandon, self.wait_ms = transport.drop, transport.abandon, transport.wait_ms

    def ask_health(self, processor: int) -> None:
        """Nothing: it waits for the grant, or for another cell's answer."""

    def ask_granted(self, processor: int, granted_ms: int) -> None:
        """Queries the health of a processor for all cells; ``granted_ms``: the store's clock when it was granted."""
        self._granted[processor] = granted_ms
        self._transport.ask_health(processor)

    def results(self) -> tuple[Sequence[tuple[Attempt, Outcome]], Sequence[Word]]:
        """See the port."""
        ended, words = self._transport.results()
        for word in words:
            is_health = isinstance(word, Health) or (isinstance(word, Silence) and word.query is Query.HEALTH)
            granted_ms = self._granted.pop(word.processor, None) if is_health else None
            if granted_ms is not None and isinstance(word, Health):
                self.answers.append((granted_ms, word))
        told, self.told = self.told, []
        return ended, [*words, *told]
