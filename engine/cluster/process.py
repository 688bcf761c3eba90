"""The agent's loop: its clock, its store, and the waits in between.

It never waits for the store, which has threads of its own (:mod:`engine.cluster.sessions`), nor for the dispatcher
(:mod:`engine.link.mail`). It looks into shared memory every millisecond while something is under way, and a little more
seldom else: API processes ring no bell for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Final

from engine.cluster.cell import Bounds, Moment
from engine.cluster.core import Core, Memory, Who
from engine.cluster.sessions import Sessions
from engine.cluster.store import Store
from engine.memory import cell_layout, clock
from engine.memory.doorbell import Doorbell

WATCHFUL_MS: Final = 1  # between two looks while something is under way ...
IDLE_MS: Final = 4  # ... and else
CLOSE_S: Final = 0.5  # to end the sessions of the store


class Process:
    """See the module.

    Parameters:
      memory, who, bounds: see :class:`Core`.
      doorbell: wakes the dispatcher.
      connect: makes a session of the store.
    """

    def __init__(
        self, memory: Memory, who: Who, bounds: Bounds, doorbell: Doorbell, connect: Callable[[], Store]
    ) -> None:
        self._memory, self._doorbell = memory, doorbell
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._pipe[0], select.POLLIN)
        self._sessions = Sessions(connect, self._wake)
        self._core = Core(memory, who, bounds, self._now())

    def stop(self) -> None:
        """Asks it to leave."""
        self._core.stop(self._now())

    def turn(self) -> bool:
        """Looks at all that has come, and waits a little. False: it has left."""
        core, now = self._core, self._now()
        core.step(now, self._sessions.answers())
        calls, core.calls = core.calls, []
        for call in calls:
            self._sessions.say(call)
        if core.has_left:
            return False
        if core.has_mail:
            self._doorbell.ring_if_asleep()
        if self._poll.poll(WATCHFUL_MS if core.is_watchful(now) else IDLE_MS):
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe[0], 4096)
        return True

    def close(self) -> None:
        """Ends the sessions."""
        self._memory.cell[cell_layout.MAY_BEGIN_MS_AT] = 0
        self._sessions.close(CLOSE_S)

    def _now(self) -> Moment:
        return Moment(clock.read_ms(self._memory.books), time.time_ns() // 1_000_000)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes anyway
            os.write(self._pipe[1], b"!")
