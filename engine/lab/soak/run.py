"""One soak: an engine, processors and a payer are started, watched window by window, and asked at the end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from engine import settings as settings_module
from engine.lab import launch
from engine.lab.contest.scenario import AuditPlan
from engine.lab.contest.timetable import Auditor, Clock
from engine.lab.launch import Children, LaunchError
from engine.lab.ledger.place import OFF, Place, PlaceError, place
from engine.lab.machine import processes, usage, use
from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processors import Processors
from engine.lab.services.service import ServiceError, Window, iso_ms
from engine.lab.soak import flow, recording
from engine.lab.soak.histogram import Histogram
from engine.lab.soak.payer import FINGERPRINT, Order, Told, pay
from engine.lab.soak.recording import Charged, Plan, Recorded, Recording
from engine.memory.errors import SegmentError
from engine.settings import Settings, SettingsError

if TYPE_CHECKING:
    from engine.lab.ledger.gauge import Watch

FEES = {"default": Decimal("0.05"), "fallback": Decimal("0.15")}
# As the contest audits: what was settled from 15 s to 1.5 s ago.
AUDIT = AuditPlan(every_s=10.0, from_s=15.0, to_s=1.5)
CONTROL_S = 0.2  # how often the rate is set anew; well below flow.HORIZON_S
SILENT_S_MAX = 10.0  # how long the engine may not say what is pending
PAYER_STOP_S = 5.0
TOLD_S_MAX = 20.0
FINAL_WINDOWS = 100
SHORT_S = 0.05  # half of them are no longer than this
RECENT_MARGIN_S = 30.0  # asking all of them takes less
CATCH_UP_S_MAX = 60.0  # the ledger is waited for, after all is settled


class SoakError(Exception):
    """The soak cannot be held; the text says why."""


def hold(plan: Plan, directory: Path, show: Callable[[Recording, float], None], ledger: str | None = None) -> Recording:
    """Starts everything, pays as planned, and returns what was seen when all is settled or the time for it is over.

    ``ENGINE_`` variables of this process are the engine's. Ctrl-C ends the paying early.

    Parameters:
      directory: for logs and ``windows.jsonl``, which has a line for each window as soon as it is over.
      show: called several times a second with the recording so far and the seconds since the beginning.
      ledger: one of `engine.lab.ledger.place.KINDS`; None: whatever the variables say, and it is not looked at.

    Raises SoakError.
    """
    addresses = launch.free_addresses(FEES)
    try:
        settings = settings_module.read(os.environ)
        pending_max = settings.storage.ring_slots * settings.host.api_processes
        if plan.backlog_max > pending_max:
            raise SoakError(f"a backlog of {plan.backlog_max:,} does not fit into the rings, {pending_max:,} payments")
        with (
            place(ledger or OFF, directory) as where,
            Children("soak", addresses, FEES, directory, where.variables if ledger else {}) as children,
            contextlib.closing(PayerProcess(launch.host_and_port(addresses.engine)[1], plan)) as payer,
            (directory / "windows.jsonl").open("a") as lines,
            contextlib.closing(Engine(addresses)) as engine,
            _watched(children, where) as witness,
        ):

            def keep(window: recording.Window) -> None:
                print(json.dumps(window.as_json()), file=lines, flush=True)

            seen = _Soak(plan, settings, addresses, children, payer, engine, witness, show, keep).run()
        seen.engine_log = (directory / "up.log").read_text(errors="replace")
        return seen
    except SettingsError as error:
        raise SoakError(f"the engine's variables: {error}") from error
    except (LaunchError, PlaceError, ServiceError, SegmentError, OSError) as error:
        raise SoakError(str(error)) from error


class Witness:
    """The ledger of a run, at ``where``; ``watch`` looks how far it is behind.

    Parameters:
      settings: of the engine whose ledger it is.
    """

    def __init__(self, where: Place, settings: Settings, watch: Watch) -> None:
        self._where = where
        self._settings = settings
        self._watch = watch
        self._empty_bytes = where.size_bytes()

    def cpu_s(self) -> float:
        """CPU time of the database's server."""
        return sum(map(use.cpu_ns, self._server())) / 1e9

    def memory_bytes(self) -> int:
        """Memory of the database's server (PSS)."""
        return sum(map(use.pss_bytes, self._server()))

    def recorded(self) -> Recorded:
        """Waits until it has everything, and counts. Raises SoakError."""
        from engine.lab.ledger import recorded
        from engine.ledger.errors import LedgerError

        caught_up_s = self._watch.await_nothing(CATCH_UP_S_MAX)
        try:
            counts = recorded.count(self._settings)
        except LedgerError as error:
            raise SoakError(str(error)) from error
        size_bytes = self._where.size_bytes() - self._empty_bytes
        return Recorded(
            self._where.kind, list(self._watch.seen), caught_up_s, counts.payments, counts.attempts, counts.missing,
            counts.rejected, size_bytes,
        )  # fmt: skip

    def _server(self) -> list[int]:
        server = self._where.server
        return [] if server is None else [server.pid, *processes.children(server.pid)]


@contextlib.contextmanager
def _watched(children: Children, where: Place) -> Iterator[Witness | None]:
    if where.kind == OFF:
        yield None
        return
    from engine.lab.ledger.gauge import Watch  # not every installation has the packages of a ledger

    settings = settings_module.read(os.environ | children.engine.environment)
    watch = Watch(settings)
    watch.start()
    try:
        yield Witness(where, settings, watch)
    finally:
        watch.finish()


class PayerProcess:
    """The paying process, and the orders to it."""

    def __init__(self, port: int, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads and connections
        self._orders: Connection
        self._orders, theirs = context.Pipe()
        self._process = context.Process(
            target=pay, args=(port, plan.connections, plan.payments, theirs), name="payer", daemon=True
        )
        self._process.start()
        theirs.close()  # so that it is seen when the payer dies

    def order(self, order: Order) -> Told:
        """Gives an order; how it stands. Raises SoakError when the payer has died."""
        try:
            self._orders.send(order)
            if not self._orders.poll(TOLD_S_MAX):
                raise SoakError(f"the paying process said nothing for {TOLD_S_MAX:g} s")
            told = self._orders.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise SoakError("the paying process died; what it said stands above") from None
        assert isinstance(told, Told)
        return told

    def close(self) -> None:
        """Ends it."""
        self._orders.close()
        self._process.join(PAYER_STOP_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


class _Soak:
    """Joins payer, engine, clock and the recording."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        addresses: Addresses,
        children: Children,
        payer: PayerProcess,
        engine: Engine,
        witness: Witness | None,
        show: Callable[[Recording, float], None],
        keep: Callable[[recording.Window], None],
    ) -> None:
        self._plan = plan
        self._recent_s = settings.storage.books_recent_seconds
        self._addresses = addresses
        self._children = children
        self._payer = payer
        self._engine = engine
        self._witness = witness
        self._show = show
        self._keep = keep
        self._seen = Recording(plan, settings.routing.in_flight_max)
        self._latencies = Histogram()  # of the window under way
        self._window_s = self._audit_s = 0.0
        self._heard_s = 0.0
        self._payer_cpu_s = 0.0
        self._before = (0, 0)  # refused and unanswered until the last window

    def run(self) -> Recording:
        """Pays, lets the engine settle the rest, and asks engine and processors."""
        seen = self._seen
        self._payer.order(Order(0.0))  # answered once it is there
        seen.begin_epoch_s = time.time()
        clock = Clock(seen.begin_epoch_s)
        self._window_s, self._audit_s = self._plan.window_s, AUDIT.every_s
        with contextlib.closing(Auditor(self._addresses, AUDIT, clock)) as auditor:
            seen.audits = auditor.audits
            try:
                self._pay(clock, auditor)
            except KeyboardInterrupt:
                seen.interrupted = True
            seen.paid_s = clock.now_s()
            self._settle(clock, auditor)
            if self._witness is not None:
                seen.ledger = self._witness.recorded()
            now_s = time.time()
            auditor.audit("everything", None)
            for window in final_windows(seen.begin_epoch_s, now_s, self._recent_s, random.Random()):
                auditor.audit("final", window)
        seen.settled = self._engine.summary()
        seen.charged = charged(self._addresses)
        return seen

    def _pay(self, clock: Clock, auditor: Auditor) -> None:
        rate_per_s = 0.0
        while clock.now_s() < self._plan.seconds and self._seen.accepted < self._plan.payments:
            pending = self._turn(clock, auditor, Order(rate_per_s))
            if pending is None:
                rate_per_s = 0.0
            else:
                rate_per_s = flow.rate_per_s(pending, self._plan.backlog_max, self._plan.rate_per_s)

    def _settle(self, clock: Clock, auditor: Auditor) -> None:
        """Until all that was begun is accepted and settled, at most as long as it may take."""
        begin_s = clock.now_s()
        over = Order(0.0, over=True)
        while clock.now_s() - begin_s < self._plan.settle_s:
            pending = self._turn(clock, auditor, over)
            if pending == 0 and self._seen.accepted == self._seen.begun:
                self._seen.drain_s = clock.now_s() - begin_s
                break
        self._look(clock, *self._engine.queues())

    def _turn(self, clock: Clock, auditor: Auditor, order: Order) -> int | None:
        """Tells the payer, looks at what is due, and waits; returns what is pending, or None when not known."""
        begin_s = clock.now_s()
        ended = self._children.ended()
        if ended:
            raise SoakError("; ".join(ended))
        self._take(self._payer.order(order))
        # Asked after the payer: what it was told is accepted must be there.
        queues = None
        with contextlib.suppress(ServiceError):
            queues = self._engine.queues()
            self._heard_s = clock.now_s()
            if begin_s >= self._window_s:
                self._look(clock, *queues)
                self._window_s = max(self._window_s + self._plan.window_s, begin_s)
        if clock.now_s() - self._heard_s > SILENT_S_MAX:
            raise SoakError(f"the engine has not said for {SILENT_S_MAX:g} s how much is pending")
        if begin_s >= self._audit_s:
            auditor(0)
            self._audit_s += AUDIT.every_s
        self._show(self._seen, clock.now_s())
        time.sleep(max(begin_s + CONTROL_S - clock.now_s(), 0.0))
        return queues[0] if queues else None

    def _take(self, told: Told) -> None:
        seen = self._seen
        seen.begun, seen.accepted, seen.cents, seen.fingerprint = (
            told.begun, told.accepted, told.cents, told.fingerprint,
        )  # fmt: skip
        seen.refused, seen.unanswered = told.refused, told.unanswered
        self._payer_cpu_s = told.cpu_s
        for histogram in (seen.latencies, self._latencies):
            histogram.merge(told.counts, told.max_us)

    def _look(self, clock: Clock, pending: int, failed: int) -> None:
        """Ends a window. Raises ServiceError."""
        seen, latencies = self._seen, self._latencies
        seen.pending, seen.failed = pending, failed
        bad = (seen.refused.total(), seen.unanswered.total())
        window = recording.Window(
            at_s=clock.now_s(),
            accepted=seen.accepted,
            settled=self._engine.summary(),
            pending=pending,
            failed=failed,
            refused=bad[0] - self._before[0],
            unanswered=bad[1] - self._before[1],
            p50_us=latencies.quantile(0.5),
            p99_us=latencies.quantile(0.99),
            max_us=latencies.max,
            usage=usage.look(self._children.engine.pid),
            other_cpu_s={
                recording.PAYER: self._payer_cpu_s,
                recording.PROCESSORS: sum(map(use.cpu_ns, processes.children(self._children.processors.pid))) / 1e9,
            }
            | ({} if self._witness is None else {recording.DATABASE: self._witness.cpu_s()}),
            database_bytes=0 if self._witness is None else self._witness.memory_bytes(),
        )
        self._before, self._latencies = bad, Histogram()
        seen.windows.append(window)
        self._keep(window)


def final_windows(begin_epoch_s: float, end_epoch_s: float, recent_s: float, chance: random.Random) -> Iterator[Window]:
    """Windows of a run that is over, to ask for: half of them are short. Where the books are no longer exact to the
    millisecond, they are whole seconds.

    Parameters:
      recent_s: how far back the books are exact to the millisecond (ENGINE_BOOKS_RECENT_SECONDS).
    """
    exact_from_s = end_epoch_s - recent_s + RECENT_MARGIN_S
    yield iso_ms(begin_epoch_s - 1), iso_ms(end_epoch_s)
    for number in range(FINAL_WINDOWS):
        from_s = chance.uniform(begin_epoch_s, end_epoch_s)
        to_s = from_s + SHORT_S if number % 2 else chance.uniform(from_s, end_epoch_s)
        # The bounds are inclusive: the last millisecond of a second is its end.
        first_s = from_s if from_s >= exact_from_s else float(int(from_s))
        last_s = to_s if to_s >= exact_from_s else int(to_s) + 0.999
        yield iso_ms(first_s), iso_ms(last_s)


def charged(addresses: Addresses) -> Charged:
    """What the processors have charged. Raises ServiceError."""
    payments = fingerprint = 0
    with contextlib.closing(Processors(addresses)) as processors:
        for processor in processors.values():
            for key in processor.charged_keys():
                payments += 1
                fingerprint += int.from_bytes(key, "big")
    return Charged(payments, fingerprint % FINGERPRINT)
