"""The messages between a cell's agent and its dispatcher. Each begins with its kind and its term, in one word.

An id is two words, the high half first. Money is cents, times are ms since 1970 UTC.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

KIND_BITS: Final = 8
_KIND_MASK: Final = (1 << KIND_BITS) - 1


class ToDispatcher(IntEnum):
    """What the agent says."""

    BEGIN = 1  # life, is_emptied, is_purged: forget what was held, and with is_emptied all that was counted
    TAKE = 2  # id, cents, accepted_ms, 1 + processor (0: it is free), requested_ms: an open payment is handed over
    SEND = 3  # ticket, requested_ms: the store has the pin, so the request leaves
    UNSENT = 4  # ticket, is_gone: it does not leave; is_gone: this cell does not hold the payment any more
    COUNT = 5  # kind of outcome, processor, requested_ms, cents: an entry of any cell
    COMPLETE = 6  # ms: with the entries so far the books are complete until then
    ASK_HEALTH = 7  # processor, granted_ms, until_ms: query its health for all cells, before until_ms (engine's clock)
    HEALTH = 8  # processor, is_failing, min_response_ms: what a cell was answered


class ToAgent(IntEnum):
    """What the dispatcher says."""

    PIN = 1  # ticket, id, processor, requested_ms: a payment is to be sent for the first time since it was free
    REFUSED = 2  # id: every request of its pin was certainly refused
    END = 3  # id, kind of outcome, processor, requested_ms, reason
    PURGE = 4  # everything of all cells is to be forgotten
    HEALTH = 5  # processor, granted_ms, is_failing, min_response_ms: what it has answered


def head(kind: IntEnum, term: int) -> int:
    """The first word of a message."""
    return term << KIND_BITS | kind


def split(word: int) -> tuple[int, int]:
    """(kind, term) of a message's first word."""
    return word & _KIND_MASK, word >> KIND_BITS
