"""Bugs that are put into cells and store on purpose: a simulation that finds none of them proves nothing.

What two rules guard, one in the cell and one in the store, is broken in both.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from engine.cluster import rules
from engine.cluster.agent import Agent
from engine.cluster.cell import Cell
from engine.cluster.following import Following
from engine.cluster.health import Asking
from engine.cluster.membership import Membership
from engine.cluster.pins import Pinned
from engine.cluster.stub import Stub
from engine.lab.dst.cells import wrong
from engine.lab.dst.mutant import Mutant, put_in


def mutated(name: str) -> AbstractContextManager[None]:
    """Puts the bug ``name`` of :data:`MUTANTS` in, and takes it out at the end."""
    return put_in(MUTANTS[name], creates=True)


MUTANTS = {
    "adopted-moves": Mutant(
        "an adopted pin moves after a refusal",
        Pinned,
        "may_move",
        property(wrong.may_move_adopted),
        ((rules, "judge_pin", wrong.judge_pin_adopted),),
    ),
    "late-pin-replaces": Mutant(
        "a pin that arrives late replaces a newer one", rules, "judge_pin", wrong.judge_pin_late
    ),
    "open-pin-moves": Mutant(
        "a pin moves while a request for it is open", Pinned, "may_move", property(wrong.may_move_open)
    ),
    "adopted-early": Mutant(
        "what is adopted is read before the epoch is raised",
        Stub,
        "adopt",
        wrong.adopt_early,
        (
            (Stub, "held_truly", Stub.held),
            (Stub, "held", wrong.held_early),
            (Stub, "check_truly", Stub._check_epoch),
            (Stub, "_check_epoch", wrong.check_raised_late),
        ),
    ),
    "counted-by-two": Mutant(
        "an outcome that the store has is put into another cell's sequence too",
        rules,
        "judge_outcome",
        wrong.judge_outcome_again,
    ),
    "no-epoch": Mutant("the store compares no epochs", Stub, "_check_epoch", wrong.check_no_epoch),
    "no-epoch-of-pins": Mutant(
        "a pin of an epoch that is over counts",
        Stub,
        "_check_epoch",
        wrong.check_no_epoch,
        ((rules, "judge_pin", wrong.judge_pin_of_any_epoch),),
    ),
    "gap-is-whole": Mutant("a sequence with a gap is taken for whole", Following, "next", wrong.next_whatever),
    "counted-again": Mutant("a page is counted twice", Following, "next", wrong.next_again),
    "sent-before-pinned": Mutant("a request leaves before the store has its pin", Cell, "pin", wrong.pin_at_once),
    "offer-forgotten": Mutant(
        "what a customer was told 503 for is forgotten, though the store may have it",
        Cell,
        "tick",
        wrong.tick_forgetting_offers,
        ((Cell, "tick_truly", Cell.tick),),
    ),
    "era-forgotten": Mutant(
        "a cell that joins anew keeps books of before a purge",
        Agent,
        "_joined",
        wrong.joined_of_any_era,
        ((Agent, "joined_truly", Agent._joined),),
    ),
    "told-too-much": Mutant(
        "a cell tells that it makes no more old pins while one is on its way", Cell, "unsure_ms", lambda _: None
    ),
    "requested-by-the-wall": Mutant(
        "a pin has the time of the wall clock, whatever was told",
        Membership,
        "requested_ms",
        wrong.requested_by_the_wall,
    ),
    "health-asked-late": Mutant(
        "a cell asks for health though it heard late that it may", Asking, "is_granted", wrong.granted_late
    ),
}
