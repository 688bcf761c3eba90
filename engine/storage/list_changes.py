"""Which changes of the list of processors an engine's memory allows.

Payments and books refer to a processor by its number in the list. So the list may grow at its end. It may also shrink
there, if nothing depends on the processors that go. Another order, or another name, would count payments for a
processor that has not charged them. So that is refused, unless nothing in the memory depends on any processor.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.books import parked
from engine.invocation import command
from engine.memory import layout
from engine.ring.ring import RingReader
from engine.storage.migration import Memory

UNRESOLVED = (layout.PROCESSING, layout.ALREADY)


def complaint(had: Sequence[str], wanted: Sequence[str], memory: Memory) -> str:
    """Why memory with the list ``had`` cannot go on with ``wanted``, in words; "" if it can.

    The redo log must have been applied.
    """
    had, wanted = tuple(had), tuple(wanted)
    if wanted[: len(had)] == had or depends_on_none(memory):
        return ""
    if had[: len(wanted)] == wanted:
        return _left_behind(had, range(len(wanted), len(had)), memory)
    return (
        f"its payments are counted for {', '.join(had)}, in this order, and ENGINE_PROCESSORS names "
        f"{', '.join(wanted)}. Begin the list with {', '.join(had)}, and name what is new behind them. To begin anew "
        f"with another list, let the engine settle what waits, and remove its memory with `{command('reset')}`"
    )


def depends_on_none(memory: Memory) -> bool:
    """Whether no payment was ever settled, failed, parked or charged before, and none is unresolved."""
    books = memory.books
    counts = [books[layout.BOOKS_TOTALS_AT + 2 * processor] for processor in range(memory.shape.processors)]
    counts += [books[at] for at in (layout.BOOKS_FAILED_AT, layout.BOOKS_BEFORE_AT, layout.BOOKS_PARKED_TAKEN_AT)]
    return not any(counts) and not any(count(memory, UNRESOLVED))


def count(memory: Memory, states: Sequence[int]) -> list[int]:
    """For each processor: payments in one of these states, in slots and in parking places."""
    counts = [0] * memory.shape.processors
    for words in memory.rings:
        ring = RingReader(words)
        for position in range(max(0, ring.head - ring.slots, ring.forgotten_below), ring.head):
            at = ring.offset(position)
            state, processor, _ = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])
            if state in states and words[at + layout.SLOT_SEQUENCE] == position + 1:
                counts[processor] += 1
    for place in range(memory.shape.parked_slots):
        payment = parked.read(memory.books.__getitem__, memory.shape, place)
        if payment is not None and payment.state in states:
            counts[payment.processor] += 1
    return counts


def _left_behind(had: Sequence[str], leaving: range, memory: Memory) -> str:
    unresolved, before = count(memory, UNRESOLVED), count(memory, (layout.CHARGED_BEFORE,))
    told = []
    for processor in leaving:
        settled = memory.books[layout.BOOKS_TOTALS_AT + 2 * processor]
        whys = [f"{unresolved[processor]} payments are unresolved there"] if unresolved[processor] else []
        whys += [f"it has settled {settled} payments"] if settled else []
        whys += [f"{before[processor]} payments had been charged there before"] if before[processor] else []
        if whys:
            told.append(
                f"{had[processor]} cannot leave the list of ENGINE_PROCESSORS: {', '.join(whys)}. Name it in its place"
            )
    return "\n".join(told)
