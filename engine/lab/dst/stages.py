"""How a processor treats what is asked of it, for a while."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from random import Random


class Treatment(IntEnum):
    """What becomes of one request. "Silence": the connection stays open and nothing comes."""

    SERVE = 0
    FAIL = 1  # what it answers when it is failing, not charged
    REFUSE = 2  # no connection
    REJECT = 3  # 429
    RESET_BEFORE_INSERT = 4
    RESET_AFTER_INSERT = 5
    ANSWER_LATE = 6  # charged in time, answered after the dispatcher's time-out
    INSERT_LATE = 7  # charged, and answered, after the dispatcher's time-out
    SILENCE = 8  # not charged
    SILENCE_AFTER_INSERT = 9
    NONSENSE_AFTER_INSERT = 10  # 200, with a body that is not the processor's
    NONSENSE = 11  # the same, or a 3xx, and not charged: something else stands in the processor's place
    COMPLAIN = 12  # a refusal, not charged
    GATEWAY = 13  # something before the processor answers in its stead, and nothing is charged ...
    GATEWAY_AFTER_INSERT = 14  # ... or it is
    MISLEAD = 15  # payments are served, and lookups answered with another payment's record or with absurd words
    FORBID = 16  # payments are served, and lookups are not


_T = Treatment
MOODS: tuple[tuple[Treatment, ...], ...] = (
    (_T.SERVE,),
    (_T.SERVE,),
    (_T.FAIL,),
    (_T.SERVE, _T.FAIL),
    (_T.REFUSE,),
    (_T.SERVE, _T.SERVE, _T.REJECT),
    (_T.SERVE, _T.SERVE, _T.RESET_BEFORE_INSERT, _T.RESET_AFTER_INSERT),
    (_T.SERVE, _T.ANSWER_LATE, _T.INSERT_LATE),
    (_T.SILENCE,),
    (_T.SILENCE_AFTER_INSERT,),
    (_T.SERVE, _T.NONSENSE_AFTER_INSERT, _T.NONSENSE, _T.COMPLAIN),
    (_T.SERVE, _T.SERVE, _T.SERVE, _T.FAIL, _T.FAIL),
    (_T.SERVE, _T.GATEWAY, _T.GATEWAY_AFTER_INSERT),
    (_T.MISLEAD, _T.MISLEAD, _T.RESET_AFTER_INSERT, _T.GATEWAY),
    (_T.FORBID, _T.FORBID, _T.FORBID, _T.RESET_AFTER_INSERT, _T.GATEWAY_AFTER_INSERT),
    tuple(_T),
)


@dataclass(frozen=True)
class Stage:
    """A way to treat requests, and the delays that go with it.

    ``until_ms`` into the run; ``treatments``: one of them for each request; ``delay_ms``: from and to;
    ``handled_max``: requests at once, more get 429; ``lag_ms``: how long a new payment cannot be looked up;
    ``failing``: what the health answer says, None for no answer.
    """

    until_ms: int
    treatments: tuple[Treatment, ...]
    delay_ms: tuple[int, int]
    handled_max: int
    lag_ms: int
    failing: bool | None


HEALED = Stage(1 << 60, (Treatment.SERVE,), (1, 30), 1000, 0, False)


def draw_stages(chance: Random, length_ms: int) -> tuple[Stage, ...]:
    """Some stages that cover ``length_ms``; after them the processor is healthy."""
    stages = []
    ends = sorted(chance.randint(0, length_ms) for _ in range(chance.randint(0, 4)))
    lagging = chance.random() < 0.3
    for until_ms in [*ends, length_ms]:
        treatments = chance.choice(MOODS)
        low = chance.choice((0, 0, 5, 100, 1500))
        delay_ms = (low, low + chance.choice((0, 20, 300)))
        honest = chance.random() < 0.5
        failing = Treatment.FAIL in treatments if honest else chance.choice((True, False, None))
        lag_ms = chance.choice((20, 300, 8000)) if lagging else 0
        stages.append(Stage(until_ms, treatments, delay_ms, chance.choice((2, 1000, 1000)), lag_ms, failing))
    return (*stages, HEALED)
