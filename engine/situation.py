"""What is known of the processors, and what happens to payments because of it, in words of memory and in words for
people. Pure.

The dispatcher decides and stores it; API processes show it in ``/health``, and the dispatcher's log says each change.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

DOWN = "payments wait until a dispatcher is back; none is lost"  # the sentence of an engine without one
_BITS = 4  # of a condition, a flow or the number of a processor in a word of memory
_MASK = (1 << _BITS) - 1
_WAIT_SHIFT = 3 * _BITS


class Condition(IntEnum):
    """What is known of a processor. The numbers are stored."""

    UNKNOWN = 0  # no dispatcher has said anything yet
    HEALTHY = 1
    SLOW = 2  # it answers, but takes so long that an audit may find a payment there before we know of its charge
    LATE = 3  # answers are overdue, or it has just recovered: it is slower by an unknown time, or it hangs
    FAILING = 4  # its answers are errors, or its own health answer says that it fails
    SILENT = 5  # the last request to it had no answer, whether payments have opened its breaker yet or not
    PAUSED = 6  # a person wants it to get no new payments


class Flow(IntEnum):
    """What happens to the payments that wait. The numbers are stored."""

    UNKNOWN = 0
    TO_FIRST = 1  # they go to ``first``
    WAIT = 2  # they wait for ``first``, which is cheaper, and those that have waited enough go to ``other``
    TO_OTHER = 3  # they go to ``other``, and no longer wait for ``first``, which is cheaper
    MOST_TO_OTHER = 4  # they go to ``other``, but for a few at ``first``, which is cheaper and slow
    TO_SLOW = 5  # they go to ``first``, which is slow, because none is healthy
    NOWHERE = 6  # they wait, because no processor is usable


class Why(StrEnum):
    """Why payments go where they go."""

    UNKNOWN = "unknown"  # no dispatcher has said anything yet
    DISPATCHER_DOWN = "dispatcher_down"  # they wait until there is one
    CHEAPEST = "cheapest"  # it is healthy, and no other costs less
    WAITS_FOR_CHEAPER = "waits_for_cheaper"  # for the first, which is not healthy; what has waited enough goes on
    CHEAPER_SLOW = "cheaper_slow"
    CHEAPER_LATE = "cheaper_late"
    CHEAPER_FAILING = "cheaper_failing"
    CHEAPER_SILENT = "cheaper_silent"
    CHEAPER_PAUSED = "cheaper_paused"
    NONE_HEALTHY = "none_healthy"  # it is slow
    NONE_USABLE = "none_usable"  # they wait until a processor is back


_OF_CHEAPER = {
    Condition.SLOW: Why.CHEAPER_SLOW,
    Condition.FAILING: Why.CHEAPER_FAILING,
    Condition.SILENT: Why.CHEAPER_SILENT,
    Condition.PAUSED: Why.CHEAPER_PAUSED,
}


class Situation(NamedTuple):
    """``first``, ``other``: numbers of processors; ``wait_ms``: the longest wait by choice (Flow.WAIT)."""

    flow: Flow
    first: int = 0
    other: int = 0
    wait_ms: int = 0

    def word(self) -> int:
        """As a word of memory; never 0."""
        return self.flow | self.first << _BITS | self.other << 2 * _BITS | self.wait_ms << _WAIT_SHIFT

    @property
    def to(self) -> tuple[int, ...]:
        """The numbers of the processors that get payments now, the one that gets them first, or gets most, before."""
        return {
            Flow.UNKNOWN: (),
            Flow.TO_FIRST: (self.first,),
            Flow.WAIT: (self.first, self.other),
            Flow.TO_OTHER: (self.other,),
            Flow.MOST_TO_OTHER: (self.other, self.first),
            Flow.TO_SLOW: (self.first,),
            Flow.NOWHERE: (),
        }[self.flow]

    def why(self, conditions: Sequence[Condition]) -> Why:
        """Why that is so; ``conditions``: of all processors. One that is not trusted yet is late."""
        if self.flow is Flow.TO_OTHER:
            return _OF_CHEAPER.get(conditions[self.first], Why.CHEAPER_LATE)
        return {
            Flow.UNKNOWN: Why.UNKNOWN,
            Flow.TO_FIRST: Why.CHEAPEST,
            Flow.WAIT: Why.WAITS_FOR_CHEAPER,
            Flow.MOST_TO_OTHER: Why.CHEAPER_SLOW,
            Flow.TO_SLOW: Why.NONE_HEALTHY,
            Flow.NOWHERE: Why.NONE_USABLE,
        }[self.flow]

    def is_like(self, other: Situation) -> bool:
        """Whether payments go to the same processors in the same way, however long they wait."""
        return self[:3] == other[:3]

    def sentence(self, names: Sequence[str]) -> str:
        """What happens to payments, with the ``names`` of the processors."""
        first, other = names[self.first], names[self.other]
        return {
            Flow.UNKNOWN: "not known yet",
            Flow.TO_FIRST: f"payments go to {first}",
            Flow.WAIT: f"payments wait for {first}, {_seconds(self.wait_ms)} at most, and then go to {other}",
            Flow.TO_OTHER: f"payments go to {other} and do not wait for {first}",
            Flow.MOST_TO_OTHER: f"most payments go to {other}, and few to {first}, which is cheaper and slow",
            Flow.TO_SLOW: f"payments go to {first}, though it is slow",
            Flow.NOWHERE: "payments wait until a processor is back; none is lost",
        }[self.flow]


def of_word(word: int, processors: int) -> Situation:
    """The situation that was stored in a word; unknown when it was none of ``processors`` processors."""
    flow, first, other = word & _MASK, word >> _BITS & _MASK, word >> 2 * _BITS & _MASK
    if flow > max(Flow) or max(first, other) >= processors:
        return Situation(Flow.UNKNOWN)
    return Situation(Flow(flow), first, other, word >> _WAIT_SHIFT)


def conditions_word(conditions: Sequence[Condition]) -> int:
    """The conditions of all processors as a word of memory."""
    return sum(condition << _BITS * number for number, condition in enumerate(conditions))


def condition_of_word(word: int, processor: int) -> Condition:
    """The condition of one processor that was stored in a word."""
    number = word >> _BITS * processor & _MASK
    return Condition(number) if number <= max(Condition) else Condition.UNKNOWN


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
