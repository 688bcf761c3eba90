"""Carries a plan out while the contest runs, and sees how long it takes until a killed process is back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engine.lab.chaos.plan import Event, Kill, What
from engine.lab.chaos.world import World
from engine.lab.contest.timetable import Clock

LOOK_S = 0.05
BACK_S_MAX = 60.0  # after the last event: a process that is not back by then never comes back


class Driver(threading.Thread):
    """Carries ``plan`` out on ``world``; ``tell`` is given a line about each event.

    Use: hand :meth:`begin` to the contest, then :meth:`finish`.
    """

    def __init__(self, world: World, plan: Sequence[Event], tell: Callable[[str], None]) -> None:
        super().__init__(name="chaos", daemon=True)
        self.kills: list[Kill] = []
        self.done: list[tuple[float, Event]] = []
        self.calm_s: float | None = None  # when everything was over
        self._world = world
        self._left = list(plan)
        self._tell = tell
        self._clock: Clock | None = None
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def begin(self, clock: Clock) -> None:
        """The load has begun."""
        self._clock = clock
        self.start()

    def finish(self) -> None:
        """Waits until the plan is carried out and all processes are back. Raises what went wrong with it."""
        if self._clock is not None:
            self.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Leaves the rest of the plan undone."""
        self._stopped.set()
        if self._clock is not None:
            self.join()

    @property
    def is_waiting(self) -> bool:
        """Whether a killed process is not back yet."""
        return any(kill.back_s is None for kill in self.kills)

    def run(self) -> None:
        """The thread."""
        assert self._clock is not None
        try:
            last_s = max((event.at_s for event in self._left), default=0.0)
            while (self._left or self.is_waiting) and self._clock.now_s() < last_s + BACK_S_MAX:
                now_s = self._clock.now_s()
                # An event whose target is not there yet stays: the target was killed a moment ago, and is killed again
                # once it is back.
                self._left = [event for event in self._left if event.at_s > now_s or not self._do(event)]
                self._world.tend()
                self._look()
                if self._stopped.wait(LOOK_S):
                    break
            self._world.calm()
            self.calm_s = self._clock.now_s()
        except Exception as error:  # raised again by finish
            self._error = error

    def _do(self, event: Event) -> bool:
        """Does it; False when it cannot be done yet."""
        assert self._clock is not None
        world, now_s = self._world, self._clock.now_s()
        match event.what:
            case What.KILL:
                pid = world.kill(event.target)
                if pid is None:
                    return False
                self.kills.append(Kill(event.target, pid, self._clock.now_s()))
                line = f"kill -9 {event.target} ({pid})"
            case What.NETWORK:
                world.set_network(event.target, event.trouble)
                line = f"way to {event.target}: {event.trouble}"
            case What.FAULTS | What.NO_FAULTS:
                world.set_faults(event.what is What.FAULTS)
                line = f"processors: {event.what}"
            case What.FILL_DISK | What.FREE_DISK:
                assert world.disk is not None
                (world.disk.fill if event.what is What.FILL_DISK else world.disk.free)()
                line = event.what
        self.done.append((now_s, event))
        self._tell(f"{now_s:6.1f} s  {line}")
        return True

    def _look(self) -> None:
        assert self._clock is not None
        for kill in self.kills:
            if kill.back_s is None and self._world.is_back(kill.role, kill.pid, self._clock.begin_epoch_s + kill.at_s):
                kill.back_s = self._clock.now_s()
                self._tell(f"{kill.back_s:6.1f} s  {kill.role} is back after {kill.back_s - kill.at_s:.2f} s")
