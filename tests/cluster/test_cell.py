"""What a cell may send, what it says to the store, and what answers mean to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine.cluster.actions import AskHealth, HealthTold, Reply, ReplyTo, Request, Say, Unsent
from engine.cluster.agent import FIRST, Agent, Identity
from engine.cluster.calls import ANSWER_MS_MAX, Operation
from engine.cluster.cell import ACCEPT_MS_MAX, Bounds, Cell, Moment
from engine.cluster.health import LOOK_MS, PAUSE_MS
from engine.cluster.held import Stage
from engine.cluster.membership import CLOCK_APART_MS, Membership
from engine.cluster.pins import Step
from engine.cluster.stub import Stub
from engine.cluster.values import NO_PROCESSOR, Entry, Folded, Kind
from engine.connectors.answers import Verdict

WALL_MS = 1_795_000_000_000
LEASE_MS = 2000
PAYMENT = b"p" * 16
OTHER = b"o" * 16
CENTS = 1990


class Books:
    """Counts the outcomes of all cells."""

    def __init__(self) -> None:
        self.counted: list[Entry] = []

    has_room = True

    def count(self, cell: int, entry: Entry) -> None:
        self.counted.append(entry)

    def replace(self, cell: int, folded: Folded) -> None:
        self.counted.clear()

    def forget(self) -> None:
        self.counted.clear()


class World:
    """A store, its clock, and any number of cells that speak to it at once, unless it is away."""

    def __init__(self) -> None:
        self.ms = 1000
        self.stub = Stub(lambda: WALL_MS + self.ms)
        self.lives = 0
        self.agents: list[Agent] = []
        self.sent: list[Request] = []
        self.replies: list[Reply] = []
        self.asked: list[AskHealth] = []
        self.told: list[HealthTold] = []
        self.held_back: list[tuple[Agent, int, object]] = []  # answers that wait
        self.holds_back = ""  # the operation whose answers wait

    @property
    def now(self) -> Moment:
        return Moment(self.ms, WALL_MS + self.ms)

    def life(self) -> bytes:
        self.lives += 1
        return self.lives.to_bytes(16, "big")

    def start(self, name: str) -> Agent:
        """Another process of a cell; it joins, and has its lease."""
        cell = Cell(Membership(LEASE_MS), Bounds(10, 5000))
        agent = Agent(cell, Identity(name, name.encode().ljust(16), self.life), Books(), 2)
        self.agents.append(agent)
        for _ in range(8):
            self.work(agent)
        return agent

    def work(self, agent: Agent, now: Moment | None = None) -> None:
        """A tick, and the answers to what is said."""
        agent.tick(now or self.now)
        actions, agent.cell.actions[:] = list(agent.cell.actions), []
        for action in actions:
            if isinstance(action, Say):
                answer = self.stub.perform([action.call])[0] if not self.stub.is_away else None
                if action.call.operation == self.holds_back:
                    self.held_back.append((agent, action.number, answer))
                elif answer is not None:
                    agent.answered(self.now, action.number, answer)
            elif isinstance(action, Request):
                self.sent.append(action)
            elif isinstance(action, Reply):
                self.replies.append(Reply(*action[:3]))  # which slot is paid, test_hosts.py says
            elif isinstance(action, AskHealth):
                self.asked.append(action)
            elif isinstance(action, HealthTold):
                self.told.append(action)

    def turn(self, agents: Sequence[Agent], for_ms: int, step_ms: int = 100) -> None:
        """Lets time pass for these cells; the others stand still."""
        for _ in range(0, for_ms, step_ms):
            self.ms += step_ms
            for agent in agents:
                self.work(agent)

    def accepted(self, agent: Agent, payment: bytes = PAYMENT) -> None:
        agent.cell.offer(self.now, payment, CENTS)
        self.turn([agent], 200)
        assert self.replies[-1] == Reply(payment, CENTS, ReplyTo.ACCEPTED)

    def pinned(self, agent: Agent, processor: int = 0) -> Request:
        """A payment is pinned, and its request has left."""
        assert agent.cell.pin(self.now, PAYMENT, processor)
        self.turn([agent], 200)
        assert self.sent[-1].processor == processor
        return self.sent[-1]

    def end(self, agent: Agent, request: Request, verdict: Verdict) -> Step:
        return agent.cell.ended(self.now, request.id, request.number, verdict)


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_sent_before_the_store_has_its_pin(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    world.holds_back = "pin"
    assert one.cell.pin(world.now, PAYMENT, 0)
    world.turn([one], 300)
    assert not world.sent and one.cell.held[PAYMENT].stage is Stage.PINNING
    agent, number, answer = world.held_back[0]
    agent.answered(world.now, number, answer)
    world.turn([one], 100)
    assert len(world.sent) == 1


def test_an_own_pin_moves_after_a_certain_refusal_of_every_request(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    request = world.pinned(one)
    assert one.cell.send_again(world.now, PAYMENT)
    assert world.end(one, request, Verdict.FAILED) is Step.STAY  # the other request is still open
    assert world.end(one, request, Verdict.REFUSED) is Step.FREE
    again = world.pinned(one, 1)
    assert again.number == 2 and again.requested_ms > request.requested_ms


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.REJECTED, Verdict.REFUSED])
def test_a_refusal_after_an_unknown_end_frees_nothing(world: World, verdict: Verdict) -> None:
    one = world.start("one")
    world.accepted(one)
    request = world.pinned(one)
    world.end(one, request, Verdict.UNKNOWN)
    assert one.cell.send_again(world.now, PAYMENT)
    assert world.end(one, request, verdict) is Step.STAY
    assert not one.cell.pin(world.now, PAYMENT, 1) and not one.cell.give_up(world.now, PAYMENT, 1)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.REJECTED, Verdict.REFUSED])
def test_an_adopted_pin_never_moves_and_becomes_a_dead_letter(world: World, verdict: Verdict) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    request = world.pinned(one)
    world.turn([two], 3 * LEASE_MS)
    held = two.cell.held[PAYMENT]
    assert held.stage is Stage.PINNED and held.pin is not None and held.pin.is_adopted
    assert two.cell.send_again(world.now, PAYMENT)
    world.turn([two], 100)
    assert world.sent[-1] == request  # the same body, to the same processor
    assert world.end(two, request, verdict) is Step.STAY
    assert not two.cell.pin(world.now, PAYMENT, 1) and not two.cell.give_up(world.now, PAYMENT, 1)
    assert not two.cell.declare(world.now, PAYMENT, NO_PROCESSOR)
    world.turn([two], 6000)
    assert held.is_dead
    assert two.cell.declare(world.now, PAYMENT, NO_PROCESSOR)
    world.turn([two], 200)
    assert PAYMENT not in two.cell.held


def test_what_a_dead_cell_had_accepted_is_another_ones_within_its_lease_and_a_second(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.turn([one, two], 2 * LEASE_MS)
    world.accepted(one)
    world.turn([two], LEASE_MS + 1000)
    assert PAYMENT in two.cell.held


def test_what_was_adopted_unpinned_is_free(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    world.turn([two], 3 * LEASE_MS)
    assert two.cell.held[PAYMENT].stage is Stage.FREE
    world.pinned(two, 1)


def test_what_is_adopted_while_something_is_read_is_read_too(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.turn([one, two], 2 * LEASE_MS)
    world.accepted(one)
    by, until_ms = two.cell.membership.by, world.ms + 2 * LEASE_MS
    assert by is not None
    world.holds_back = "held"
    while world.stub.members()[0].holder != by.number and world.ms < until_ms:
        two._read_what_is_held(1)  # as after an adoption before this one; its answer comes after the next adoption
        world.turn([two], 100)
    for agent, number, answer in world.held_back:
        assert answer == ()
        agent.answered(world.now, number, answer)
    world.holds_back = ""
    world.turn([two], 2 * ANSWER_MS_MAX)
    assert PAYMENT in two.cell.held


@pytest.mark.parametrize("joins_anew", [False, True])
def test_what_a_late_call_has_adopted_unheard_is_read_though_its_cell_may_have_joined_anew(
    world: World, joins_anew: bool
) -> None:
    one, two = world.start("one"), world.start("two")
    world.turn([one, two], 2 * LEASE_MS)
    world.accepted(one)
    by, dead = two.cell.membership.by, one.cell.membership.by
    assert by is not None and dead is not None
    for _ in range(2 * LEASE_MS // 100):  # one stands still until the other is about to adopt it, and then goes on
        if two.cell.calls.is_wanted(Operation.ADOPT, dead.number):
            break
        world.turn([two], 100)
    world.turn([one], 300)
    world.turn([two], 100)
    assert not two.cell.calls.is_wanted(Operation.ADOPT, dead.number), "it was refused"
    world.ms += LEASE_MS + 1
    assert world.stub.adopt(by, dead.number).holder == by.number, "the call that was lost is done now"
    if joins_anew:
        world.start("one")
    world.turn([two], 500)
    assert PAYMENT in two.cell.held


def test_what_a_new_process_finds_pinned_is_adopted_from_itself(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    world.pinned(one)
    again = world.start("one")
    held = again.cell.held[PAYMENT]
    assert held.pin is not None and held.pin.is_adopted


def test_a_cell_that_stood_still_sends_nothing_for_the_first_time(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    world.turn([two], 3 * LEASE_MS)  # one stands still, and goes on as if nothing had been
    assert not one.cell.membership.holds(world.ms)
    assert not one.cell.pin(world.now, PAYMENT, 0)
    world.turn([one], 300)
    assert PAYMENT not in one.cell.held and PAYMENT in two.cell.held


def test_a_pin_that_the_store_answers_after_the_lease_sends_nothing(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    world.holds_back = "pin"
    assert one.cell.pin(world.now, PAYMENT, 0)
    world.work(one)
    world.ms += LEASE_MS + 1
    agent, number, answer = world.held_back[0]
    agent.answered(world.now, number, answer)
    assert one.cell.actions == [Unsent(PAYMENT, is_gone=False)] and one.cell.held[PAYMENT].stage is Stage.FREE


def test_a_cell_accepts_no_more_than_it_may_hold_also_while_the_store_is_silent(world: World) -> None:
    one = world.start("one")
    world.turn([one], 200)
    world.holds_back = "accept"
    for number in range(12):
        one.cell.offer(world.now, number.to_bytes(16, "big"), CENTS)
        world.turn([one], 100)
    assert one.cell.calls.count(Operation.ACCEPT) == 10
    assert Reply((11).to_bytes(16, "big"), CENTS, ReplyTo.AWAY) in world.replies  # at once


def test_when_the_store_is_away_customers_hear_503_and_what_is_in_flight_is_told_later(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    request = world.pinned(one)
    world.stub.is_away = True
    one.cell.offer(world.now, OTHER, CENTS)
    world.turn([one], ACCEPT_MS_MAX + 100)
    assert world.replies[-1] == Reply(OTHER, CENTS, ReplyTo.AWAY)
    assert world.end(one, request, Verdict.CHARGED) is Step.SETTLE
    world.turn([one], 1000)
    assert one.cell.held[PAYMENT].stage is Stage.ENDING
    world.stub.is_away = False
    world.turn([one], ANSWER_MS_MAX + 500)
    assert PAYMENT not in one.cell.held and one.cell.held[OTHER].stage is Stage.FREE


def test_what_is_charged_is_told_by_a_cell_that_was_adopted_meanwhile(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    request = world.pinned(one)
    world.turn([two], 3 * LEASE_MS)
    world.end(one, request, Verdict.CHARGED)
    world.turn([one, two], ANSWER_MS_MAX + 1000)
    (kept,) = world.stub.find(one.cell.membership.by, [PAYMENT])  # type: ignore[arg-type]
    assert kept is not None and kept.outcome is not None and kept.outcome.kind is Kind.SETTLED


def test_what_has_ended_is_not_taken_again_from_an_answer_that_is_late(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    world.holds_back = "held"
    one.cell.calls.want(Operation.HELD, (0, FIRST), (0, FIRST))
    world.turn([one], 100)
    assert one.cell.give_up(world.now, PAYMENT, 1)
    world.turn([one], 200)
    agent, number, answer = world.held_back[0]
    agent.answered(world.now, number, answer)
    assert PAYMENT not in one.cell.held


def test_a_payment_that_was_given_up_is_tried_again_once_for_each_act(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    assert one.cell.give_up(world.now, PAYMENT, 1)
    world.turn([one], 200)
    one.cell.offer(world.now, PAYMENT, CENTS)
    world.turn([one], 200)
    assert world.replies[-1].to is ReplyTo.CONFLICT
    one.reopen(PAYMENT, b"a" * 16)
    world.turn([one], 200)
    assert one.cell.held[PAYMENT].stage is Stage.FREE
    world.pinned(one, 1)


def test_a_clock_that_is_apart_from_the_stores_sends_and_accepts_nothing(world: World) -> None:
    one = world.start("one")
    world.accepted(one)
    lease = world.stub.lease(one.cell.membership.by, LEASE_MS, 0)  # type: ignore[arg-type]
    one.cell.membership.renewed(world.ms, world.ms, lease.now_ms + CLOCK_APART_MS + 1, lease)
    assert one.cell.membership.is_apart and one.cell.membership.holds(world.ms)
    assert not one.cell.pin(world.now, PAYMENT, 0)
    one.cell.offer(world.now, OTHER, CENTS)
    assert one.cell.actions == [Reply(OTHER, CENTS, ReplyTo.AWAY)]


def test_the_same_id_is_accepted_once_over_all_cells(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    one.cell.offer(world.now, PAYMENT, CENTS)
    two.cell.offer(world.now, PAYMENT, CENTS)
    two.cell.offer(world.now, PAYMENT, CENTS + 1)
    world.turn([one, two], 200)
    assert [reply.to for reply in world.replies] == [ReplyTo.ACCEPTED, ReplyTo.ACCEPTED, ReplyTo.CONFLICT]
    assert PAYMENT in one.cell.held and PAYMENT not in two.cell.held


def test_a_cell_that_leaves_hands_over_and_says_nothing_more(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    one.leave()
    world.turn([one, two], 2 * LEASE_MS)
    assert one.has_left and one.cell.membership.by is None
    assert PAYMENT in two.cell.held


def test_a_cell_leaves_also_when_everything_is_purged_meanwhile(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.holds_back = "leave"
    one.leave()
    world.turn([one], 100)
    two.purge()
    world.turn([two], 300)
    world.holds_back = ""
    world.turn([one], 2 * ANSWER_MS_MAX)
    assert one.has_left


def test_after_a_purge_every_cell_forgets_and_counts_anew(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.accepted(one)
    world.end(one, world.pinned(one), Verdict.CHARGED)
    world.turn([one, two], 1000)
    books = [agent._books for agent in (one, two)]
    assert all(isinstance(each, Books) and len(each.counted) == 1 for each in books)
    two.purge()
    world.turn([one, two], 1000)
    assert all(isinstance(each, Books) and not each.counted for each in books)
    world.accepted(one)
    world.end(one, world.pinned(one), Verdict.CHARGED)
    world.turn([one, two], 1000)
    assert all(isinstance(each, Books) and len(each.counted) == 1 for each in books)


def test_the_answer_to_one_cells_query_for_health_is_told_to_all(world: World) -> None:
    one, two = world.start("one"), world.start("two")
    world.turn([one, two], 8000)
    assert {asked.processor for asked in world.asked} == {0, 1}
    for asked in world.asked[:2]:
        one.share_health(asked, 200, b"{}")
    world.turn([one, two], 1000)
    assert sorted(told.processor for told in world.told) == [0, 0, 1, 1]


def test_a_grant_to_ask_for_health_that_a_late_call_was_given_while_the_cell_stood_still_is_not_used(
    world: World,
) -> None:
    one = world.start("one")
    world.turn([one], 8000)
    by = one.cell.membership.by
    assert by is not None
    world.ms += PAUSE_MS
    late = world.stub.ask(by, 0, PAUSE_MS)
    assert late.asker == by.number and late.asked_ms == WALL_MS + world.ms
    world.ms += ANSWER_MS_MAX
    world.turn([one], 1000)
    assert one.health.due(world.ms + LOOK_MS), "it has asked the store"
    assert AskHealth(0, late.asked_ms) not in world.asked
