"""What engine and processors are asked when the trouble is over: the facts that ``checks`` judges."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping

from engine.lab.chaos.checks import Queues
from engine.lab.contest.audit import Audit
from engine.lab.contest.scenario import AuditPlan
from engine.lab.contest.timetable import Auditor, Clock
from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processor import Charged, Processor
from engine.lab.services.service import ServiceError, iso_ms

POLL_S = 0.2
SLICE_S = 10.0
RANDOM_WINDOWS = 200
SHORT_S = 0.05  # half of the random windows are no longer than this


def await_empty(addresses: Addresses, seconds_max: float) -> Queues | None:
    """Waits until the engine has nothing left to settle, at most ``seconds_max``; returns its last answer, or None."""
    engine = Engine(addresses)
    deadline_s = time.monotonic() + seconds_max
    said: Queues | None = None
    try:
        while True:
            try:
                said = queues(engine)
            except ServiceError:
                said = None
            if (said is not None and said.are_empty) or time.monotonic() > deadline_s:
                return said
            time.sleep(POLL_S)
    finally:
        engine.close()


def queues(engine: Engine) -> Queues:
    """What ``/health`` says is not settled. Raises ServiceError."""
    content = engine.json("GET", "/health")
    counts = content["queues"]
    unresolved = sum(processor["unresolved"] for processor in content["processors"].values())
    return Queues(counts["pending"], counts["failed"], counts["parked"], unresolved)


def charges(processors: Mapping[str, Processor]) -> dict[str, list[Charged]]:
    """Everything that was charged, by processor. Raises ServiceError."""
    return {name: list(processor.charged()) for name, processor in processors.items()}


def statuses(addresses: Addresses, correlation_ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Status and processor of those payments that the engine knows. Raises ServiceError."""
    engine, found = Engine(addresses), {}
    try:
        for correlation_id in correlation_ids:
            try:
                content = engine.json("GET", f"/payments/{correlation_id}/status")
            except ServiceError as error:
                if error.status != 404:
                    raise
            else:
                found[correlation_id] = (str(content["status"]), content["processor"])
    finally:
        engine.close()
    return found


def audits(addresses: Addresses, plan: AuditPlan, begin_epoch_s: float, seed: int) -> list[Audit]:
    """Engine and processors asked for everything, for every :data:`SLICE_S`, and for :data:`RANDOM_WINDOWS` others."""
    now_s = time.time()
    chance = random.Random(f"{seed} windows")
    auditor = Auditor(addresses, plan, Clock(begin_epoch_s))
    try:
        auditor.audit("everything", None)
        auditor.audit("whole run", (iso_ms(begin_epoch_s - 1), iso_ms(now_s)))
        slices = int((now_s - begin_epoch_s) // SLICE_S) + 1
        for number in range(slices):
            from_s = begin_epoch_s + number * SLICE_S
            # The bounds are inclusive: a slice ends a millisecond before the next one begins.
            auditor.audit("slice", (iso_ms(from_s), iso_ms(from_s + SLICE_S - 0.001)))
        for number in range(RANDOM_WINDOWS):
            from_s = chance.uniform(begin_epoch_s, now_s)
            until_s = from_s + chance.uniform(0, SHORT_S) if number % 2 else chance.uniform(from_s, now_s)
            auditor.audit("random", (iso_ms(from_s), iso_ms(until_s)))
    finally:
        auditor.close()
    return auditor.audits


def fault_counts(processors: Iterable[Processor]) -> dict[str, int]:
    """How often each fault was done, over all processors. Raises ServiceError."""
    total: dict[str, int] = {}
    for processor in processors:
        for name, count in processor.faults_done().items():
            total[name] = total.get(name, 0) + count
    return total
