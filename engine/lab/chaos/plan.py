"""What is done to the world, and when. Pure: the same seed and the same wishes give the same plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.lab.chaos.faults import Fault

LEAD_S = 2.0  # before the first and ...
TAIL_S = 3.0  # ... after the last trouble, and never more than a tenth of the run
TROUBLE_S_MIN = 0.3
TROUBLE_S_MAX = 5.0
# A full disk: from here to there, as shares of the run.
FULL_FROM, FULL_TO = 0.3, 0.7
LEDGER_FULL_S = 20.0  # the ledger's disk is full for so long at most
# How long a fault of the surroundings lasts: for longer, too, than the engine may take to mend what it can.
FAULT_S_MIN, FAULT_S_MAX = 0.5, 9.0


class What(StrEnum):
    """A kind of event."""

    KILL = "kill"  # kill -9 of the process whose role is the target
    NETWORK = "network"  # on the way to the processor that is the target
    FAULTS = "faults"  # all processors begin to go wrong at random
    NO_FAULTS = "no faults"
    FILL_DISK = "fill disk"
    FREE_DISK = "free disk"
    FAULT = "fault"  # of the surroundings, done to the target where there is a choice


class Trouble(StrEnum):
    """What is wrong on the way to a processor."""

    NONE = "none"
    CUT = "cut"  # every connection is reset, once; new ones are fine
    REFUSE = "refuse"  # every connection is reset and no new one is taken
    RESET = "reset"  # connections are reset in the middle of a request, or when its answer comes
    STALL = "stall"  # nothing moves; afterwards everything does
    DELAY = "delay"  # everything moves, with a delay


@dataclass(frozen=True)
class Event:
    """At ``at_s`` seconds after the load has begun, ``what`` happens to ``target``; a fault lasts ``for_s``."""

    at_s: float
    what: What
    target: str = ""
    trouble: Trouble = Trouble.NONE
    fault: Fault | None = None
    for_s: float = 0.0


@dataclass
class Kill:
    """A kill that was done, in seconds since the load began; ``back_s`` is None until another process does the work."""

    role: str
    pid: int
    at_s: float
    back_s: float | None = None


def plan(
    seed: int,
    duration_s: float,
    *,
    roles: Sequence[str] = (),
    kills: int = 0,
    processors: Sequence[str] = (),
    troubles: int = 0,
    with_faults: bool = False,
    with_full_disk: bool = False,
    full_s_max: float = float("inf"),
    faults: Sequence[Fault] = (),
    bouts: int = 0,
    apis: Sequence[str] = (),
) -> tuple[Event, ...]:
    """The events in order of time, all of them within ``duration_s``.

    Parameters:
      roles: the processes that are killed: each in turn, in random order, so that none is spared.
      kills: how many kills, at any time.
      processors: those that the engine has.
      troubles: how many troubles on the way to one processor or to all, one after the other. Each but a cut, which
        takes no time, lasts :data:`TROUBLE_S_MIN` to :data:`TROUBLE_S_MAX` seconds and ends with a NONE.
      with_faults: the processors go wrong at random from the beginning to the end.
      with_full_disk: the disk is full from :data:`FULL_FROM` to :data:`FULL_TO`, for ``full_s_max`` seconds at most.
      faults: of the surroundings: each in turn, in random order, so that none is left out.
      bouts: how many of them, one after the other.
      apis: the roles of the API processes, one of which a fault may be done to.
    """
    assert (roles or not kills) and (processors or not troubles) and ((faults and apis) or not bouts)
    # A generator for each kind: other wishes for one leave the rest of the plan as it is.
    begin_s, end_s = min(LEAD_S, duration_s / 10), duration_s - min(TAIL_S, duration_s / 10)
    events = _kills(random.Random(f"{seed} kills"), begin_s, end_s, roles, kills)
    events += _troubles(random.Random(f"{seed} troubles"), begin_s, end_s, processors, troubles)
    events += _bouts(random.Random(f"{seed} bouts"), begin_s, end_s, faults, bouts, apis)
    if with_faults:
        events += [Event(0.0, What.FAULTS), Event(duration_s, What.NO_FAULTS)]
    if with_full_disk:
        full_s = duration_s * FULL_FROM
        freed_s = min(duration_s * FULL_TO, full_s + full_s_max)
        events += [Event(full_s, What.FILL_DISK), Event(freed_s, What.FREE_DISK)]
    return tuple(sorted(events, key=lambda event: event.at_s))


def _kills(chance: random.Random, begin_s: float, end_s: float, roles: Sequence[str], kills: int) -> list[Event]:
    victims = [roles[number % len(roles)] for number in range(kills)]
    chance.shuffle(victims)
    return [Event(chance.uniform(begin_s, end_s), What.KILL, role) for role in victims]


def _troubles(
    chance: random.Random, begin_s: float, end_s: float, processors: Sequence[str], troubles: int
) -> list[Event]:
    targets = [*((name,) for name in processors), tuple(processors)]
    events = []
    for number in range(troubles):
        slice_s = (end_s - begin_s) / troubles
        at_s = begin_s + slice_s * (number + chance.uniform(0.0, 0.4))
        for_s = chance.uniform(min(TROUBLE_S_MIN, slice_s / 4), min(TROUBLE_S_MAX, slice_s / 2))
        trouble = chance.choice([trouble for trouble in Trouble if trouble is not Trouble.NONE])
        for target in chance.choice(targets):
            events.append(Event(at_s, What.NETWORK, target, trouble))
            if trouble is not Trouble.CUT:
                events.append(Event(at_s + for_s, What.NETWORK, target))
    return events


def _bouts(
    chance: random.Random, begin_s: float, end_s: float, faults: Sequence[Fault], bouts: int, apis: Sequence[str]
) -> list[Event]:
    drawn: list[Fault] = []
    while len(drawn) < bouts:
        drawn += chance.sample(faults, min(len(faults), bouts - len(drawn)))
    slice_s = (end_s - begin_s) / max(bouts, 1)
    longest_s = max(min(FAULT_S_MAX, slice_s * 3 / 4), FAULT_S_MIN)
    return [
        Event(
            begin_s + slice_s * number,
            What.FAULT,
            chance.choice(apis),
            fault=fault,
            for_s=chance.uniform(FAULT_S_MIN, longest_s),
        )
        for number, fault in enumerate(drawn)
    ]
