"""A reader beside a writer: what the writer stored is stored again, this time while the reader reads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, cast

from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.lab.dst.account import Account
from engine.lab.dst.checks import Checks, Floors, Masks, mask_of, masks_of
from engine.lab.dst.memory import Store
from engine.lab.dst.model import BASE, Model, ViolationError
from engine.lab.dst.plan import PROCESSORS
from engine.memory import layout
from engine.memory.layout import PARKED
from engine.memory.words import Words
from engine.ring.ring import RingReader

if TYPE_CHECKING:
    Array = array[int]
else:
    Array = array

READINGS = 2  # of one piece of writing

Image = list[Array]  # of the books and every ring, at one moment


class _Unrolling:
    """An image on which a journal of stores takes place, some of it before every load."""

    def __init__(self, image: Image, journal: Sequence[Store], stores_per_load: float, chance: Random) -> None:
        self.segments = [array("Q", words) for words in image]
        self._journal = journal
        self._next = 0
        self._stores_per_load = stores_per_load
        self._chance = chance

    def move_on(self) -> None:
        """Does the stores that fall before the next load."""
        due = self._chance.random() * 2 * self._stores_per_load
        while due >= 1 or (due > 0 and self._chance.random() < due):
            if self._next == len(self._journal):
                return
            segment, index, value = self._journal[self._next]
            self.segments[segment][index] = value
            self._next += 1
            due -= 1

    def finish(self) -> None:
        """Does all that is left."""
        for segment, index, value in self._journal[self._next :]:
            self.segments[segment][index] = value
        self._next = len(self._journal)


class _View:
    """A segment of it as the reader has it."""

    def __init__(self, unrolling: _Unrolling, segment: int) -> None:
        self._unrolling = unrolling
        self._words = unrolling.segments[segment]

    def __getitem__(self, index: Any) -> Any:
        self._unrolling.move_on()
        if not isinstance(index, slice):
            return self._words[index]
        middle = (index.start + index.stop) // 2
        first = self._words[index.start : middle]
        self._unrolling.move_on()
        return first + self._words[middle : index.stop]

    def __len__(self) -> int:
        return len(self._words)


@dataclass(frozen=True)
class _Span:
    """What was written: memory before and after, what was counted before and after, in how many transactions, and where
    the books' levels began at every moment of it.
    """

    before: Image
    after: Image
    masks_before: Masks
    masks_after: Masks
    commits: int
    floors: Sequence[Floors]


class Replay:
    """Reads beside what the writer has just done, with other interleavings."""

    def __init__(self, shape: Shape, model: Model, checks: Checks, chance: Random) -> None:
        self._shape = shape
        self._model = model
        self._checks = checks
        self._chance = chance

    def remember(self, books: Words, rings: Sequence[Words]) -> Image:
        """The memory before something is written."""
        return [array("Q", cast(Array, words)) for words in (books, *rings)]

    def read_beside(self, image: Image, journal: Sequence[Store]) -> None:
        """Goes through the writing again with readers beside it. Raises ViolationError."""
        if not journal:
            return
        end = _Unrolling(image, journal, 0, self._chance)
        end.finish()
        span = _Span(
            image,
            end.segments,
            self._masks(image),
            self._masks(end.segments),
            _commits(journal),
            self._floors(image, journal),
        )
        for processor in PROCESSORS:
            unknown = span.masks_after[processor] & ~self._model.charged_mask(processor)
            self._model.take_unconfirmed(processor, unknown)
        for _ in range(READINGS):
            unrolling = _Unrolling(image, journal, len(journal) / 40 * self._chance.random(), self._chance)
            views = [cast(Words, _View(unrolling, segment)) for segment in range(len(image))]
            choice = self._chance.random()
            if choice < 0.3:
                self._read_totals(span, views)
            elif choice < 0.6:
                self._read_window(span, views)
            elif not self._model.is_purging():
                for account in self._model.accounts:
                    if account.position >= 0 and self._chance.random() < 0.15:
                        self._look_up(account, span, views)

    def _masks(self, image: Image) -> Masks:
        return masks_of(BooksReader(cast(Words, image[0]), self._shape).totals(), self._checks.base)

    def _floors(self, image: Image, journal: Sequence[Store]) -> list[Floors]:
        floors = {level.floor_at: image[0][level.floor_at] for level in self._shape.levels}
        moments: list[Floors] = [dict(floors)]
        for segment, index, value in journal:
            if segment == 0 and isinstance(index, int) and index in floors:
                floors[index] = value
                moments.append(dict(floors))
        return moments

    def _read_totals(self, span: _Span, views: Sequence[Words]) -> None:
        seen = masks_of(BooksReader(views[0], self._shape).totals(), self._checks.base)
        if span.commits <= 1:
            whole = seen in (span.masks_before, span.masks_after)
        else:
            whole = all(map(_is_between, span.masks_before, seen, span.masks_after))
        if not whole:
            raise ViolationError(f"a reader saw half of it: {span.masks_before}, {seen}, {span.masks_after}")

    def _read_window(self, span: _Span, views: Sequence[Words]) -> None:
        if (span.masks_before.default ^ span.masks_after.default) & BASE:
            return  # what the sums began with was purged: the windows of both moments are not the same
        from_ms, to_ms = self._checks.draw_window()
        if self._checks.is_coarse:
            from_ms = to_ms = None
        sums = BooksReader(views[0], self._shape).window(from_ms, to_ms)
        for processor in PROCESSORS:
            seen = mask_of(f"a window from {from_ms} to {to_ms}", sums[processor], self._checks.base)
            # Where the books begin may move meanwhile, and with it how exact a bound is; but not within one reading.
            windows = {self._checks.window_mask(floors, processor, from_ms, to_ms) for floors in span.floors}
            before, after = span.masks_before[processor], span.masks_after[processor]
            if span.commits <= 1:
                whole = any(seen in (before & window, after & window) for window in windows)
            else:
                whole = any(_is_between(before & window, seen, after & window) for window in windows)
            if not whole:
                raise ViolationError(
                    f"a reader saw {seen:#b} from {from_ms} to {to_ms}, counted was {before:#b}, then {after:#b}"
                )

    def _look_up(self, account: Account, span: _Span, views: Sequence[Words]) -> None:
        """A payment that is known before and after is known in between."""
        if account.is_left_out:
            return
        ring_before, ring_after = span.before[account.ring + 1], span.after[account.ring + 1]
        if account.position >= ring_before[layout.RING_HEAD_AT]:
            return
        if account.position <= ring_after[layout.RING_HEAD_AT] - ring_after[layout.RING_SLOTS_AT]:
            return
        if account.position < ring_after[layout.RING_FORGOTTEN_AT]:
            return
        found = RingReader(views[account.ring + 1]).find(account.id_high, account.id_low)
        if found is not None and found.state == PARKED:
            parked = BooksReader(views[0], self._shape).parked(account.id_high, account.id_low)
            is_over = span.masks_after.done & account.bits
            if parked is not None or not is_over:  # else it may have been forgotten where it was parked
                found = parked
        if found is None or found.cents != account.cents:
            raise ViolationError(f"a reader found payment {account.number} as {found}", account.number)


def _commits(journal: Sequence[Store]) -> int:
    return sum(store[0] == 0 and store[1] == layout.BOOKS_REDO_COUNT_AT and store[2] > 0 for store in journal)


def _is_between(before: int, seen: int, after: int) -> bool:
    """Whether ``seen`` may have been there on the way: sums only grow, unless they were purged."""
    if before & ~after:
        return not seen & ~before or not seen & ~after
    return not before & ~seen and not seen & ~after
