"""The status blocks: what the dispatcher and the ledger show to every process. They give names to words of the books.

Only the dispatcher writes the one, and only the ledger the other. Each word is stored by itself, so words that are read
together may be of two moments.
"""

from __future__ import annotations

from enum import IntEnum

from engine.memory import layout
from engine.memory.words import Words

HEARTBEAT_MS_MAX = 3000  # a dispatcher whose last heartbeat is older is down


class _Word:
    """A field of a block: the word at ``at`` from where the block begins."""

    __slots__ = ("_at",)

    def __init__(self, at: int) -> None:
        self._at = at

    def __get__(self, block: _Block, _owner: object = None) -> int:
        return block.words[block.begin + self._at]

    def __set__(self, block: _Block, value: int) -> None:
        block.words[block.begin + self._at] = value


class _Block:
    """A block of fields that begins at the word ``begin`` of ``words``."""

    __slots__ = ("begin", "words")

    def __init__(self, words: Words, begin: int) -> None:
        self.words = words
        self.begin = begin


class ProcessorStatus(_Block):
    """What is shown of one processor. Times are the engine's clock in ms."""

    __slots__ = ()

    failing = _Word(0)  # its last health answer: 1 failing, 0 not
    min_response_ms = _Word(1)  # its last health answer
    breaker_open = _Word(2)  # 1 or 0
    in_flight = _Word(3)  # requests in flight
    expected_ms = _Word(4)  # what an attempt is expected to take
    unresolved = _Word(5)  # payments whose outcome there is not known
    health_ms = _Word(6)  # when its last health answer came; 0: there was none yet
    health_from_ms = _Word(7)  # its health may be queried again from this time on


class LedgerState(IntEnum):
    """What the ledger process does."""

    STARTING = 0  # it has not opened its database yet
    CARRYING = 1
    AWAY = 2  # its database is away, and it tries again
    STOPPED = 3


class LedgerStatus(_Block):
    """What the ledger shows of itself in the books. Times are the engine's clock in ms."""

    __slots__ = ()

    state = _Word(0)  # a LedgerState
    complete_ms = _Word(1)  # SQL has what happened before; 0: not known
    heartbeat_ms = _Word(2)  # its last look, or its last try to reach the database

    def __init__(self, books: Words) -> None:
        super().__init__(books, layout.BOOKS_LEDGER_STATUS_AT)


class StatusBlock(_Block):
    """The status block of an engine whose books have the words ``books``."""

    __slots__ = ()

    heartbeat_ms = _Word(layout.STATUS_HEARTBEAT_MS)  # the wall clock at the dispatcher's last pass; 0: there was none
    clock_ms = _Word(layout.STATUS_CLOCK_MS)  # the engine's clock at its last pass
    asleep = _Word(layout.STATUS_ASLEEP)  # 1 while the dispatcher waits for the doorbell
    listens = _Word(layout.STATUS_LISTENS)  # 1 while it listens for answers to payments that an audit may see already
    errors = _Word(layout.STATUS_ERRORS)  # how often a decision has raised since the dispatcher started

    situation = _Word(layout.STATUS_SITUATION)  # what happens to payments now, see engine/situation.py
    situation_ms = _Word(layout.STATUS_SITUATION_MS)  # the engine's clock when that began; 0: not known
    conditions = _Word(layout.STATUS_CONDITIONS)  # what is known of each processor, see engine/situation.py

    def __init__(self, books: Words) -> None:
        super().__init__(books, 0)

    def processor(self, number: int) -> ProcessorStatus:
        """The part of processor ``number``, its place in the list."""
        return ProcessorStatus(self.words, layout.STATUS_PROCESSORS + number * layout.STATUS_PROCESSOR_WORDS)
