"""Where payments go, and what is learnt of the processors."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.processors import DEFAULT, FALLBACK
from engine.routing.plan import Plan, Queue
from engine.routing.policy import (
    BUDGET_FEW,
    BURST_EVERY_MS,
    CROWD,
    FLUSH_MAX,
    FLUSH_MS,
    LEAVING_FEW,
    LEAVING_SHIFT,
    LISTEN_MS,
    LOOK_MS,
    STOPPED_LONG_MS,
)
from engine.routing.router import NOTHING
from engine.routing.state import ProcessorState
from tests.routing.making import router

T = 1_000_000  # a moment


class World:
    """A router, a clock, and processors that answer as the test says."""

    def __init__(self, **changes: int | tuple[int, int]) -> None:
        self.router = router(**changes)
        self.now_ms = T
        self._ticket = 0

    def plan(self, waiting: int, *, oldest_ms: int = 0, settled: int = 0) -> Plan:
        """What is sent now; it is in flight then, and :attr:`sent` has the tickets."""
        plan = self.router.plan(self.now_ms, Queue(waiting, oldest_ms, settled))
        assert sum(plan) <= waiting
        self.sent: tuple[list[int], list[int]] = ([], [])
        for processor, count in enumerate(plan):
            self.sent[processor].extend(self.begin(processor) for _ in range(count))
        return plan

    def begin(self, processor: int) -> int:
        """One request is begun; its ticket."""
        self._ticket += 1
        self.router.observed[processor].began(self.now_ms, self._ticket)
        return self._ticket

    def end(self, processor: int, ticket: int, answered: bool = True) -> None:
        """It ends now."""
        self.router.observed[processor].ended(self.now_ms, ticket, answered)

    def answer(self, processor: int, took_ms: int, times: int = 20) -> None:
        """So many requests, one after the other, are answered after ``took_ms``."""
        for _ in range(times):
            ticket = self.begin(processor)
            self.now_ms += took_ms
            self.end(processor, ticket)
        self.state(processor)

    def come(self, payments: int) -> None:
        """So many come, one each 20 ms, and are settled at default."""
        for settled in range(payments):
            self.plan(1, settled=settled)
            self.end(DEFAULT, self.sent[DEFAULT][0])
            self.now_ms += 20

    def fail(self, processor: int, times: int = 3) -> None:
        """So many requests fail at once."""
        for _ in range(times):
            self.end(processor, self.begin(processor), answered=False)
        self.state(processor)

    def hang(self, processor: int, for_ms: int = 200) -> int:
        """A request is not answered for a while; its ticket."""
        ticket = self.begin(processor)
        self.now_ms += for_ms
        self.state(processor)
        return ticket

    def state(self, processor: int) -> ProcessorState:
        """How the processor is taken to be now."""
        observed = self.router.observed[processor]
        observed.observe(self.now_ms)
        return observed.state


def test_the_cheaper_one_is_taken_while_it_is_healthy() -> None:
    assert World().plan(5) == Plan(5, 0)
    assert World(fees_ppm=(90_000, 30_000)).plan(5) == Plan(0, 5)


def test_equal_or_unknown_fees_prefer_default_until_the_other_is_quicker() -> None:
    world = World(fees_ppm=(0, 0))
    assert world.plan(1) == Plan(1, 0)
    world.answer(DEFAULT, took_ms=80)
    assert world.plan(1) == Plan(0, 1)


def test_a_slower_one_is_worth_as_much_time_as_the_fee_is() -> None:
    world = World(fees_ppm=(50_000, 60_000), wait_cost_ppm=20_000)  # a point: half a second
    world.answer(DEFAULT, took_ms=450)
    assert world.plan(3) == Plan(3, 0)
    world.answer(DEFAULT, took_ms=550)
    assert world.plan(3) == Plan(0, 3)


def test_what_the_cheaper_one_has_no_room_for_waits_or_goes_to_the_other_by_its_cost() -> None:
    # 100 in flight, 500 ms each: 200 leave in a second, which costs as much as the fee.
    changes = {"in_flight_min": 100, "in_flight_max": 100, "wait_cost_ppm": 50_000, "fees_ppm": (50_000, 125_000)}
    world = World(**changes)  # type: ignore[arg-type]
    world.answer(DEFAULT, took_ms=500)
    world.answer(FALLBACK, took_ms=1)
    assert world.plan(250) == Plan(100, 0)
    world = World(**changes)  # type: ignore[arg-type]
    world.answer(DEFAULT, took_ms=500)
    world.answer(FALLBACK, took_ms=1)
    default, fallback = world.plan(360)
    assert default == 100
    assert 55 <= fallback <= 65


def test_few_failures_in_a_row_are_enough_and_a_success_starts_the_count_anew() -> None:
    world = World()
    world.fail(DEFAULT, times=2)
    world.answer(DEFAULT, took_ms=1, times=1)
    world.fail(DEFAULT, times=2)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY
    world.fail(DEFAULT, times=1)
    assert world.state(DEFAULT) is ProcessorState.OPEN


def test_payments_wait_for_the_cheaper_one_only_for_as_long_as_that_costs_less() -> None:
    world = World(wait_cost_ppm=50_000)  # 10 points: two seconds
    world.fail(DEFAULT)
    assert world.plan(10, settled=10_000) == NOTHING
    world.now_ms += 1999
    assert world.plan(10, settled=10_000) == Plan(1, 0)  # a probe
    world.now_ms += 1
    assert world.plan(10, settled=10_000) == Plan(0, 10)


def test_while_the_other_one_is_quick_so_many_wait_as_it_settles_when_payments_stop_coming() -> None:
    world = World(wait_share_ppm=20_000, in_flight_min=100, in_flight_max=800)
    world.fail(DEFAULT)
    assert world.plan(FLUSH_MAX + BUDGET_FEW) == NOTHING
    assert world.plan(FLUSH_MAX + BUDGET_FEW + 60) == Plan(0, 60)
    assert world.plan(FLUSH_MAX + 200, settled=10_000) == NOTHING
    assert world.plan(FLUSH_MAX + 240, settled=10_000) == Plan(0, 40)


def test_one_that_takes_longer_or_takes_fewer_at_once_settles_fewer_then() -> None:
    world = World(wait_share_ppm=0, in_flight_min=50, in_flight_max=50)
    world.answer(FALLBACK, took_ms=200)
    world.fail(DEFAULT)
    settles = FLUSH_MS // (200 + LOOK_MS) * 50
    assert world.plan(settles + BUDGET_FEW) == NOTHING
    assert world.plan(settles + BUDGET_FEW + 20) == Plan(0, 20)


def test_while_the_other_one_takes_long_no_more_wait_than_may_be_lost() -> None:
    world = World(wait_share_ppm=20_000, in_flight_min=100)
    world.answer(FALLBACK, took_ms=600)
    world.fail(DEFAULT)
    assert world.plan(300, settled=10_000) == Plan(0, 100)
    assert world.plan(200, settled=10_000) == NOTHING


def test_what_waits_is_sent_at_once_when_payments_stop_coming() -> None:
    world = World()
    world.come(300)
    world.fail(DEFAULT)
    waiting = 0
    for _ in range(20):
        waiting += 1
        plan = world.plan(waiting, settled=300)
        assert plan[FALLBACK] == 0
        waiting -= plan[DEFAULT]  # probes
        world.now_ms += 20
    world.now_ms += STOPPED_LONG_MS - 20
    plan = world.plan(waiting, settled=300)
    assert plan[FALLBACK] == 0
    waiting -= plan[DEFAULT]
    world.now_ms += 1
    assert world.plan(waiting, settled=300) == Plan(0, waiting)


def test_when_payments_have_stopped_coming_a_processor_is_given_all_that_it_takes_at_once() -> None:
    world = World(in_flight_max=800, in_flight_min=16)
    world.come(300)
    world.fail(DEFAULT)
    limit = world.router.observed[FALLBACK].concurrency.limit
    assert limit < 700
    assert world.plan(700, settled=300) == NOTHING
    world.now_ms += STOPPED_LONG_MS + 1
    plan = world.plan(700, oldest_ms=STOPPED_LONG_MS, settled=300)
    assert sum(plan) == 700 and plan[FALLBACK] >= 699  # but for a probe


def test_nothing_is_held_back_for_audits_when_payments_have_stopped_coming() -> None:
    world = World()
    world.come(300)
    world.router.audited(world.now_ms)
    world.now_ms += 1000
    assert world.router.audit_delay_ms(world.now_ms) > 0
    world.plan(0, settled=300)
    assert world.router.audit_delay_ms(world.now_ms) == 0


def test_time_in_which_no_processor_was_healthy_is_no_wait_by_choice() -> None:
    world = World(wait_cost_ppm=50_000, in_flight_min=100)  # 10 points: two seconds
    world.fail(DEFAULT)
    world.fail(FALLBACK)
    world.plan(50, settled=1000)
    world.now_ms += 30_000
    assert world.plan(50, oldest_ms=30_000, settled=1000) == Plan(1, 1)
    world.end(FALLBACK, world.sent[FALLBACK][0])
    world.plan(49, oldest_ms=30_000, settled=1000)
    world.now_ms += 1999
    assert world.plan(49, oldest_ms=31_999, settled=1000)[FALLBACK] == 0
    world.now_ms += 1
    assert world.plan(48, oldest_ms=32_000, settled=1000) == Plan(0, 48)


def test_however_long_it_is_not_healthy_a_payment_waits_when_that_costs_nothing() -> None:
    world = World(wait_cost_ppm=0, wait_max_ms=3000)
    world.fail(DEFAULT)
    world.now_ms += 60_000
    assert world.plan(10, settled=1000)[FALLBACK] == 0


def test_who_has_waited_long_enough_leaves_and_those_behind_wait_on() -> None:
    world = World(wait_cost_ppm=0, wait_max_ms=30_000, in_flight_min=500)
    world.fail(DEFAULT)
    assert world.plan(400, oldest_ms=27_000, settled=1000) == Plan(0, 400 >> LEAVING_SHIFT)
    assert world.plan(40, oldest_ms=27_000, settled=1000) == Plan(0, LEAVING_FEW)
    assert world.plan(3, oldest_ms=27_000, settled=1000) == Plan(0, 3)


@pytest.mark.parametrize("wait_max_ms", [0, 100])
def test_with_a_bound_that_is_nearly_nothing_all_leave_at_once(wait_max_ms: int) -> None:
    world = World(wait_max_ms=wait_max_ms, in_flight_min=500, in_flight_max=500)
    world.fail(DEFAULT)
    assert world.plan(400, oldest_ms=wait_max_ms) == Plan(0, 400)


def test_a_payment_that_would_have_waited_enough_when_it_fails_is_no_probe() -> None:
    world = World(wait_cost_ppm=0)
    world.fail(DEFAULT)
    late = world.begin(DEFAULT)
    world.now_ms += 1500
    world.end(DEFAULT, late, answered=False)
    world.now_ms += 1000
    assert not world.router.plan(world.now_ms, Queue(2, 7600, 0, 7500)).probes
    assert world.router.plan(world.now_ms, Queue(2, 7600, 0, 7499)).is_probe(DEFAULT)
    world.fail(FALLBACK)  # then no payment has a choice
    world.now_ms += 1000
    assert world.router.plan(world.now_ms, Queue(2, 7600, 0, 7600)).is_probe(DEFAULT)


def test_an_answer_is_listened_for_before_it_is_late() -> None:
    world = World()
    world.begin(FALLBACK)
    world.now_ms += 1450 - LISTEN_MS - 1
    assert not world.router.must_listen(world.now_ms)
    world.now_ms += 1
    assert world.router.must_listen(world.now_ms)
    assert not World(slow_ms=1).router.must_listen(T)


def test_a_single_payment_is_not_tried_for_ever() -> None:
    world = World(wait_cost_ppm=50_000)
    world.fail(DEFAULT)
    world.now_ms += 1000
    assert world.plan(1) == Plan(1, 0)
    world.end(DEFAULT, world.sent[DEFAULT][0], answered=False)
    world.now_ms += 1000
    assert world.plan(1) == Plan(0, 1)


def test_single_payments_at_one_that_is_not_healthy_are_probes() -> None:
    world = World(wait_share_ppm=0)
    world.answer(FALLBACK, took_ms=600)
    world.fail(DEFAULT)
    world.now_ms += 1000
    plan = world.router.plan(world.now_ms, Queue(50, 0, 0))
    assert plan[DEFAULT] == 1 and plan[FALLBACK] > 1
    assert plan.is_probe(DEFAULT) and not plan.is_probe(FALLBACK)
    assert not World().router.plan(T, Queue(1, 0, 0)).probes


def test_nobody_waits_longer_than_the_bound() -> None:
    world = World(wait_cost_ppm=0, wait_max_ms=3000)
    world.fail(DEFAULT)
    assert world.plan(1, oldest_ms=2699) == NOTHING
    assert world.plan(1, oldest_ms=2700) == Plan(0, 1)


def test_while_none_is_healthy_single_probes_look_for_the_one_that_recovers() -> None:
    world = World()
    world.fail(DEFAULT)
    world.fail(FALLBACK)
    assert world.plan(50) == NOTHING
    world.now_ms += 100
    assert world.plan(50) == Plan(1, 1)
    assert world.plan(50) == NOTHING
    world.now_ms += 100  # the last ones have no answer yet: they may be slow ones of before it recovered
    assert world.plan(50) == Plan(1, 1)
    world.end(DEFAULT, world.sent[DEFAULT][0])
    assert world.plan(50) == Plan(50, 0)


def test_one_that_failed_slowly_is_trusted_when_it_has_answered_what_it_got_after_its_recovery() -> None:
    world = World()
    before = world.begin(DEFAULT)
    world.fail(DEFAULT)
    world.now_ms += 500
    world.end(DEFAULT, before)
    assert world.state(DEFAULT) is ProcessorState.SUSPECT  # that one tells how long it took before
    probe = world.begin(DEFAULT)
    world.now_ms += 100
    world.end(DEFAULT, probe)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY


def test_one_that_failed_quickly_is_trusted_at_once_and_its_own_word_is_believed() -> None:
    quick = World()
    quick.fail(DEFAULT)
    quick.end(DEFAULT, quick.begin(DEFAULT))
    assert quick.state(DEFAULT) is ProcessorState.HEALTHY
    slow = World()
    before = slow.begin(DEFAULT)
    slow.fail(DEFAULT)
    slow.now_ms += 500
    slow.end(DEFAULT, before)
    slow.router.observed[DEFAULT].health(slow.now_ms, False, 300)
    assert slow.state(DEFAULT) is ProcessorState.HEALTHY


def test_all_is_calm_until_an_answer_is_later_than_usual_or_a_processor_is_not_healthy() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=40)
    assert world.router.is_calm(world.now_ms)
    ticket = world.begin(DEFAULT)
    world.now_ms += 20
    assert world.router.is_calm(world.now_ms)
    world.now_ms += 20
    assert not world.router.is_calm(world.now_ms)
    world.end(DEFAULT, ticket)
    assert world.router.is_calm(world.now_ms)
    world.fail(FALLBACK)
    assert not world.router.is_calm(world.now_ms)


def test_probes_in_flight_are_bounded() -> None:
    world = World(probes_max=4)
    world.fail(DEFAULT)
    world.fail(FALLBACK)
    for _ in range(20):
        world.now_ms += 100
        world.plan(50)
    assert [observed.in_flight for observed in world.router.observed] == [4, 4]


def test_what_the_dearer_one_is_like_is_not_asked_while_the_cheaper_one_is_healthy() -> None:
    world = World()
    world.fail(FALLBACK)
    world.now_ms += 1000
    assert world.plan(50) == Plan(50, 0)


def test_when_the_dearer_one_has_just_recovered_the_cheaper_one_has_a_moment_too() -> None:
    world = World(wait_cost_ppm=10_000_000)
    world.fail(DEFAULT)
    world.fail(FALLBACK)
    world.now_ms += 5000
    assert world.plan(1000, settled=1000) == Plan(1, 1)
    world.end(FALLBACK, world.sent[FALLBACK][0])
    assert world.plan(1000, settled=1000) == NOTHING
    world.now_ms += 199
    assert world.plan(1000, settled=1000) == Plan(1, 0)
    world.now_ms += 1
    assert world.plan(1000, settled=1000)[FALLBACK] > 0


def test_one_that_hangs_is_noticed_before_it_answers() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=5)
    ticket = world.hang(DEFAULT, for_ms=106)
    assert world.state(DEFAULT) is ProcessorState.SUSPECT
    assert world.plan(4, settled=10_000) == NOTHING
    world.end(DEFAULT, ticket)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY


def test_what_a_later_request_has_overtaken_tells_nothing_any_more() -> None:
    world = World()
    slow = world.begin(DEFAULT)
    world.now_ms += 3000
    assert world.state(DEFAULT) is ProcessorState.SUSPECT
    world.answer(DEFAULT, took_ms=2, times=1)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY
    world.now_ms += 2000
    world.end(DEFAULT, slow)
    assert world.router.observed[DEFAULT].usual_ms < 100


def test_slow_ones_are_used_in_bursts_when_none_is_healthy() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=2000)
    world.answer(FALLBACK, took_ms=3000)
    assert world.state(DEFAULT) is world.state(FALLBACK) is ProcessorState.SLOW
    assert world.plan(30)[DEFAULT] >= 29
    world.now_ms += BURST_EVERY_MS - 10
    assert sum(world.plan(30)) <= 2  # probes
    world.now_ms += 10
    assert sum(world.plan(30)) >= 29


def test_nothing_is_sent_that_would_be_settled_at_a_slow_one_when_an_audit_is_expected() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=2000)
    world.answer(FALLBACK, took_ms=3000)
    world.router.audited(world.now_ms - 8000)  # so the next is in 2 s
    assert world.plan(30)[DEFAULT] == 0
    world.now_ms += 1004
    assert world.plan(30)[DEFAULT] >= 29


def test_payments_are_sent_off_the_audits_hundredths_of_a_second_unless_a_backlog_is_settled() -> None:
    world = World(in_flight_min=500)
    world.router.audited(T)
    for after_ms in range(1000, 1020):
        world.now_ms = T + after_ms
        off_ms = world.router.audit_delay_ms(world.now_ms)
        assert 0 <= off_ms < 10
        assert 2 < (after_ms + off_ms) % 10 < 8
        assert world.plan(1) == (NOTHING if off_ms else Plan(1, 0))
    world.now_ms = T + 1030
    assert world.plan(CROWD + 1) == Plan(CROWD + 1, 0)
    world.now_ms = T + 60_000  # no summary is requested any more
    assert world.router.audit_delay_ms(world.now_ms) == 0


def test_a_slow_cheaper_one_is_given_no_more_than_may_be_lost() -> None:
    world = World(wait_cost_ppm=10_000, wait_share_ppm=20_000, in_flight_min=100)
    for now_ms in (0, 60_000):  # payments come for a minute: 2 s more are worth 3 %
        world.now_ms = T + now_ms
        world.plan(1, settled=1500)
        world.end(DEFAULT, world.sent[DEFAULT][0])
    world.answer(DEFAULT, took_ms=2000)
    assert world.plan(60, settled=1500) == Plan(BUDGET_FEW + 14, 30)
    assert world.plan(60, settled=1500) == Plan(0, 60)


def test_a_slow_cheaper_one_is_not_worth_the_risk_when_payments_have_just_begun_to_come() -> None:
    for seconds, is_worth_it in ((17, False), (19, True)):  # 2 s of 20 is a chance of 10 %, as much as the fee
        world = World(wait_cost_ppm=10_000, in_flight_min=100)
        world.plan(1)
        world.end(DEFAULT, world.sent[DEFAULT][0])
        world.answer(DEFAULT, took_ms=2000, times=1)
        world.now_ms = T + seconds * 1000
        assert (world.plan(60, settled=1500)[DEFAULT] > 1) == is_worth_it


def test_with_both_slow_no_more_wait_for_the_cheaper_one_than_the_risk_is_worth() -> None:
    world = World(wait_cost_ppm=0, in_flight_min=100, slow_ms=1000)
    world.plan(1)
    world.end(DEFAULT, world.sent[DEFAULT][0])
    world.answer(DEFAULT, took_ms=2000, times=1)
    world.answer(FALLBACK, took_ms=2000, times=1)
    world.now_ms = T + 18_000  # 2 s more are 10 % then, as much as the fee
    assert world.plan(250, settled=1500) == Plan(100, 50)  # the next 100 leave in 2 s


def test_a_rejection_pauses_a_processor_and_gives_it_fewer_at_once() -> None:
    world = World()
    tickets = [world.begin(DEFAULT) for _ in range(60)]
    observed = world.router.observed[DEFAULT]
    before = observed.concurrency.limit
    observed.rejected(world.now_ms, tickets[0])
    assert observed.concurrency.limit < before
    assert world.plan(5) == NOTHING
    world.now_ms += 100
    for ticket in tickets[1:]:
        world.end(DEFAULT, ticket)
    assert world.plan(5) == Plan(5, 0)


def test_health_is_asked_for_when_payments_do_not_tell() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]
    assert observed.wants_health(world.now_ms)
    world.answer(DEFAULT, took_ms=1)
    assert not observed.wants_health(world.now_ms)
    world.fail(DEFAULT)
    assert observed.wants_health(world.now_ms)
    observed.health_asked(world.now_ms)
    assert not observed.wants_health(world.now_ms + 5000)  # one at a time
    world.now_ms += 70
    observed.health_ended(world.now_ms)
    assert not observed.wants_health(world.now_ms + 4999)
    assert observed.wants_health(world.now_ms + 5000)


def test_the_next_health_query_is_due_when_it_will_be_wanted() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]
    observed.health_asked(world.now_ms)
    observed.health_ended(world.now_ms)
    world.now_ms += 4900
    world.answer(DEFAULT, took_ms=1)
    for _ in range(2):
        due_ms = observed.health_due_ms()
        assert not observed.wants_health(due_ms - 1)
        assert observed.wants_health(due_ms)
        world.fail(DEFAULT)


def test_health_answers_are_believed() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]
    observed.health(world.now_ms, True, 0)
    assert world.state(DEFAULT) is ProcessorState.OPEN
    observed.health(world.now_ms, False, 2000)
    assert world.state(DEFAULT) is ProcessorState.SLOW
    observed.health(world.now_ms, False, 10)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY


def test_a_payment_that_belongs_to_a_processor_goes_there_only_when_it_may() -> None:
    world = World()
    assert world.router.allows(world.now_ms, DEFAULT)
    world.fail(DEFAULT)
    assert not world.router.allows(world.now_ms, DEFAULT)
    world.now_ms += 100
    assert world.router.allows(world.now_ms, DEFAULT)


def test_answers_count_at_once_while_an_audit_may_see_what_is_in_flight() -> None:
    world = World()
    world.begin(DEFAULT)
    assert not world.router.must_listen(world.now_ms)
    assert world.router.must_listen(world.now_ms + 1400)


def test_fees_can_be_learnt_later() -> None:
    world = World(fees_ppm=(0, 0))
    world.router.learn_fees((100_000, 20_000))
    assert world.plan(3) == Plan(0, 3)


def test_requests_that_were_abandoned_are_forgotten() -> None:
    world = World()
    world.plan(40)
    world.router.forget_requests()
    assert world.router.observed[DEFAULT].in_flight == 0
    world.now_ms += 60_000
    assert world.state(DEFAULT) is ProcessorState.HEALTHY


def fail_at_random(world: World, processor: int, took_ms: int, answers: int = 200) -> None:
    """Two of five fail, evenly, each answer after ``took_ms``."""
    for number in range(answers):
        ticket = world.begin(processor)
        world.now_ms += took_ms
        is_failure = number % 5 in (1, 3)
        world.router.observed[processor].ended(world.now_ms, ticket, not is_failure, key=number)
        world.state(processor)


def test_one_that_fails_at_random_is_used_as_long_as_that_costs_less() -> None:
    quick = World(wait_cost_ppm=2000)
    fail_at_random(quick, DEFAULT, took_ms=5)
    assert quick.state(DEFAULT) is ProcessorState.HEALTHY
    assert quick.plan(20) == Plan(20, 0)
    slow = World(wait_cost_ppm=200_000, fees_ppm=(50_000, 150_000))
    fail_at_random(slow, DEFAULT, took_ms=400)
    assert slow.state(DEFAULT) is ProcessorState.HEALTHY
    # 0.4 s are 8 %, less than the higher fee; two thirds of a try more, and the wait after it, make it 14 %.
    assert slow.plan(20) == Plan(0, 20)


def test_how_often_it_fails_is_told_with_the_answers_that_it_rests_on() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]
    assert (observed.failure_ppm, observed.answers) == (0, 0)
    fail_at_random(world, DEFAULT, took_ms=1, answers=10)
    assert 150_000 < observed.failure_ppm < 250_000  # of so few it is not said without reserve
    assert observed.answers == 10
    fail_at_random(world, DEFAULT, took_ms=1)
    assert 350_000 < observed.failure_ppm < 400_000
    assert observed.answers > 100
    assert isinstance(observed.failure_ppm, int) and isinstance(observed.answers, int)


def test_one_that_was_left_for_its_failures_is_tried_again_one_day() -> None:
    world = World(wait_cost_ppm=200_000)
    fail_at_random(world, DEFAULT, took_ms=400)
    assert world.plan(1) == Plan(0, 1)
    left_ms = world.now_ms
    while world.plan(1) == Plan(0, 1):
        world.end(FALLBACK, world.sent[FALLBACK][0])
        world.now_ms += 500
    assert 2_000 < world.now_ms - left_ms < 60_000


def test_a_payment_that_has_failed_for_long_goes_to_the_other_one() -> None:
    world = World(wait_cost_ppm=0)
    fail_at_random(world, DEFAULT, took_ms=5)
    world.plan(0)
    world.now_ms += 9000
    assert world.plan(3, oldest_ms=8900) == Plan(3, 0)
    assert world.plan(3, oldest_ms=9000) == Plan(0, 3)
    reliable = World(wait_cost_ppm=0)
    reliable.now_ms += 9000
    assert reliable.plan(3, oldest_ms=9000) == Plan(3, 0)


def test_a_single_payment_that_fails_again_and_again_opens_no_breaker() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]
    for _ in range(1000):
        observed.ended(world.now_ms, world.begin(DEFAULT), False, key=7)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY
    observed.ended(world.now_ms, world.begin(DEFAULT), False, key=8)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY
    observed.ended(world.now_ms, world.begin(DEFAULT), False, key=9)
    assert world.state(DEFAULT) is ProcessorState.OPEN


def test_a_refusal_is_no_success_no_time_and_no_rate_but_many_are_an_outage() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=10)
    observed = world.router.observed[DEFAULT]
    usual_ms, answers = observed.usual_ms, observed.answers
    for _ in range(100):
        ticket = world.begin(DEFAULT)
        world.now_ms += 500
        observed.refused(world.now_ms, ticket, key=7)
    assert (observed.in_flight, observed.usual_ms, observed.answers, observed.failure_ppm) == (0, usual_ms, answers, 0)
    assert world.state(DEFAULT) is ProcessorState.HEALTHY
    for key in (8, 9):
        observed.refused(world.now_ms, world.begin(DEFAULT), key)
    assert world.state(DEFAULT) is ProcessorState.OPEN
    world.answer(DEFAULT, took_ms=10)
    assert observed.failure_ppm == 0


def test_what_is_set_apart_teaches_nothing() -> None:
    world = World()
    world.answer(DEFAULT, took_ms=10)
    observed = world.router.observed[DEFAULT]
    before = (observed.usual_ms, observed.answers, observed.failing_ms)
    for _ in range(100):
        ticket = world.begin(DEFAULT)
        world.now_ms += 50
        observed.set_apart(world.now_ms, ticket)
    assert observed.in_flight == 0
    assert (observed.usual_ms, observed.answers, observed.failing_ms) == before
    assert world.state(DEFAULT) is ProcessorState.HEALTHY


@pytest.mark.parametrize("way_ms", [[0, 0], [60, 0], [1500, 0], [3900, 0], [3999, 0, 2000, 0]])
def test_two_health_queries_never_arrive_closer_than_a_processor_allows(way_ms: list[int]) -> None:
    observed, now_ms, arrived_ms = World().router.observed[DEFAULT], T, []
    for number in range(6):
        while not observed.wants_health(now_ms):
            now_ms += 1
        observed.health_asked(now_ms)
        assert not observed.wants_health(now_ms + 1)
        now_ms += way_ms[number % len(way_ms)]
        arrived_ms.append(now_ms)
        observed.health_ended(now_ms)
    assert min(after - before for before, after in pairwise(arrived_ms)) >= 5000


def test_a_request_that_was_in_flight_while_the_machine_slept_says_no_more_than_the_longest_one() -> None:
    world = World()
    world.come(20)
    world.plan(1)
    world.now_ms += 8 * 3_600_000
    world.end(DEFAULT, world.sent[DEFAULT][0])
    assert world.router.observed[DEFAULT].usual_ms <= 10_000


@pytest.mark.parametrize("fees_ppm", [(), (50_000,), (50_000, 100_000, 150_000)])
def test_another_number_of_processors_than_two_is_refused_with_a_sentence(fees_ppm: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"between 2 processors so far, not between {len(fees_ppm)}"):
        router(fees_ppm=fees_ppm)


def test_a_look_changes_nothing_and_an_observation_does() -> None:
    world = World()
    observed = world.router.observed[DEFAULT]

    def look() -> tuple[ProcessorState, int, int]:
        return observed.state, observed.unusable_ms, observed.changed_ms

    for _ in range(3):
        observed.ended(world.now_ms, world.begin(DEFAULT), answered=False)
    assert observed.is_open
    assert look() == (ProcessorState.HEALTHY, 0, 0)
    for later_ms in (0, 1000):
        observed.observe(world.now_ms + later_ms)
        assert look() == (ProcessorState.OPEN, world.now_ms, world.now_ms)
