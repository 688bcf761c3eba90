"""Mail: a queue of messages in shared memory, from one process to one other. Neither waits for the other.

What finds no room waits in the sender's own memory, in its order. The sender keeps that bounded: it begins nothing new
while much waits (:attr:`Sender.waiting`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from engine.memory import cell_layout as layout
from engine.memory.words import Words, packed

_MASK = layout.MAIL_SLOTS - 1


class Sender:
    """The end that writes.

    Parameters:
      words: the cell's memory.
      at: where its messages are; tail_at: this side's word; head_at: the word of the one who reads.
    """

    def __init__(self, words: Words, at: int, tail_at: int, head_at: int) -> None:
        self._words, self._at, self._tail_at, self._head_at = words, at, tail_at, head_at
        self._later: deque[tuple[int, ...]] = deque()

    @property
    def waiting(self) -> int:
        """Messages that are not read yet."""
        return self._words[self._tail_at] - self._words[self._head_at] + len(self._later)

    def send(self, *message: int) -> None:
        """Sends a message of at most MESSAGE_WORDS words."""
        if self._later or not self._put(message):
            self._later.append(message)

    def flush(self) -> bool:
        """Sends what had found no room, as far as there is some now. Whether nothing is left."""
        while self._later and self._put(self._later[0]):
            self._later.popleft()
        return not self._later

    def clear(self) -> None:
        """Forgets what has found no room yet."""
        self._later.clear()

    def _put(self, message: Sequence[int]) -> bool:
        words, tail = self._words, self._words[self._tail_at]
        if tail - words[self._head_at] >= layout.MAIL_SLOTS:
            return False
        at = self._at + (tail & _MASK) * layout.MESSAGE_WORDS
        words[at : at + len(message)] = packed(message)
        words[self._tail_at] = tail + 1  # from here on it is published
        return True


class Receiver:
    """The end that reads; the parameters are those of :class:`Sender`."""

    def __init__(self, words: Words, at: int, tail_at: int, head_at: int) -> None:
        self._words, self._at, self._tail_at, self._head_at = words, at, tail_at, head_at

    @property
    def has_some(self) -> bool:
        """Whether a message waits."""
        return self._words[self._tail_at] != self._words[self._head_at]

    def skip(self) -> None:
        """Reads nothing of what was sent so far."""
        self._words[self._head_at] = self._words[self._tail_at]

    def take(self, limit: int) -> list[tuple[int, ...]]:
        """The next messages, ``limit`` at most, each with all of its MESSAGE_WORDS words."""
        words, head = self._words, self._words[self._head_at]
        count = min(limit, words[self._tail_at] - head)
        messages = list[tuple[int, ...]]()
        for number in range(head, head + count):
            at = self._at + (number & _MASK) * layout.MESSAGE_WORDS
            messages.append(tuple(words[at : at + layout.MESSAGE_WORDS]))  # type: ignore[arg-type]
        if count:
            words[self._head_at] = head + count
        return messages


def to_dispatcher(words: Words) -> tuple[Words, int, int, int]:
    """The parameters of both ends of the agent's mail to the dispatcher."""
    return words, layout.MAIL_AT, layout.TO_DISPATCHER_TAIL_AT, layout.TO_DISPATCHER_HEAD_AT


def to_agent(words: Words) -> tuple[Words, int, int, int]:
    """The parameters of both ends of the dispatcher's mail to the agent."""
    return words, layout.MAIL_AT + layout.MAIL_WORDS, layout.TO_AGENT_TAIL_AT, layout.TO_AGENT_HEAD_AT
