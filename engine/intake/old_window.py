"""A window that is older than what the books know to the millisecond: which stretches of it the ledger is asked for,
and how the two make one sum. Pure.

From the first exact moment after a bound on (its *anchor*), the books are used. Before it there is the rest of a
second, or a minute. The ledger has its payments one by one, and the books have the sum of all of it: if the ledger's
sum of the whole bucket is the same, it lacks nothing there, whatever gaps it has elsewhere. What is older than the
books' horizon nothing confirms: there the ledger itself must be sure that it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.books.reader import EXACT_MS, Anchor, BooksReader, Sum

Stretch = tuple[int, int]  # from one ms to the other, which is excluded


class Part(NamedTuple):
    """A stretch that is added (``sign`` 1) or taken away (-1), and the bucket that it is in; None: it is
    older than the horizon."""

    sign: int
    stretch: Stretch
    bucket: Stretch | None


class Plan(NamedTuple):
    """What makes up a window: ``parts`` of the ledger, and of the books all from ``begin_ms`` to ``end_ms`` (excluded;
    None: no bound), unless that is nothing.
    """

    parts: tuple[Part, ...]
    begin_ms: int | None
    end_ms: int | None

    @property
    def stretches(self) -> list[Stretch]:
        """What the ledger is asked for: for each part, and then for each of the buckets."""
        return [part.stretch for part in self.parts] + self.buckets

    @property
    def buckets(self) -> list[Stretch]:
        """What the books confirm."""
        return [part.bucket for part in self.parts if part.bucket is not None]

    @property
    def is_confirmed(self) -> bool:
        """Whether the books confirm all that the ledger says."""
        return len(self.buckets) == len(self.parts)


def plan(from_ms: int | None, to_ms: int | None, anchor: Callable[[int], Anchor]) -> Plan | None:
    """How the window is put together; None: the books know it exactly by themselves.

    Parameters:
      from_ms, to_ms: both included; None: no bound.
      anchor: :meth:`BooksReader.anchor`.
    """
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        return None
    begin = _cut(from_ms, anchor)
    end = _cut(None if to_ms is None else to_ms + 1, anchor)
    if begin is not None and end is not None and begin.anchor.at_ms >= end.anchor.at_ms:
        return Plan((_part(1, begin, end.bound_ms),), 0, 0)
    cuts = [(1, begin), (-1, end)]
    parts = [_part(sign, cut, cut.anchor.at_ms) for sign, cut in cuts if cut is not None and cut.is_inexact]
    if not parts:
        return None
    return Plan(tuple(parts), begin and begin.anchor.at_ms, end and end.anchor.at_ms)


def together(
    plan: Plan, sums: Sequence[tuple[Sum, ...]], *, is_whole: bool, books: BooksReader
) -> tuple[Sum, ...] | None:
    """The exact sums of the window, for each processor; None when it is not certain that they are exact.

    Parameters:
      sums: the ledger's of ``plan.stretches``.
      is_whole: the ledger is sure by itself that it lacks nothing.

    Raises BooksBusyError.
    """
    if not (plan.is_confirmed or is_whole):
        return None
    known = sums[len(plan.parts) :]
    # Before and after: nothing was settled late, in a bucket that is confirmed, between these readings.
    if not _are_confirmed(plan, known, books):
        return None
    window = books.resolved(plan.begin_ms, None if plan.end_ms is None else plan.end_ms - 1)
    if window.resolution_ms != EXACT_MS or not _are_confirmed(plan, known, books):
        return None
    found = list(window.sums)
    for part, of_part in zip(plan.parts, sums, strict=False):
        for number, one in enumerate(of_part):
            count, cents = found[number]
            found[number] = Sum(count + part.sign * one.payments, cents + part.sign * one.cents)
    # The ledger's answer and the books' are of two moments. What makes no sum was settled between them.
    return tuple(found) if all(one.payments >= 0 and one.cents >= 0 for one in found) else None


def _are_confirmed(plan: Plan, sums: Sequence[tuple[Sum, ...]], books: BooksReader) -> bool:
    for (begin_ms, end_ms), of_ledger in zip(plan.buckets, sums, strict=True):
        window = books.resolved(begin_ms, end_ms - 1)
        if window.resolution_ms != EXACT_MS or list(window.sums) != list(of_ledger):
            return False
    return True


class _Cut(NamedTuple):
    """A bound, from which on a window begins or has ended, and its anchor."""

    bound_ms: int
    anchor: Anchor

    @property
    def is_inexact(self) -> bool:
        return self.bound_ms != self.anchor.at_ms


def _cut(bound_ms: int | None, anchor: Callable[[int], Anchor]) -> _Cut | None:
    return None if bound_ms is None else _Cut(bound_ms, anchor(bound_ms))


def _part(sign: int, cut: _Cut, end_ms: int) -> Part:
    bucket_ms = cut.anchor.bucket_ms
    return Part(sign, (cut.bound_ms, end_ms), None if bucket_ms is None else (bucket_ms, cut.anchor.at_ms))
