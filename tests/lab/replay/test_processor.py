"""The modelled processor does what the simulated one does, and what the model says beyond that."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from engine.lab.contest.scenario import Condition, Scenario
from engine.lab.replay.model import Model
from engine.lab.replay.processor import CHARGED, FAILED, REJECTED, Course, ModelledProcessor
from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.replies import Reply
from tests.lab.replay.scenes import WELL, failing, flaky, scenario, slow

ENDINGS = {200: CHARGED, 500: FAILED, 429: REJECTED}


def scene_of(conditions: list[tuple[float, Condition]]) -> Scenario:
    return scenario(*((at_s, condition, WELL) for at_s, condition in conditions), seconds=1000)


def simulated(scene: Scenario, times_us: list[int], model: Model) -> list[tuple[int, int]]:
    """What :class:`engine.lab.simulate.behaviour.Processor` does with requests at ``times_us``."""
    processor: Processor[int] = Processor(
        ProcessorSettings("default", Decimal("0.05"), handled_max=model.handled_max, waiting_max=model.waiting_max)
    )
    changes = [(round(stage.at_s * 1_000_000), stage.default) for stage in scene.stages]
    ended: dict[int, tuple[int, int]] = {}

    def note(ticket: int, ending: object, now_us: int) -> None:
        assert isinstance(ending, Reply)
        ended[ticket] = (now_us, ENDINGS[ending.status])

    def advance(now_us: int) -> None:
        """Changes and what is due by ``now_us``, each at its time; a change holds from its very moment on."""
        while True:
            due_us = processor.next_due_us()
            change_us = changes[0][0] if changes else now_us + 1
            if change_us <= now_us and (due_us is None or change_us <= due_us):
                _, condition = changes.pop(0)
                processor.delay_ms = condition.delay_ms
                processor.set_failing(condition.failing, change_us)
            elif due_us is not None and due_us <= now_us:
                for ticket, ending in processor.due(due_us):
                    note(ticket, ending, due_us)
            else:
                return

    for ticket, now_us in enumerate(times_us):
        advance(now_us)
        body = f'{{"correlationId":"{ticket:08x}-0000-4000-8000-000000000000","amount":19.90,'
        body += '"requestedAt":"2025-07-01T00:00:00.000Z"}'
        ending = processor.pay(ticket, body.encode(), now_us)
        if ending is not None:
            note(ticket, ending, now_us)
    advance(times_us[-1] + 10**9)
    return [ended[ticket] for ticket in range(len(times_us))]


@pytest.mark.parametrize("seed", range(40))
def test_it_ends_every_request_when_and_as_the_simulated_processor_does(seed: int) -> None:
    chance = random.Random(seed)
    conditions, at_s = [], 0.0
    for _ in range(chance.randint(1, 12)):
        at_s += chance.randint(1, 40) / 10
        delay_ms = chance.choice((0, 0, 5, 50, 400, 2000))
        conditions.append((at_s, Condition(delay_ms, chance.random() < 0.4)))
    scene = scene_of(conditions)
    model = Model(handled_max=chance.randint(1, 20), waiting_max=chance.randint(0, 10), service_us=0)
    times_us = sorted(chance.randrange(0, 40_000) * 1000 for _ in range(600))
    modelled = ModelledProcessor(Course(scene, 0), model)
    result = [modelled.pay(now_us) for now_us in times_us]
    assert result == simulated(scene, times_us, model)
    assert len({verdict for _, verdict in result}) > 1 or seed  # the first seed has more than one kind of ending


def test_one_that_fails_at_random_fails_its_share_and_the_same_requests_each_time() -> None:
    scene = scene_of([(1.0, flaky(40, 20)), (9.0, WELL), (10.0, failing())])

    def endings(seconds: float) -> list[tuple[int, int]]:
        processor = ModelledProcessor(Course(scene, 0), Model(service_us=0))
        return [processor.pay(now_us) for now_us in range(0, round(seconds * 1_000_000), 1000)]

    ended = endings(11)
    assert ended == endings(11)
    share = sum(verdict == FAILED for _, verdict in ended[1000:8900]) / 7900
    assert 0.37 < share < 0.43
    assert {verdict for _, verdict in ended[:900] + ended[9000:9900]} == {CHARGED}
    assert {verdict for _, verdict in ended[10_000:]} == {FAILED}
    others = scene_of([(1.0, flaky(40, 20))])
    assert Course(others, 0).turns(to_failing=True) == []
    health = ModelledProcessor(Course(others, 0), Model()).health(2_000_000)
    assert health == (False, 20)


def test_its_thread_serves_one_request_after_the_other() -> None:
    processor = ModelledProcessor(Course(scene_of([(1.0, WELL)]), 0), Model(service_us=100))
    assert [processor.pay(1000)[0] for _ in range(5)] == [1100, 1200, 1300, 1400, 1500]
    assert processor.pay(5000) == (5100, CHARGED)


def test_health_is_answered_once_in_five_seconds() -> None:
    processor = ModelledProcessor(Course(scene_of([(2.0, failing(70))]), 0), Model())
    assert processor.health(1_000_000) == (False, 0)
    assert processor.health(5_999_999) is None
    assert processor.health(6_000_000) == (True, 70)


def test_its_course_says_when_it_begins_to_fail_and_when_it_recovers() -> None:
    course = Course(scene_of([(1.0, slow(10)), (2.0, failing()), (3.0, failing(10)), (4.0, WELL), (5.0, failing())]), 0)
    assert course.turns(to_failing=True) == [2_000_000, 5_000_000]
    assert course.turns(to_failing=False) == [4_000_000]
    assert [course.index(time_us) for time_us in (0, 999_999, 1_000_000, 9_000_000)] == [0, 0, 1, 5]


def test_it_is_saturated_by_what_it_can_take_until_the_next_look() -> None:
    quick = ModelledProcessor(Course(scene_of([(1.0, WELL)]), 0), Model(service_us=100, transit_us=300))
    assert not quick.is_saturated(0, 45, 4_000)
    assert quick.is_saturated(0, 46, 4_000)  # 4.6 ms of work
    late = ModelledProcessor(Course(scene_of([(1.0, slow(1000))]), 0), Model(service_us=100))
    assert not late.is_saturated(2_000_000, 799, 4_000)
    assert late.is_saturated(2_000_000, 800, 4_000)
