"""Memory in which a process dies between two stores."""

from __future__ import annotations

import pytest

from engine.lab.dst.memory import NEVER, KilledError, Points, Store, shared_words
from engine.memory.words import zeros


def kill() -> None:
    raise KilledError


def test_a_process_dies_before_the_store_that_was_chosen() -> None:
    points = Points()
    words = shared_words(0, 8, points)
    points.interrupt, points.left = kill, 3
    with pytest.raises(KilledError):
        for index in range(8):
            words[index] = 7
    assert [words[index] for index in range(8)] == [7, 7, 0, 0, 0, 0, 0, 0]


def test_a_store_of_many_words_may_be_cut_short() -> None:
    points = Points()
    words = shared_words(0, 8, points)
    for index in range(8):
        words[index] = 7
    points.interrupt, points.left = kill, 2
    with pytest.raises(KilledError):
        words[1:7] = zeros(6)
    assert [words[index] for index in range(8)] == [7, 0, 0, 0, 7, 7, 7, 7]
    points.left = NEVER
    words[1:7] = zeros(6)
    assert [words[index] for index in range(8)] == [7, 0, 0, 0, 0, 0, 0, 7]


def test_a_word_holds_64_bits_and_no_more() -> None:
    words = shared_words(0, 1, Points())
    for value in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            words[0] = value


def test_the_journal_has_every_store_in_order() -> None:
    points = Points()
    points.journal = journal = list[Store]()
    books, ring = shared_words(0, 4, points), shared_words(1, 4, points)
    books[2] = 5
    ring[1] = 6
    books[0:2] = zeros(2)
    assert [store[:2] for store in journal] == [(0, 2), (1, 1), (0, slice(0, 1)), (0, slice(1, 2))]
