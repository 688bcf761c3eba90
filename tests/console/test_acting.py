"""Acts over the console: who may, who must confirm, and that what was shown is what is done."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.console import acting as module
from engine.console.acting import KEPT_SECONDS, Acting, Proposal, UnknownActError, Wish
from engine.console.keys import Key, Role
from engine.console.problem import BadRequestError, ConflictError, ForbiddenError
from engine.ledger.acts import ActionRow, ItemRow
from engine.ledger.errors import AwayError
from engine.memory import layout
from engine.memory.acts_layout import Act, Carried, Command, Result
from engine.operate import memory
from engine.operate.carrying import Outcome
from engine.operate.memory import Letters
from engine.operate.selection import FAILED, Selection
from engine.payment import Payment
from engine.settings import Settings

ADA, BOB = Key("ada", Role.TREASURER, ""), Key("bob", Role.TREASURER, "")
EVE, VIEW = Key("eve", Role.OPERATOR, ""), Key("view", Role.VIEWER, "")
NAMES = ("default", "fallback")
SETTINGS = Settings()


def letter(number: int, *, has_failed: bool, cents: int = 1990) -> Payment:
    """A dead letter: one that has failed, or whose outcome at the first processor is unknown."""
    state, reason = (layout.FAILED, layout.REASON_TOO_OLD) if has_failed else (layout.ALREADY, layout.REASON_UNKNOWN)
    return Payment(number, 1, number, cents, 1, state, 0, 2, 2, 3, reason)


class World:
    """A parking table, and a dispatcher that does everything that it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, four_eyes_cents: int = 0) -> None:
        settings = replace(SETTINGS, console=replace(SETTINGS.console, four_eyes_cents=four_eyes_cents))
        self.letters = [letter(number, has_failed=number % 2 == 0) for number in range(1, 11)]
        self.asked: list[tuple[ActionRow, list[ItemRow], list[Command]]] = []
        self.error: Exception | None = None
        self.now_s = 0.0
        monkeypatch.setattr(memory, "letters", lambda _: Letters(list(self.letters), NAMES, 0))
        monkeypatch.setattr(memory, "names", lambda _: NAMES)
        self.acting = Acting(settings, self.perform, lambda: self.now_s)

    def perform(
        self, _: Settings, action: ActionRow, rows: list[ItemRow], wanted: list[Command], rate: int,
        told: Callable[[int], None],
    ) -> Outcome:  # fmt: skip
        if self.error is not None:
            raise self.error
        self.asked.append((action, rows, wanted))
        told(len(wanted))
        return Outcome([(one, Carried(Result.DONE)) for one in wanted], [])

    def ended(self, one: Proposal) -> dict[str, Any]:
        """The act when nothing of it is under way any more."""
        self.acting._workers.shutdown(wait=True)
        return self.acting.get(uuid.UUID(bytes=one.id)).document()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    made.acting._workers.shutdown()


def wish(act: Act, processor: str | None = None, **chosen: Any) -> Wish:
    return Wish(act, Selection(**chosen), processor, "because", "a letter")


def test_a_dry_run_and_what_is_done_agree(world: World) -> None:
    retry = wish(Act.RETRY)
    dry = world.acting.dry_run(retry, ADA)
    assert (dry["payments"], dry["amount"]) == (5, "99.50")
    assert [one["payments"] for one in dry["refused"]] == [5]
    one = world.acting.propose(retry, ADA)
    found = world.ended(one)
    assert found["state"] == "over" and found["payments"] == found["done"] == 5
    assert found["results"] == [{"result": "done", "payments": 5}]
    ((action, rows, wanted),) = world.asked
    assert (action.who, action.why, action.evidence, action.act) == ("ada", "because", "a letter", Act.RETRY)
    assert len(rows) == len(wanted) == 5 and action.id == one.id


@pytest.mark.parametrize(
    ("act", "key", "may"),
    [
        (Act.ASK, VIEW, False), (Act.ASK, EVE, True), (Act.PAUSE, VIEW, False), (Act.PAUSE, EVE, True),
        (Act.RETRY, EVE, False), (Act.CHARGED, EVE, False), (Act.CANCEL, EVE, False), (Act.CHARGED, ADA, True),
    ],
)  # fmt: skip
def test_acts_on_money_need_a_treasurer_and_the_others_an_operator(world: World, act: Act, key: Key, may: bool) -> None:
    asked = wish(act, "default") if act is Act.PAUSE else wish(act)
    for call in (world.acting.dry_run, world.acting.propose):
        if may:
            call(asked, key)
        else:
            with pytest.raises(ForbiddenError, match="needs the role"):
                call(asked, key)
    assert may or not world.asked


def test_much_money_waits_for_a_second_person_who_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, four_eyes_cents=9949)
    one = world.acting.propose(wish(Act.RETRY, state=FAILED), ADA)
    identity = uuid.UUID(bytes=one.id)
    assert world.acting.waiting() == [one] and not world.asked
    with pytest.raises(ForbiddenError, match="somebody else"):
        world.acting.confirm(identity, ADA)
    with pytest.raises(ForbiddenError, match="treasurer"):
        world.acting.confirm(identity, EVE)
    # Meanwhile one is over and another one came: what was shown, and is still so, is done.
    world.letters = [each for each in world.letters if each.id_low != 2] + [letter(99, has_failed=True)]
    world.acting.confirm(identity, BOB)
    with pytest.raises(ConflictError):
        world.acting.confirm(identity, BOB)
    found = world.ended(one)
    assert found["state"] == "over" and found["confirmedBy"] == "bob"
    ((action, _, wanted),) = world.asked
    assert action.who == "ada, confirmed by bob" and {one.id_low for one in wanted} == {4, 6, 8, 10}


def test_little_money_and_questions_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, four_eyes_cents=9950)
    for asked in (wish(Act.RETRY), wish(Act.ASK), wish(Act.PAUSE, "fallback")):
        assert world.acting.propose(asked, ADA).state != "waiting for a second person"
    for workers in (world.acting._workers, world.acting._pausing):
        workers.shutdown(wait=True)
    assert sorted(action.act for action, _, _ in world.asked) == [Act.ASK, Act.RETRY, Act.PAUSE]


def test_a_proposal_that_nobody_confirms_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, four_eyes_cents=1)
    one = world.acting.propose(wish(Act.RETRY), ADA)
    world.now_s = KEPT_SECONDS + 1
    assert world.acting.waiting() == []
    with pytest.raises(UnknownActError):
        world.acting.confirm(uuid.UUID(bytes=one.id), BOB)
    assert not world.asked


def test_more_than_so_many_proposals_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROPOSALS_MAX", 2)
    world = World(monkeypatch, four_eyes_cents=1)
    for _ in range(2):
        world.acting.propose(wish(Act.RETRY), ADA)
    with pytest.raises(ConflictError, match="too many"):
        world.acting.propose(wish(Act.RETRY), ADA)


def test_what_could_not_be_done_says_why(world: World) -> None:
    world.error = AwayError("the database is away")
    found = world.ended(world.acting.propose(wish(Act.ASK), EVE))
    assert (found["state"], found["trouble"]) == ("not done", "the database is away")


def test_nothing_to_do_and_nobodys_name_are_said_at_once(world: World) -> None:
    world.letters = []
    with pytest.raises(ConflictError):
        world.acting.propose(wish(Act.RETRY), ADA)
    for asked in (wish(Act.PAUSE, "nobody"), wish(Act.ASK, "nobody")):
        with pytest.raises(BadRequestError):
            world.acting.propose(asked, ADA)


def test_a_processor_is_paused_while_others_acts_take_long(world: World) -> None:
    busy = threading.Event()
    for _ in range(module.AT_ONCE):
        world.acting._workers.submit(busy.wait, 60)
    one = world.acting.propose(wish(Act.PAUSE, "default"), EVE)
    world.acting._pausing.shutdown(wait=True)
    assert world.acting.get(uuid.UUID(bytes=one.id)).state == "over"
    busy.set()
