"""The dispatcher's world of the tests, seen by an operator: SQL is a dictionary, and time passes while he waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.acts.ring import CommandWriter
from engine.connectors import answers as outcome
from engine.ledger.acts import ActionRow, ItemRow
from engine.memory import layout
from engine.memory.acts_layout import Act
from engine.operate.carrying import Outcome, World, carry_out, commands, items
from engine.operate.selection import Plan
from tests.dispatch.world import World as Engine

ACTION = bytes(range(16))


class Operator:
    """Asks for acts on ``engine``; ``live`` is called while he waits. ``record``: instead of the dictionary."""

    def __init__(
        self,
        engine: Engine,
        live: Callable[[], None] | None = None,
        record: Callable[[ActionRow, Sequence[ItemRow]], None] | None = None,
    ) -> None:
        self._write = record or self._record
        self.engine = engine
        self.rows: dict[bytes, tuple[ActionRow, list[ItemRow]]] = {}
        self.told: list[int] = []
        self._live = live or self._pass
        self.ring = CommandWriter(engine.commands, engine.words, layout.BOOKS_ACTS_AT)

    def act(self, plan: Plan, identity: bytes = ACTION, rate: int = 1000) -> Outcome:
        """Carries a plan out."""
        action = ActionRow(identity, plan.act, None, "Ada", "because", "a letter", "")
        world = World(self._write, self.ring, lambda: self.engine.mono_ms / 1000, lambda _: self._live())
        return carry_out(world, action, items(plan.eligible), commands(action, plan), rate, self.told.append)

    def _record(self, action: ActionRow, rows: Sequence[ItemRow]) -> None:
        assert action.id not in self.rows
        self.rows[action.id] = action, list(rows)

    def _pass(self) -> None:
        attempts = self.engine.start(later_ms=20)
        self.engine.end([one for one in attempts if one.lookup], outcome.ABSENT, later_ms=0)


def offered() -> tuple[Act, ...]:
    """All acts on payments."""
    return Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL
