"""What the dispatcher does between two passes: it pauses, listens, or sleeps. Pure.

A pause lets answers and payments gather: they are then handled together, for far fewer wake-ups, and whatever answers a
client has the core meanwhile. Each pass costs as much as four payments before it has done anything (caches that others
have filled since), so it should find a dozen. But what is sent while nobody looks is lost on a processor that begins to
fail, and is in flight at one that grows slow: so it should not find many more either, and when something is not as
usual the pause is a short one.

While an audit may see a payment whose answer is due, the dispatcher listens: any answer ends the pause. When nothing
was begun and nothing has ended for a while, it sleeps until the next thing is due, a socket is ready or the doorbell
rings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

IDLE_WAIT_MS = 500  # longest sleep: the heartbeat, and the net below a lost ring of the doorbell
AWAKE_MS = 50  # the dispatcher looks by itself, without a doorbell, for so long after the last payment
BUSY_PAUSE_MS = 2  # between two passes that are half full or more: a backlog is being settled
WATCHFUL_PAUSE_MS = 20  # when an answer is late or a processor is not well; and the least when all is as usual


class Rhythm(NamedTuple):
    """The settings: the longest pause, payments that a pass should find, most attempts that it begins."""

    pause_ms: int
    target_batch: int
    batch: int


class Pass(NamedTuple):
    """What a pass was like: attempts that it began, and that ended in it; how long after the last one it came; for how
    long now nothing has begun or ended; how many attempts are in flight; whether all processors are well, whether no
    answer is later than usual either, and whether an audit may see an answer that is due.
    """

    begun: int
    ended: int
    after_ms: int
    quiet_ms: int
    in_flight: int
    are_healthy: bool
    is_calm: bool
    must_listen: bool


class Pause(NamedTuple):
    """Nothing happens for ``for_ms``; then what is ready meanwhile is handled."""

    for_ms: int


class Listen(NamedTuple):
    """The same, but whatever is ready ends it."""

    for_ms: int


class Sleep(NamedTuple):
    """A pause of ``for_ms`` (0: none), then a wait for a socket or the doorbell that ends at ``until_ms``."""

    for_ms: int
    until_ms: float


class Stop(NamedTuple):
    """There is no next pass."""


Pacing = Pause | Listen | Sleep | Stop


def decide(
    rhythm: Rhythm, done: Pass, end_ms: int, audit_delay: Callable[[int], int], due: Callable[[], float]
) -> Pause | Listen | Sleep:
    """What follows the pass ``done``, which ends at ``end_ms``. Times are the engine's clock.

    Parameters:
      audit_delay: how much later than a moment the next pass should be for the sake of audits, in ms.
      due: when the next thing is due though nothing happens before; asked only when that matters.
    """
    is_awake = done.quiet_ms < AWAKE_MS  # the next pass comes by itself
    if not (is_awake or done.in_flight):
        return Sleep(0, due())
    for_ms = pause_ms(rhythm, done, end_ms, audit_delay)
    if done.must_listen:
        return Listen(for_ms)
    return Pause(for_ms) if is_awake else Sleep(for_ms, due())


def pause_ms(rhythm: Rhythm, done: Pass, end_ms: int, audit_delay: Callable[[int], int]) -> int:
    """How long the pause is; see :func:`decide`. A backlog is held up for audits only while a processor is not well."""
    if 2 * (done.begun + done.ended) >= rhythm.batch:
        for_ms = min(rhythm.pause_ms, BUSY_PAUSE_MS)
        return for_ms if done.are_healthy else for_ms + audit_delay(end_ms + for_ms)
    for_ms = min(rhythm.pause_ms, WATCHFUL_PAUSE_MS)
    if done.is_calm:
        # As long as so many took to come.
        for_ms = max(for_ms, min(rhythm.pause_ms, done.after_ms * rhythm.target_batch // max(done.begun, 1)))
    return for_ms + audit_delay(end_ms + for_ms)
