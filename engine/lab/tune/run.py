"""The loop of a tuning run: ask the plan what comes next, start an engine with it, hold a contest, keep the result."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from engine import settings as settings_module
from engine.lab import launch
from engine.lab.bench import sides
from engine.lab.bench.account import Account
from engine.lab.contest import report
from engine.lab.contest.recording import Recording
from engine.lab.contest.run import Contest, ContestError
from engine.lab.contest.samples import LoadError
from engine.lab.contest.scenario import Scenario
from engine.lab.launch import LaunchError
from engine.lab.machine.cgroups import CgroupError, Cgroups
from engine.lab.machine.limits import Limit
from engine.lab.machine.processes import SUPERVISOR
from engine.lab.machine.tree import NoSuchTreeError, Tree
from engine.lab.results import write_json
from engine.lab.services.service import ServiceError
from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.journal import Journal
from engine.lab.tune.live import Progress, View
from engine.lab.tune.objective import Run, measures
from engine.lab.tune.plan import Plan, Slot

Json = dict[str, Any]

NO_MEMORY_LIMIT_BYTES = 1 << 40
# Beside its load a contest starts processes, waits for the last requests and drains; used until one has been held.
OVERHEAD_S = 6.0
NO_RESULT_IN_A_ROW_MAX = 5


class TuneError(Exception):
    """The tuning run cannot go on; the text says why."""


def tune(plan: Plan, scenario: Scenario, journal: Journal, directory: Path, view: View) -> None:
    """Holds what is left of ``plan``, keeping every finished run in ``journal``.

    Some values cannot be run at all, such as a ring that does not fit into memory. Such a run counts, and the point
    comes last, but only once another run has shown that the point is the reason and not the machine.

    Parameters:
      scenario: of ``plan``, in its own length.
      directory: gets ``runs/RUNG-ROUND-POINT`` with the logs of each run that broke a promise or had no result.

    Raises TuneError when :data:`NO_RESULT_IN_A_ROW_MAX` runs in a row had no result, KeyboardInterrupt on Ctrl-C.
    """
    doubtful: list[tuple[Slot, Run, str, float]] = []
    while True:
        finished = journal.finished | {slot: run for slot, run, _, _ in doubtful}
        slot = plans.next_slot(plan, finished)
        if slot is None:
            break
        overhead_s = median(journal.overheads_s) if journal.overheads_s else OVERHEAD_S
        progress = Progress(plan, finished, slot, overhead_s)
        began, begin_s = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()

        def show(recording: Recording, now_s: float, progress: Progress = progress) -> None:
            view.show(progress, recording, now_s)

        run = hold(plan, slot, scenario, directory, show)
        doubtful.append((slot, run, began, time.monotonic() - begin_s))
        view.done(progress, run)
        if not run.measures:
            if len(doubtful) == NO_RESULT_IN_A_ROW_MAX:
                raise TuneError(f"{len(doubtful)} runs in a row had no result; the last: {run.broken}")
            continue
        for entry in doubtful:
            journal.append(*entry)
        doubtful.clear()
    if not journal.finished:
        raise TuneError(f"no run had a result; the last: {doubtful[-1][1].broken}")
    for entry in doubtful:
        journal.append(*entry)


def hold(plan: Plan, slot: Slot, scenario: Scenario, directory: Path, show: Callable[[Recording, float], None]) -> Run:
    """One contest with an engine and processors of its own; a run without measures if it could not be held.

    Raises KeyboardInterrupt, with all processes ended.
    """
    logs = directory / "runs" / f"{slot.rung}-{slot.round}-{slot.point}"
    shutil.rmtree(logs, ignore_errors=True)  # of the run that was interrupted here
    logs.mkdir(parents=True)
    settings = dict(plan.fixed) | space.assignment(plan.axes, plan.points[slot.point])
    split = settings.pop(space.SPLIT, None)
    stretched = scenario.stretched(plans.rungs(plan)[slot.rung].seconds)
    try:
        with contextlib.ExitStack() as held:
            groups = None
            if split is not None:
                groups = held.enter_context(control_groups(split, settings_module.read(settings).host.api_processes))
            outcome, found = _contest(stretched, settings, groups, plan.drain_s_max, logs, show)
    except (ContestError, LaunchError, ServiceError, LoadError, NoSuchTreeError, CgroupError) as error:
        return Run({}, str(error))
    if outcome["interrupted"]:
        raise KeyboardInterrupt
    run = Run(found, "; ".join(outcome["broken"]))
    if run.broken:
        write_json(outcome, logs / "result.json")
    else:
        shutil.rmtree(logs)
        with contextlib.suppress(OSError):
            logs.parent.rmdir()  # unless another run has left something there
    return run


def control_groups(split: str, api_processes: int) -> Cgroups:
    """Groups in which each service has its part of the CPU, and memory without a limit. Enter it for CgroupError."""
    front, api, dispatcher = space.cpus(split)
    cores = {"nginx": front, "dispatcher": dispatcher} | {f"api-{index}": api for index in range(api_processes)}
    limits = {service: Limit(cpus, NO_MEMORY_LIMIT_BYTES) for service, cpus in cores.items()}
    return Cgroups(f"engine-tune-{os.getpid()}", limits)


def _contest(
    scenario: Scenario,
    settings: Mapping[str, str],
    groups: Cgroups | None,
    drain_s_max: float,
    logs: Path,
    show: Callable[[Recording, float], None],
) -> tuple[Json, dict[str, float]]:
    """A contest against an engine that is started with ``settings``: its result, and what is kept of it.

    Raises what the called functions raise.
    """
    with contextlib.ExitStack() as held:
        fees = scenario.fees.by_name
        addresses = launch.free_addresses(fees)
        processors = held.enter_context(launch.processors(addresses, fees, logs))
        engine = held.enter_context(sides.engine(addresses, fees, settings, groups, logs))

        def look(recording: Recording, now_s: float) -> None:
            if groups is not None:
                engine.find()  # one that was started again comes into its group
            show(recording, now_s)

        trees = {"engine": Tree(engine.find()[SUPERVISOR])}
        contest = Contest(scenario, addresses, logs, drain_s_max, trees, look)
        held.callback(contest.close)
        contest.prepare()
        before = Account(engine, groups, {"processors": processors.pid})
        outcome = report.result(contest.run())
        after = Account(engine, groups, {"processors": processors.pid})
    outcome["broken"].extend(after.problems_since(before))
    found = measures(outcome, _cpu_ns(before, after)) | _throttled(before, after)
    return outcome, found | {"others_cores": after.others_cores_since(before)}


def _cpu_ns(before: Account, after: Account) -> dict[str, int]:
    """What the engine's processes used, by the first word of their role: all API processes are one, and all of nginx.

    As the scheduler counts it: ``Tree`` sees steps of 10 ms, which is much of what a short contest takes.
    """
    used: dict[str, int] = {}
    for role, cpu_ns in after.cpu_since(before).items():
        name = role.split()[0]
        used[name] = used.get(name, 0) + cpu_ns
    return used


def _throttled(before: Account, after: Account) -> dict[str, float]:
    """In how many per cent of its periods the most throttled service had to wait; nothing without limits."""
    uses = [use.since(before.uses[service]) for service, use in after.uses.items()]
    shares = [100 * use.throttled / use.periods for use in uses if use.periods]
    return {"throttled_percent": max(shares)} if shares else {}
