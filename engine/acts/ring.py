"""The command ring: operators' commands put, the dispatcher reads; see :mod:`engine.memory.acts_layout`."""

from __future__ import annotations

from engine.memory import acts_layout as layout
from engine.memory.acts_layout import Carried, Command
from engine.memory.words import Words


class CommandReader:
    """The dispatcher's side."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._slots = words[layout.SLOTS_AT]

    def read(self, sequence: int) -> Command:
        """The command ``sequence``, which is published."""
        words, at = self.words, layout.entry_offset(self._slots, sequence)
        assert words[at + layout.ENTRY_SEQUENCE] == sequence + 1, "a command that was published is not whole"
        kind = words[at + layout.ENTRY_KIND]
        return Command(
            kind & 0xFF,
            words[at + layout.ENTRY_ACTION_HIGH],
            words[at + layout.ENTRY_ACTION_LOW],
            words[at + layout.ENTRY_ID_HIGH],
            words[at + layout.ENTRY_ID_LOW],
            words[at + layout.ENTRY_EXPECTED],
            kind >> 8 & 0xFF,
        )

    def has(self, sequence: int) -> bool:
        """Whether the ring still holds the command ``sequence``."""
        return self.words[layout.entry_offset(self._slots, sequence) + layout.ENTRY_SEQUENCE] == sequence + 1

    def tell(self, sequence: int, result: int) -> None:
        """Stores the result word of a command."""
        self.words[layout.entry_offset(self._slots, sequence) + layout.ENTRY_RESULT] = result


class CommandWriter:
    """An operator's side. Whoever calls :meth:`put` holds the ring's record lock.

    Parameters:
      words: the ring's.
      books: the books' words, which say how far the dispatcher has come.
      acts_at: the word of the books that says it.
    """

    def __init__(self, words: Words, books: Words, acts_at: int) -> None:
        self._words = words
        self._books = books
        self._acts_at = acts_at
        self._slots = words[layout.SLOTS_AT]

    @property
    def waiting(self) -> int:
        """Commands that are not carried out yet."""
        return self._words[layout.HEAD_AT] - self._books[self._acts_at]

    def put(self, command: Command) -> int | None:
        """Publishes a command; returns its sequence, or None when the ring is full."""
        words, sequence = self._words, self._words[layout.HEAD_AT]
        if self.waiting >= layout.WAITING_MAX:
            return None
        at = layout.entry_offset(self._slots, sequence)
        words[at + layout.ENTRY_SEQUENCE] = 0
        words[at + layout.ENTRY_KIND] = command.processor << 8 | command.act
        words[at + layout.ENTRY_ACTION_HIGH] = command.action_high
        words[at + layout.ENTRY_ACTION_LOW] = command.action_low
        words[at + layout.ENTRY_ID_HIGH] = command.id_high
        words[at + layout.ENTRY_ID_LOW] = command.id_low
        words[at + layout.ENTRY_EXPECTED] = command.expected
        words[at + layout.ENTRY_RESULT] = 0
        words[at + layout.ENTRY_SEQUENCE] = sequence + 1
        words[layout.HEAD_AT] = sequence + 1
        return sequence

    def result(self, sequence: int) -> Carried | None:
        """What became of a command; None while that is not known.

        Raises LookupError when so many commands came after it that its entry was used again.
        """
        at = layout.entry_offset(self._slots, sequence)
        word = self._words[at + layout.ENTRY_RESULT]
        if self._words[at + layout.ENTRY_SEQUENCE] != sequence + 1:
            raise LookupError(sequence)
        return layout.unpack_result(word) if word else None


def lay_out_acts(words: Words, number: int, boot: int, generation: int, begin: int) -> None:
    """Turns zeroed memory into an empty ring, whose first command is ``begin``. ``number`` is not 0."""
    words[layout.LAYOUT_AT] = layout.ACTS_LAYOUT_VERSION
    words[layout.SLOTS_AT] = layout.SLOTS
    words[layout.NUMBER_AT] = number
    words[layout.BOOT_AT] = boot
    words[layout.GENERATION_AT] = generation
    words[layout.HEAD_AT] = begin
    words[layout.MAGIC_AT] = layout.ACTS_MAGIC


def complaint(words: Words, boot: int, generation: int, done: int) -> str:
    """Why a dispatcher that has carried out the commands below ``done`` cannot go on with this ring; ``""`` if it can.

    Then it is made anew.
    """
    if len(words) < layout.HEADER_WORDS or words[layout.MAGIC_AT] != layout.ACTS_MAGIC:
        return "it was not finished"
    if words[layout.LAYOUT_AT] != layout.ACTS_LAYOUT_VERSION or len(words) != layout.acts_words(layout.SLOTS):
        return f"it has layout version {words[layout.LAYOUT_AT]}, this engine writes {layout.ACTS_LAYOUT_VERSION}"
    if words[layout.GENERATION_AT] != generation:
        return "rings and books were made anew"
    if words[layout.BOOT_AT] != boot:
        return "the machine went down, and it is not known which commands are on disk"
    if words[layout.HEAD_AT] < done:
        return "it is older than the books"
    return ""
