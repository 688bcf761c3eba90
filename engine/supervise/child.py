"""A child process that is started again when it dies, ever more slowly, and when it no longer serves."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from engine.logs.logger import Logger
from engine.supervise import pulse
from engine.supervise.pulse import Pulse, Sign

BACKOFF_FIRST_MS = 50
BACKOFF_LAST_MS = 5000
STEADY_MS = 10_000  # a child that has lived this long is started again at once
STOP_MS = 5_000  # a child that does not serve has this long to end before it is killed ...
STOPPED_STOP_MS = 1_000  # ... and one that was stopped this long: it may be stopped again before it hears of it
GOES_ON_MS = 10_000  # one that is stopped again within this time after it was let go on is started anew
_PR_SET_PDEATHSIG = 1

log = Logger("engine.up")
_libc = ctypes.CDLL(None, use_errno=True)


def backoff_ms(deaths: int) -> int:
    """How long to wait before the start after the ``deaths``-th early death in a row (1, 2, ...)."""
    return min(BACKOFF_FIRST_MS << min(deaths - 1, 16), BACKOFF_LAST_MS)


class Child:
    """One process of the engine.

    Parameters:
      name: its name for people.
      command, environment: the command to run, and its environment.
      stop_signal: asks it to end in good order.
      serves: what is seen of its work; asked of one that runs.
      is_aid: whether the others do without it, so that its death fails no start.
      stderr: the descriptor of its standard error; None: the supervisor's.
      hears: called to take what it has said there.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        stop_signal: int = signal.SIGTERM,
        serves: Callable[[], Sign] | None = None,
        *,
        is_aid: bool = False,
        stderr: int | None = None,
        hears: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._is_aid = is_aid
        self._stderr = stderr
        self._hears = hears
        self._command = list(command)
        self._environment = dict(environment)
        self._stop_signal = stop_signal
        self._serves = serves
        self._pulse = Pulse(0)  # since its last start
        self._kill_ms: int | None = None  # when its time to end is over
        self._went_on_ms: int | None = None  # when it was last let go on
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ms = 0
        self._deaths = 0
        self._start_ms = 0
        self.code: int | None = None  # what it ended with last, below 0 a signal

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def tend(self, now_ms: int) -> None:
        """Starts it if it is due, and notes its death."""
        if self._process is not None:
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if self._kill_ms is not None and now_ms >= self._kill_ms:
                    os.killpg(self._process.pid, signal.SIGKILL)
                return
            # Processes that it has started would outlive it: a worker of nginx would keep the port from the next
            # master. Until the child is reaped, no other process can get its process id, which is also its group's.
            os.killpg(self._process.pid, self._stop_signal)
            code = self._process.wait()
            self._process = None
            self.code = code
            self._hear()
            self._deaths = 1 if now_ms - self._started_ms >= STEADY_MS else self._deaths + 1
            self._start_ms = now_ms + backoff_ms(self._deaths)
            log.warning("process_ended", child=self.name, code=code, in_ms=self._start_ms - now_ms)
        if now_ms >= self._start_ms:
            self._started_ms = now_ms
            self._pulse = Pulse(now_ms)
            self._kill_ms = self._went_on_ms = None
            if self._serves is not None:
                self._serves()  # the last heartbeat of its predecessor is none of its own
            # With a session of its own, Ctrl-C does not reach it before its turn to stop, and all that it starts is in
            # its group.
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (the supervisor has no threads)
                start_new_session=True,
                stderr=self._stderr,
            )

    def look(self, now_ms: int) -> None:
        """Has it end, and so start anew, when it runs and does not do its work: it is stuck, or the socket on which it
        listens was removed. One that is stopped is let go on, and started anew when that does not last.
        """
        self._hear()
        if self._serves is None or self._process is None or self._kill_ms is not None:
            return
        sign = self._serves()
        seen = pulse.running(self._process.pid, with_times=sign is not Sign.SERVES)
        complaint = self._pulse.complaint(sign, seen, now_ms)
        if not complaint:
            return
        if complaint == pulse.STOPPED and (self._went_on_ms is None or now_ms - self._went_on_ms > GOES_ON_MS):
            log.warning("process_goes_on", child=self.name, complaint=complaint)
            self._went_on_ms = now_ms
        else:
            log.warning("process_renewed", child=self.name, complaint=complaint)
            self._kill_ms = now_ms + (STOPPED_STOP_MS if complaint == pulse.STOPPED else STOP_MS)
            self.ask_to_stop()
        # One that is stopped handles no other signal before this one. Then it can end in good order, with its locks
        # free; SIGKILL ends it in any case.
        os.killpg(self._process.pid, signal.SIGCONT)

    def _hear(self) -> None:
        if self._hears is not None:
            self._hears()

    def has_failed(self, now_ms: int) -> bool:
        """Whether it died and the others need it; False if it has not been started yet."""
        self.tend(now_ms)
        return self._deaths > 0 and not self._is_aid

    def ask_to_stop(self) -> None:
        """Sends the stop signal if it runs."""
        if self._process is not None:
            os.kill(self._process.pid, self._stop_signal)  # not reaped yet, so the id is still its own

    def wait(self, seconds: float) -> int | None:
        """Waits for its end, and kills it when the time is over. Returns its exit code, None if it was not running."""
        if self._process is None:
            return None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.warning("process_killed", child=self.name, seconds=round(seconds))
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        self._process = None
        self._hear()
        return code


def _die_with_parent() -> None:
    """Runs in the child: if the supervisor is killed, the engine stops in good order and does not run on alone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
