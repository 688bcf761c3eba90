"""How long the dispatcher rests between two passes. Pure.

A rest lets answers and payments gather: they are then handled together, for far fewer wake-ups, and whatever answers a
client has the core meanwhile. Each pass costs as much as four payments before it has done anything (caches that others
have filled since), so it should find a dozen. But what is sent while nobody looks is lost on a processor that begins to
fail, and is in flight at one that grows slow: so it should not find many more either, and when something is not as
usual the rest is a short one.
"""

from __future__ import annotations

from typing import NamedTuple

IDLE_WAIT_MS = 500.0  # longest sleep: the heartbeat, and the net below a lost ring of the doorbell
AWAKE_MS = 50  # the dispatcher looks by itself, without a doorbell, for so long after the last payment
BUSY_REST_MS = 2  # between two passes that are half full or more: a backlog is being settled
WATCHFUL_REST_MS = 20  # when an answer is late or a processor is not well; and the least when all is as usual


class Pass(NamedTuple):
    """What a pass was like: attempts that it began, and that ended in it; how long after the last one it came; whether
    both processors are well and no answer is later than usual.
    """

    begun: int
    ended: int
    after_ms: int
    is_calm: bool


def is_busy(batch: int, done: Pass) -> bool:
    """Whether a pass was half full or more: a backlog is being settled, which nothing should hold up."""
    return 2 * (done.begun + done.ended) >= batch


def rest_ms(pause_ms: int, gather: int, batch: int, done: Pass) -> int:
    """The rest after the pass ``done``.

    Parameters:
      pause_ms, gather, batch: the settings: the longest rest, payments that it should last for, most in a pass.
    """
    if is_busy(batch, done):
        return min(pause_ms, BUSY_REST_MS)
    short_ms = min(pause_ms, WATCHFUL_REST_MS)
    if not done.is_calm:
        return short_ms
    # As long as so many took to come.
    return max(short_ms, min(pause_ms, done.after_ms * gather // max(done.begun, 1)))
