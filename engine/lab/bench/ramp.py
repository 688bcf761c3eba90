"""The contest's load on one side, once: k6 as the contest has it, and what each process used for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.lab.bench.account import Account
from engine.lab.bench.books import Books
from engine.lab.bench.figures import RampRound, Throttled, per_payment_us, quantiles_ms
from engine.lab.bench.sides import Side
from engine.lab.contest.load import LoadGenerator
from engine.lab.contest.run import BEGIN_S_MAX, OVERTIME_S_MAX, ContestError
from engine.lab.contest.samples import LoadError, Samples, percentiles
from engine.lab.contest.scenario import Load
from engine.lab.machine import use as use_module
from engine.lab.machine.cgroups import Cgroups, Use

LOOK_S = 1.0
POLL_S = 0.05
SETTLE_S_MAX = 15.0

Advance = Callable[[float], None]


def hold(
    side: Side,
    load: Load,
    books: Books | None,
    groups: Cgroups | None,
    others: Mapping[str, int],
    directory: Path,
    advance: Advance,
) -> RampRound:
    """One round.

    Parameters:
      side: runs, and has nothing to do.
      load: what k6 is to do.
      books: the engine's and the processors', both empty; None for the floor, which has none.
      groups: what limits the side's processes, None for nothing.
      others: process ids of what belongs to the benchmark beside ``side``, by name; their children count too.
      directory: where k6's files go.
      advance: called about once a second with the seconds since the last call.

    Raises ContestError, LoadError, ServiceError, CgroupError.
    """
    with contextlib.ExitStack() as held:
        before = Account(side, groups, others)
        generator = held.enter_context(LoadGenerator(load, f"{side.origin}/payments", directory))
        _run(generator, load, side, advance)
        samples = generator.samples
        try:
            totals = generator.totals()
        except LoadError as error:
            samples.notes.append(str(error))
            totals = None
        pss_mb = {role: use_module.pss_bytes(pid) / 1e6 for role, pid in side.find().items()}
        accepted = totals.accepted if totals else samples.accepted
        problems = _load_problems(samples, accepted)
        settled = books.await_settled(accepted, SETTLE_S_MAX) if books else accepted
        after = Account(side, groups, others)
        if books:
            problems += books.problems(accepted, accepted + samples.unanswered.total(), SETTLE_S_MAX)
    latency_ms = (totals.durations_ms if totals else percentiles(samples.ordered_ms())) or {}
    return RampRound(
        latency_ms=latency_ms,
        quantiles_ms=quantiles_ms(samples.ordered_ms()),
        requested=totals.requested if totals else samples.requested,
        accepted=accepted,
        settled=settled,
        cpu_us=per_payment_us(after.cpu_since(before), settled) if settled else {},
        pss_mb=pss_mb,
        throttled={name: _throttled(use.since(before.uses[name])) for name, use in after.uses.items()},
        memory_peak_mb={name: use.memory_peak_bytes / 1e6 for name, use in after.uses.items()},
        others_cores=after.others_cores_since(before),
        problems=tuple(problems + after.problems_since(before)),
    )


def _run(generator: LoadGenerator, load: Load, side: Side, advance: Advance) -> None:
    """Until k6 has ended. What it writes is read afterwards: reading it takes CPU from what is measured."""
    deadline_s = time.monotonic() + BEGIN_S_MAX + load.duration_s + load.timeout_s + load.sleep_s + OVERTIME_S_MAX
    looked_s = time.monotonic()
    while generator.process.poll() is None:
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise ContestError("k6 does not end")
        if now_s - looked_s >= LOOK_S:
            side.find()  # a process that was started again comes into its control group
            advance(now_s - looked_s)
            looked_s = now_s
        time.sleep(POLL_S)
    advance(time.monotonic() - looked_s)
    generator.poll()


def _load_problems(samples: Samples, accepted: int) -> list[str]:
    did_its_work = samples.begin_ms is not None and samples.end_ms is not None and accepted
    return [] if did_its_work else ["; ".join(["k6 did not do its work", *samples.notes])]


def _throttled(use: Use) -> Throttled:
    return Throttled(use.periods, use.throttled, use.throttled_ns / 1e6)
