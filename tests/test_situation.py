"""What is stored of the processors is read as it was, and said in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.memory.words import WORD_BYTES
from engine.processors import PROCESSORS_MAX
from engine.settings import VARIABLES
from engine.situation import Condition, Flow, Situation, Why, condition_of_word, conditions_word, of_word

NAMES = [f"p{number}" for number in range(PROCESSORS_MAX)]
WAIT_MS_MAX = next(one.high for one in VARIABLES if one.name == "ENGINE_WAIT_MAX_MS")
numbers = st.integers(0, PROCESSORS_MAX - 1)


@given(st.builds(Situation, st.sampled_from(Flow), numbers, numbers, st.integers(0, WAIT_MS_MAX)))
def test_every_situation_fits_into_a_word_and_comes_back(situation: Situation) -> None:
    assert situation.word() < 1 << 8 * WORD_BYTES
    assert of_word(situation.word(), PROCESSORS_MAX) == situation
    assert situation.sentence(NAMES)


@given(st.lists(st.sampled_from(Condition), min_size=1, max_size=PROCESSORS_MAX))
def test_every_condition_fits_into_a_word_and_comes_back(conditions: list[Condition]) -> None:
    word = conditions_word(conditions)
    assert [condition_of_word(word, number) for number in range(len(conditions))] == conditions


@given(st.integers(0, (1 << 64) - 1))
def test_a_word_of_another_kind_is_a_situation_that_can_be_said(word: int) -> None:
    assert of_word(word, 2).sentence(NAMES[:2])
    assert all(condition_of_word(word, number) in Condition for number in range(PROCESSORS_MAX))


@pytest.mark.parametrize(
    ("situation", "said"),
    [
        (Situation(Flow.WAIT, 0, 1, 9000), "payments wait for p0, 9 s at most, and then go to p1"),
        (Situation(Flow.WAIT, 1, 0, 450), "payments wait for p1, 0.5 s at most, and then go to p0"),
        (Situation(Flow.TO_OTHER, 0, 1), "payments go to p1 and do not wait for p0"),
        (Situation(Flow.TO_FIRST, 1), "payments go to p1"),
        (Situation(Flow.NOWHERE), "payments wait until a processor is back; none is lost"),
    ],
)
def test_what_happens_to_payments_is_a_sentence(situation: Situation, said: str) -> None:
    assert situation.sentence(NAMES) == said


@pytest.mark.parametrize(
    ("situation", "to", "why"),
    [
        (Situation(Flow.UNKNOWN), (), Why.UNKNOWN),
        (Situation(Flow.TO_FIRST, 1), (1,), Why.CHEAPEST),
        (Situation(Flow.WAIT, 1, 0, 450), (1, 0), Why.WAITS_FOR_CHEAPER),
        (Situation(Flow.TO_OTHER, 1, 0), (0,), Why.CHEAPER_SILENT),
        (Situation(Flow.TO_OTHER, 0, 1), (1,), Why.CHEAPER_LATE),
        (Situation(Flow.MOST_TO_OTHER, 1, 0), (0, 1), Why.CHEAPER_SLOW),
        (Situation(Flow.TO_SLOW, 1), (1,), Why.NONE_HEALTHY),
        (Situation(Flow.NOWHERE), (), Why.NONE_USABLE),
    ],
)
def test_where_payments_go_and_why_are_of_closed_sets(situation: Situation, to: tuple[int, ...], why: Why) -> None:
    assert situation.to == to
    assert situation.why([Condition.HEALTHY, Condition.SILENT]) is why


@given(st.builds(Situation, st.sampled_from(Flow), numbers, numbers), st.lists(st.sampled_from(Condition), min_size=8))
def test_there_is_a_reason_for_every_situation(situation: Situation, conditions: list[Condition]) -> None:
    assert situation.why(conditions) in Why
