"""The stub and PostgreSQL say the same to the same random calls: what is simulated with one holds for the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.cluster.values import (
    NO_PROCESSOR,
    Adoption,
    Call,
    Discrepancy,
    Epoch,
    Kept,
    Kind,
    Lease,
    Member,
    NoAnswerError,
    Offer,
    Outcome,
    Pin,
    Row,
    StoreError,
    UnusableError,
)
from engine.lab.ledger.server import Server
from tests.cluster.conformance import LONG_MS, SHORT_MS, Place, identity
from tests.cluster.pg import PostgresPlace
from tests.cluster.test_stub import StubPlace

CALLS, IDS, CELLS = 150, 12, 3
FAR_MS = 1 << 50


class Side:
    """One of the two stores, and the epochs that have begun there."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.store = place.store()
        self.epochs: list[Epoch] = []

    def does(self, operation: str, arguments: tuple[Any, ...]) -> Any:
        """What comes of a call, alike for both sides. An argument that is a function is handed the side."""
        call = Call(operation, tuple(one(self) if callable(one) else one for one in arguments))
        answer: Any = NoAnswerError()
        while isinstance(answer, NoAnswerError):  # an adopter may have ended the session
            (answer,) = self.store.perform([call])
        if operation == "join" and isinstance(answer, Epoch):
            self.epochs.append(answer)
        return self.alike(answer)

    def alike(self, value: Any) -> Any:
        """A value without what differs: epochs by their order, and no times of the store's clock."""
        order = {epoch.number: at for at, epoch in enumerate(self.epochs, 1)} | {0: 0}
        match value:
            case StoreError():
                return repr(value) if isinstance(value, UnusableError) else type(value).__name__
            case Epoch():
                return value._replace(number=order[value.number])
            case Kept():
                epoch, holder, pin_epoch = order[value.epoch], order[value.holder], order[value.pin_epoch]
                return value._replace(epoch=epoch, holder=holder, pin_epoch=pin_epoch)
            case Discrepancy():
                return value._replace(epoch=order[value.epoch])
            case Adoption():
                return order[value.holder], value.until_ms > 0
            case Member():
                return value._replace(epoch=order[value.epoch], holder=order[value.holder], until_ms=value.until_ms > 0)
            case Lease():
                return self.alike(value.members), value.open_ms
            case Row():
                return Row(value.verdict, self.alike(value.kept))
            case tuple() if type(value) is tuple:
                return tuple(map(self.alike, value))
        return value


class Draws:
    """Draws calls by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.epochs = 0
        self.newest = [0] * CELLS  # the order of each cell's newest epoch
        self.era = 1

    def call(self) -> tuple[str, tuple[Any, ...]]:
        """An operation and its arguments."""
        drawn = self.chance.choices(
            (self.join, self.membership, self.payments, self.reads, self.rare), (2, 3, 16, 4, 1)
        )
        return drawn[0]()

    def join(self) -> tuple[str, tuple[Any, ...]]:
        cell, lease_ms = self.chance.randrange(CELLS), self.chance.choice((SHORT_MS, LONG_MS))
        place, replaces = identity(self.chance.choice((0, 0, 0, 1))), self.newest[cell]
        life = self.chance.randbytes(16)
        return "join", (f"cell-{cell}", place, life, lambda side: number_of(side, replaces), lease_ms)

    def membership(self) -> tuple[str, tuple[Any, ...]]:
        other = self.chance.randint(1, max(1, self.epochs))
        by = self.caller(but=other)
        return self.chance.choice(
            [
                ("adopt", (by, lambda side: number_of(side, other))),
                ("lease", (by, self.chance.choice((SHORT_MS, LONG_MS)), self.chance.randrange(1000))),
                ("leave", (by,)),
                ("members", ()),
            ]
        )

    def payments(self) -> tuple[str, tuple[Any, ...]]:
        ids = [identity(number) for number in self.chance.sample(range(1, IDS), self.chance.randint(1, 4))]
        draw = self.chance.randrange
        offers = [Offer(one, draw(1, 3), draw(9)) for one in ids + ids[: draw(2)]]
        pins = [Pin(one, draw(1, 5), draw(2), draw(1, 4)) for one in ids]
        return self.chance.choice(
            [
                ("accept", (self.caller(), offers)),
                ("pin", (self.caller(), pins)),
                ("conclude", (self.caller(), [self.outcome(one) for one in ids])),
                ("reopen", (self.caller(), ids[0], identity(draw(3)))),
            ]
        )

    def outcome(self, one: bytes) -> Outcome:
        kind = self.chance.choice([Kind.SETTLED, Kind.CHARGED_BEFORE, *[Kind.GIVEN_UP] * 4, Kind.DECLARED])
        free = kind == Kind.GIVEN_UP or (kind == Kind.DECLARED and self.chance.random() < 0.5)
        processor = NO_PROCESSOR if free else self.chance.randrange(2)
        requested_ms = 0 if free else self.chance.randrange(1, 3) * 60_000
        return Outcome(one, kind, processor, requested_ms, self.chance.randrange(9), 1, self.chance.randrange(6))

    def reads(self) -> tuple[str, tuple[Any, ...]]:
        cell, limit = self.chance.randint(1, CELLS), self.chance.randint(1, 9)
        return self.chance.choice(
            [
                ("find", (self.caller(), [identity(number) for number in range(1, IDS + 1)])),
                ("held", (self.caller(), identity(self.chance.randrange(4)), limit)),
                ("follow", (self.caller(), cell, self.chance.randrange(9), limit)),
                ("folded", (self.caller(), cell)),
                ("discrepancies", (self.caller(), self.chance.randrange(3), limit)),
            ]
        )

    def rare(self) -> tuple[str, tuple[Any, ...]]:
        cell, limit = self.chance.randint(1, CELLS), self.chance.randint(1, 5)
        before_ms = self.chance.choice((1, FAR_MS, FAR_MS))
        return self.chance.choice(
            [("purge", (self.caller(),)), *[("forget", (self.caller(), cell, before_ms, limit))] * 5]
        )

    def caller(self, but: int = 0) -> Callable[[Side], Epoch]:
        """Mostly the newest epoch of a cell, in the era of now."""
        others = [at for at in range(1, self.epochs + 1) if at != but]
        newest = [at for at in self.newest if at and at != but]
        at = self.chance.choice(newest if newest and self.chance.random() < 0.9 else others or [0])
        era = self.era if self.chance.random() < 0.97 else self.era - 1
        return lambda side: (side.epochs[at - 1] if at else Epoch(1, 1, 1))._replace(era=era)

    def hear(self, operation: str, arguments: tuple[Any, ...], answer: Any) -> None:
        """What comes of a call, for the next ones."""
        if operation == "join" and isinstance(answer, Epoch):
            self.epochs += 1
            self.newest[int(arguments[0].removeprefix("cell-"))] = self.epochs
        if operation == "purge" and isinstance(answer, int):
            self.era = answer


def number_of(side: Side, at: int) -> int:
    return side.epochs[at - 1].number if 0 < at <= len(side.epochs) else 0


@pytest.fixture
def sides(postgresql: Server) -> Iterator[list[Side]]:
    place = PostgresPlace(postgresql)
    yield [Side(StubPlace()), Side(place)]
    place.close()


@pytest.mark.parametrize("seed", range(3))
def test_both_say_the_same_to_the_same_calls(sides: list[Side], seed: int) -> None:
    draws, seen = Draws(seed), set()
    for side in sides:
        for cell in range(CELLS):
            side.does("join", (f"cell-{cell}", identity(0), identity(90 + cell), 0, LONG_MS))
    draws.epochs, draws.newest = CELLS, list(range(1, CELLS + 1))
    for number in range(CALLS):
        operation, arguments = draws.call()
        first, second = (side.does(operation, arguments) for side in sides)
        assert first == second, (number, operation, arguments)
        draws.hear(operation, arguments, first)
        rows = first if operation in ("accept", "pin", "conclude") and isinstance(first, tuple) else ()
        seen |= {(operation, row.verdict) for row in rows}
        for side in sides:
            side.place.pass_time(SHORT_MS + 1)
    assert len(seen) >= 8
