"""The ledger of a run: how far it is behind while the run lasts, and what it has recorded when all is over."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from engine.lab.chaos import evidence, record, signals, takings
from engine.lab.chaos.checks import Check
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent
from engine.lab.chaos.world import World
from engine.lab.ledger import recorded
from engine.lab.ledger.gauge import Behind, Watch
from engine.lab.ledger.recorded import Gap, Recorded
from engine.lab.services.console import Console
from engine.lab.services.engine import Engine
from engine.memory.metrics_layout import TIMES_BUCKETS

CAUGHT_UP_S = 30.0  # after everything is back and settled: a process that tries again waits 5 s at most

ANSWERS_LEDGER = "answer times of /metrics are the ledger's, within a bucket"
ANSWERS_OWN = "answer times of /metrics are the processors' own, within a bucket"
ACCEPTING = "accepting takes no longer in the process than clients wait, within a bucket"

SLOW_US = 50_000  # a processor's answer that took longer took as long for the engine: the way is less than a bucket


@dataclass(frozen=True)
class Story:
    """What became of the ledger.

    Parameters:
      kind: of database.
      begin_epoch_s: when the load began.
      lags: how far it was behind, over time.
      caught_up_s: when it had everything, in seconds after the end; None: it had not in time.
    """

    kind: str
    begin_epoch_s: float
    lags: Sequence[Behind]
    caught_up_s: float | None
    payments: int
    account: record.Account
    gaps: Sequence[Gap]
    checks: Sequence[Check]


class Witness:
    """Watches the ledger of ``world`` from its making on. Raises SegmentError."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._watch = Watch(world.settings)
        self._watch.start()

    def close(self) -> None:
        """Ends it. Raises SegmentError when the memory could not be looked at."""
        self._watch.finish()

    def story(
        self, begin_epoch_s: float, sent: Sequence[Sent], kills: Sequence[Kill], accepting_ms: Sequence[float]
    ) -> Story:
        """Waits until the ledger has everything, and compares; everything is settled by now.

        Parameters:
          accepting_ms: how long it took for clients until their payments were accepted.

        Raises LedgerError and ServiceError.
        """
        world, watch = self._world, self._watch
        caught_up_s = watch.await_nothing(CAUGHT_UP_S)
        heard = {number: list(one.heard()) for number, one in enumerate(world.processors.values())}
        found = recorded.read(world.settings)
        account = record.compare(heard, found.attempts)
        done = [
            *record.all_checks(sent, evidence.charges(world.processors), found, account, kills, world.begun),
            record.carried(caught_up_s, CAUGHT_UP_S, watch.seen),
            *self._money(begin_epoch_s),
            *self._signals(begin_epoch_s, found, kills, accepting_ms),
        ]
        return Story(
            world.ledger.kind,
            begin_epoch_s,
            list(watch.seen),
            caught_up_s,
            len(found.payments),
            account,
            found.gaps,
            done,
        )

    def _money(self, begin_epoch_s: float) -> list[Check]:
        """Whether the report of money says what the processors say."""
        world, done = self._world, []
        for step in takings.STEPS:
            span = takings.stretch(begin_epoch_s, time.time(), step)
            told, own = takings.of_report(world.settings, span), takings.of_processors(world.processors, span)
            done.append(takings.check(step, told, own))
        return done

    def _signals(
        self, begin_epoch_s: float, found: Recorded, kills: Sequence[Kill], accepting_ms: Sequence[float]
    ) -> list[Check]:
        """Whether ``/metrics`` says what all others say."""
        world, attempts = self._world, found.attempts
        names = list(world.processors)
        with closing(Console(world.settings.console.port)) as console, closing(Engine(world.addresses)) as engine:
            scraped, told = signals.read(console.metrics()), engine.summary()
        answers = {name: scraped.durations("engine_answer_seconds", processor=name) for name in names}
        accepting = {"clients": scraped.durations("engine_accepting_seconds")}
        clients = {"clients": signals.in_buckets(round(ms * 1000) for ms in accepting_ms)}
        ledger = {name: signals.recorded_answers(attempts, number) for number, name in enumerate(names)}
        processors = {name: one.took_us()[:TIMES_BUCKETS] for name, one in world.processors.items()}
        own = {name: one.summary() for name, one in world.processors.items()}
        extra_max = world.begun + sum(gap.missing for gap in found.gaps if gap.source == record.JOURNAL)
        return [
            *signals.payments(scraped, told, found.payments, own),
            signals.requests(scraped, names, attempts, signals.lost(attempts, kills, begin_epoch_s), extra_max),
            signals.same_times(ANSWERS_LEDGER, answers, ledger, 0),
            signals.same_times(ANSWERS_OWN, answers, processors, SLOW_US),
            signals.same_times(ACCEPTING, clients, accepting, math.inf),
        ]
