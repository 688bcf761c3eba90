"""The books' one writer: transactions that a crash between any two stores neither loses nor doubles.

A transaction is a set of absolute stores (books and ring slots alike). It is written to the redo log first, committed
by storing the log's length, then applied; a writer that starts applies once more whatever is committed. Since the
values are absolute, applying twice is applying once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.books.levels import Level, Shape
from engine.memory import layout
from engine.memory.words import WORD_MAX, Words, zeros

# What one payment can add to a transaction at the most: three levels and the total (count, cents), and the words of its
# slot or of its place aside. Used to keep a batch inside the redo log.
ENTRIES_OF_A_SETTLEMENT = 16
_CHECK_FACTOR = 0x9E3779B97F4A7C15
SETTLEMENTS_MAX = layout.REDO_ENTRIES // ENTRIES_OF_A_SETTLEMENT


class BooksWriter:
    """Counts what was settled.

    Parameters:
      words: the books' segment; shape: its levels.
      rings: the rings' segments, in the order of their index: a transaction may store to their slots too.
      sync: brings books and rings to disk; None where they need not survive the loss of power. Between two calls
        the disk may hold any mixture of old and new words.

    Use: ``begin(now_ms)``, then ``settle``/``fail``/``put`` for at most :data:`SETTLEMENTS_MAX` payments, ``commit()``.
    Nothing is visible before ``commit``, everything is after it.
    """

    def __init__(
        self, words: Words, shape: Shape, rings: Sequence[Words], sync: Callable[[], None] | None = None
    ) -> None:
        self._sync = sync
        self._words = words
        self._shape = shape
        self._segments = (words, *rings)
        self._pending: dict[int, int] = {}

    def recover(self) -> None:
        """Finishes what a killed writer had committed. Must be called once, before anything else."""
        words = self._words
        if self._sync is not None and words[layout.BOOKS_REDO_CHECK_AT] != self._redo_check():
            # The power went while the log was on its way to the disk, so nothing of it has been applied.
            words[layout.BOOKS_REDO_COUNT_AT] = 0
        self._apply()

    def begin(self, now_ms: int) -> None:
        """Begins a transaction at the wall-clock time ``now_ms``, opening the buckets of that time."""
        assert not self._pending
        for level in self._shape.levels:
            number = now_ms // level.width_ms
            floor, head = self._words[level.floor_at], self._words[level.head_at]
            # Not so when time has moved on, when the level is new, purged or its opening was cut short (floor > head),
            # and when the clock was set back by more than the level holds.
            if not floor <= number <= head:
                self._open(level, number)

    def settle(self, processor: int, requested_ms: int, cents: int) -> None:
        """Counts a payment of ``cents`` as charged at ``processor`` under ``requested_ms``.

        What is older than a level's horizon is left out of that level; the total has it always. A time beyond the head
        cannot be: requested_ms was taken before ``begin``'s now.
        """
        words, pending = self._words, self._pending
        total = layout.BOOKS_TOTALS_AT + 2 * processor
        pending[total] = pending.get(total, words[total]) + 1
        pending[total + 1] = pending.get(total + 1, words[total + 1]) + cents
        for level in self._shape.levels:
            number = requested_ms // level.width_ms
            if words[level.floor_at] <= number <= words[level.head_at]:
                bucket = number % level.buckets
                at = level.counts_at[processor] + bucket
                pending[at] = pending.get(at, words[at]) + 1
                at = level.cents_at[processor] + bucket
                pending[at] = pending.get(at, words[at]) + cents

    def fail(self, cents: int) -> None:
        """Counts a payment of ``cents`` as given up."""
        at = layout.BOOKS_FAILED_AT
        self.put(0, at, self.value(at) + 1)
        self.put(0, at + 1, self.value(at + 1) + cents)

    def forget(self) -> None:
        """Empties totals, levels and the aside table as part of the transaction (purge)."""
        for at in range(layout.BOOKS_TOTALS_AT, layout.BOOKS_FAILED_AT + 2):
            self.put(0, at, 0)
        for level in self._shape.levels:
            # floor beyond head: nothing valid, and the next begin() opens the level anew.
            self.put(0, level.floor_at, 1)
            self.put(0, level.head_at, 0)
        self.put(0, layout.BOOKS_ASIDE_KEPT_AT, 0)
        self.put(0, layout.BOOKS_ASIDE_TAKEN_AT, 0)
        self.put(0, layout.BOOKS_ASIDE_ERA_AT, self.value(layout.BOOKS_ASIDE_ERA_AT) + 1)

    def value(self, index: int) -> int:
        """Word ``index`` of the books as the transaction leaves it so far."""
        return self._pending.get(index, self._words[index])

    def put(self, segment: int, index: int, value: int) -> None:
        """Makes ``value`` stand in word ``index`` of ``segment`` (0: books, i + 1: ring i)."""
        self._pending[segment << layout.ADDRESS_SEGMENT_SHIFT | index] = value

    def commit(self) -> None:
        """Makes the transaction true, whole or not at all."""
        pending, words = self._pending, self._words
        if not pending:
            return
        assert len(pending) <= layout.REDO_ENTRIES
        assert words[layout.BOOKS_REDO_COUNT_AT] == 0
        self._bring_to_disk()  # the last transaction, whose log is overwritten now
        at = layout.REDO_AT
        for address, value in pending.items():
            words[at] = address
            words[at + 1] = value
            at += 2
        if self._sync is not None:
            words[layout.BOOKS_REDO_CHECK_AT] = self._redo_check(len(pending))
        words[layout.BOOKS_REDO_COUNT_AT] = len(pending)  # from here on it is true
        self._bring_to_disk()
        self._apply()
        pending.clear()

    def _bring_to_disk(self) -> None:
        if self._sync is not None:
            self._sync()

    def _redo_check(self, count: int | None = None) -> int:
        """A sum over the log's first ``count`` entries; without ``count``, over as many as it says it has."""
        words = self._words
        count = min(words[layout.BOOKS_REDO_COUNT_AT], layout.REDO_ENTRIES) if count is None else count
        check = count + 1
        for at in range(layout.REDO_AT, layout.REDO_AT + 2 * count):
            check = (check * _CHECK_FACTOR ^ words[at]) & WORD_MAX
        return check

    def _apply(self) -> None:
        words = self._words
        words[layout.BOOKS_VERSION_AT] |= 1
        mask = (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1
        at = layout.REDO_AT
        for _ in range(words[layout.BOOKS_REDO_COUNT_AT]):
            address = words[at]
            self._segments[address >> layout.ADDRESS_SEGMENT_SHIFT][address & mask] = words[at + 1]
            at += 2
        # The log is closed while the version is still odd: a reader that finds the version odd reads through the log,
        # and whatever it misses there has been applied.
        words[layout.BOOKS_REDO_COUNT_AT] = 0
        words[layout.BOOKS_VERSION_AT] += 1

    def _open(self, level: Level, number: int) -> None:
        """Empties the buckets after the head up to ``number`` and some more, and moves floor and head.

        The floor goes first: a crash in between leaves buckets that nobody takes for valid, and a reader that has begun
        with another floor sees that it has moved.
        """
        words = self._words
        words[layout.BOOKS_VERSION_AT] |= 1
        floor, head = words[level.floor_at], words[level.head_at]
        new_head = number + level.ahead
        if floor > head or new_head - head >= level.buckets or number < floor:
            words[level.floor_at] = number + level.buckets  # nothing is valid while all is emptied
            words[level.head_at] = new_head
            self._bring_to_disk()
            self._empty(level, 0, level.buckets)
            self._bring_to_disk()
            # What the level held of the time before is gone when the clock was set back, and may be when an opening
            # was cut short. Otherwise there was nothing: the level is new or purged, or too much time has passed.
            has_gap = number < floor <= head or floor > head > 0
            words[level.floor_at] = number if has_gap else max(new_head - level.buckets + 1, 0)
        else:
            words[level.floor_at] = max(floor, new_head - level.buckets + 1)
            self._bring_to_disk()
            first, count = (head + 1) % level.buckets, new_head - head
            self._empty(level, first, min(first + count, level.buckets))
            if first + count > level.buckets:
                self._empty(level, 0, first + count - level.buckets)
            self._bring_to_disk()
            words[level.head_at] = new_head
        words[layout.BOOKS_VERSION_AT] += 1

    def _empty(self, level: Level, begin: int, end: int) -> None:
        blank = zeros(end - begin)
        for start in (*level.counts_at, *level.cents_at):
            self._words[start + begin : start + end] = blank
