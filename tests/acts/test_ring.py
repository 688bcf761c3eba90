"""The command ring: bounded, whole, and a writer that is killed between any two stores leaves it usable."""

from __future__ import annotations

from typing import Any

import pytest

from engine.acts.ring import CommandReader, CommandWriter, complaint, lay_out_acts
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Carried, Command, Result
from engine.memory.words import Words, zeros

BOOT, GENERATION, BEGIN = 5, 6, 1000
COMMAND = Command(Act.PAUSE, 1, 2, 3, 4, 5, 6)


def made() -> tuple[Words, Words]:
    words, books = zeros(acts_layout.acts_words(acts_layout.SLOTS)), zeros(layout.REDO_AT)
    lay_out_acts(words, 1, BOOT, GENERATION, BEGIN)
    books[layout.BOOKS_ACTS_AT] = BEGIN
    return words, books


def writer(words: Words, books: Words) -> CommandWriter:
    return CommandWriter(words, books, layout.BOOKS_ACTS_AT)


def test_what_was_put_is_read_and_its_result_comes_back() -> None:
    words, books = made()
    sequence = writer(words, books).put(COMMAND)
    assert sequence == BEGIN and CommandReader(words).read(sequence) == COMMAND
    assert writer(words, books).result(sequence) is None
    carried = Carried(Result.DONE, layout.PROCESSING, layout.REASON_CLOCK, layout.FAILED, layout.REASON_CANCELLED)
    CommandReader(words).tell(sequence, acts_layout.pack_result(carried))
    assert writer(words, books).result(sequence) == carried


def test_a_full_ring_takes_nothing_and_results_stay_readable_for_as_many_commands() -> None:
    words, books = made()
    put = [writer(words, books).put(COMMAND) for _ in range(acts_layout.WAITING_MAX)]
    assert None not in put and writer(words, books).put(COMMAND) is None
    CommandReader(words).tell(BEGIN, acts_layout.pack_result(Carried(Result.DONE)))
    for _ in range(acts_layout.SLOTS - acts_layout.WAITING_MAX):
        assert writer(words, books).result(BEGIN) == Carried(Result.DONE)
        books[layout.BOOKS_ACTS_AT] += 1
        writer(words, books).put(COMMAND)
    books[layout.BOOKS_ACTS_AT] += 1
    writer(words, books).put(COMMAND)
    with pytest.raises(LookupError):
        writer(words, books).result(BEGIN)


class DyingWords:
    """Words whose writer is killed at a store."""

    def __init__(self, words: Words, stores: int) -> None:
        self._words, self._left = words, stores

    def __getitem__(self, index: Any) -> Any:
        return self._words[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        self._words[index] = value


@pytest.mark.parametrize("stores", range(10))
def test_a_command_whose_writer_was_killed_is_there_as_a_whole_or_not_at_all(stores: int) -> None:
    words, books = made()
    with pytest.raises(KeyboardInterrupt):
        writer(DyingWords(words, stores), books).put(COMMAND)  # type: ignore[arg-type]
    assert words[acts_layout.HEAD_AT] == BEGIN
    other = COMMAND._replace(id_low=9)
    assert writer(words, books).put(other) == BEGIN and CommandReader(words).read(BEGIN) == other


@pytest.mark.parametrize(
    ("boot", "generation", "done", "said"),
    [
        (BOOT, GENERATION, BEGIN, ""),
        (BOOT, GENERATION, BEGIN - 10, ""),
        (BOOT, GENERATION, BEGIN + 1, "older than the books"),
        (BOOT + 1, GENERATION, BEGIN, "machine went down"),
        (BOOT, GENERATION + 1, BEGIN, "made anew"),
    ],
)
def test_a_dispatcher_goes_on_only_with_a_ring_that_is_certainly_its_own(
    boot: int, generation: int, done: int, said: str
) -> None:
    words, _ = made()
    found = complaint(words, boot, generation, done)
    assert (said in found) if said else found == ""
    assert complaint(zeros(64), boot, generation, done) == "it was not finished"
