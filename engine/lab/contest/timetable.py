"""What happens at its time during a run: stages are set, audits are made. A thread for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from engine.lab.contest.audit import Answers, Audit, compare
from engine.lab.contest.books import Total, Totals
from engine.lab.contest.scenario import AuditPlan, Stage
from engine.lab.contest.together import Together
from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processors import Processors
from engine.lab.services.service import ServiceError, Window, iso_ms


class Clock:
    """Seconds since the load began, which was at ``begin_epoch_s``; steady even if the system's clock is set."""

    def __init__(self, begin_epoch_s: float) -> None:
        self.begin_epoch_s = begin_epoch_s
        self._begin_monotonic_s = time.monotonic() - (time.time() - begin_epoch_s)

    def now_s(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._begin_monotonic_s


class Timetable(threading.Thread):
    """Calls ``action(index)`` at each of ``times_s`` on ``clock``. A call that is late is made all the same."""

    def __init__(self, clock: Clock, times_s: Sequence[float], action: Callable[[int], None]) -> None:
        super().__init__(name=type(action).__name__, daemon=True)
        self._clock = clock
        self._times_s = times_s
        self._action = action
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """The thread."""
        try:
            for index, at_s in enumerate(self._times_s):
                if self._stopped.wait(max(at_s - self._clock.now_s(), 0)):
                    return
                self._action(index)
        except Exception as error:  # raised again in the thread that ends this one
            self._error = error

    def finish(self) -> None:
        """Lets a call that is being made end, and calls no more. Raises what a call has raised."""
        self._stopped.set()
        self.join()
        if self._error is not None:
            raise self._error


@dataclass(frozen=True)
class AppliedStage:
    """A stage as it was set: when it was due, when all processors had it, and what went wrong (``""``: nothing)."""

    stage: Stage
    done_s: float
    error: str


class StageDriver:
    """Sets the processors to the stages, all at the same moment."""

    def __init__(self, addresses: Addresses, stages: Sequence[Stage], clock: Clock) -> None:
        self.applied: list[AppliedStage] = []
        self._stages = stages
        self._clock = clock
        self._processors = Processors(addresses)
        self._together: Together[None] = Together(len(self._processors))

    def __call__(self, index: int) -> None:
        """Sets stage ``index``."""
        stage, error = self._stages[index], ""
        try:
            self._together.run(*(partial(self._processors[name].set, how) for name, how in stage.conditions.items()))
        except ServiceError as problem:
            error = str(problem)
        self.applied.append(AppliedStage(stage, self._clock.now_s(), error))

    def close(self) -> None:
        """Ends its threads and connections."""
        self._together.close()
        self._processors.close()


class Auditor:
    """Asks the engine and all processors for the same window at the same moment, and compares."""

    def __init__(self, addresses: Addresses, plan: AuditPlan, clock: Clock) -> None:
        self.audits: list[Audit] = []
        self._plan = plan
        self._clock = clock
        self._engine = Engine(addresses)
        self._processors = Processors(addresses)
        self._together: Together[Totals | Total | str] = Together(1 + len(self._processors))

    def __call__(self, _index: int) -> None:
        """A periodic audit."""
        now_s = time.time()
        self.audit("periodic", (iso_ms(now_s - self._plan.from_s), iso_ms(now_s - self._plan.to_s)))

    def audit(self, kind: str, window: Window | None) -> None:
        """An audit of ``window``, or of everything."""
        at_s = self._clock.now_s()
        engine, *totals = self._together.run(
            lambda: _or_reason(lambda: self._engine.summary(window)),
            *(partial(_or_reason, partial(processor.total, window)) for processor in self._processors.values()),
        )
        assert isinstance(engine, Totals | str)
        charged: dict[str, Total | str] = {}
        for name, answer in zip(self._processors, totals, strict=True):
            assert isinstance(answer, Total | str)
            charged[name] = answer
        self.audits.append(compare(at_s, kind, window, Answers(engine, charged)))

    def close(self) -> None:
        """Ends its threads and connections."""
        self._together.close()
        self._engine.close()
        self._processors.close()


def _or_reason(question: Callable[[], Totals] | Callable[[], Total]) -> Totals | Total | str:
    try:
        return question()
    except ServiceError as error:
        return str(error)
