"""What the parking table promises those who follow it: changes have numbers, and places wait for the ledger."""

from __future__ import annotations

from itertools import count

from engine.books import parked
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.hashing import mix
from engine.payment import Payment
from tests.books.ledger import SHAPE, START_MS, make_books, make_writer

SEED = 0x9E3779B97F4A7C15  # of the parking table that make_books makes


def payment(number: int) -> Payment:
    return Payment(number, number, number, 1990, START_MS, layout.PROCESSING, 0, 1, START_MS, 0, 0, 1, START_MS)


def of_one_bucket(least: int) -> list[Payment]:
    """``least`` payments whose ids have the same places, of which there are PARKED_WAYS."""
    buckets = SHAPE.parked_slots // layout.PARKED_WAYS
    numbers = (one for one in count(1) if (mix(one, one, SEED, SEED) >> 32) % buckets == 0)
    return [payment(next(numbers)) for _ in range(least)]


def park(books: BooksWriter, one: Payment, *, waits_for_ledger: bool) -> int | None:
    books.begin(START_MS)
    place = parked.put(books, SHAPE, one, waits_for_ledger=waits_for_ledger)
    books.commit()
    return place


def end(books: BooksWriter, place: int) -> None:
    books.begin(START_MS)
    there = parked.read(books.value, SHAPE, place)
    assert there is not None
    parked.change(books, SHAPE, place, there._replace(state=layout.FAILED, settled_ms=START_MS))
    books.commit()


def test_every_change_of_a_place_has_a_number_and_finds_the_place() -> None:
    words = make_books()
    books = make_writer(words)
    places = [park(books, payment(number), waits_for_ledger=False) for number in (1, 2, 3)]
    assert None not in places
    assert words[layout.BOOKS_PARKED_SEQUENCE_AT] == 3
    since = [parked.changed_since(words, SHAPE, number) for number in (1, 3, 4)]  # type: ignore[arg-type]
    assert [sorted(one) for one in since] == [sorted(places), [places[2]], []]  # type: ignore[type-var]
    end(books, places[0])  # type: ignore[arg-type]
    assert parked.changed_since(words, SHAPE, 4) == [places[0]]  # type: ignore[arg-type]
    assert len(parked.changed_since(words, SHAPE, 0)) == SHAPE.parked_slots, "0: whatever there is"  # type: ignore[arg-type]


def test_a_place_whose_payment_is_over_is_taken_again_only_when_sql_has_that() -> None:
    words = make_books()
    books = make_writer(words)
    *first, late, later = of_one_bucket(layout.PARKED_WAYS + 2)
    places = [park(books, one, waits_for_ledger=True) for one in first]
    assert None not in places and park(books, late, waits_for_ledger=True) is None
    end(books, places[5])  # type: ignore[arg-type]
    words[layout.BOOKS_LEDGER_AT] = words[layout.BOOKS_PARKED_SEQUENCE_AT]  # all but that it is over
    assert park(books, late, waits_for_ledger=True) is None
    words[layout.BOOKS_LEDGER_AT] += 1
    assert park(books, late, waits_for_ledger=True) == places[5]
    end(books, places[6])  # type: ignore[arg-type]
    assert park(books, later, waits_for_ledger=False) == places[6], "without waiting it is free at once"


def test_after_a_purge_a_place_still_waits_until_sql_has_what_was_in_it() -> None:
    words = make_books()
    books = make_writer(words)
    *first, late = of_one_bucket(layout.PARKED_WAYS + 1)
    for one in first:
        park(books, one, waits_for_ledger=True)
    books.begin(START_MS)
    books.forget()
    books.commit()
    assert park(books, late, waits_for_ledger=True) is None
    words[layout.BOOKS_LEDGER_AT] = words[layout.BOOKS_PARKED_SEQUENCE_AT] + 1
    assert park(books, late, waits_for_ledger=True) is not None
    assert words[layout.BOOKS_PARKED_SEQUENCE_AT] == layout.PARKED_WAYS + 1, "a purge does not count from 0 again"
