"""The writer of the journal: the dispatcher appends records; see :mod:`engine.memory.journal_layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from engine.memory import journal_layout as layout
from engine.memory.words import WORD_BYTES, Words

PART: Final = 512  # most records that are claimed at once: fewer than the smallest journal has

Record = tuple[int, int, int, int, int, int, int, int, int, int, int, int]  # the fields of RECORD, but for the last one


class JournalWriter:
    """Appends to the journal in ``words``, after what an earlier dispatcher has published."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._mask = words[layout.SLOTS_AT] - 1
        assert self._mask > PART
        self.sequence = words[layout.PUBLISHED_AT]  # of the next record

    def append(self, records: Sequence[Record]) -> None:
        """Appends records, and publishes them."""
        words, mask, pack_into, size = self._words, self._mask, layout.RECORD.pack_into, layout.RECORD.size
        memory = cast(bytearray, words)  # of words or of bytes: it is the same memory
        first, sequence = layout.HEADER_WORDS * WORD_BYTES, self.sequence
        for begin in range(0, len(records), PART):
            part = records[begin : begin + PART] if len(records) > PART else records
            words[layout.CLAIMED_AT] = sequence + len(part)
            for record in part:
                # Byte by byte or not: nobody reads a record before it is published.
                pack_into(memory, first + (sequence & mask) * size, *record, sequence + 1)
                sequence += 1
            words[layout.PUBLISHED_AT] = self.sequence = sequence


def lay_out_journal(words: Words, slots: int, number: int, boot: int, generation: int) -> None:
    """Turns zeroed memory into an empty journal. ``number`` is not 0."""
    words[layout.LAYOUT_AT] = layout.JOURNAL_LAYOUT_VERSION
    words[layout.SLOTS_AT] = slots
    words[layout.NUMBER_AT] = number
    words[layout.BOOT_AT] = boot
    words[layout.GENERATION_AT] = generation
    words[layout.MAGIC_AT] = layout.JOURNAL_MAGIC


def complaint(words: Words, slots: int, boot: int, generation: int) -> str:
    """Why a dispatcher cannot go on with this journal; ``""`` if it can. A journal is only history: it is made anew."""
    if len(words) < layout.HEADER_WORDS or words[layout.MAGIC_AT] != layout.JOURNAL_MAGIC:
        return "it was not finished"
    if words[layout.LAYOUT_AT] != layout.JOURNAL_LAYOUT_VERSION:
        return f"it has layout version {words[layout.LAYOUT_AT]}, this engine writes {layout.JOURNAL_LAYOUT_VERSION}"
    if words[layout.SLOTS_AT] != slots or len(words) != layout.journal_words(slots):
        return f"it has {words[layout.SLOTS_AT]} slots, ENGINE_JOURNAL_SLOTS asks for {slots}"
    if words[layout.GENERATION_AT] != generation:
        return "rings and books were made anew"
    if words[layout.BOOT_AT] != boot:
        return "the machine went down, and it is not known which records are on disk"
    return ""
