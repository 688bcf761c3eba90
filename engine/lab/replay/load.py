"""The load of a contest as k6 makes it: when each payment arrives. Pure."""

from __future__ import annotations

from typing import NamedTuple

from engine.lab.contest.scenario import Load

# Measured with k6 1.1.0 on the development machine: beside its sleep an iteration takes 2 ms, the answer being one of
# them, and the payment is in the ring half a millisecond after the iteration's beginning. The preview then has 16,740
# payments; real ones had 16,724 to 16,745.
ITERATION_US = 2_000
ACCEPTED_US = 500
END_US = 30_000  # the contest asks what is settled so long after the last user's sleep


class Arrivals(NamedTuple):
    """``accepted_us``: when each payment is in the engine's ring, in order; ``end_us``: when the run ends, and what is
    settled counts. Both since the load began.
    """

    accepted_us: list[int]
    end_us: int


def arrivals(load: Load) -> Arrivals:
    """The payments of ``load``.

    As k6's executor *ramping-vus* does it (https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/ramping-vus):
    user i starts and stops when the ramp passes i; one that stops ends its iteration, sleep and all, and no iteration
    begins when the load is over.
    """
    period_us = round(load.sleep_s * 1_000_000) + ITERATION_US
    load_us = round(load.duration_s * 1_000_000)
    accepted_us: list[int] = []
    end_us = load_us
    for spans in _active_us(load):
        free_us = 0
        for start_us, stop_us in spans:
            begins = range(max(start_us, free_us), min(stop_us, load_us), period_us)
            if begins:
                free_us = begins[-1] + period_us
                accepted_us.extend([begin + ACCEPTED_US for begin in begins])
        end_us = max(end_us, free_us)
    accepted_us.sort()
    return Arrivals(accepted_us, end_us + END_US)


def _active_us(load: Load) -> list[list[tuple[int, int]]]:
    """For each user the times from a start to a stop; a user that no ramp stops is stopped by the end."""
    most = max([load.start_vus, *(ramp.target for ramp in load.ramps)])
    spans: list[list[tuple[int, int]]] = [[] for _ in range(most)]
    started: list[float] = [0.0] * load.start_vus
    begin_s, users = 0.0, load.start_vus
    for ramp in load.ramps:
        step_s = ramp.duration_s / max(abs(ramp.target - users), 1)
        for number in range(1, ramp.target - users + 1):
            started.append(begin_s + step_s * number)
        for number in range(1, users - ramp.target + 1):
            start_s = started.pop()
            spans[len(started)].append((_us(start_s), _us(begin_s + step_s * number)))
        begin_s, users = begin_s + ramp.duration_s, ramp.target
    for user, start_s in enumerate(started):
        spans[user].append((_us(start_s), _us(begin_s)))
    return spans


def _us(time_s: float) -> int:
    return round(time_s * 1_000_000)
