"""The books' one writer: transactions that a crash between any two stores neither loses nor doubles.

A transaction is a set of absolute stores, to books and ring slots alike. It is written to the redo log first, then
committed by storing the log's length, then applied. A writer that starts applies a committed log once more. Since the
values are absolute, applying them twice has the same effect as applying them once.

Loss of power (``sync`` is given): the whole log is on disk before the first of its words is applied. All of its words
are on disk before the log says that it is done. So at any moment one of two things is true: the log on disk is whole
(its check tells), or all of its words are on disk. A whole log may already be done, if its length of 0 did not reach
the disk. Then the books were not synced since, so nothing was sent since. Applying the log again then changes nothing
that anyone was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, cycle

from engine.books.levels import Level, Shape
from engine.memory import layout
from engine.memory.words import WORD_MAX, Words, packed, zeros
from engine.processors import PROCESSORS_MAX

# The most entries that one payment can add to a transaction: three levels and the total (count, cents, carry), the
# words of its parking place and of its slot, and the counts beside the totals. It keeps a batch inside the redo log.
ENTRIES_OF_A_SETTLEMENT = 32
_INDEX_MASK = (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1
_CHECK_FACTOR = 0x9E3779B97F4A7C15
_SET_BACK = WORD_MAX  # the floor of a level while it is emptied because the clock was set back
SETTLEMENTS_MAX = layout.REDO_ENTRIES // ENTRIES_OF_A_SETTLEMENT
assert PROCESSORS_MAX == 1 << 3  # in a transaction, three bits of a key are the number of a processor


class BooksWriter:
    """Counts what was settled.

    Parameters:
      words: the books' segment; shape: its levels.
      rings: the rings' segments, in the order of their index. A transaction may store to their slots too.
      sync: brings books and rings to disk; None if they need not survive a loss of power. Between two calls the disk
        may hold any mixture of old and new words.

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
        # requested_ms << 3 | processor -> payments and cents settled in this transaction
        self._settled: dict[int, tuple[int, int]] = {}
        # For each total, the words of its cents and of what they have beyond a word.
        self._cents_and_carry = [
            (layout.BOOKS_TOTALS_AT + 2 * processor + 1, layout.BOOKS_CARRIES_AT + processor)
            for processor in range(shape.processors)
        ]

    def recover(self) -> None:
        """Finishes what a killed writer had committed. Must be called once, before anything else."""
        drop_torn_log(self._words)
        self._apply(_redo(self._words))

    def begin(self, now_ms: int) -> None:
        """Begins a transaction at the wall-clock time ``now_ms``, opening the buckets of that time."""
        assert not self._pending and not self._settled
        for level in self._shape.levels:
            number = now_ms // level.width_ms
            floor, head = self._words[level.floor_at], self._words[level.head_at]
            # The bucket is not open if time has moved on, if the level is new, purged or its opening was cut short
            # (floor > head), or if the clock was set back by more than the level holds.
            if not floor <= number <= head:
                self._open(level, number)
                assert self._words[level.floor_at] <= number <= self._words[level.head_at]

    def settle(self, processor: int, requested_ms: int, cents: int) -> None:
        """Counts a payment of ``cents`` as charged at ``processor`` under ``requested_ms``.

        A level leaves out a payment that is older than its horizon; the total always has it. A time beyond the head
        cannot occur: requested_ms was taken before ``begin``'s now.
        """
        # Payments that were sent together share their time, and are counted together at the commit.
        key = requested_ms << 3 | processor
        counted = self._settled.get(key)
        self._settled[key] = (1, cents) if counted is None else (counted[0] + 1, counted[1] + cents)

    def put_done(self, segment: int, at: int, requested_ms: int, settled: int, progress: int) -> None:
        """Puts the dispatcher's words of the slot that begins at word ``at``; ``settled`` is its word SLOT_SETTLED.

        The state comes last, both in the redo log and in the slot: once it is stored, the slot may be given away.
        """
        pending, base = self._pending, segment << layout.ADDRESS_SEGMENT_SHIFT | at
        pending[base + layout.SLOT_REQUESTED_MS] = requested_ms
        pending[base + layout.SLOT_SETTLED] = settled
        pending[base + layout.SLOT_PROGRESS] = progress

    def put_done_again(self, segment: int, at: int, requested_ms: int, settled: int, progress: int) -> None:
        """As :meth:`put_done`, for a slot whose state this transaction may have put already. It still comes last."""
        self._pending.pop(segment << layout.ADDRESS_SEGMENT_SHIFT | at + layout.SLOT_PROGRESS, None)
        self.put_done(segment, at, requested_ms, settled, progress)

    def fail(self, cents: int) -> None:
        """Counts a payment of ``cents`` as given up."""
        self._count_beside(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, 1, cents)

    def charged_before(self, cents: int) -> None:
        """Counts a payment of ``cents`` as one that a processor had charged before it was accepted."""
        self._count_beside(layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT, 1, cents)

    def fail_no_more(self, cents: int) -> None:
        """Counts a payment of ``cents`` as given up no more: it is tried again."""
        self._count_beside(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, -1, -cents)

    def declare(self, cents: int) -> None:
        """Counts a payment of ``cents`` as one whose outcome a person has declared."""
        self._count_beside(layout.BOOKS_DECLARED_AT, layout.BOOKS_DECLARED_CARRY_AT, 1, cents)

    def _count_beside(self, at: int, carry_at: int, payments: int, cents: int) -> None:
        self.add(at, payments)
        assert payments * cents > 0
        carry, rest = divmod(self.value(at + 1) + cents, layout.SUM_MODULUS)
        self.put(0, at + 1, rest)
        self.add(carry_at, carry)

    def hold(self) -> None:
        """Called in a transaction, before the caller reads words of others that it depends on, and that go on changing.

        Until the transaction is applied the version is odd. So who has seen a later word of others, and finds the books
        even and without this transaction, has seen it before the caller has: the two are in order.
        """
        self._words[layout.BOOKS_VERSION_AT] |= 1

    def forget(self) -> None:
        """Empties totals, levels and the parking table as part of the transaction, for a purge."""
        for at in (
            *range(layout.BOOKS_DEAD_AT, layout.BOOKS_PARKED_SEQUENCE_AT),
            layout.BOOKS_FAILED_DROPPED_AT,
            *range(layout.BOOKS_TOTALS_AT, layout.BOOKS_FINGERPRINTS_AT),
        ):
            self.put(0, at, 0)
        for level in self._shape.levels:
            # A floor beyond the head: nothing is valid, and the next begin() opens the level anew.
            self.put(0, level.floor_at, 1)
            self.put(0, level.head_at, 0)
        self.forget_parked()

    def forget_parked(self) -> None:
        """Empties the parking table as part of the transaction."""
        for at in (layout.BOOKS_DEAD_AT, layout.BOOKS_PARKED_KEPT_AT, layout.BOOKS_PARKED_TAKEN_AT):
            self.put(0, at, 0)
        self.put(0, layout.BOOKS_PARKED_ERA_AT, self.value(layout.BOOKS_PARKED_ERA_AT) + 1)

    def value(self, index: int) -> int:
        """Word ``index`` of the books as the transaction leaves it so far."""
        return self._pending.get(index, self._words[index])

    def add(self, index: int, more: int) -> None:
        """Adds ``more`` to word ``index`` of the books."""
        if more:
            value = self.value(index) + more
            assert value >= 0, "more was taken away than there is"
            self.put(0, index, value)

    def put(self, segment: int, index: int, value: int) -> None:
        """Stores ``value`` in word ``index`` of ``segment`` (0: books, i + 1: ring i) when the transaction commits."""
        self._pending[segment << layout.ADDRESS_SEGMENT_SHIFT | index] = value

    def commit(self) -> None:
        """Makes the whole transaction take effect. A crash leaves all of it or nothing."""
        pending, words = self._pending, self._words
        if not pending and not self._settled:
            return
        entries = self._counts()
        entries.update(pending)
        count = len(entries)
        assert count <= layout.REDO_ENTRIES
        assert words[layout.BOOKS_REDO_COUNT_AT] == 0
        words[layout.REDO_AT : layout.REDO_AT + 2 * count] = packed(chain.from_iterable(entries.items()))
        if self._sync is not None:
            seal_log(words, count)
        words[layout.BOOKS_REDO_COUNT_AT] = count  # from here on the transaction is committed
        self._bring_to_disk()
        self._apply(entries.items())
        pending.clear()
        self._settled.clear()
        assert words[layout.BOOKS_REDO_COUNT_AT] == 0 and not words[layout.BOOKS_VERSION_AT] & 1

    def _counts(self) -> dict[int, int]:
        """The new words of totals and levels, with the payments of this transaction."""
        words = self._words
        counts: dict[int, int] = {}
        for key, (payments, cents) in self._settled.items():
            processor, requested_ms = key & 7, key >> 3
            assert processor < self._shape.processors and requested_ms > 0 and cents > 0
            places = [layout.BOOKS_TOTALS_AT + 2 * processor, layout.BOOKS_TOTALS_AT + 2 * processor + 1]
            for level in self._shape.levels:
                number = requested_ms // level.width_ms
                if words[level.floor_at] <= number <= words[level.head_at]:
                    bucket = number % level.buckets
                    places += (level.counts_at[processor] + bucket, level.cents_at[processor] + bucket)
            for place, more in zip(places, cycle((payments, cents)), strict=False):
                counts[place] = counts.get(place, words[place]) + more
        for at, carry_at in self._cents_and_carry:
            if counts.get(at, 0) >= layout.SUM_MODULUS:
                counts[at] -= layout.SUM_MODULUS
                counts[carry_at] = words[carry_at] + 1
        return counts

    def _bring_to_disk(self) -> None:
        if self._sync is not None:
            self._sync()

    def _apply(self, entries: Iterable[tuple[int, int]]) -> None:
        """Applies the log; ``entries`` are its addresses and values."""
        words, segments, version_at = self._words, self._segments, layout.BOOKS_VERSION_AT
        # The next odd one, also after hold(): a reader that has found no log then has read words of before.
        words[version_at] = words[version_at] + 1 | 1
        for address, value in entries:
            segments[address >> layout.ADDRESS_SEGMENT_SHIFT][address & _INDEX_MASK] = value
        self._bring_to_disk()  # before the log is closed
        # The log is closed while the version is still odd. A reader that finds the version odd also looks into the log.
        # If the log is closed by then, all of its words have been applied.
        words[layout.BOOKS_REDO_COUNT_AT] = 0
        words[version_at] += 1

    def _open(self, level: Level, number: int) -> None:
        """Empties the buckets after the head up to ``number`` and some more, and moves floor and head.

        The floor goes first. So a crash in between leaves buckets that do not count as valid, and a reader that has
        begun with the old floor sees that it has moved.
        """
        words = self._words
        words[layout.BOOKS_VERSION_AT] |= 1
        floor, head = words[level.floor_at], words[level.head_at]
        new_head = number + level.ahead
        if floor > head or new_head - head >= level.buckets or number < floor:
            # If the clock was set back, the level loses what it held of the time before. Otherwise it held nothing of
            # that time: it is new or purged, or too much time has passed. Then it may claim all of its time as valid
            # (a finer level must), even if an opening was cut short.
            is_set_back = number < floor <= head or floor == _SET_BACK
            words[level.floor_at] = _SET_BACK if is_set_back else number + level.buckets  # nothing is valid meanwhile
            words[level.head_at] = new_head
            self._bring_to_disk()
            self._empty(level, 0, level.buckets)
            self._bring_to_disk()
            words[level.floor_at] = number if is_set_back else max(new_head - level.buckets + 1, 0)
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


def redo_ring(books: Words, ring: int, words: Words) -> None:
    """Applies a whole log to the words of ring number ``ring``; :meth:`BooksWriter.recover` may do it again."""
    if is_log_whole(books):
        for address, value in _redo(books):
            if address >> layout.ADDRESS_SEGMENT_SHIFT == ring + 1:
                words[address & _INDEX_MASK] = value


def seal_log(books: Words, count: int) -> None:
    """Writes the check of a log of ``count`` entries, for :func:`is_log_whole`."""
    books[layout.BOOKS_REDO_CHECK_AT] = _redo_check(books, count)


def drop_torn_log(books: Words) -> None:
    """Drops a log that is not whole, if a writer with ``sync`` has left it: nothing of it has been applied, or all.

    It is looked at whenever books are taken up, not only after a loss of power. A disk may refuse a page while the
    machine goes on; then the kernel forgets what was not written, and the log is a mixture of two. Nothing else in the
    books needs such a look. Their other words change in two ways: by the log, which applies each of them again, or
    between two syncs at the opening of a bucket, which begins anew. Without ``sync`` no log has a check.
    """
    if books[layout.BOOKS_CLEAN_AT] == layout.SYNCED and not is_log_whole(books):
        books[layout.BOOKS_REDO_COUNT_AT] = 0


def is_log_whole(books: Words) -> bool:
    """Whether the whole log reached the disk; only for books whose writes are synced in order."""
    count = books[layout.BOOKS_REDO_COUNT_AT]
    return count <= layout.REDO_ENTRIES and books[layout.BOOKS_REDO_CHECK_AT] == _redo_check(books, count)


def _redo(books: Words) -> Iterator[tuple[int, int]]:
    """The log: addresses and values."""
    for at in range(layout.REDO_AT, layout.REDO_AT + 2 * books[layout.BOOKS_REDO_COUNT_AT], 2):
        yield books[at], books[at + 1]


def _redo_check(books: Words, count: int) -> int:
    """A sum over the log's first ``count`` entries."""
    return log_check(books, layout.REDO_AT, count)


def log_check(books: Words, redo_at: int, count: int) -> int:
    """A sum over the first ``count`` entries of the log that begins at word ``redo_at``."""
    check = count + 1
    for at in range(redo_at, redo_at + 2 * count):
        check = (check * _CHECK_FACTOR ^ books[at]) & WORD_MAX
    return check
