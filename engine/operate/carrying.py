"""Carrying out an action: its row in SQL first, then its commands, a few at a time; then their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from engine.acts import rules
from engine.correlation import halves, id_bytes
from engine.ledger.acts import ActionRow, ItemRow
from engine.memory.acts_layout import Carried, Command, Result
from engine.operate.selection import Plan
from engine.payment import Payment

OUT_MAX: Final = 64  # commands without a result at one moment
PAUSE_S: Final = 0.02  # between two looks for results
PATIENCE_S: Final = 30.0  # a dispatcher that has carried out nothing for so long is away


class Ring(Protocol):
    """The command ring, as an operator's process sees it."""

    def put(self, command: Command) -> int | None:
        """Publishes a command; None: there is no room. Raises SegmentError."""

    def result(self, sequence: int) -> Carried | None:
        """What became of it; None while that is not known. Raises LookupError when the ring has forgotten it."""


class World(NamedTuple):
    """What carrying out needs: ``record`` writes rows to SQL and raises when it cannot; ``now_s`` never goes back."""

    record: Callable[[ActionRow, Sequence[ItemRow]], None]
    ring: Ring
    now_s: Callable[[], float]
    sleep: Callable[[float], None]


class Outcome(NamedTuple):
    """``done``: commands with their results, in their order; ``unheard``: those whose results did not come."""

    done: list[tuple[Command, Carried]]
    unheard: list[Command]


def commands(action: ActionRow, plan: Plan) -> list[Command]:
    """The commands of a plan."""
    high, low = halves(action.id)
    return [Command(plan.act, high, low, one.id_high, one.id_low, rules.seen(one)) for one in plan.eligible]


def items(payments: Sequence[Payment]) -> list[ItemRow]:
    """The rows of these payments as they were seen."""
    return [
        ItemRow(
            id_bytes(one.id_high, one.id_low),
            one.state,
            one.reason,
            one.processor,
            one.attempts,
            one.cents,
        )
        for one in payments
    ]


def carry_out(
    world: World,
    action: ActionRow,
    rows: Sequence[ItemRow],
    wanted: Sequence[Command],
    rate: int,
    told: Callable[[int], None],
) -> Outcome:
    """Records an action, puts its commands, at most ``rate`` a second, and waits for their results.

    Parameters:
      told: called with the number of commands that have a result.

    Raises whatever ``record`` raises, before anything is asked for.
    """
    world.record(action, rows)
    outcome, out = Outcome([], []), dict[int, Command]()
    began_s = heard_s = world.now_s()
    put = 0
    while put < len(wanted) or out:
        now_s = world.now_s()
        while put < len(wanted) and len(out) < OUT_MAX and put < (now_s - began_s) * rate + 1:
            sequence = world.ring.put(wanted[put])
            if sequence is None:
                break
            out[sequence] = wanted[put]
            put += 1
        if _hear(world.ring, out, outcome):
            heard_s = now_s
            told(len(outcome.done))
        elif now_s - heard_s >= PATIENCE_S:
            break
        if put < len(wanted) or out:
            world.sleep(PAUSE_S)
    outcome.unheard.extend([*out.values(), *wanted[put:]])
    return outcome


def _hear(ring: Ring, out: dict[int, Command], outcome: Outcome) -> bool:
    """Takes the results that are there; whether there was one."""
    is_any = False
    for sequence in list(out):
        try:
            carried = ring.result(sequence)
        except LookupError:
            outcome.unheard.append(out.pop(sequence))
            continue
        if carried is not None:
            outcome.done.append((out.pop(sequence), carried))
            is_any = True
    return is_any


SENTENCES: Final = {
    Result.DONE: "done",
    Result.NOT_FOUND: "not found in the parking table (the ledger may have it)",
    Result.CHANGED: "it has changed since you saw it",
    Result.OVER: "it has ended",
    Result.NOT_DEAD: "it is no dead letter: the engine still works on it",
    Result.MAY_BE_CHARGED: "it may be charged, so it is not sent again",
    Result.NOT_CHARGED: "it is certainly not charged: try it again instead",
    Result.UNDER_WAY: "a request for it may still be under way: wait ten minutes",
    Result.AS_IT_IS: "it is so already",
    Result.NOT_KNOWN: "there is no such act or processor",
}
