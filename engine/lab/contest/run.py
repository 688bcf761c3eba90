"""The contest itself: make ready, load with stages and audits, the state at the end, the drain, the last audit."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from engine.invocation import command
from engine.lab.contest.changes import during_load
from engine.lab.contest.load import LoadGenerator
from engine.lab.contest.recording import Recording, Tick, Twice
from engine.lab.contest.samples import LoadError
from engine.lab.contest.scenario import BEFORE_FIRST_STAGE, Scenario
from engine.lab.contest.timetable import Auditor, Clock, StageDriver, Timetable
from engine.lab.machine.tree import Tree
from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processors import Processors, charged_twice
from engine.lab.services.service import ServiceError, iso_ms

TICK_S = 1.0
BEGIN_S_MAX = 30.0  # k6 makes its virtual users before it begins
EMPTY_S_MAX = 10.0  # a payment of the run before may still arrive after a purge
OVERTIME_S_MAX = 30.0
POLL_S = 0.05
STRANGERS_NAMED_MAX = 5
STRANGERS_ASKED_MAX = 100_000  # about half a minute


class ContestError(Exception):
    """The contest cannot be held; the text says what to do about it."""


class Contest:
    """One run of ``scenario``.

    Parameters:
      addresses: where engine and processors are.
      directory: where the load generator's files go.
      drain_s_max: how long the engine may take to settle the rest after the load.
      trees: process trees to watch, by name.
      show: called about once a second with the recording so far and the time in seconds.
      begun: called once, when the load has begun, with the clock of the run.
      others: how many payments others than the load generator have handed in.

    Raises ServiceError if an address cannot be used.
    """

    def __init__(
        self,
        scenario: Scenario,
        addresses: Addresses,
        directory: Path,
        drain_s_max: float,
        trees: Mapping[str, Tree],
        show: Callable[[Recording, float], None],
        begun: Callable[[Clock], None] = lambda _clock: None,
        others: Callable[[], int] = lambda: 0,
    ) -> None:
        self._scenario = scenario
        self._addresses = addresses
        self._directory = directory
        self._drain_s_max = drain_s_max
        self._trees = dict(trees)
        self._show = show
        self._begun = begun
        self._others = others
        self._engine = Engine(addresses)
        self._processors = Processors(addresses)
        self._has_queues = True
        self.recording = Recording(scenario, scenario.fees.by_name)

    def prepare(self) -> None:
        """Makes all processors healthy and everything empty; checks that everything answers. Raises ContestError."""
        try:
            self._processors.set(BEFORE_FIRST_STAGE.conditions)
        except ServiceError as error:
            raise ContestError(f"{error}\nStart them with `{command('simulate')}`, or use --start.") from None
        try:
            self._engine.summary()
        except ServiceError as error:
            raise ContestError(f"{error}\nStart it with `{command('up')}`, or use --start.") from None
        try:
            self._engine.queues()
        except ServiceError as error:
            self._has_queues = False
            self.recording.notes.append(f"queue depth unknown: {error}")
        self._empty()
        self.recording.fees = {name: processor.summary().fee for name, processor in self._processors.items()}
        self.recording.note_fees()

    def _empty(self) -> None:
        deadline_s = time.monotonic() + EMPTY_S_MAX
        while True:
            self._empty_engine()
            try:
                self._processors.purge()
                left = self._engine.summary().count + self._processors.totals().count
            except ServiceError as error:
                raise ContestError(str(error)) from None
            if not left:
                return
            if time.monotonic() > deadline_s:
                raise ContestError(f"{left} payments were there right after a purge; is somebody else paying?")
            time.sleep(0.2)

    def _empty_engine(self) -> None:
        """Purges the engine. An engine that does not allow it will do too, as long as it is empty."""
        try:
            self._engine.purge()
        except ServiceError as error:
            try:
                is_empty = self._engine.summary().count == 0 and (not self._has_queues or self._engine.queues()[0] == 0)
            except ServiceError:
                is_empty = False
            if error.status != HTTPStatus.FORBIDDEN or not is_empty:
                raise ContestError(f"{error}\nStart the engine with ENGINE_PURGE=1.") from None
            self.recording.notes.append("the engine does not allow a purge, but it is empty")

    def run(self) -> Recording:
        """Holds the contest. Ctrl-C ends it early, and what is known by then is returned. Raises ContestError."""
        with contextlib.ExitStack() as held:
            url = f"{self._addresses.engine}/payments"
            load = held.enter_context(LoadGenerator(self._scenario.load, url, self._directory))
            self.recording.samples = load.samples
            self._trees["k6"] = Tree(load.process.pid, with_memory=False)
            clock = self._begin(load)
            driver = StageDriver(self._addresses, self._scenario.stages, clock)
            auditor = Auditor(self._addresses, self._scenario.audit, clock)
            held.callback(driver.close)
            held.callback(auditor.close)
            self.recording.stages, self.recording.audits = driver.applied, auditor.audits
            self._begun(clock)
            self._hold(load, clock, driver, auditor)
            if not self.recording.interrupted:
                try:
                    self._drain(clock)
                except KeyboardInterrupt:
                    self.recording.interrupted = True
                auditor.audit("everything", None)
                auditor.audit("whole run", (iso_ms(clock.begin_epoch_s - 1), iso_ms(time.time())))
            self._look_for_twice()
        self.recording.resources = {name: tree.use for name, tree in self._trees.items()}
        return self.recording

    def close(self) -> None:
        """Closes the kept connections."""
        self._engine.close()
        self._processors.close()

    def _hold(self, load: LoadGenerator, clock: Clock, driver: StageDriver, auditor: Auditor) -> None:
        """From the beginning of the load to the state at its end."""
        tables = (
            Timetable(clock, [stage.at_s for stage in self._scenario.stages], driver),
            Timetable(clock, self._scenario.audit_times_s(), auditor),
        )
        for table in tables:
            table.start()
        try:
            self._watch(load, clock)
        except KeyboardInterrupt:
            self.recording.interrupted = True
            load.stop()
        finally:
            for table in tables:
                table.finish()
        self._state_at_end(clock)
        self._await_summary(load)

    def _begin(self, load: LoadGenerator) -> Clock:
        deadline_s = time.monotonic() + BEGIN_S_MAX
        while load.samples.begin_ms is None:
            if not load.poll() or time.monotonic() > deadline_s:
                said = "\n".join(load.samples.notes) or "nothing"
                raise ContestError(f"k6 did not begin within {BEGIN_S_MAX:g} s; it said: {said}")
            time.sleep(0.005)
        self.recording.begin_epoch_s = load.samples.begin_ms / 1000
        return Clock(self.recording.begin_epoch_s)

    def _watch(self, load: LoadGenerator, clock: Clock) -> None:
        """Looks once a second until the load has ended."""
        plan = self._scenario.load
        latest_s = plan.duration_s + plan.timeout_s + plan.sleep_s + OVERTIME_S_MAX
        next_s = TICK_S
        while load.poll() and load.samples.end_ms is None:
            now_s = clock.now_s()
            if now_s > latest_s:
                self.recording.notes.append("k6 did not end by itself")
                load.stop()
                return
            if now_s >= next_s:
                self._tick(clock)
                self._show(self.recording, now_s)
                next_s = max(next_s + TICK_S, clock.now_s())  # after a delay, go on from here
            # More often near the end: the state at the end is asked for once the last request is answered.
            near_end = now_s > plan.duration_s - TICK_S
            time.sleep(POLL_S if near_end else max(next_s - clock.now_s(), 0.0))

    def _tick(self, clock: Clock) -> None:
        try:
            settled = self._processors.totals()
        except ServiceError:
            settled = None
        pending = failed = None
        if self._has_queues:
            with contextlib.suppress(ServiceError):
                pending, failed = self._engine.queues()
        for tree in self._trees.values():
            tree.sample()
        cores = {name: tree.cores for name, tree in self._trees.items()}
        self.recording.ticks.append(Tick(clock.now_s(), settled, pending, failed, cores))

    def _state_at_end(self, clock: Clock) -> None:
        """What is settled when the load has ended: net is computed from it."""
        self.recording.end_s = clock.now_s()
        try:
            self.recording.settled_at_end = self._processors.totals()
        except ServiceError as error:
            self.recording.notes.append(f"the state at the end is unknown: {error}")
        self._ask_for_changes(clock)
        self._tick(clock)

    def _ask_for_changes(self, clock: Clock) -> None:
        """How the engine coped with processors that failed and recovered. The official ones do not tell."""
        try:
            listings = {name: processor.changes() for name, processor in self._processors.items()}
        except ServiceError as error:
            if not error.status:
                self.recording.notes.append(f"the processors' changes are unknown: {error}")
            return
        self.recording.changes = during_load(listings, self.recording.fees, clock.now_s())

    def _await_summary(self, load: LoadGenerator) -> None:
        """k6's own totals, which it writes when all is over."""
        deadline_s = time.monotonic() + OVERTIME_S_MAX
        while load.poll() and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        load.stop()
        try:
            self.recording.load = load.totals()
        except LoadError as error:
            self.recording.notes.append(str(error))
        self.recording.notes.extend(load.samples.notes)
        if self.recording.load is None:
            self.recording.notes.append("k6 left no summary: its lines for each request were counted instead")
        elif self.recording.load.requested != load.samples.requested:
            missing = self.recording.load.requested - load.samples.requested
            self.recording.notes.append(f"{missing} of k6's requests have no line of their own")

    def _drain(self, clock: Clock) -> None:
        """Makes the processors healthy; waits until everything accepted is settled, at most ``drain_s_max``."""
        begin_s = clock.now_s()
        try:
            self._processors.set(BEFORE_FIRST_STAGE.conditions)
        except ServiceError as error:
            self.recording.notes.append(f"before the drain: {error}")
        next_s = begin_s + TICK_S
        while True:
            try:
                settled = self.recording.settled_after_drain = self._processors.totals()
                pending = self._engine.queues()[0] if self._has_queues else 0
                if settled.count >= self.recording.accepted and not pending:
                    self.recording.drain_s = clock.now_s() - begin_s
                    break
            except ServiceError:
                pass  # asked again, until the time is over
            if clock.now_s() - begin_s > self._drain_s_max:
                break
            if clock.now_s() >= next_s:
                self._tick(clock)
                self._show(self.recording, clock.now_s())
                next_s += TICK_S
            time.sleep(POLL_S)
        self._tick(clock)

    def _look_for_twice(self) -> None:
        """Goes through every charge where the processors list them, else compares totals."""
        recording = self.recording
        settled = recording.settled_after_drain or recording.settled_at_end
        excess = 0
        if settled is not None:
            excess = max(settled.count - recording.accepted - recording.unsure - self._others(), 0)
        try:
            twice = charged_twice(self._processors.values())
        except ServiceError:
            # The official processors have no listing. An interrupted k6 does not say what became of its last requests,
            # so then the totals tell nothing.
            if settled is not None and not recording.interrupted:
                recording.twice = Twice(excess, "totals")
            return
        recording.twice = Twice(len(twice), "listing")
        if excess and not recording.interrupted:
            recording.notes.append(f"{excess} payments were settled though no client was told that they were accepted")
            with contextlib.suppress(ServiceError):
                self._name_strangers()

    def _name_strangers(self) -> None:
        """Notes charges that the engine does not know: somebody else pays at these processors, or it forgot them."""
        named = 0
        for name, processor in self._processors.items():
            for charged in itertools.islice(processor.charged(), STRANGERS_ASKED_MAX):
                if not self._engine.knows(charged.correlation_id):
                    self.recording.notes.append(
                        f"the engine does not know {charged.correlation_id}, which {name} charged with "
                        f"{charged.amount_cents / 100:.2f}, requestedAt {charged.requested_at}"
                    )
                    named += 1
                    if named == STRANGERS_NAMED_MAX:
                        return
