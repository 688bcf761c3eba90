"""What happens at its time during a run: not before, and what is late at once."""

from __future__ import annotations

import threading

from engine.lab.contest.timetable import Clock, Timetable


class SetClock(Clock):
    """A clock that goes on only while somebody waits on it."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.s = 0.0

    def now_s(self) -> float:
        return self.s


class Waiting(threading.Event):
    """What a timetable waits for takes no time; its clock goes on for so long, as on a machine that is not busy."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.s += timeout or 0.0
        return self.is_set()


def called(*takes_s: float) -> list[float]:
    """When each action of a timetable for 0.2, 1 and 2 s began, if they take so long."""
    clock, began_s = SetClock(), list[float]()

    def act(index: int) -> None:
        began_s.append(clock.s)
        clock.s += takes_s[index]

    table = Timetable(clock, [0.2, 1.0, 2.0], act)
    table._stopped = Waiting(clock)
    table.run()
    table._stopped.set()
    return began_s


def test_each_action_begins_at_its_time() -> None:
    assert called(0.1, 0.5, 9.0) == [0.2, 1.0, 2.0]


def test_what_is_late_begins_at_once() -> None:
    assert called(1.5, 0.0, 0.0) == [0.2, 1.7, 2.0]
