"""Carries a plan out while the contest runs, and sees how long it takes until a killed process is back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engine.lab.chaos.faults import Bout
from engine.lab.chaos.plan import Event, Kill, What
from engine.lab.chaos.surroundings import Surroundings
from engine.lab.chaos.watcher import Watcher
from engine.lab.chaos.world import World
from engine.lab.contest.timetable import Clock

LOOK_S = 0.05
BACK_S_MAX = 60.0  # after the last event: a process that is not back by then never comes back
# After a fault the next one waits for so long: what comes of it late, a start anew say, belongs to this one.
BOUT_S_MIN = 4.0
SERVED_S = 1.0  # ... and until the engine has served for so long


class Driver(threading.Thread):
    """Carries ``plan`` out on ``world`` and its ``surroundings``; ``tell`` is given a line about each event.

    Parameters:
      watch: makes the watcher of a run with faults of the surroundings, on the run's clock.

    Use: hand :meth:`begin` to the contest, then :meth:`finish`.
    """

    def __init__(
        self,
        world: World,
        surroundings: Surroundings,
        plan: Sequence[Event],
        tell: Callable[[str], None],
        watch: Callable[[Clock], Watcher],
    ) -> None:
        super().__init__(name="chaos", daemon=True)
        self.kills: list[Kill] = []
        self.bouts: list[Bout] = []
        self.watcher: Watcher | None = None
        self.done: list[tuple[float, Event]] = []
        self.calm_s: float | None = None  # when everything was over
        self._world = world
        self._surroundings = surroundings
        self._watch = watch
        self._until_s = 0.0  # when the fault that lasts is to be undone
        self._left = list(plan)
        self._tell = tell
        self._clock: Clock | None = None
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def begin(self, clock: Clock) -> None:
        """The load has begun."""
        self._clock = clock
        if any(event.what is What.FAULT for event in self._left):
            self.watcher = self._watch(clock)
            self.watcher.start()
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
        """Whether a killed process is not back yet, or a fault is not over and done with."""
        return any(kill.back_s is None for kill in self.kills) or not self._may_begin()

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
                self._end_fault()
                if self._stopped.wait(LOOK_S):
                    break
            self._surroundings.end()
            self._world.calm()
            self.calm_s = self._clock.now_s()
        except Exception as error:  # raised again by finish
            self._error = error
        finally:
            if self.watcher is not None:
                self.watcher.finish()

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
            case What.FAULT:
                concerned = self._begin_fault(event)
                if concerned is None:
                    return False
                line = f"{event.fault}{concerned and f' ({concerned})'}, for {event.for_s:.1f} s"
        self.done.append((now_s, event))
        self._tell(f"{now_s:6.1f} s  {line}")
        return True

    def _may_begin(self) -> bool:
        """Whether the engine has served long enough since the last fault."""
        assert self._clock is not None
        if self.watcher is None or not self.bouts:
            return True
        last, now_s = self.bouts[-1], self._clock.now_s()
        if last.over_s is None or now_s < max(last.at_s + BOUT_S_MIN, last.over_s + SERVED_S):
            return False
        return self.watcher.has_served_since(now_s - SERVED_S)

    def _begin_fault(self, event: Event) -> str | None:
        """Does it; what it is done to, None when it cannot be done yet."""
        assert self._clock is not None and event.fault is not None
        if not self._may_begin():
            return None
        at_s = self._clock.now_s()
        try:
            concerned = self._surroundings.begin(event.fault, event.target)
        except LookupError:
            self._surroundings.end()
            return None
        self.bouts.append(Bout(event.fault, concerned, at_s))
        self._until_s = at_s + event.for_s
        return concerned

    def _end_fault(self) -> None:
        assert self._clock is not None
        now_s = self._clock.now_s()
        if self.bouts and self.bouts[-1].over_s is None and now_s >= self._until_s:
            self._surroundings.end()
            self.bouts[-1].over_s = now_s

    def _look(self) -> None:
        assert self._clock is not None
        for kill in self.kills:
            if kill.back_s is None and self._world.is_back(kill.role, kill.pid, self._clock.begin_epoch_s + kill.at_s):
                kill.back_s = self._clock.now_s()
                self._tell(f"{kill.back_s:6.1f} s  {kill.role} is back after {kill.back_s - kill.at_s:.2f} s")
