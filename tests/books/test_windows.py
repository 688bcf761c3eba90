"""What the summary's windows promise: they agree with a naive list of everything that was settled."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.books.levels import shape
from engine.books.reader import EXACT_MS, UNBOUNDED_MS, BooksReader, Sum, Totals
from engine.books.writer import SETTLEMENTS_MAX
from engine.memory import layout
from tests.books.ledger import RECENT_SECONDS, START_MS, Ledger, make_books, make_reader, make_writer

HOUR_MS = 3_600_000
RECENT_MS = RECENT_SECONDS * 1000
# The present bucket is one of them.
RECENT_AGE_MS = RECENT_MS - 1
HORIZON_AGE_SECONDS = 3599

# Time since the batch before (now and then a long gap); of each settlement processor, age of its requestedAt, cents.
batches = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.integers(0, 1500), st.integers(0, 3 * HOUR_MS)),
        st.lists(
            st.tuples(
                st.integers(0, 1),
                st.one_of(st.integers(0, 20), st.integers(0, RECENT_MS), st.integers(0, HOUR_MS)),
                st.integers(1, 10**13 - 1),
            ),
            max_size=8,
        ),
    ),
    min_size=1,
    max_size=12,
)
Batches = list[tuple[int, list[tuple[int, int, int]]]]


def keep(batches: Batches) -> tuple[BooksReader, Ledger, int]:
    """Books and ledger after all batches, and the time."""
    words, ledger, now_ms = make_books(), Ledger(), START_MS
    writer = make_writer(words)
    for gap_ms, settlements in batches:
        now_ms += gap_ms
        writer.begin(now_ms)
        for processor, age_ms, cents in settlements:
            writer.settle(processor, now_ms - age_ms, cents)
            ledger.settled.append((processor, now_ms - age_ms, cents))
        writer.commit()
    return make_reader(words), ledger, now_ms


@settings(max_examples=150, deadline=None)
@given(batches, st.integers(0, RECENT_AGE_MS), st.integers(0, RECENT_AGE_MS))
def test_a_window_within_the_recent_time_is_exact_to_the_millisecond(batches: Batches, first: int, last: int) -> None:
    reader, ledger, now_ms = keep(batches)
    from_ms, to_ms = now_ms - first, now_ms - last
    assert reader.window(from_ms, to_ms) == ledger.window(from_ms, to_ms)
    assert reader.window(from_ms, None) == ledger.window(from_ms, None)
    assert reader.window(None, to_ms) == ledger.window(None, to_ms)


@settings(max_examples=150, deadline=None)
@given(batches, st.integers(0, HORIZON_AGE_SECONDS), st.integers(0, HORIZON_AGE_SECONDS))
def test_a_window_of_whole_seconds_within_the_horizon_is_exact(batches: Batches, first: int, last: int) -> None:
    reader, ledger, now_ms = keep(batches)
    second = now_ms // 1000
    from_ms, to_ms = (second - first) * 1000, (second - last) * 1000 - 1
    assert reader.window(from_ms, to_ms) == ledger.window(from_ms, to_ms)


@settings(max_examples=100, deadline=None)
@given(batches, st.integers(0, RECENT_AGE_MS), st.integers(0, RECENT_AGE_MS))
def test_windows_that_touch_add_up(batches: Batches, first: int, last: int) -> None:
    reader, ledger, now_ms = keep(batches)
    middle = now_ms - min(first, last)
    parts = reader.window(None, middle), reader.window(middle + 1, None)
    total = ledger.window(None, None)
    for processor in (0, 1):
        assert Sum(*map(sum, zip(*(part[processor] for part in parts), strict=True))) == total[processor]


@settings(max_examples=300, deadline=None)
@given(batches, st.integers(0, 5 * HOUR_MS), st.integers(0, 5 * HOUR_MS))
def test_a_window_says_what_it_is_exact_to_and_both_bounds_were_moved_in_the_same_way(
    batches: Batches, first: int, last: int
) -> None:
    reader, ledger, now_ms = keep(batches)
    from_ms, to_ms = now_ms - max(first, last), now_ms - min(first, last)
    for bounds in ((from_ms, to_ms), (from_ms, None), (None, to_ms)):
        sums, resolution_ms = reader.resolved(*bounds)
        moved = [
            bound if bound is None or index in exact else -(-bound // resolution_ms) * resolution_ms
            for exact in ([0], [1], [])
            for index, bound in enumerate((bounds[0], None if bounds[1] is None else bounds[1] + 1))
        ]
        windows = [(low, None if high is None else high - 1) for low, high in zip(moved[::2], moved[1::2], strict=True)]
        if resolution_ms == EXACT_MS:
            assert sums == ledger.window(*bounds)
        elif resolution_ms != UNBOUNDED_MS:
            assert sums in [ledger.window(*one) for one in windows]
            assert resolution_ms in (1000, 60_000)


def test_the_resolution_is_that_of_the_bound_that_is_known_worst() -> None:
    words = make_books()
    writer, reader = make_writer(words), make_reader(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS, 100)
    writer.commit()
    assert reader.resolved(0, START_MS)[1] == EXACT_MS, "nothing is older than the horizon"
    now_ms = START_MS + 60_000
    writer.begin(now_ms)
    writer.commit()
    assert reader.resolved(START_MS - 1, None) == ((Sum(1, 100), Sum(0, 0)), 1000)
    assert reader.resolved(START_MS, START_MS + 999) == ((Sum(1, 100), Sum(0, 0)), EXACT_MS)
    assert reader.resolved(START_MS, now_ms)[1] == EXACT_MS
    assert reader.resolved(START_MS, START_MS + 5)[1] == 1000
    assert reader.resolved(START_MS + 5, START_MS - 5)[1] == EXACT_MS, "it is empty whatever there was"
    writer.begin(START_MS + 3 * HOUR_MS)
    writer.commit()
    assert reader.resolved(START_MS - 1, None) == ((Sum(1, 100), Sum(0, 0)), UNBOUNDED_MS)
    assert reader.resolved(None, None)[1] == EXACT_MS


@settings(max_examples=100, deadline=None)
@given(batches)
def test_the_totals_have_everything_however_old(batches: Batches) -> None:
    reader, ledger, _ = keep(batches)
    assert reader.totals() == ledger.totals()
    assert reader.window(None, None) == ledger.window(None, None)


@settings(max_examples=100, deadline=None)
@given(batches, st.integers(0, 10 * HOUR_MS), st.integers(0, 10 * HOUR_MS))
def test_no_window_ever_holds_less_than_nothing_or_more_than_everything(
    batches: Batches, first: int, last: int
) -> None:
    reader, ledger, now_ms = keep(batches)
    for part, total in zip(reader.window(now_ms - first, now_ms - last), ledger.window(None, None), strict=True):
        assert 0 <= part.payments <= total.payments
        assert 0 <= part.cents <= total.cents


@settings(max_examples=100, deadline=None)
@given(batches, st.integers(1, 5 * HOUR_MS), st.integers(0, RECENT_AGE_MS))
def test_after_the_clock_was_set_back_totals_and_new_windows_are_exact(
    batches: Batches, back_ms: int, age_ms: int
) -> None:
    words, ledger, now_ms = make_books(), Ledger(), START_MS
    writer = make_writer(words)
    for gap_ms, settlements in batches:
        now_ms += gap_ms
        writer.begin(now_ms)
        for processor, _, cents in settlements:
            writer.settle(processor, now_ms, cents)
            ledger.settled.append((processor, now_ms, cents))
        writer.commit()
    before = [requested_ms for _, requested_ms, _ in ledger.settled]
    start_ms = now_ms - back_ms
    for later_ms in (0, age_ms // 2, age_ms):
        writer.begin(start_ms + later_ms)
        writer.settle(0, start_ms + later_ms, 100)
        writer.commit()
        ledger.settled.append((0, start_ms + later_ms, 100))
    reader = make_reader(words)
    assert reader.totals() == ledger.totals()
    # Payments of the same seconds from before the change are known to the second at best.
    if not any(start_ms <= requested_ms <= start_ms + age_ms + 1000 for requested_ms in before):
        assert reader.window(start_ms, start_ms + age_ms) == ledger.window(start_ms, start_ms + age_ms)


def test_amounts_near_the_limit_add_up_to_the_cent() -> None:
    words = make_books()
    writer = make_writer(words)
    for _ in range(50):
        writer.begin(START_MS)
        for _ in range(SETTLEMENTS_MAX):
            writer.settle(1, START_MS, 10**13 - 1)
        writer.commit()
    count = 50 * SETTLEMENTS_MAX
    assert make_reader(words).window(START_MS, START_MS) == (Sum(0, 0), Sum(count, count * (10**13 - 1)))


def test_both_bounds_are_inclusive() -> None:
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS, 100)
    writer.commit()
    reader = make_reader(words)
    assert reader.window(START_MS, START_MS)[0].payments == 1
    assert reader.window(START_MS + 1, START_MS + 1)[0].payments == 0
    assert reader.window(START_MS - 1, START_MS - 1)[0].payments == 0


def test_a_window_that_ends_before_it_begins_is_empty() -> None:
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS, 100)
    writer.commit()
    assert make_reader(words).window(START_MS + 5, START_MS - 5) == (Sum(0, 0), Sum(0, 0))


def test_new_books_are_empty_for_every_window() -> None:
    reader = make_reader(make_books())
    for bounds in ((None, None), (0, None), (None, 0), (START_MS, START_MS + 1), (-5, 10**15)):
        assert reader.window(*bounds) == (Sum(0, 0), Sum(0, 0))


@pytest.mark.parametrize("age_ms", [0, 1, RECENT_AGE_MS, HORIZON_AGE_SECONDS * 1000])
def test_what_was_requested_before_the_books_began_is_counted(age_ms: int) -> None:
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS - age_ms, 100)
    writer.commit()
    assert make_reader(words).window(START_MS - age_ms, START_MS)[0] == Sum(1, 100)


def test_after_forgetting_only_what_comes_later_counts() -> None:
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS, 100)
    writer.fail(7)
    writer.commit()
    writer.begin(START_MS + 5)
    writer.forget()
    writer.commit()
    reader = make_reader(words)
    assert reader.totals()[:3] == ((Sum(0, 0), Sum(0, 0)), Sum(0, 0), Sum(0, 0))
    assert reader.window(START_MS - 5, START_MS + 5) == (Sum(0, 0), Sum(0, 0))
    writer.begin(START_MS + 6)
    writer.settle(1, START_MS + 6, 300)
    writer.commit()
    assert reader.window(START_MS, START_MS + 10) == (Sum(0, 0), Sum(1, 300))
    assert reader.totals()[:3] == ((Sum(0, 0), Sum(1, 300)), Sum(0, 0), Sum(0, 0))


@pytest.mark.parametrize("processors", [2, 3, 8])
def test_each_processor_of_a_list_has_its_own_sums(processors: int) -> None:
    books, chance = shape(RECENT_SECONDS, 1, 16, processors), random.Random(processors)
    words, ledger = make_books(books), Ledger(processors)
    writer, reader = make_writer(words, books=books), make_reader(words, books)
    now_ms, base = START_MS, layout.SUM_MODULUS - 1
    for number in range(processors):
        words[layout.BOOKS_TOTALS_AT + 2 * number + 1] = base  # so that each has a carry
    for _ in range(60):
        now_ms += chance.randrange(60)
        writer.begin(now_ms)
        for _ in range(chance.randrange(SETTLEMENTS_MAX)):
            settled = chance.randrange(processors), now_ms - chance.randrange(50), chance.randrange(1, 10**13)
            writer.settle(*settled)
            ledger.settled.append(settled)
        writer.commit()
        from_ms, to_ms = now_ms - chance.randrange(RECENT_AGE_MS), now_ms - chance.randrange(20)
        assert reader.window(from_ms, to_ms) == ledger.window(from_ms, to_ms)
    assert [one._replace(cents=one.cents - base) for one in reader.totals().settled] == list(ledger.totals().settled)
    assert [words[layout.BOOKS_CARRIES_AT + number] for number in range(8)] == [1] * processors + [0] * (8 - processors)
    assert {words[at] for at in range(layout.BOOKS_TOTALS_AT + 2 * processors, layout.BOOKS_CARRIES_AT)} <= {0}
    writer.begin(now_ms)
    writer.forget()
    writer.commit()
    assert reader.totals() == Totals((Sum(0, 0),) * processors, Sum(0, 0), Sum(0, 0))
