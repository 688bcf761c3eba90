"""What the ledger says in shared memory is what the database has, also when that is less than before."""

from __future__ import annotations

import pytest

from engine.ledger.marks import Marks
from engine.ledger.rows import Cursor, RingCursor
from engine.memory import layout
from engine.memory.words import Words
from tests.books.ledger import make_books
from tests.ring.test_ring import make_ring

GENERATION = 77


@pytest.fixture
def books() -> Words:
    words: Words = make_books()  # type: ignore[assignment]
    words[layout.BOOKS_GENERATION_AT] = GENERATION
    return words


@pytest.fixture
def rings() -> list[Words]:
    return [make_ring(), make_ring()]  # type: ignore[list-item]


def cursor(*marks: int, parked: int = 0, generation: int = GENERATION) -> Cursor:
    rings = tuple(RingCursor(number, mark, mark + 2) for number, mark in enumerate(marks))
    return Cursor(b"", generation, 1, 0, parked, rings)


def said(books: Words, rings: list[Words]) -> tuple[list[int], int, list[int]]:
    return (
        [ring[layout.RING_LEDGER_AT] for ring in rings],
        books[layout.BOOKS_LEDGER_AT],
        [ring[layout.RING_LEDGER_PURGE_AT] for ring in rings],
    )


def test_what_sql_has_is_said_and_taken_back_when_it_has_less(books: Words, rings: list[Words]) -> None:
    marks = Marks(books, rings)
    marks.begin(cursor(5, 9, parked=4))
    marks.cover([1, 0])
    assert said(books, rings) == ([5, 9], 4, [1, 0])
    marks.set(cursor(6, 9, parked=7))
    assert said(books, rings) == ([6, 9], 7, [1, 0])
    marks.begin(cursor(2, 3, parked=1))  # an older copy of the database is in its place
    assert said(books, rings) == ([2, 3], 1, [0, 0]), "what it had for a purge it may not have now"


def test_a_database_that_does_not_know_this_memory_has_nothing_of_it(books: Words, rings: list[Words]) -> None:
    marks = Marks(books, rings)
    marks.begin(cursor(5, 9, parked=4))
    marks.begin(cursor(50, 90, parked=40, generation=GENERATION + 1))
    assert said(books, rings) == ([0, 0], 0, [0, 0])
    marks.set(cursor(8))
    assert said(books, rings) == ([8, 0], 0, [0, 0]), "a ring that it does not know"
