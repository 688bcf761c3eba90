"""Reading the books: any process may do it at any moment, and it always sees one consistent state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, cast

from engine.books import parked
from engine.books.levels import Level, Shape
from engine.memory import layout
from engine.memory.words import Words
from engine.payment import Payment

TRIES_MAX = 10_000
EXACT_MS = 1  # the resolution of a window that has just what was asked for
UNBOUNDED_MS = -1  # ... of one with a bound in a time of which only the total is known


class BooksBusyError(Exception):
    """The books changed under every one of :data:`TRIES_MAX` readings."""


class Sum(NamedTuple):
    """A number of payments, and their cents."""

    payments: int
    cents: int


class Window(NamedTuple):
    """What each processor charged in a window whose bounds were moved to a multiple of ``resolution_ms``."""

    sums: tuple[Sum, ...]
    resolution_ms: int  # EXACT_MS, UNBOUNDED_MS, or the width of a bucket


class Anchor(NamedTuple):
    """The first moment from a bound on that the books know exactly, ``at_ms``; the bound itself, if they know that.

    Else the bound lies in a bucket, which begins at ``bucket_ms`` and ends there, and whose sum they know. None: it is
    older than the horizon: of what was before ``at_ms`` they only know the total.
    """

    at_ms: int
    bucket_ms: int | None


class Totals(NamedTuple):
    """All payments that are done: settled, for each processor; given up; charged before they were accepted; and those
    whose outcome a person has declared.
    """

    settled: tuple[Sum, ...]
    failed: Sum
    before: Sum
    declared: Sum = Sum(0, 0)

    @property
    def payments(self) -> int:
        """How many payments are done."""
        return sum(one.payments for one in (*self.settled, self.failed, self.before, self.declared))


class BooksReader:
    """Sums of what was settled. A reading never mixes two moments.

    If a transaction is half applied (its writer was preempted, or killed), a reading also looks into the redo log, and
    so sees the state after the transaction. Readers never wait for the writer.
    """

    def __init__(self, words: Words, shape: Shape) -> None:
        self._words = words
        self._shape = shape
        self._processors = tuple(range(shape.processors))

    def window(self, from_ms: int | None, to_ms: int | None) -> tuple[Sum, ...]:
        """The sums of :meth:`resolved`. Raises BooksBusyError."""
        return self.resolved(from_ms, to_ms).sums

    def resolved(self, from_ms: int | None, to_ms: int | None) -> Window:
        """What each processor charged with ``from_ms <= requestedAt <= to_ms``; None is no bound.

        Exact to the millisecond within the recent time, to the second within the horizon (beyond the seconds there are
        a few minutes). A window begins at ``from_ms`` and ends at ``to_ms + 1``; each of the two that is too old for
        milliseconds is moved in the same way, to the next whole second (minute). So windows that touch add up. Of what
        is older than the horizon only the total is known: such a bound is moved to the beginning of all time.
        Raises BooksBusyError.
        """
        return self._read(from_ms, to_ms)[0]

    def anchor(self, bound_ms: int) -> Anchor:
        """Where the books begin to be exact from a bound on. Later it may be later: what is old gets coarser."""
        for level, floor in zip(self._shape.levels, self._floors(), strict=True):
            bucket, beyond_ms = divmod(bound_ms, level.width_ms)
            if bucket >= floor:
                at_ms = bucket * level.width_ms
                return Anchor(at_ms + level.width_ms, at_ms) if beyond_ms else Anchor(at_ms, at_ms)
        return Anchor(floor * level.width_ms, None)

    def totals(self) -> Totals:
        """Everything that is done. Raises BooksBusyError."""
        settled, failed, before, declared = self._read(None, None)
        return Totals(settled.sums, failed, before, declared)

    def parked(self, id_high: int, id_low: int) -> Payment | None:
        """The payment with this correlationId if it has been parked. Raises BooksBusyError."""
        words = self._words
        if not words[layout.BOOKS_PARKED_TAKEN_AT] and not words[layout.BOOKS_VERSION_AT] & 1:
            return None  # the first one that is parked ever may stand in the log alone
        return self._at_one_moment(lambda get: parked.find(get, self._shape, id_high, id_low))

    def all_parked(self) -> list[Payment]:
        """Every payment of the parking table, each at one moment, but not all at the same. Raises BooksBusyError."""
        found = (self._parked_at(place) for place in range(self._shape.parked_slots))
        return [payment for payment in found if payment is not None]

    def _parked_at(self, place: int) -> Payment | None:
        return self._at_one_moment(lambda get: parked.read(get, self._shape, place))

    def _at_one_moment(self, read: Callable[[Callable[[int], int]], Payment | None]) -> Payment | None:
        words = self._words
        for _ in range(TRIES_MAX):
            version = words[layout.BOOKS_VERSION_AT]
            redo = self._redo() if version & 1 else {}
            found = read(partial(self._get, redo))
            if words[layout.BOOKS_VERSION_AT] == version:
                return found
        raise BooksBusyError(f"the books changed during each of {TRIES_MAX} readings")

    def _read(self, from_ms: int | None, to_ms: int | None) -> tuple[Window, Sum, Sum, Sum]:
        words = self._words
        for _ in range(TRIES_MAX):
            version, floors = words[layout.BOOKS_VERSION_AT], self._floors()
            redo = self._redo() if version & 1 else {}
            settled = [self._window(processor, from_ms, to_ms, redo) for processor in self._processors]
            resolution_ms = self._resolution_ms(from_ms, to_ms, redo)
            failed = self._sum(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, redo)
            before = self._sum(layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT, redo)
            declared = self._sum(layout.BOOKS_DECLARED_AT, layout.BOOKS_DECLARED_CARRY_AT, redo)
            # While the version stays odd, a transaction that is being applied reads the same all the time, because it
            # is read through its log. Buckets that are being opened change, but their floor moves first.
            if words[layout.BOOKS_VERSION_AT] == version and self._floors() == floors:
                return Window(tuple(settled), resolution_ms), failed, before, declared
        raise BooksBusyError(f"the books changed during each of {TRIES_MAX} readings")

    def _floors(self) -> list[int]:
        words = self._words
        return [words[level.floor_at] for level in self._shape.levels]

    def _get(self, redo: dict[int, int], index: int) -> int:
        return redo.get(index, self._words[index])

    def _redo(self) -> dict[int, int]:
        """The words that a committed transaction, which is being applied, will leave in the books."""
        words, at = self._words, layout.REDO_AT
        count = min(words[layout.BOOKS_REDO_COUNT_AT], layout.REDO_ENTRIES)
        pairs = {words[at + 2 * i]: words[at + 2 * i + 1] for i in range(count)}
        return {address: value for address, value in pairs.items() if address >> layout.ADDRESS_SEGMENT_SHIFT == 0}

    def _window(self, processor: int, from_ms: int | None, to_ms: int | None, redo: dict[int, int]) -> Sum:
        """Everything after the lower bound, minus everything after the upper one."""
        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            return Sum(0, 0)
        low = self._total(processor, redo) if from_ms is None else self._since(processor, from_ms, redo)
        high = Sum(0, 0) if to_ms is None else self._since(processor, to_ms + 1, redo)
        # Beyond the recent time the lower bound is rounded up, so it may lie after the upper one.
        return Sum(max(low.payments - high.payments, 0), max(low.cents - high.cents, 0))

    def _resolution_ms(self, from_ms: int | None, to_ms: int | None, redo: dict[int, int]) -> int:
        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            return EXACT_MS
        starts = (from_ms, None if to_ms is None else to_ms + 1)
        moved = [self._moved_ms(start, redo) for start in starts if start is not None]
        return UNBOUNDED_MS if UNBOUNDED_MS in moved else max(moved, default=EXACT_MS)

    def _moved_ms(self, since_ms: int, redo: dict[int, int]) -> int:
        """To a multiple of how many ms a bound was moved, EXACT_MS where that changes nothing: see :meth:`_since`."""
        levels = self._shape.levels
        for level in levels:
            if -(-since_ms // level.width_ms) >= self._valid(level, redo)[0]:
                return level.width_ms if since_ms % level.width_ms else EXACT_MS
        # Where all there is lies after the horizon, the total is just what was charged since then.
        oldest_ms = self._valid(levels[-1], redo)[0] * levels[-1].width_ms
        is_all_later = all(self._since(one, oldest_ms, redo) == self._total(one, redo) for one in self._processors)
        return EXACT_MS if is_all_later else UNBOUNDED_MS

    def _total(self, processor: int, redo: dict[int, int]) -> Sum:
        return self._sum(layout.BOOKS_TOTALS_AT + 2 * processor, layout.BOOKS_CARRIES_AT + processor, redo)

    def _sum(self, at: int, carry_at: int, redo: dict[int, int]) -> Sum:
        """The count in word ``at`` and the cents in the next one, with the cents beyond a word from ``carry_at``."""
        words = self._words
        carry = redo.get(carry_at, words[carry_at])
        return Sum(redo.get(at, words[at]), redo.get(at + 1, words[at + 1]) + carry * layout.SUM_MODULUS)

    def _since(self, processor: int, since_ms: int, redo: dict[int, int]) -> Sum:
        """Payments with ``requestedAt >= since_ms``. The reading begins in the finest level that goes back that far. It
        uses each level up to the start of a bucket of the next coarser one. A bucket that is just being opened holds
        nothing that the finer level lacks.
        """
        count = cents = 0
        levels = self._shape.levels
        valid = [self._valid(level, redo) for level in levels]
        is_within = False
        for index, level in enumerate(levels):
            since_ms = -(-since_ms // level.width_ms) * level.width_ms
            first, (floor, head) = since_ms // level.width_ms, valid[index]
            if first < floor:
                continue
            is_within = True
            end, is_last = head + 1, index + 1 == len(levels)
            if not is_last:
                coarse_ms = levels[index + 1].width_ms
                next_first = -(-since_ms // coarse_ms)
                is_last = next_first < valid[index + 1][0]
                if not is_last:
                    since_ms = next_first * coarse_ms
                    end = min(end, since_ms // level.width_ms)
            count += self._range(level, level.counts_at[processor], first, end, redo)
            cents += self._range(level, level.cents_at[processor], first, end, redo)
            if is_last:
                break
        return Sum(count, cents) if is_within else self._total(processor, redo)

    def _valid(self, level: Level, redo: dict[int, int]) -> tuple[int, int]:
        """The numbers of the first and the last valid bucket of a level."""
        words = self._words
        return redo.get(level.floor_at, words[level.floor_at]), redo.get(level.head_at, words[level.head_at])

    def _range(self, level: Level, at: int, first: int, end: int, redo: dict[int, int]) -> int:
        """The sum of the buckets from ``first`` up to, but not including, ``end``. All of them are valid."""
        if end <= first:
            return 0
        begin, count = first % level.buckets, end - first
        words = self._words
        if begin + count <= level.buckets:
            spans = [(at + begin, at + begin + count)]
        else:
            spans = [(at + begin, at + level.buckets), (at, at + begin + count - level.buckets)]
        total = 0
        for low, high in spans:
            span = cast(Iterable[int], words[low:high])
            if redo:
                # A copy: the writer may store between the sum and a second look at the same word.
                values = list(span)
                for index, value in redo.items():
                    if low <= index < high:
                        values[index - low] = value
                span = values
            total += sum(span)
        return total
