"""What the ring promises: to the process that puts payments in, to the dispatcher, and to every search."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.memory import layout
from engine.memory.words import Words
from engine.processors import DEFAULT
from engine.ring.ring import RingReader, RingWriter
from tests.ring.memory import blank

SLOTS = 8
ONE_BUCKET = (1, 0)  # with these seeds the low half of an id says nothing: those with one high half share a bucket
SPREAD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


def make_ring(slots: int = SLOTS, seeds: tuple[int, int] = ONE_BUCKET) -> memoryview[int]:
    words = blank(layout.ring_words(slots))
    layout.lay_out_ring(words, slots, *seeds)  # type: ignore[arg-type]
    return words


def finish(words: Words, position: int, state: int = layout.COMPLETED) -> None:
    """What the dispatcher stores when a payment is done."""
    reader = RingReader(words)
    word = layout.pack_progress(position, state, DEFAULT, 1)
    words[reader.offset(position) + layout.SLOT_PROGRESS] = word


def fill(writer: RingWriter, count: int) -> None:
    for number in range(count):
        assert writer.put(0, number, 100, 1, 0)


def test_what_was_put_in_is_found_with_every_field() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    assert writer.put(2**64 - 1, 2**64 - 2, 10**13 - 1, 1_700_000_000_000, 0)
    found = RingReader(words).find(2**64 - 1, 2**64 - 2)
    assert found is not None
    assert found[:5] == (0, 2**64 - 1, 2**64 - 2, 10**13 - 1, 1_700_000_000_000)
    assert (found.state, found.attempts) == (layout.QUEUED, 0)


def test_the_nil_id_is_an_id_like_any_other() -> None:
    writer = RingWriter(make_ring())  # type: ignore[arg-type]
    assert writer.find(0, 0) is None
    assert writer.put(0, 0, 100, 1, 0)
    assert writer.find(0, 0) is not None


def test_an_id_is_found_only_as_a_whole() -> None:
    writer = RingWriter(make_ring())  # type: ignore[arg-type]
    writer.put(1, 2, 100, 1, 0)
    assert writer.find(1, 3) is None
    assert writer.find(0, 2) is None
    assert writer.find(2, 1) is None


def test_a_full_ring_refuses_and_counts_it_and_changes_nothing() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    fill(writer, SLOTS)
    before = bytes(words)  # type: ignore[call-overload]
    assert not writer.put(0, 99, 100, 1, 0)
    assert words[layout.RING_REFUSED_AT] == 1
    words[layout.RING_REFUSED_AT] = 0
    assert bytes(words) == before  # type: ignore[call-overload]


def test_only_the_oldest_payment_keeps_a_ring_full() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    fill(writer, SLOTS)
    for position in range(1, SLOTS):
        finish(words, position)
    assert not writer.put(0, 99, 100, 1, 0)
    finish(words, 0)
    assert writer.put(0, 99, 100, 1, 0)


def test_a_slot_is_given_away_when_its_payment_is_completed_failed_or_parked() -> None:
    for state, may in {
        layout.QUEUED: False,
        layout.PROCESSING: False,
        layout.COMPLETED: True,
        layout.FAILED: True,
        layout.PARKED: True,
    }.items():
        words: Words = make_ring()  # type: ignore[assignment]
        writer = RingWriter(words)
        fill(writer, SLOTS)
        finish(words, 0, state)
        assert writer.put(0, 99, 100, 1, 0) is may


def test_where_the_ledger_is_waited_for_a_slot_is_given_away_only_when_sql_has_its_payment() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer, careless = RingWriter(words, waits_for_ledger=True), RingReader(words)
    fill(writer, SLOTS)
    words[layout.RING_LEDGER_AT] = 1
    assert not writer.put(0, 99, 100, 1, 0), "SQL has it, and it is not done"
    assert (writer.is_full, writer.is_full_of_unrecorded) == (True, False)
    finish(words, 0)
    finish(words, 1)
    assert writer.put(0, 99, 100, 1, 0)
    assert not writer.put(0, 100, 100, 1, 0), "it is done, and SQL does not have it"
    assert writer.is_full_of_unrecorded and words[layout.RING_REFUSED_AT] == 2
    assert not careless.is_full
    words[layout.RING_LEDGER_AT] = 2
    assert writer.put(0, 100, 100, 1, 0)


def test_what_was_purged_gives_its_slots_back_only_when_sql_has_it_where_the_ledger_is_waited_for() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words, waits_for_ledger=True)
    fill(writer, SLOTS)
    words[layout.RING_FORGOTTEN_AT] = writer.head
    assert not writer.put(0, 99, 100, 1, 0)
    words[layout.RING_LEDGER_AT] = SLOTS
    fill(writer, SLOTS)


def test_a_ledger_that_goes_back_takes_no_room_from_who_was_told_that_there_is_some() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words, waits_for_ledger=True)
    fill(writer, SLOTS)
    finish(words, 0)
    words[layout.RING_LEDGER_AT] = SLOTS
    assert writer.has_room()
    words[layout.RING_LEDGER_AT] = 0
    writer.fill(0, 99, 100, 1, 0)
    assert writer.find(0, 99) is not None


def test_progress_of_an_older_payment_in_the_slot_never_passes_for_this_ones() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    fill(writer, SLOTS)
    finish(words, 0)
    writer.put(0, 99, 100, 1, 0)
    found = writer.find(0, 99)
    assert found is not None
    assert found.state == layout.QUEUED
    assert not writer.is_done(SLOTS)


def test_an_overwritten_payment_is_not_read_under_its_old_position() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    fill(writer, SLOTS)
    finish(words, 0)
    writer.put(0, 99, 100, 1, 0)
    assert writer.read(0) is None
    assert writer.find(0, 0) is None


def test_what_was_purged_is_forgotten_and_gives_its_slots_back() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    writer = RingWriter(words)
    fill(writer, SLOTS)
    words[layout.RING_FORGOTTEN_AT] = writer.head
    assert all(writer.find(0, number) is None for number in range(SLOTS))
    fill(writer, SLOTS)
    assert all(writer.find(0, number) is not None for number in range(SLOTS))
    assert not writer.put(0, 99, 100, 1, 0)


def test_a_ring_that_is_opened_again_goes_on_where_it_was() -> None:
    words: Words = make_ring()  # type: ignore[assignment]
    fill(RingWriter(words), 3)
    again = RingWriter(words)
    assert again.head == 3
    assert again.put(0, 3, 100, 1, 0)
    assert [again.find(0, number) is not None for number in range(5)] == [True] * 4 + [False]


Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 30)),
        st.tuples(st.just("finish"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("purge"), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([ONE_BUCKET, SPREAD]))
def test_whatever_happens_the_ring_remembers_exactly_its_newest_payments(
    steps: list[Step], seeds: tuple[int, int]
) -> None:
    words: Words = make_ring(seeds=seeds)  # type: ignore[assignment]
    writer = RingWriter(words)
    model: list[tuple[int, bool]] = []  # (id, done) by position
    forgotten = 0
    for what, number in steps:
        if what == "put":
            remembered = range(max(forgotten, len(model) - SLOTS), len(model))
            if any(model[position][0] == number for position in remembered):
                continue  # the caller's duty
            oldest = len(model) - SLOTS
            has_room = oldest < 0 or oldest < forgotten or model[oldest][1]
            assert writer.put(number * 7, number, 100 + number, 5, 0) is has_room
            if has_room:
                model.append((number, False))
        elif what == "finish":
            position = len(model) - 1 - number
            if position >= forgotten:
                finish(words, position)
                model[position] = (model[position][0], True)
        elif what == "purge":
            forgotten = len(model)
            words[layout.RING_FORGOTTEN_AT] = forgotten
        else:
            writer = RingWriter(words)
        first = max(forgotten, len(model) - SLOTS)
        expected = {model[position][0]: position for position in range(first, len(model))}
        for identity in range(31):
            found = writer.find(identity * 7, identity)
            assert (found.position if found else None) == expected.get(identity)
            if found:
                assert found.cents == 100 + identity
                assert (found.state == layout.COMPLETED) is model[found.position][1]
        assert writer.head == len(model)
