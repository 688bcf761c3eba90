"""The store in memory, and the way to it that loses what is said."""

from __future__ import annotations

import pytest

from engine.cluster.line import Fate, Line
from engine.cluster.store import Store
from engine.cluster.stub import Stub
from engine.cluster.values import NoAnswerError, Offer, StaleEpochError, Verdict
from tests.cluster.conformance import LIMIT_S, LONG_MS, Cell, Conformance, identity, verdicts

NOW_MS = 1_795_766_400_000


class StubPlace:
    """A stub, and its clock."""

    def __init__(self) -> None:
        self._now_ms = NOW_MS
        self.stub = Stub(lambda: self._now_ms)

    def store(self, limit_s: float = LIMIT_S) -> Store:
        """The one stub."""
        return self.stub

    def pass_time(self, milliseconds: int) -> None:
        """Moves the clock."""
        self._now_ms += milliseconds


@pytest.fixture
def place() -> StubPlace:
    return StubPlace()


class TestStub(Conformance):
    """The stub conforms."""


def offer(number: int) -> Offer:
    return Offer(identity(number), 1990, number)


def test_a_failover_changes_the_identity_and_may_lose_what_came_last(place: StubPlace) -> None:
    cell = Cell(place, "one")
    before = cell.lease(LONG_MS, 0).identity
    cell.accepts(1)
    backup = place.stub.backup()
    cell.accepts(2)
    place.stub.fail_over()
    after = cell.lease(LONG_MS, 0).identity
    assert after != before and cell.holds() == {identity(1), identity(2)}
    place.stub.fail_over(backup)
    assert cell.lease(LONG_MS, 0).identity not in (before, after) and cell.holds() == {identity(1)}
    cell.accepts(3)
    place.stub.fail_over(backup)
    assert cell.holds() == {identity(1)}


def test_nobody_gets_an_answer_while_the_store_is_away(place: StubPlace) -> None:
    cell = Cell(place, "one")
    place.stub.is_away = True
    with pytest.raises(NoAnswerError):
        cell.accepts(1)
    with pytest.raises(NoAnswerError):
        cell.store.members()
    place.stub.is_away = False
    assert cell.accepts(1) == (Verdict.NEW,)


def test_an_epoch_that_a_failover_lost_is_never_another_ones_number(place: StubPlace) -> None:
    backup = place.stub.backup()
    lost = Cell(place, "one")
    place.pass_time(1)
    place.stub.fail_over(backup)
    assert Cell(place, "two").by.number != lost.by.number
    with pytest.raises(StaleEpochError):
        lost.accepts(1)


@pytest.mark.parametrize(
    ("fate", "answers", "at_once", "in_the_end"),
    [
        (Fate.DONE, True, True, True),
        (Fate.LOST, False, False, False),
        (Fate.UNANSWERED, False, True, True),
        (Fate.LATE, False, False, True),
        (Fate.TWICE, True, True, True),
    ],
)
def test_a_line_does_to_a_call_what_was_drawn(
    place: StubPlace, fate: Fate, answers: bool, at_once: bool, in_the_end: bool
) -> None:
    cell, fates = Cell(place, "one"), {"accept": fate}
    line = Line(place.stub, lambda call: fates[call.operation])
    if answers:
        assert verdicts(line.call("accept", cell.by, [offer(1)])) == (Verdict.NEW,)
    else:
        with pytest.raises(NoAnswerError):
            line.call("accept", cell.by, [offer(1)])
    assert (cell.holds() == {identity(1)}) is at_once
    assert line.late == (fate in (Fate.LATE, Fate.TWICE))
    late = line.deliver()
    assert (late is not None) is (fate in (Fate.LATE, Fate.TWICE))
    assert (cell.holds() == {identity(1)}) is in_the_end


def test_what_a_line_delivers_of_an_epoch_that_is_over_changes_nothing(place: StubPlace) -> None:
    cell = Cell(place, "one")
    line = Line(place.stub, lambda call: Fate.LATE)
    with pytest.raises(NoAnswerError):
        line.call("accept", cell.by, [offer(1)])
    later = Cell(place, "one", replaces=cell.by.number)
    assert isinstance(line.deliver(), StaleEpochError)
    assert later.holds() == set()
    with pytest.raises(StaleEpochError):
        Line(place.stub, lambda call: Fate.DONE).call("accept", cell.by, [offer(1)])
