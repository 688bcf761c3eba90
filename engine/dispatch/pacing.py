"""What the dispatcher does between two passes: it pauses, listens, or sleeps. Pure.

During a pause, answers and payments collect. They are then handled together, with far fewer wake-ups, and the processes
that answer clients have the core meanwhile. Each pass costs as much as four payments before it has done anything,
because other processes have filled the caches since. So a pass should find about a dozen payments, the target batch. It
should not find many more: during a pause the dispatcher does not notice that a processor begins to fail or grows slow,
and more payments would be sent there. So, when something is not as usual, the pause is short.

While an audit may see a payment whose answer is due, the dispatcher listens: any answer ends the pause. When nothing
was begun and nothing has ended for a while, it sleeps until the next thing is due, a socket is ready or the doorbell
rings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

IDLE_WAIT_MS = 500  # longest sleep: for the heartbeat, and in case a ring of the doorbell is lost
AWAKE_MS = 50  # for this long after the last payment the dispatcher makes passes without waiting for the doorbell
BUSY_PAUSE_MS = 2  # between two passes that are half full or more: a backlog is being settled
WATCHFUL_PAUSE_MS = 20  # when an answer is overdue or a processor is not healthy; the shortest when all is as usual


class Rhythm(NamedTuple):
    """The settings: the longest pause; the target batch, which a pass should find; most attempts that it begins."""

    pause_ms: int
    target_batch: int
    batch: int


class Pass(NamedTuple):
    """What happened in a pass, in the order of the fields: how many attempts began, and how many ended; the time since
    the last pass; the time since anything began or ended; how many attempts are in flight; whether all processors are
    healthy; whether no answer is later than usual either; whether an audit may see an answer that is due.
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
    """Nothing happens for ``for_ms``; then everything that is ready by then is handled."""

    for_ms: int


class Listen(NamedTuple):
    """A pause of ``for_ms`` that ends as soon as something is ready."""

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
      audit_delay: how much later than a moment the next pass should be, to avoid audits, in ms.
      due: when the next thing is due if nothing happens before; called only when that matters.
    """
    is_awake = done.quiet_ms < AWAKE_MS  # the next pass comes by itself
    if not (is_awake or done.in_flight):
        return Sleep(0, due())
    for_ms = pause_ms(rhythm, done, end_ms, audit_delay)
    if done.must_listen:
        return Listen(for_ms)
    return Pause(for_ms) if is_awake else Sleep(for_ms, due())


def pause_ms(rhythm: Rhythm, done: Pass, end_ms: int, audit_delay: Callable[[int], int]) -> int:
    """How long the pause is; see :func:`decide`. A backlog waits for audits only while a processor is not healthy."""
    if 2 * (done.begun + done.ended) >= rhythm.batch:
        for_ms = min(rhythm.pause_ms, BUSY_PAUSE_MS)
        return for_ms if done.are_healthy else for_ms + audit_delay(end_ms + for_ms)
    for_ms = min(rhythm.pause_ms, WATCHFUL_PAUSE_MS)
    if done.is_calm:
        # The time in which the target batch came at the last rate.
        for_ms = max(for_ms, min(rhythm.pause_ms, done.after_ms * rhythm.target_batch // max(done.begun, 1)))
    return for_ms + audit_delay(end_ms + for_ms)
