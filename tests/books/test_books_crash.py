"""What the books promise if their writer is killed between any two stores, also to processes that read meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.books.reader import Sum
from engine.books.writer import BooksWriter
from engine.memory import layout
from tests.books.ledger import SHAPE, START_MS, make_books, make_reader, make_writer
from tests.ring.memory import Recorded, Store, Watched, apply, copy

Work = Callable[[BooksWriter], None]
Seen = tuple[tuple[Sum, ...], ...]

SLOT_WORD = 3  # of a segment that stands for a ring
RING_WORDS = 8
JUMPS = (1, 4)  # stores that the writer does between two loads of the reader
BEFORE = ((0, START_MS, 100), (1, START_MS - 700, 50), (0, START_MS - 1900, 7), (0, START_MS - 90_000, 9))
WINDOWS: tuple[tuple[int | None, int | None], ...] = (
    (None, None),
    (START_MS - 1000, START_MS),
    (START_MS - 1999, START_MS + 5000),
    (START_MS - 600_000, None),
    (None, START_MS - 700),
)


def settle_three(writer: BooksWriter) -> None:
    writer.begin(START_MS)
    for processor, requested_ms, cents in ((0, START_MS, 1000), (0, START_MS - 3, 300), (1, START_MS - 1500, 20)):
        writer.settle(processor, requested_ms, cents)
    writer.fail(5)
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


def a_little_later(writer: BooksWriter) -> None:
    """Time moves on far enough that every level opens buckets."""
    writer.begin(START_MS + 1500)
    writer.settle(1, START_MS + 1200, 60)
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


def much_later(writer: BooksWriter) -> None:
    writer.begin(START_MS + 20_000)
    writer.settle(1, START_MS + 20_000, 60)
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


def days_later(writer: BooksWriter) -> None:
    writer.begin(START_MS + 200_000_000)
    writer.settle(1, START_MS + 200_000_000, 60)
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


def forget(writer: BooksWriter) -> None:
    writer.begin(START_MS)
    writer.forget()
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


def settle_held(writer: BooksWriter) -> None:
    writer.begin(START_MS)
    writer.hold()
    writer.settle(0, START_MS, 1000)
    writer.settle(1, START_MS - 1500, 20)
    writer.put(1, SLOT_WORD, 42)
    writer.commit()


WORKS: list[Work] = [settle_three, a_little_later, much_later, days_later, forget, settle_held]


def used_books() -> memoryview[int]:
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    for processor, requested_ms, cents in BEFORE:
        writer.settle(processor, requested_ms, cents)
    writer.commit()
    return words


def trace(work: Work) -> tuple[list[memoryview[int]], list[Store]]:
    """The memory before ``work`` (books and a ring), and the stores that it does."""
    segments = [used_books(), memoryview(bytearray(8 * RING_WORDS)).cast("Q")]
    stores: list[Store] = []
    books, ring = (Recorded(copy(segment), stores, number) for number, segment in enumerate(segments))
    work(BooksWriter(books, SHAPE, (ring,)))
    return segments, stores


def see(words: memoryview[int]) -> Seen:
    reader = make_reader(words)
    return tuple(reader.window(*window) for window in WINDOWS)


def is_commit(store: Store) -> bool:
    return store.segment == 0 and store.at == layout.BOOKS_REDO_COUNT_AT and store.values[0] > 0


@pytest.mark.parametrize("work", WORKS)
def test_a_transaction_is_whole_or_not_at_all_wherever_its_writer_is_killed(work: Work) -> None:
    segments, stores = trace(work)
    after = [copy(segment) for segment in segments]
    for store in stores:
        apply(after, store)
    expected = see(after[0]), make_reader(after[0]).totals(), after[1][SLOT_WORD]
    unchanged = make_reader(segments[0]).totals()
    committed = False
    for store in stores:
        left = [copy(segment) for segment in segments]
        make_writer(left[0], (left[1],))
        if committed:
            assert (see(left[0]), make_reader(left[0]).totals(), left[1][SLOT_WORD]) == expected
        else:
            assert make_reader(left[0]).totals() == unchanged
            assert left[1][SLOT_WORD] == 0
        apply(segments, store)
        committed = committed or is_commit(store)
    assert committed


@pytest.mark.parametrize("work", WORKS)
def test_doing_again_what_was_not_committed_counts_it_once(work: Work) -> None:
    segments, stores = trace(work)
    after = [copy(segment) for segment in segments]
    for store in stores:
        apply(after, store)
    expected = see(after[0]), make_reader(after[0]).totals()
    for store in stores:
        if is_commit(store):
            break
        left = [copy(segment) for segment in segments]
        work(make_writer(left[0], (left[1],)))
        assert (see(left[0]), make_reader(left[0]).totals()) == expected
        apply(segments, store)


@pytest.mark.parametrize("work", WORKS)
def test_a_kill_during_recovery_does_no_harm(work: Work) -> None:
    segments, stores = trace(work)
    after = [copy(segment) for segment in segments]
    for store in stores:
        apply(after, store)
    expected = see(after[0]), make_reader(after[0]).totals(), after[1][SLOT_WORD]
    for store in stores:
        apply(segments, store)
        if is_commit(store):
            break
    again: list[Store] = []
    books, ring = (Recorded(copy(segment), again, number) for number, segment in enumerate(segments))
    BooksWriter(books, SHAPE, (ring,)).recover()
    for store in again:
        left = [copy(segment) for segment in segments]
        make_writer(left[0], (left[1],))
        assert (see(left[0]), make_reader(left[0]).totals(), left[1][SLOT_WORD]) == expected
        apply(segments, store)


@pytest.mark.parametrize("work", WORKS)
def test_a_reader_sees_the_state_before_or_after_while_the_writer_stands_still(work: Work) -> None:
    segments, stores = trace(work)
    words = segments[0]
    states = []
    for store in stores:
        states.append((make_reader(words).window(None, None), make_reader(words).totals()))
        apply(segments, store)
    final = make_reader(words).window(None, None), make_reader(words).totals()
    first_new = states.index(final) if final in states else len(states)
    assert all(state == states[0] for state in states[:first_new])
    assert all(state == final for state in states[first_new:])


# The sums of a window may change by the opening of buckets alone: a payment that is then too old for milliseconds
# counts by seconds. So a reader may see any state that the writer leaves at the end of an opening or of a transaction.
@pytest.mark.parametrize("window", [WINDOWS[0], WINDOWS[2], WINDOWS[3]])
@pytest.mark.parametrize("work", WORKS)
def test_a_reader_never_mixes_two_states_whatever_the_writer_does_meanwhile(
    work: Work, window: tuple[int | None, int | None]
) -> None:
    segments, stores = trace(work)
    stores = [store for store in stores if store.segment == 0]
    allowed = states_at_rest([copy(segments[0])], stores, window)
    for begin, store in enumerate(stores):
        if not is_log(store):  # nothing reads an uncommitted log
            for jump in JUMPS:
                pause, loads = 0, 1
                while pause < loads:
                    loads, seen = read_with_a_jump(segments[0], stores[begin : begin + jump], window, pause)
                    assert seen in allowed, (begin, pause, jump)
                    pause += 1
        apply(segments, store)


def is_log(store: Store) -> bool:
    return layout.REDO_AT <= store.at < layout.REDO_AT + 2 * layout.REDO_ENTRIES


def states_at_rest(
    segments: list[memoryview[int]], stores: list[Store], window: tuple[int | None, int | None]
) -> set[tuple[Sum, ...]]:
    states = {make_reader(segments[0]).window(*window)}
    for store in stores:
        apply(segments, store)
        if store.at == layout.BOOKS_VERSION_AT and store.values[0] % 2 == 0:
            states.add(make_reader(segments[0]).window(*window))
    return states


def read_with_a_jump(
    words: memoryview[int], stores: list[Store], window: tuple[int | None, int | None], pause: int
) -> tuple[int, tuple[Sum, ...]]:
    """Reads while the writer stands still, except for ``stores`` stores, all before load number ``pause``."""
    memory = copy(words)
    loads = 0

    def before_load() -> None:
        nonlocal loads
        if loads == pause:
            for store in stores:
                apply([memory], store)
        loads += 1

    reader = make_reader(memory)
    reader._words = Watched(memory, before_load)
    seen = reader.window(*window)
    return loads, seen


def test_a_window_is_whole_while_a_level_is_opened_after_a_long_time() -> None:
    later_ms = START_MS + 200_000_000
    words = make_books()
    writer = make_writer(words)
    writer.begin(START_MS)
    writer.settle(0, START_MS, 100)
    writer.commit()
    before, stores = copy(words), list[Store]()
    minute_ms = START_MS - START_MS % 60_000  # as exact as the coarsest level
    BooksWriter(Recorded(words, stores), SHAPE, ()).begin(later_ms)
    image = copy(before)
    for count, store in enumerate(stores):
        apply([image], store)
        for window in ((None, later_ms - 1), (minute_ms, later_ms + 5000), (minute_ms, None)):
            assert make_reader(image).window(*window) == (Sum(1, 100), Sum(0, 0)), (count, window)
