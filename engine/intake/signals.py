"""Lets Python's signal handlers run while libuv's loop waits.

CPython only notes a signal, and runs its handler when a thread is back in Python. In the loop that may be never. A
timer that checks several times a second wakes two idle processes for nothing: at the contest's load that was a tenth of
the API's CPU. But CPython also writes a byte to a descriptor (``signal.set_wakeup_fd``), and the loop watches that.
"""

from __future__ import annotations

import contextlib
import os
import signal

from socketify.uv import UVLoop

from engine.intake.watch import Watch

_BYTES = 4096


class SignalWatch:
    """From now on a signal wakes ``loop``. It must be made in the main thread, and kept as long as the loop.

    Raises OSError.
    """

    def __init__(self, loop: UVLoop) -> None:
        self._reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._watch = Watch(loop, self._reading, self._wake)

    def _wake(self) -> None:
        """Being in Python is enough: here the interpreter runs the handlers."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading, _BYTES)
