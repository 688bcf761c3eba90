"""Small books for tests, and the naive model that they must agree with."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.books.levels import Shape, lay_out_books, shape
from engine.books.reader import BooksReader, Sum, Totals
from engine.books.writer import BooksWriter
from tests.ring.memory import blank

RECENT_SECONDS = 2
SHAPE = shape(RECENT_SECONDS, 1, 16, 2)
START_MS = 1_700_000_000_000


def make_books(books: Shape = SHAPE) -> memoryview[int]:
    words = blank(books.words)
    lay_out_books(words, books, 0x9E3779B97F4A7C15)  # type: ignore[arg-type]
    return words


def make_writer(words: memoryview[int], rings: tuple[memoryview[int], ...] = (), books: Shape = SHAPE) -> BooksWriter:
    writer = BooksWriter(words, books, rings)  # type: ignore[arg-type]
    writer.recover()
    return writer


def make_reader(words: memoryview[int], books: Shape = SHAPE) -> BooksReader:
    return BooksReader(words, books)  # type: ignore[arg-type]


@dataclass
class Ledger:
    """Every settlement in a list, for a number of processors."""

    processors: int = 2
    settled: list[tuple[int, int, int]] = field(default_factory=list)  # processor, requested_ms, cents
    failed: list[int] = field(default_factory=list)

    def window(self, from_ms: int | None, to_ms: int | None) -> tuple[Sum, ...]:
        return tuple(self._sum(processor, from_ms, to_ms) for processor in range(self.processors))

    def totals(self) -> Totals:
        return Totals(self.window(None, None), Sum(len(self.failed), sum(self.failed)), Sum(0, 0))

    def _sum(self, processor: int, from_ms: int | None, to_ms: int | None) -> Sum:
        cents = [
            entry[2]
            for entry in self.settled
            if entry[0] == processor
            and (from_ms is None or entry[1] >= from_ms)
            and (to_ms is None or entry[1] <= to_ms)
        ]
        return Sum(len(cents), sum(cents))
