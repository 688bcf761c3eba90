"""The end of an engine: what asks for it, and how its processes are ended, from front to back."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

from engine.logs.logger import Logger
from engine.settings import Settings
from engine.supervise.child import Child
from engine.wording import counted

ANSWERS_SECONDS = 1  # how long the dispatcher waits for answers after the drain time (engine/dispatch/drain.py)
STOP_SECONDS = 5.0  # for nginx and an API process to finish their requests
LOOK_SECONDS = 0.02

log = Logger("engine.up")


class Stop:
    """``asked``: SIGTERM or Ctrl-C has come. ``hurried``: Ctrl-C has come after that, and the end is to be at once."""

    def __init__(self) -> None:
        self.asked = self.hurried = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: object) -> None:
        self.hurried = self.hurried or (self.asked and number == signal.SIGINT)
        self.asked = True


def stop_all(
    settings: Settings, children: Sequence[Child], stop: Stop, pending: Callable[[], int], *, forgets: bool
) -> None:
    """Ends all processes: nginx, the API processes, the dispatcher, then what stands beside and simulated processors.

    Parameters:
      stop: once it is hurried, all that is left is killed. A kill loses nothing that was accepted.
      pending: how many payments are not done.
      forgets: whether the memory is removed afterwards, with the payments that are not done.
    """
    _tell_first(settings, pending(), forgets)
    for step in range(4):
        stopping = [child for child in children if _place(child) == step]
        for child in stopping:
            child.ask_to_stop()
        for child in stopping:
            drain_seconds = settings.dispatch.drain_seconds if child.name == "dispatcher" else 0
            _wait(child, STOP_SECONDS + drain_seconds, stop)
    _tell_last(pending(), forgets)


def _tell_first(settings: Settings, pending: int, forgets: bool) -> None:
    if not pending:
        log.info("stopping", what="")
        return
    seconds = settings.dispatch.drain_seconds + ANSWERS_SECONDS
    left = "what is left is forgotten (--discard)" if forgets else "nothing is lost"
    log.info("stopping", what=f": {_are_not(pending)} settled yet, waiting {seconds} s at most")
    log.info("stop_can_hurry", left=left)


def _tell_last(pending: int, forgets: bool) -> None:
    if pending:
        then = "forgotten (--discard)" if forgets else "kept for the next start"
        log.info("stopped", what=f": {_are_not(pending)} settled, and {then}")
    else:
        log.info("stopped", what="")


def _are_not(pending: int) -> str:
    return f"{counted(pending, 'payment')} {'is' if pending == 1 else 'are'} not"


def _place(child: Child) -> int:
    if child.name.startswith("processors"):
        return 3
    return {"nginx": 0, "dispatcher": 2, "agent": 3, "ledger": 3, "console": 3}.get(child.name, 1)


def _wait(child: Child, seconds: float, stop: Stop) -> None:
    """Waits for the end of a child; kills it when the time is over or the end is hurried."""
    deadline = time.monotonic() + seconds
    while _runs(child) and time.monotonic() < deadline:
        if stop.hurried and child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # it leads its group, and was not waited for yet
            deadline = time.monotonic() + seconds
            break
        time.sleep(LOOK_SECONDS)
    child.wait(max(0.0, deadline - time.monotonic()))


def _runs(child: Child) -> bool:
    return child.pid is not None and os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
