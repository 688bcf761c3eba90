from __future__ import annotations

from decimal import Decimal

import pytest

from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.faults import Fault, Faults, parse_faults
from engine.lab.simulate.replies import Cut, Ending, Reply
from engine.lab.simulate.wire import BadRequestError, parse_key
from tests.lab.simulate.payments import payment_body, payment_id

SECOND_US = 1_000_000


def new_processor(handled_max: int = 800, waiting_max: int = 500) -> Processor[int]:
    settings = ProcessorSettings("default", Decimal("0.05"), handled_max=handled_max, waiting_max=waiting_max)
    return Processor(settings)


def pay(processor: Processor[int], number: int, now_us: int = 0) -> Ending | None:
    return processor.pay(number, payment_body(number), now_us)


def charged(processor: Processor[int], number: int) -> bool:
    return processor.store.find(parse_key(payment_id(number))) is not None


def status(ending: Ending | None) -> int:
    assert isinstance(ending, Reply)
    return ending.status


def due(processor: Processor[int], now_us: int) -> list[tuple[int, int]]:
    return [(ticket, status(ending)) for ticket, ending in processor.due(now_us)]


def test_without_a_delay_a_payment_is_answered_at_once() -> None:
    processor = new_processor()
    assert status(pay(processor, 1)) == 200
    assert charged(processor, 1)
    assert processor.next_due_us() is None


def test_an_id_that_is_there_already_is_422_and_charged_once() -> None:
    processor = new_processor()
    assert status(pay(processor, 1)) == 200
    assert status(pay(processor, 1)) == 422
    assert len(processor.store) == 1


def test_a_bad_payment_is_400_without_waiting() -> None:
    processor = new_processor()
    processor.delay_ms = 1000
    assert status(processor.pay(1, b"{", 0)) == 400
    assert processor.next_due_us() is None


def test_the_delay_comes_before_the_insert() -> None:
    processor = new_processor()
    processor.delay_ms = 100
    assert pay(processor, 1, now_us=7) is None
    assert processor.next_due_us() == 100_007
    assert due(processor, 100_006) == []
    assert not charged(processor, 1)
    assert due(processor, 100_007) == [(1, 200)]
    assert charged(processor, 1)
    assert processor.in_flight == 0


def test_failing_is_looked_at_after_the_delay_and_charges_nothing() -> None:
    processor = new_processor()
    processor.delay_ms = 100
    pay(processor, 1)
    processor.set_failing(True, 0)
    assert due(processor, SECOND_US) == [(1, 500)]
    assert not charged(processor, 1)
    processor.delay_ms = 0
    assert status(pay(processor, 2)) == 500


def test_those_that_are_due_together_end_in_the_order_they_came() -> None:
    processor = new_processor()
    processor.delay_ms = 50
    for number in range(20):
        pay(processor, number)
    assert [ticket for ticket, _ in processor.due(SECOND_US)] == list(range(20))


def test_a_shorter_delay_that_is_set_later_overtakes() -> None:
    processor = new_processor()
    processor.delay_ms = 500
    pay(processor, 1)
    processor.delay_ms = 10
    pay(processor, 2)
    assert processor.next_due_us() == 10_000
    assert [ticket for ticket, _ in processor.due(SECOND_US)] == [2, 1]


def test_beyond_the_limits_it_is_429_at_once_and_the_waiting_have_their_turn() -> None:
    processor = new_processor(handled_max=2, waiting_max=1)
    processor.delay_ms = 100
    assert pay(processor, 1) is None
    assert pay(processor, 2) is None
    assert pay(processor, 3) is None
    assert status(pay(processor, 4)) == 429
    assert processor.stats_now()["in_flight"] == 2
    assert processor.stats_now()["waiting"] == 1
    assert due(processor, 100_000) == [(1, 200), (2, 200)]
    assert processor.next_due_us() == 200_000  # the third began when the first two had ended
    assert due(processor, 200_000) == [(3, 200)]
    assert not charged(processor, 4)


def test_800_are_handled_at_once_and_500_wait_unless_it_is_set_otherwise() -> None:
    processor: Processor[int] = Processor(ProcessorSettings("default", Decimal("0.05")))
    processor.delay_ms = 100
    endings = [pay(processor, number) for number in range(1302)]
    assert endings[:1300] == [None] * 1300
    assert [status(ending) for ending in endings[1300:]] == [429, 429]
    assert len(processor.due(100_000)) == 800
    assert len(processor.due(200_000)) == 500
    assert len(processor.store) == 1300


def test_the_waiting_are_answered_at_once_when_the_delay_was_taken_away() -> None:
    processor = new_processor(handled_max=1, waiting_max=5)
    processor.delay_ms = 100
    for number in range(4):
        pay(processor, number)
    processor.delay_ms = 0
    assert due(processor, 100_000) == [(0, 200), (1, 200), (2, 200), (3, 200)]
    assert processor.in_flight == 0


def test_health_is_answered_once_in_five_seconds_and_a_refused_call_does_not_prolong_it() -> None:
    processor = new_processor()
    processor.delay_ms = 70
    processor.set_failing(True, 0)
    first = processor.health(0)
    assert (first.status, first.body) == (200, b'{"failing":true,"minResponseTime":70}')
    assert processor.health(5 * SECOND_US - 1).status == 429
    assert processor.health(5 * SECOND_US).status == 200


def test_a_purge_forgets_but_what_is_on_its_way_is_still_inserted() -> None:
    processor = new_processor()
    pay(processor, 1)
    processor.delay_ms = 100
    pay(processor, 2)
    processor.purge()
    assert (len(processor.store), processor.stats.inserted) == (0, 0)
    processor.due(SECOND_US)
    assert charged(processor, 2)


def test_every_outcome_is_counted() -> None:
    processor = new_processor(handled_max=1, waiting_max=0)
    pay(processor, 1)
    pay(processor, 1)
    processor.pay(0, b"", 0)
    processor.set_failing(True, 0)
    pay(processor, 2)
    processor.delay_ms = 10
    pay(processor, 3)
    pay(processor, 4)
    assert processor.stats_now() == {
        "inserted": 1,
        "duplicate": 1,
        "failed": 1,
        "bad_request": 1,
        "rejected": 1,
        "in_flight_max": 1,
        "waiting_max": 0,
        "in_flight": 1,
        "waiting": 0,
    }


@pytest.mark.parametrize(
    ("fault", "at_once", "ending", "is_charged"),
    [
        (Fault.REJECT, True, 429, False),
        (Fault.RESET_BEFORE_INSERT, True, Cut.RESET, False),
        (Fault.RESET_AFTER_INSERT, True, Cut.RESET, True),
        (Fault.HANG_BEFORE_INSERT, False, Cut.CLOSE, False),
        (Fault.HANG_AFTER_INSERT, False, Cut.CLOSE, True),
        (Fault.LATE_INSERT, False, 200, True),
        (Fault.LATE_ANSWER, False, 200, True),
        (Fault.ERROR_BEFORE_INSERT, True, 500, False),
        (Fault.ERROR_AFTER_INSERT, True, 500, True),
        (Fault.NONSENSE, True, 200, True),
        (Fault.NONSENSE_HTML, True, 200, True),
    ],
)
def test_a_fault_does_what_its_name_says(fault: Fault, at_once: bool, ending: int | Cut, is_charged: bool) -> None:
    processor = new_processor()
    processor.faults = Faults({fault: 1}, hang_ms=100, late_ms=100)
    result = pay(processor, 1)
    assert (result is not None) is at_once
    assert charged(processor, 1) is (is_charged and fault is not Fault.LATE_INSERT)
    if result is None:
        assert processor.in_flight == 1
        assert processor.due(99_999) == []
        [(_, result)] = processor.due(100_000)
    assert (result.status if isinstance(result, Reply) else result) == ending
    assert charged(processor, 1) is is_charged
    assert processor.faults_done == {fault: 1}
    assert processor.in_flight == 0
    assert status(pay(processor, 2)) == 200


def test_every_fault_is_tried_above() -> None:
    [mark] = [mark for mark in vars(test_a_fault_does_what_its_name_says)["pytestmark"] if mark.name == "parametrize"]
    assert {row[0] for row in mark.args[1]} == set(Fault)


def test_a_fault_comes_after_the_delay() -> None:
    processor = new_processor()
    processor.delay_ms = 100
    processor.faults = Faults({Fault.RESET_AFTER_INSERT: 1})
    assert pay(processor, 1) is None
    assert processor.due(100_000) == [(1, Cut.RESET)]


def outcomes(seed: int, count: int = 300) -> list[str]:
    processor = new_processor()
    processor.faults = Faults(
        probabilities={Fault.REJECT: 0.1, Fault.RESET_AFTER_INSERT: 0.2, Fault.ERROR_BEFORE_INSERT: 0.1},
        seed=seed,
    )
    return [str(pay(processor, number)) for number in range(count)]


def test_the_same_seed_does_the_same_faults_and_another_seed_others() -> None:
    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)


def test_faults_come_about_as_often_as_their_probability_says() -> None:
    results = outcomes(3, count=3000)
    assert 200 < sum("429" in result for result in results) < 400
    assert 430 < sum("RESET" in result for result in results) < 650


def test_counted_faults_come_first_and_in_the_order_given() -> None:
    processor = new_processor()
    counts = {Fault.NONSENSE: 1, Fault.ERROR_AFTER_INSERT: 2}
    processor.faults = Faults(counts, {Fault.RESET_BEFORE_INSERT: 1})
    endings = [pay(processor, number) for number in range(4)]
    assert [status(ending) for ending in endings[:3]] == [200, 500, 500]
    assert endings[3] is Cut.RESET


@pytest.mark.parametrize(
    "fields",
    [
        {"next": {"explode": 1}},
        {"next": {"reject": -1}},
        {"next": {"reject": True}},
        {"next": []},
        {"probability": {"reject": 1.5}},
        {"probability": {"reject": "1"}},
        {"probability": {"reject": 0.6, "nonsense": 0.6}},
        {"hang_ms": -1},
        {"seed": "x"},
        {"nxt": {}},
    ],
)
def test_faults_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequestError):
        parse_faults(fields)


def test_an_empty_object_clears_the_faults() -> None:
    assert parse_faults({}) is None
    assert parse_faults({"next": {}, "probability": {}, "seed": 1}) is None
