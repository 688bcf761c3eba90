"""The ledger of a run: how far it is behind while the run lasts, and what it has recorded when all is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.lab.chaos import evidence, record
from engine.lab.chaos.checks import Check
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent
from engine.lab.chaos.world import World
from engine.lab.ledger import recorded
from engine.lab.ledger.gauge import Behind, Watch
from engine.lab.ledger.recorded import Gap

CAUGHT_UP_S = 30.0  # after everything is back and settled: a process that tries again waits 5 s at most


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

    def story(self, begin_epoch_s: float, sent: Sequence[Sent], kills: Sequence[Kill]) -> Story:
        """Waits until the ledger has everything, and compares; everything is settled by now.

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
