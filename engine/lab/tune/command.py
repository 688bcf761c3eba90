"""``python -m engine tune``: which values of the ``ENGINE_`` variables serve best, found by real contests."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from engine.invocation import command
from engine.lab import options, packages, results
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import DURATION_S_MAX, Scenario, ScenarioError
from engine.lab.interrupt import interruptible
from engine.lab.results import DONE, INTERRUPTED, UNUSABLE
from engine.lab.tune import journal, objective, space
from engine.lab.tune import plan as plans
from engine.lab.tune.journal import JournalError
from engine.lab.tune.plan import ROUNDS_MAX, Plan
from engine.lab.tune.space import SpaceError

HELP = "Holds contests with different ENGINE_ settings and says which serve best."
NEEDED = ("rich", "matplotlib", "k6")
SECONDS_MIN = 2.0
SEED_MAX = 2**31 - 1

Json = dict[str, Any]

# The defaults of all options that decide what is held. They are not argparse's own: --resume must be able to tell an
# option that was given from one that was not.
DEFAULTS: Json = {
    "scenario": "preview",
    "seconds_min": 5.0,
    "drain_seconds": 15.0,
    "rounds": 3,
    "objective": "score",
    "halving": False,
    "seed": 1,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = """\
values, separated by commas, each a value or a range of whole numbers:
  --vary ENGINE_DISPATCH_PAUSE_MS=1,4,16   these
  --vary ENGINE_DISPATCH_PAUSE_MS=2..32:x2   2, 4, 8, 16, 32
  --vary ENGINE_DISPATCH_BATCH=32..128:+32   32, 64, 96, 128
  --vary ENGINE_API_PROCESSES=1..4   1, 2, 3, 4
  --vary CPU_SPLIT=0.40/0.35/0.40,0.50/0.30/0.40
      cores for nginx, each API process and the dispatcher, as limits that hold (root only)
Other ENGINE_ variables of the environment hold for every contest.

files: plan.json, runs.csv (a line for each contest, as it ends), summary.csv (a line for each point), effects.png,
heat.png, halving.png, and runs/ with the logs of contests that failed.

Exit code: 0 when all contests were held, 2 if the tuning run could not be held, 130 if it was interrupted."""
    option = parser.add_argument
    option("--vary", action="append", metavar="NAME=VALUES", help="a variable and its values, see below; once for each")
    option(
        "--halving",
        action="store_true",
        default=None,
        help="successive halving: the better half goes on to contests twice as long (default: a grid)",
    )
    option(
        "--objective",
        choices=tuple(objective.OBJECTIVES),
        help=f"what counts; {_of_objectives()} (default: {DEFAULTS['objective']})",
    )
    option("--scenario", metavar="NAME|FILE", help=f"as for `contest` (default: {DEFAULTS['scenario']})")
    option(
        "--seconds",
        type=options.number(SECONDS_MIN, DURATION_S_MAX),
        metavar="S",
        help="stretch or shrink the scenario to so long; of halving the longest contests (default: its own)",
    )
    option(
        "--seconds-min",
        type=options.number(SECONDS_MIN, DURATION_S_MAX),
        metavar="S",
        help=f"length of halving's shortest contests (default: {DEFAULTS['seconds_min']:g})",
    )
    option(
        "--rounds",
        type=options.whole(1, ROUNDS_MAX),
        metavar="N",
        help=f"contests for each point, interleaved (default: {DEFAULTS['rounds']})",
    )
    option(
        "--drain-seconds",
        type=options.number(0, 3600),
        metavar="S",
        help=f"how long an engine may take to settle the rest (default: {DEFAULTS['drain_seconds']:g})",
    )
    option(
        "--seed",
        type=options.whole(0, SEED_MAX),
        metavar="N",
        help=f"of the order within the rounds (default: {DEFAULTS['seed']})",
    )
    option("--output", type=Path, metavar="DIR", help="where files go (default: contest-results/tune-<time>)")
    option(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the tuning run in DIR; all other options that are given must be as they were",
    )


def _of_objectives() -> str:
    return "; ".join(f"{name}: {found.title}" for name, found in objective.OBJECTIVES.items())


def run(arguments: argparse.Namespace) -> int:
    """Holds the tuning run; returns the exit code."""
    if problem := packages.missing(NEEDED):
        print(f"tune: {problem}", file=sys.stderr)
        return UNUSABLE
    with interruptible():
        try:
            return _hold(arguments)
        except (SpaceError, ScenarioError, JournalError, OSError) as error:
            print(f"tune: {error}", file=sys.stderr)
            return UNUSABLE


def wishes(arguments: argparse.Namespace, environment: dict[str, str]) -> Json:
    """What was asked for, by the keys of ``journal.as_json``; the rest is left out. Raises SpaceError."""
    given = {key: getattr(arguments, key) for key in (*DEFAULTS, "seconds")}
    asked = {key: value for key, value in given.items() if value is not None}
    axes = space.parse_axes(arguments.vary or [])
    if axes:
        asked["vary"] = [f"{axis.name}={','.join(axis.values)}" for axis in axes]
    settings = space.fixed(environment, axes)
    if settings:
        asked["environment"] = settings
    return asked


def new_plan(asked: Json, scenario: Scenario) -> Plan:
    """The plan for what was asked for, with defaults for the rest. Raises SpaceError."""
    if "vary" not in asked:
        raise SpaceError("nothing to vary: --vary NAME=VALUES (see --help), or --resume DIR")
    content = DEFAULTS | {"environment": {}, "seconds": scenario.load.duration_s} | asked
    plan = journal.from_json(content | {"scenario_digest": fingerprint(scenario)})
    count = len(plan.points)
    if plan.halving and count < 2:
        raise SpaceError("--halving needs two points or more")
    if plan.halving and plan.seconds_min > plan.seconds:
        raise SpaceError(f"--seconds-min {plan.seconds_min:g} is longer than the longest contest, {plan.seconds:g} s")
    return plan


def fingerprint(scenario: Scenario) -> str:
    """A digest of everything in ``scenario``: equal ones do the same to an engine."""
    return hashlib.sha256(repr(scenario).encode()).hexdigest()[:16]


def resumed_plan(stored: Json, asked: Json, scenario: Scenario, directory: Path) -> Plan:
    """The plan to go on with. Raises JournalError when what is asked for is not what is ``stored``."""
    asked = asked | {"scenario_digest": fingerprint(scenario)}
    problems = journal.differences(stored, asked)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise JournalError(
            f"{directory} has another plan:\n{lines}\n--resume without other options goes on with it; for another plan "
            "take another --output"
        )
    return journal.from_json(stored)


def _plan(arguments: argparse.Namespace) -> tuple[Plan, Scenario, Path]:
    """The plan, its scenario, and the directory, in which the plan now is. Raises what the called functions raise."""
    asked = wishes(arguments, dict(os.environ))
    if arguments.resume is not None:
        if arguments.output is not None:
            raise JournalError("--resume goes on where it was: leave --output out")
        stored = journal.read_plan(arguments.resume)
        scenario = scenarios.load(stored["scenario"])
        return resumed_plan(stored, asked, scenario, arguments.resume), scenario, arguments.resume
    scenario = scenarios.load(str(asked.get("scenario", DEFAULTS["scenario"])))
    plan = new_plan(asked, scenario)
    directory = results.directory(arguments.output, "tune")
    journal.write_plan(directory, plan)
    return plan, scenario, directory


def _hold(arguments: argparse.Namespace) -> int:
    # Imported here: not every installation has the packages that they need, and `run` says so in a sentence.
    from engine.lab.machine.cgroups import CgroupError
    from engine.lab.tune import live, picture, report
    from engine.lab.tune.journal import Journal
    from engine.lab.tune.run import OVERHEAD_S, TuneError, control_groups, tune

    plan, scenario, directory = _plan(arguments)
    console = results.new_console()
    code = DONE
    with Journal(directory, plan) as kept:
        try:
            if any(axis.name == space.SPLIT for axis in plan.axes):
                with control_groups("1/1/1", api_processes=1):
                    pass  # it is better to fail now than after the first contests
            left_s = plans.left_s(plan, kept.finished, OVERHEAD_S)
            results.say(
                console,
                f"{scenario.title}\n{len(plan.points)} points, {plans.runs_in_all(plan)} contests, "
                f"{len(kept.finished)} of them held; about {results.duration(left_s)}; {directory}",
            )
            with live.view(console) as view:
                tune(plan, scenario, kept, directory, view)
        except (TuneError, CgroupError) as error:
            print(f"tune: {error}", file=sys.stderr)
            code = UNUSABLE
        except KeyboardInterrupt:
            print(f"tune: interrupted; `{command('tune', '--resume', str(directory))}` goes on", file=sys.stderr)
            code = INTERRUPTED
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C wants no pictures
            if kept.finished:
                report.print_table(plan, kept.finished, console)
                report.write_summary(plan, kept.finished, directory / "summary.csv")
                paths = picture.draw(plan, kept.finished, directory)
                for path in (directory / journal.RUNS, directory / "summary.csv", *paths):
                    results.say(console, str(path))
    return code
