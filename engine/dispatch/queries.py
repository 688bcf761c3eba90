"""Queries: processors are queried for their health again and again, and for their fees if that is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from engine.connectors.answers import Fee, Health, Query, Silence
from engine.dispatch.attempt import Now
from engine.dispatch.ports import Transport, Word
from engine.memory.status import StatusBlock
from engine.routing.fees import believed_ppm
from engine.routing.queries import ANSWER_MS_MAX, fee_wait_ms
from engine.routing.router import Router


class Queries:
    """Sends queries, and tells the router what is answered.

    Parameters:
      transport: carries the queries.
      status: shows the answers, and keeps for the next dispatcher when to query again.
      fees_ppm: the fee of each processor, in millionths of an amount; -1: not known.
      asks_fees: whether unknown fees may be queried.
      health_interval_ms: a processor answers one query for its health in this time.
    """

    def __init__(
        self,
        router: Router,
        transport: Transport,
        status: StatusBlock,
        fees_ppm: Sequence[int],
        *,
        asks_fees: bool,
        health_interval_ms: int,
    ) -> None:
        self._router = router
        self._transport = transport
        self._shown = [status.processor(number) for number in range(len(fees_ppm))]
        self._fees_ppm = list(fees_ppm)
        self._asks_fees = asks_fees
        self._health_interval_ms = health_interval_ms
        self._fees_from_ms = [0] * len(fees_ppm)  # each fee may be queried from this time on
        self._fees_refused = [0] * len(fees_ppm)  # how many queries in a row got no fee

    def begin(self, now: Now) -> None:
        """Keeps the distance from the health queries of the last dispatcher too."""
        for observed, shown in zip(self._router.observed, self._shown, strict=True):
            # At most the distance from a query of this moment, whatever the status block says.
            latest_ms = now.mono_ms + ANSWER_MS_MAX + self._health_interval_ms
            observed.health_from_ms = min(shown.health_from_ms, latest_ms)

    def ask(self, now: Now) -> None:
        """Sends the queries that are due now."""
        for processor, observed in enumerate(self._router.observed):
            if observed.wants_health(now.mono_ms):
                observed.health_asked(now.mono_ms)
                # Before the query leaves: this process may be killed before the answer comes.
                self._shown[processor].health_from_ms = observed.health_from_ms
                self._transport.ask_health(processor)
        if self._asks_fees:
            self._ask_fees(now)

    def heard(self, now: Now, word: Word) -> None:
        """Takes the end of a query."""
        if isinstance(word, Health) or (isinstance(word, Silence) and word.query is Query.HEALTH):
            self._heard_health(now, word)
        else:
            self._heard_fee(now, word)

    def due_ms(self) -> int:
        """When the next health query is due if nothing happens before."""
        return min(observed.health_due_ms() for observed in self._router.observed)

    def _heard_health(self, now: Now, word: Health | Silence) -> None:
        observed, shown = self._router.observed[word.processor], self._shown[word.processor]
        observed.health_ended(now.mono_ms)
        shown.health_from_ms = observed.health_from_ms
        if isinstance(word, Health):
            observed.health(now.mono_ms, word.failing, word.min_response_ms)
            shown.failing, shown.min_response_ms = word.failing, word.min_response_ms
            shown.health_ms = now.mono_ms

    def _heard_fee(self, now: Now, word: Fee | Silence) -> None:
        processor = word.processor
        if isinstance(word, Fee):
            self._fees_ppm[processor] = word.ppm
            self._router.learn_fees(believed_ppm(*self._fees_ppm))
        else:
            self._fees_refused[processor] += 1
        self._fees_from_ms[processor] = now.mono_ms + fee_wait_ms(self._fees_refused[processor])

    def _ask_fees(self, now: Now) -> None:
        """Queries fees that are neither set nor known, ever more rarely if they are not told."""
        for processor, fee_ppm in enumerate(self._fees_ppm):
            if fee_ppm < 0 and now.mono_ms >= self._fees_from_ms[processor]:
                self._fees_from_ms[processor] = now.mono_ms + ANSWER_MS_MAX + fee_wait_ms(self._fees_refused[processor])
                self._transport.ask_fee(processor)
