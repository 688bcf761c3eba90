"""How long the dispatcher rests between two passes. Pure.

A rest lets answers and payments gather: they are then handled together, for far fewer wake-ups, and whatever answers a
client has the core meanwhile. Each pass costs as much as four payments before it has done anything (caches that others
have filled since), so it should find a dozen. But what is sent while nobody looks is lost on a processor that begins to
fail, and is in flight at one that grows slow: so it should not find many more either, and when something is not as
usual the rest is a short one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

IDLE_WAIT_MS = 500.0  # longest sleep: the heartbeat, and the net below a lost ring of the doorbell
AWAKE_MS = 50  # the dispatcher looks by itself, without a doorbell, for so long after the last payment
BUSY_REST_MS = 2  # between two passes that are half full or more: a backlog is being settled
WATCHFUL_REST_MS = 20  # when an answer is late or a processor is not well; and the least when all is as usual


class Pass(NamedTuple):
    """What a pass was like: attempts that it began, and that ended in it; how long after the last one it came; whether
    both processors are well, and whether no answer is later than usual either.
    """

    begun: int
    ended: int
    after_ms: int
    are_healthy: bool
    is_calm: bool


def rest_ms(pause_ms: int, gather: int, batch: int, done: Pass, audit_delay: Callable[[int], int]) -> int:
    """The rest after the pass ``done``.

    Parameters:
      pause_ms, gather, batch: the settings: the longest rest, payments that it should last for, most in a pass.
      audit_delay: how much longer than a time from now on it should be for the sake of audits, in ms. A backlog is held
        up for that only when a processor is not well.
    """
    if 2 * (done.begun + done.ended) >= batch:
        for_ms = min(pause_ms, BUSY_REST_MS)
        return for_ms if done.are_healthy else for_ms + audit_delay(for_ms)
    for_ms = min(pause_ms, WATCHFUL_REST_MS)
    if done.is_calm:
        # As long as so many took to come.
        for_ms = max(for_ms, min(pause_ms, done.after_ms * gather // max(done.begun, 1)))
    return for_ms + audit_delay(for_ms)
