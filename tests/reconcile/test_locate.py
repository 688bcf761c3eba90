"""Halving finds where two sides differ, to the millisecond, and says when a window is not the sum of its halves."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from engine.reconcile.asks import Asks, Compare, compare
from engine.reconcile.locate import Budget, Spot, locate
from engine.reconcile.span import Difference, Known, Maybe, Span, explained

BEGIN_MS = 1_795_766_400_000
WINDOW = Span(BEGIN_MS, BEGIN_MS + 599_999)


class Sides:
    """What differs, by millisecond. ``whole``: what differs in a span that has all of these, and in no half."""

    def __init__(self, planted: dict[int, Difference], whole: tuple[Span, Difference] | None = None) -> None:
        self.planted = planted
        self.whole = whole
        self.asked: list[Span] = []

    def compare(self, span: Span) -> Asks[Difference]:
        return (yield from compare(0, span))

    def answer(self, ask: Compare) -> Difference:
        self.asked.append(ask.span)
        total = Difference()
        for at_ms, difference in self.planted.items():
            if ask.span.has(at_ms):
                total = total.plus(difference)
        if self.whole is not None and ask.span == self.whole[0]:
            total = total.plus(self.whole[1])
        return total

    def located(self, window: Span = WINDOW, most: int = 10_000) -> list[Spot]:
        core = locate(window, self.compare, Budget(most))
        try:
            ask = next(core)
            while True:
                assert isinstance(ask, Compare)
                ask = core.send(self.answer(ask))
        except StopIteration as end:
            found: list[Spot] = end.value
            return found


def at(offset_ms: int) -> Span:
    return Span(BEGIN_MS + offset_ms, BEGIN_MS + offset_ms)


def test_what_does_not_differ_costs_one_comparison() -> None:
    sides = Sides({})
    assert sides.located() == [] and sides.asked == [WINDOW]


@pytest.mark.parametrize(
    "offset", [0, 1, 262_143, 299_999, 300_000, 599_998, 599_999, *random.Random(1).sample(range(600_000), 200)]
)
def test_one_difference_in_ten_minutes_costs_22_comparisons_at_most(offset: int) -> None:
    sides = Sides({BEGIN_MS + offset: Difference(-1, -1990)})
    assert sides.located() == [Spot(at(offset), Difference(-1, -1990))]
    assert len(sides.asked) <= 22
    assert sides.asked[-1].length_ms == 1, "what is reported was asked for"


@pytest.mark.parametrize("seed", range(20))
def test_many_are_all_found_in_their_order(seed: int) -> None:
    draw = random.Random(seed)
    times = draw.sample(range(600_000), 50)
    planted = {BEGIN_MS + one: Difference(draw.choice((-1, 0, 1, 2)), draw.randrange(1, 5000)) for one in times}
    sides = Sides(planted)
    assert sides.located() == [Spot(Span(one, one), difference) for one, difference in sorted(planted.items())]
    assert len(sides.asked) <= 40 * 50


def test_two_that_cancel_are_parted_by_the_edge_of_a_window_alone() -> None:
    planted = {BEGIN_MS + 599_999: Difference(-1, -1990), BEGIN_MS + 600_000: Difference(1, 1990)}
    first, second = Span(BEGIN_MS, BEGIN_MS + 1_199_999).windows(600_000)
    assert [one.span for one in Sides(planted).located(first)] == [at(599_999)]
    assert [one.span for one in Sides(planted).located(second)] == [at(600_000)]
    assert Sides(planted).located(Span(BEGIN_MS, BEGIN_MS + 1_199_999)) == []


@pytest.mark.parametrize("level", range(0, 20, 3))
def test_a_window_that_differs_while_neither_half_does_is_reported_as_such(level: int) -> None:
    span = WINDOW
    for _ in range(level):
        span = span.halves()[0]
    sides = Sides({}, (span, Difference(1, 500)))
    found = sides.located(span)
    assert found == [Spot(span, Difference(1, 500), is_sum=False)]
    assert len(sides.asked) <= 22


def test_a_window_that_is_no_sum_does_not_hide_what_is_in_its_halves() -> None:
    sides = Sides(
        {BEGIN_MS + 7: Difference(-1, -10), BEGIN_MS + 400_000: Difference(1, 30)}, (WINDOW, Difference(1, 500))
    )
    found = sides.located()
    assert {Spot(at(7), Difference(-1, -10)), Spot(at(400_000), Difference(1, 30))} < set(found)
    assert Spot(WINDOW, Difference(1, 500), is_sum=False) in found


def test_comparisons_have_a_limit() -> None:
    sides = Sides({BEGIN_MS + one: Difference(1, 1) for one in range(0, 600_000, 100)})
    assert 0 < len(sides.located(most=200)) < 100
    assert len(sides.asked) <= 200


@pytest.mark.parametrize("begin", [0, 1, 599_999, 600_000, 1_234_567])
@pytest.mark.parametrize("length", [1, 2, 600_000, 1_300_000])
def test_windows_touch_and_are_all_of_the_stretch(begin: int, length: int) -> None:
    span = Span(begin, begin + length - 1)
    windows = list(span.windows(600_000))
    assert windows[0].from_ms == span.from_ms and windows[-1].to_ms == span.to_ms
    assert all(one.to_ms + 1 == other.from_ms for one, other in pairwise(windows))
    assert all(one.from_ms // 600_000 == one.to_ms // 600_000 for one in windows)


@pytest.mark.parametrize("length", [2, 3, 1000, 600_000])
def test_halves_touch(length: int) -> None:
    left, right = Span(5, 5 + length - 1).halves()
    assert (left.from_ms, right.to_ms) == (5, 5 + length - 1) and left.to_ms + 1 == right.from_ms
    assert left.length_ms + right.length_ms == length and min(left.length_ms, right.length_ms) > 0


def test_what_is_known_counts_where_all_of_it_lies() -> None:
    known = Known()
    known.add(1, Span(10, 10), Difference(-1, -5))
    known.add(1, Span(10, 20), Difference(2, 7))
    assert known.within(1, Span(0, 20)) == Difference(1, 2)
    assert known.within(1, Span(10, 19)) == Difference(-1, -5)
    assert known.within(0, Span(0, 20)) == Difference(0, 0)


MAYBES = [Maybe(b"a", 10, 10, 100), Maybe(b"b", 12, 12, 300), Maybe(b"c", 5, 30, 50)]


@pytest.mark.parametrize(
    ("difference", "span", "is_explained"),
    [
        (Difference(1, 100), Span(10, 10), True), (Difference(1, 50), Span(10, 10), True),
        (Difference(1, 300), Span(10, 10), False), (Difference(1, 300), Span(12, 12), True),
        (Difference(2, 400), Span(10, 12), True), (Difference(3, 450), Span(10, 12), True),
        (Difference(3, 451), Span(10, 12), False), (Difference(4, 450), Span(10, 12), False),
        (Difference(-1, -100), Span(10, 10), False), (Difference(0, 100), Span(10, 10), False),
        (Difference(1, 50), Span(31, 40), False),
    ],
)  # fmt: skip
def test_unknown_ends_are_tolerated_by_their_number(difference: Difference, span: Span, is_explained: bool) -> None:
    assert explained(difference, span, MAYBES) is is_explained
