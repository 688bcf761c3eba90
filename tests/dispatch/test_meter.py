"""What ends in the dispatcher is counted once, by processor and outcome, with the times that the moments say."""

from __future__ import annotations

import random

from engine.connectors import answers
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.meter import KEPT_MAX, Meter
from engine.memory import metrics_layout as layout
from engine.memory.words import Words, zeros
from engine.metrics import times

START = layout.DISPATCHER_AT + layout.DISPATCHER_PROCESSORS
Ended = list[tuple[Attempt, Outcome]]


def attempt(
    accepted_ms: int = 0, began_ms: int = 0, took_us: int = 0, processor: int = 0, lookup: bool = False
) -> Attempt:
    made = Attempt(1, 0, 1, processor, 7, 7, 1990, 1, 1, lookup, 0, began_ms=began_ms, accepted_ms=accepted_ms)
    made.took_us = took_us
    return made


def counted(ended: Ended, now_ms: int = 0, words: Words | None = None) -> Words:
    words = zeros(layout.METRICS_WORDS) if words is None else words
    meter = Meter(words, 2)
    for one, outcome in ended:
        if outcome.verdict is Verdict.CHARGED:
            meter.charged[one.processor].append(one)
        else:
            meter.other(one, outcome.verdict)
    meter.passed(Now(now_ms, 0))
    meter.store()
    return words


def noted(words: Words, what: int, processor: int = 0) -> tuple[list[int], int]:
    """The buckets in which something is counted, as often as it is, and the sum in us."""
    found = times.copy(words, START + processor * layout.OF_PROCESSOR_WORDS + what)
    return [one for one, count in enumerate(found[:-1]) for _ in range(count)], found[-1]


def test_a_payment_that_its_request_settles_has_three_times() -> None:
    words = counted([(attempt(1000, 1030, 4500, 1), answers.CHARGED)], 1050)
    assert noted(words, layout.WAITED, 1) == ([times.bucket(30_000)], 30_000)
    assert noted(words, layout.ANSWERED, 1) == ([times.bucket(4500)], 4500)
    assert noted(words, layout.SETTLED, 1) == ([times.bucket(50_000)], 50_000)
    assert words[START + layout.OF_PROCESSOR_WORDS + layout.REQUESTS + Verdict.CHARGED] == 1


def test_times_beyond_the_tables_are_in_their_buckets_too() -> None:
    for ms in (8191, 8192, 66_000, 10**7):
        words = counted([(attempt(0, ms, ms * 1000), answers.CHARGED)], 2 * ms)
        assert noted(words, layout.WAITED) == ([times.bucket(ms * 1000)], ms * 1000)
        assert noted(words, layout.ANSWERED) == ([times.bucket(ms * 1000)], ms * 1000)
        assert noted(words, layout.SETTLED) == ([times.bucket(2 * ms * 1000)], 2 * ms * 1000)


def test_a_payment_that_came_while_the_pass_was_under_way_has_waited_for_nothing() -> None:
    words = counted([(attempt(1003, 1000, 10), answers.CHARGED)], 1020)
    assert noted(words, layout.WAITED) == ([0], 0) and noted(words, layout.SETTLED)[1] == 17_000


def test_every_end_is_counted_under_its_outcome() -> None:
    ended: Ended = [
        (attempt(0, 0, 100), answers.FAILED),
        (attempt(0, 0, 200), answers.UNKNOWN),
        (attempt(lookup=True), answers.ABSENT),
        (attempt(lookup=True), answers.found(1, 1)),
        (attempt(), Outcome(Verdict.CHARGED)),
    ]
    words = counted(ended)
    requests = [words[START + layout.REQUESTS + verdict] for verdict in Verdict]
    lookups = [words[START + layout.LOOKUPS + verdict] for verdict in Verdict]
    assert requests == [1, 0, 0, 1, 0, 1, 0, 0] and lookups == [0, 0, 0, 0, 0, 0, 1, 1]
    assert noted(words, layout.ANSWERED)[1] == 300  # lookups are not requests
    assert len(noted(words, layout.SETTLED)[0]) == 1


def test_many_are_in_the_buckets_in_which_each_is_by_itself() -> None:
    chance, words, one_by_one = random.Random(7), zeros(layout.METRICS_WORDS), zeros(layout.METRICS_WORDS)
    at_once = Meter(words, 2)
    for now_ms in range(1000, 60_000, 100):
        for _ in range(chance.randrange(8)):
            accepted_ms = now_ms - chance.randrange(1 << chance.randrange(2, 18))
            began_ms = chance.randrange(min(accepted_ms - 3, now_ms - 1), now_ms)
            one = attempt(accepted_ms, began_ms, chance.randrange(1 << chance.randrange(1, 28)), chance.randrange(2))
            at_once.charged[one.processor].append(one)
            counted([(one, answers.CHARGED)], now_ms, one_by_one)
        at_once.passed(Now(now_ms, 0))
    at_once.store()
    assert bytes(words) == bytes(one_by_one)  # type: ignore[call-overload]


def test_what_is_kept_has_a_bound() -> None:
    meter = Meter(zeros(layout.METRICS_WORDS), 2)
    for _ in range(KEPT_MAX):
        meter.charged[1].append(attempt())
    meter.passed(Now(0, 0))
    assert meter.charged == [[], []]


def test_what_a_lookup_settles_has_the_time_to_its_end_alone() -> None:
    words = zeros(layout.METRICS_WORDS)
    meter = Meter(words, 2)
    meter.settled(Now(5000, 0), 1, 2000)
    assert noted(words, layout.SETTLED, 1) == ([times.bucket(3_000_000)], 3_000_000)
    assert noted(words, layout.WAITED, 1) == ([], 0)


def test_a_dispatcher_that_starts_again_goes_on_counting() -> None:
    words = counted([(attempt(), answers.CHARGED)])
    words = counted([(attempt(), answers.CHARGED), (attempt(processor=1), answers.REFUSED)], words=words)
    assert words[START + layout.REQUESTS + Verdict.CHARGED] == 2
    assert words[START + layout.OF_PROCESSOR_WORDS + layout.REQUESTS + Verdict.REFUSED] == 1
