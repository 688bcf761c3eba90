"""The oracle's net is what an exhaustive search finds, and more than anything that is tried against the model earns."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import AuditPlan, Condition, Fees, Load, Ramp, Scenario, Stage
from engine.lab.replay.generate import generate
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.oracle import SERIES_MS, Best, best
from engine.lab.replay.processor import CHARGED, Course, ModelledProcessor

FEES = (
    Fees(default=Decimal("0.05"), fallback=Decimal("0.15")),
    Fees(default=Decimal("0.1"), fallback=Decimal("0.1")),
    Fees(default=Decimal("0.15"), fallback=Decimal("0.05")),
    Fees(default=Decimal("0.02"), fallback=Decimal(1)),
)
OK, FAILS = Condition(0, False), Condition(0, True)


def scenario_of(stages: Sequence[Stage], fees: Fees = FEES[0]) -> Scenario:
    """A scenario of which only stages and fees matter."""
    load = Load(start_vus=1, amount_cents=1990, sleep_s=1.0, timeout_s=1.5, ramps=(Ramp(60.0, 1),))
    return Scenario("s", "S", load, fees, AuditPlan(10.0, 15.0, 1.5), tuple(stages))


def net_of(scenario: Scenario, on_default: int, on_fallback: int) -> Decimal:
    fees = scenario.fees
    return (on_default * (1 - fees.default) + on_fallback * (1 - fees.fallback)) * scenario.load.amount_cents / 100


def searched(scenario: Scenario, arrivals_ms: Sequence[int], handled_max: int, end_ms: int, step_ms: int) -> Decimal:
    """The best net of all that can be done, by trying everything; times are multiples of ``step_ms``."""
    arrived = Counter(arrivals_ms)

    def conditions(time_ms: int) -> tuple[Condition, Condition]:
        stage = scenario.stage_at(time_ms / 1000)
        return stage.default, stage.fallback

    @cache
    def pairs(time_ms: int, waiting: int, *in_flight: tuple[int, ...]) -> frozenset[tuple[int, int]]:
        """All (settled at default, settled at fallback) from here on; ``in_flight``: when each of them ends."""
        if time_ms > end_ms:
            return frozenset({(0, 0)})
        waiting += arrived[time_ms]
        open_now = [tuple(end for end in ends if end > time_ms) for ends in in_flight]
        most, ends_ms = [0, 0], [0, 0]
        for processor, condition in enumerate(conditions(time_ms)):
            end = ends_ms[processor] = time_ms + condition.delay_ms
            if end <= end_ms and not conditions(end)[processor].failing:
                room = handled_max - len(open_now[processor]) if condition.delay_ms else waiting
                most[processor] = min(room, waiting)
        found = set()
        for on_default in range(most[0] + 1):
            for on_fallback in range(min(most[1], waiting - on_default) + 1):
                begun = (on_default, on_fallback)
                after = [
                    open_now[processor] + (ends_ms[processor],) * begun[processor] * (ends_ms[processor] > time_ms)
                    for processor in (0, 1)
                ]
                rest = pairs(time_ms + step_ms, waiting - on_default - on_fallback, *after)
                found |= {(on_default + default, on_fallback + fallback) for default, fallback in rest}
        return frozenset(found)

    return max(net_of(scenario, *pair) for pair in pairs(0, 0, (), ()))


@st.composite
def small_contests(draw: st.DrawFn) -> tuple[Scenario, list[int], int, int, int]:
    step_ms = draw(st.sampled_from((1, 10, 7)))
    condition = st.builds(Condition, st.integers(0, 4).map(lambda steps: steps * step_ms), st.booleans())
    times = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True).map(sorted))
    stages = [Stage(time * step_ms / 1000, draw(condition), draw(condition)) for time in times]
    # After the end; with it the oracle's slots are no longer than a step, and its bound is exact.
    stages.append(Stage(11 * step_ms / 1000, OK, OK))
    arrivals_ms = draw(st.lists(st.integers(0, 8), min_size=1, max_size=6).map(sorted))
    scenario = scenario_of(stages, draw(st.sampled_from(FEES)))
    end_ms = draw(st.integers(3, 9)) * step_ms
    return scenario, [arrival * step_ms for arrival in arrivals_ms], draw(st.integers(1, 2)), end_ms, step_ms


@settings(max_examples=400, deadline=None)
@given(small_contests())
def test_the_oracle_earns_what_an_exhaustive_search_finds(contest: tuple[Scenario, list[int], int, int, int]) -> None:
    scenario, arrivals_ms, handled_max, end_ms, step_ms = contest
    found = best(scenario, arrivals_ms, Model(handled_max=handled_max, service_us=0, transit_us=0), end_ms)
    assert found.net == searched(scenario, arrivals_ms, handled_max, end_ms, step_ms)
    assert found.net == net_of(scenario, found.on_default, found.on_fallback)
    assert found.settled + found.left == len(arrivals_ms)


def test_payments_wait_for_the_cheaper_processor_when_there_is_time() -> None:
    scenario = scenario_of([Stage(0.0, FAILS, OK), Stage(10.0, OK, OK)])
    arrivals_ms = [*range(0, 10_000, 10)]
    assert best(scenario, arrivals_ms, Model(), 20_000).on_default == 1000
    assert best(scenario, arrivals_ms, Model(), 9_990).on_fallback == 1000


def test_a_slow_processor_settles_no_more_than_it_handles_at_once() -> None:
    slow = Condition(2_000, False)
    found = best(scenario_of([Stage(0.0, slow, FAILS)]), [0] * 5_000, Model(service_us=0, transit_us=0), 5_000)
    assert (found.on_default, found.on_fallback, found.left) == (1_600, 0, 3_400)
    both = best(scenario_of([Stage(0.0, slow, slow)]), [0] * 5_000, Model(service_us=0, transit_us=0), 5_000)
    assert (both.on_default, both.on_fallback, both.left) == (1_600, 1_600, 1_800)


def test_the_thread_of_a_processor_takes_one_request_after_the_other() -> None:
    found = best(scenario_of([Stage(0.0, OK, FAILS)]), [0] * 5_000, Model(service_us=500, transit_us=0), 1_000)
    assert 2_000 <= found.on_default <= 2_020  # generous by one slot


def test_what_would_fail_at_the_end_of_its_delay_is_not_counted() -> None:
    stages = [Stage(0.0, Condition(1_000, False), FAILS), Stage(1.0, Condition(1_000, True), FAILS)]
    found = best(scenario_of(stages), [0, 100, 900], Model(transit_us=0), 60_000)
    assert (found.settled, found.left, found.net) == (0, 3, Decimal(0))


def test_nothing_to_do_is_worth_nothing() -> None:
    assert best(scenario_of([Stage(0.0, OK, OK)]), [], Model(), 1_000) == Best(0, 0, 0, Decimal(0), ((0, 0),) * 5)


@pytest.mark.parametrize("wrong", [{"handled_max": 0}, {"service_us": -1}, {"waiting_max": -1, "transit_us": -5}])
def test_a_processor_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Model(**wrong)


@pytest.mark.parametrize("arrivals_ms", [[5, 4], [-1, 3]])
def test_payments_out_of_order_are_refused(arrivals_ms: list[int]) -> None:
    with pytest.raises(ValueError, match="in order"):
        best(scenario_of([Stage(0.0, OK, OK)]), arrivals_ms, Model(), 1_000)


@pytest.mark.parametrize("name", [*scenarios.names(), *(f"generated:{seed}" for seed in range(6))])
def test_the_series_is_a_plan_that_can_be_carried_out(name: str) -> None:
    scenario = generate(int(name[10:])) if name.startswith("generated:") else scenarios.load(name)
    load = arrivals(scenario.load)
    found = best(scenario, [us // 1000 for us in load.accepted_us], Model(), load.end_us // 1000 + 1)
    assert [sum(settled) for settled in zip(*found.series, strict=True)] == [found.on_default, found.on_fallback]
    settled = 0
    for number, counts in enumerate(found.series):
        settled += sum(counts)
        assert settled <= bisect_right(load.accepted_us, (number + 1) * SERIES_MS * 1000)
        from_s, to_s = number * SERIES_MS / 1000, (number + 1) * SERIES_MS / 1000 - 0.001
        for count, processor in zip(counts, ("default", "fallback"), strict=True):
            throughout = {getattr(scenario.stage_at(at_s), processor) for at_s in (from_s, to_s)}
            if all(condition.failing for condition in throughout) and number < len(found.series) - 1:
                assert count == 0
            assert count <= SERIES_MS * 10  # 100 µs each


def play(scenario: Scenario, chooses: Callable[[int, int], tuple[int, ...]], in_flight_max: int) -> tuple[int, int]:
    """Settled at default and at fallback when ``chooses`` is asked every ms, with (ms, waiting payments), to which
    processors it sends as many as there is room for.
    """
    load, model = arrivals(scenario.load), Model()
    processors = [ModelledProcessor(Course(scenario, number), model) for number in (0, 1)]
    ends_us: list[list[int]] = [[], []]
    settled, waiting, cursor = [0, 0], 0, 0
    for now_us in range(0, load.end_us, 1000):
        arrived = bisect_right(load.accepted_us, now_us)
        waiting, cursor = waiting + arrived - cursor, arrived
        for number in chooses(now_us // 1000, waiting) if waiting else ():
            ends_us[number] = [end for end in ends_us[number] if end > now_us]
            for _ in range(min(waiting, in_flight_max - len(ends_us[number]))):
                end_us, ending = processors[number].pay(now_us + model.transit_us)
                ends_us[number].append(end_us)
                if ending == CHARGED:
                    waiting -= 1
                    settled[number] += end_us <= load.end_us
    return settled[0], settled[1]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_tried_earns_more(seed: int) -> None:
    random = Random(seed)
    scenario = generate(seed).stretched(60.0)
    load = arrivals(scenario.load)
    bound = best(scenario, [us // 1000 for us in load.accepted_us], Model(), load.end_us // 1000 + 1)
    courses = [Course(scenario, number) for number in (0, 1)]

    def would_settle(number: int, now_ms: int, patience_ms: int) -> bool:
        course, now_us = courses[number], now_ms * 1000 + 400
        delay_us = course.delays_us[course.index(now_us)]
        return delay_us <= patience_ms * 1000 and not course.failing[course.index(now_us + delay_us)]

    for _ in range(3):
        patience_ms, backlog_max = random.choice((50, 1_000, 5_000)), random.choice((0, 300, 3_000, 100_000))

        def foresight(
            now_ms: int, waiting: int, patience_ms: int = patience_ms, most: int = backlog_max
        ) -> tuple[int, ...]:
            wanted = (0, 1) if waiting > most else (0,)
            return tuple(number for number in wanted if would_settle(number, now_ms, patience_ms))

        on_default, on_fallback = play(scenario, foresight, random.choice((400, 800)))
        assert on_default + on_fallback <= bound.settled
        assert net_of(scenario, on_default, on_fallback) <= bound.net


def test_the_bound_is_close_to_what_can_be_done() -> None:
    """Where there is only one processor and it is slow, keeping it busy is all that can be done."""
    slow = [(0.0, 100), (20.0, 4_000), (40.0, 1_500)]
    stages = [Stage(at_s, Condition(delay_ms, False), FAILS) for at_s, delay_ms in slow]
    load = Load(start_vus=600, amount_cents=1990, sleep_s=1.0, timeout_s=1.5, ramps=(Ramp(60.0, 600),))
    scenario = Scenario("s", "S", load, FEES[0], AuditPlan(10.0, 15.0, 1.5), tuple(stages))
    times = arrivals(load)
    bound = best(scenario, [us // 1000 for us in times.accepted_us], Model(), times.end_us // 1000 + 1)
    assert bound.left > 0
    settled = play(scenario, lambda _now_ms, _waiting: (0,), 800)[0]
    assert 0.99 * bound.settled <= settled <= bound.settled
