"""What a cell has to say to the store, said until the store has answered. Pure.

A call whose answer does not come in time may have been done, may be done much later, or never. So its rows are said
again, in a call with a number of its own, and the answer to the older call counts no more: each operation of the port
may be repeated. One call of a kind is under way at a time, so a slow store gets larger calls and not more of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum
from typing import Any, NamedTuple

ANSWER_MS_MAX = 1000  # a call that is not answered after this is said again
ROWS_MAX = 512  # of one call


class Operation(StrEnum):
    """An operation of the port (:mod:`engine.cluster.store`), by the name of its method."""

    MEMBERS = "members"
    JOIN = "join"
    LEASE = "lease"
    LEAVE = "leave"
    ADOPT = "adopt"
    HELD = "held"
    ACCEPT = "accept"
    PIN = "pin"
    CONCLUDE = "conclude"
    REOPEN = "reopen"
    FOLLOW = "follow"
    FOLDED = "folded"
    ASK = "ask"
    ANSWER = "answer"
    PURGE = "purge"
    FORGET = "forget"


BATCHED = frozenset({Operation.ACCEPT, Operation.PIN, Operation.CONCLUDE})  # all others: one row in a call


class Said(NamedTuple):
    """One call: rows by the keys under which they wait. ``asked_ms``: the engine's clock when it left.
    ``is_repeated``: an earlier one of its kind got no answer, and may have been done.
    """

    number: int
    operation: Operation
    rows: dict[Hashable, Any]
    asked_ms: int
    is_repeated: bool


class Calls:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, dict[Hashable, Any]] = {}
        self._out: dict[Hashable, Said] = {}
        self._last = 0

    def want(self, operation: Operation, key: Hashable = None, row: Any = None) -> None:
        """A row is to be said, until :meth:`done`. One with the same key takes its place."""
        self._waiting.setdefault(_channel(operation, key), {})[key] = row

    def done(self, operation: Operation, key: Hashable = None) -> None:
        """A row need not be said any more."""
        channel = _channel(operation, key)
        rows = self._waiting.get(channel, {})
        rows.pop(key, None)
        if not rows:
            self._waiting.pop(channel, None)

    def rows(self, operation: Operation) -> dict[Hashable, Any]:
        """The rows of a batched operation that are to be said, by their keys."""
        return dict(self._waiting.get(operation, {}))

    def count(self, operation: Operation) -> int:
        """How many rows of a batched operation are to be said."""
        return len(self._waiting.get(operation, ()))

    def oldest_ms(self, now_ms: int) -> int:
        """When the oldest call left whose answer still counts (engine's clock); ``now_ms`` if there is none."""
        return min((said.asked_ms for said in self._out.values()), default=now_ms)

    def is_wanted(self, operation: Operation, key: Hashable = None) -> bool:
        """Whether a row is still to be said, or answered."""
        return key in self._waiting.get(_channel(operation, key), {})

    def due(self, now_ms: int) -> list[Said]:
        """The calls that leave now."""
        calls = list[Said]()
        for channel, waiting in self._waiting.items():
            out = self._out.get(channel)
            if out is not None and now_ms - out.asked_ms < ANSWER_MS_MAX:
                continue
            operation = channel[0] if isinstance(channel, tuple) else channel
            assert isinstance(operation, Operation)
            rows = dict(item for item, _ in zip(waiting.items(), range(ROWS_MAX), strict=False))
            self._last += 1
            self._out[channel] = said = Said(self._last, operation, rows, now_ms, out is not None)
            calls.append(said)
        return calls

    def answered(self, number: int) -> Said | None:
        """The call that an answer belongs to; None if it was given up, or answered before."""
        for channel, said in self._out.items():
            if said.number == number:
                del self._out[channel]
                return said
        return None

    def clear(self) -> None:
        """Forgets everything that was to be said. Answers that are still to come count no more."""
        self._waiting.clear()
        self._out.clear()


def _channel(operation: Operation, key: Hashable) -> Hashable:
    return operation if operation in BATCHED else (operation, key)
