"""How long the dispatcher rests between two passes. Pure.

A rest lets answers and payments gather: they are then handled together, for far fewer wake-ups, and whatever answers a
client has the core meanwhile.
"""

from __future__ import annotations

IDLE_WAIT_MS = 500.0  # longest sleep: the heartbeat, and the net below a lost ring of the doorbell
AWAKE_MS = 50  # the dispatcher looks by itself, without a doorbell, for so long after the last payment
BUSY_REST_MS = 2  # between two passes that are half full or more: a backlog is being settled


def rest_ms(pause_ms: int, batch: int, handled: int) -> int:
    """The rest after a pass.

    Parameters:
      pause_ms, batch: the settings.
      handled: attempts that it began, and that ended in it.
    """
    return min(pause_ms, BUSY_REST_MS) if 2 * handled >= batch else pause_ms
