"""``python -m engine chaos``: a contest under which the world does its worst, on the real processes."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from pathlib import Path

from engine.lab import options, packages, results
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import DURATION_S_MAX, Scenario, ScenarioError
from engine.lab.interrupt import interruptible
from engine.lab.ledger import place
from engine.lab.results import FAILED, INTERRUPTED, PASSED, UNUSABLE

HELP = "A contest during which processes are killed and processors go wrong; checks that no payment suffered."
NEEDED = ("rich",)
CONSOLE_NEEDED = ("starlette", "uvicorn", "prometheus_client")
OWN_SCENARIO = Path(__file__).with_name("chaos.toml")
OWN_SURROUNDINGS = Path(__file__).with_name("surroundings.toml")
KILLS_MAX = 1000
KILLS, TROUBLES = 20, 6  # where the surroundings are left alone
LEDGER_KILLS = 30
BOUT_S = 12.0  # a fault of the surroundings so often
TROUBLES_MAX = 1000
SEED_MAX = 2**31 - 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = (
        "Exit code: 0 if every promise held, 1 if one did not, 2 if the run could not be held, 130 if it was "
        "interrupted. The same seed and options do the same things at the same times."
    )
    option = parser.add_argument
    option(
        "--seed", type=options.whole(0, SEED_MAX), metavar="N", help="of everything that is random (default: a new one)"
    )
    option(
        "--scenario",
        metavar="NAME|FILE",
        help="load and stages, as for `contest` (default: two minutes of its own, five with --surroundings)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds",
        type=options.number(1, DURATION_S_MAX),
        metavar="S",
        help="stretch or shrink the scenario to so long",
    )
    length.add_argument(
        "--minutes", type=options.number(1 / 60, DURATION_S_MAX / 60), metavar="M", help="the same in minutes"
    )
    option(
        "--surroundings",
        action="store_true",
        help="remove sockets, lock files and the run directory, stop processes, silence name servers, fill /dev/shm: "
        "the engine must serve soon after each; the last two need root, which makes them for this run alone",
    )
    option(
        "--bouts",
        type=options.whole(1, TROUBLES_MAX),
        metavar="N",
        help=f"of --surroundings: so many of these faults (default: one every {BOUT_S:g} s)",
    )
    option(
        "--within",
        type=options.number(0.1, 3600),
        default=5.0,
        metavar="S",
        help="of --surroundings: how soon after each the engine must serve (default: %(default)s)",
    )
    option(
        "--ledger",
        choices=(place.SQLITE, place.POSTGRESQL),
        nargs="?",
        const=place.SQLITE,
        default=place.OFF,
        help="record what happens, kill API processes, dispatcher, ledger process and database only, fill the ledger's "
        "disk for 20 s (needs root), and compare what is recorded with what clients and processors say "
        "(default: sqlite)",
    )
    option(
        "--kills",
        type=options.whole(0, KILLS_MAX),
        metavar="N",
        help=f"kill -9 so often (default: {KILLS}, {LEDGER_KILLS} with --ledger, none with --surroundings)",
    )
    option("--kill-supervisor", action="store_true", help="kill the supervisor too, and start it again")
    option(
        "--troubles",
        type=options.whole(0, TROUBLES_MAX),
        metavar="N",
        help="troubles on the way to the processors: reset, refused, stalled or delayed "
        f"(default: {TROUBLES}, none with --surroundings and --ledger)",
    )
    option(
        "--reset-after",
        type=options.number(0, 1),
        default=0.0,
        metavar="P",
        help="chance that a processor charges and then resets the connection (default: %(default)s)",
    )
    option(
        "--reset-before",
        type=options.number(0, 1),
        default=0.0,
        metavar="P",
        help="chance that a processor resets the connection and does not charge (default: %(default)s)",
    )
    option(
        "--hang",
        type=options.number(0, 1),
        default=0.0,
        metavar="P",
        help="chance that a processor hangs, in half of the cases after it has charged (default: %(default)s)",
    )
    option(
        "--hang-seconds",
        type=options.number(0.001, 600),
        default=60.0,
        metavar="S",
        help="how long it hangs (default: %(default)s)",
    )
    option(
        "--durability",
        choices=("memory", "disk", "sync"),
        default="memory",
        help="ENGINE_DURABILITY (default: %(default)s)",
    )
    option(
        "--fill-disk",
        action="store_true",
        help="put rings and books on a small disk that is full for a while; needs root, and durability disk or sync",
    )
    option(
        "--settle-seconds",
        type=options.number(1, 3600),
        default=120.0,
        metavar="S",
        help="how long the engine may take to settle the rest after the last trouble (default: %(default)s)",
    )
    for name in ("engine", "default", "fallback"):
        option(
            f"--{name}-port",
            type=options.whole(0, 65_535),
            default=0,
            metavar="PORT",
            help="0 takes a free one (default)",
        )
    option("--output", type=Path, metavar="DIR", help="where files go (default: contest-results/chaos-<time>)")
    option("--json", type=Path, metavar="FILE", help="write the result to this file, instead of DIR/chaos.json")


def run(arguments: argparse.Namespace) -> int:
    """Holds the run; returns the exit code."""
    needed = NEEDED if arguments.ledger == place.OFF else (*NEEDED, *place.NEEDED, *CONSOLE_NEEDED)
    problem = packages.missing(needed) or _contradiction(arguments)
    try:
        own = OWN_SURROUNDINGS if arguments.surroundings else OWN_SCENARIO
        scenario = scenarios.load(arguments.scenario or str(own))
    except ScenarioError as error:
        problem = problem or str(error)
    if problem:
        print(f"chaos: {problem}", file=sys.stderr)
        return UNUSABLE
    seconds = arguments.seconds if arguments.minutes is None else arguments.minutes * 60
    if seconds is not None:
        scenario = scenario.stretched(seconds)
    seed = random.randrange(SEED_MAX) if arguments.seed is None else arguments.seed
    with interruptible():
        try:
            return _hold(arguments, scenario, seed)
        except KeyboardInterrupt:
            print(f"chaos: interrupted, seed {seed}", file=sys.stderr)
            return INTERRUPTED


def _contradiction(arguments: argparse.Namespace) -> str:
    if arguments.reset_after + arguments.reset_before + arguments.hang > 1:
        return "--reset-after, --reset-before and --hang are more than 1 together"
    if arguments.bouts is not None and not arguments.surroundings:
        return "--bouts is for --surroundings"
    if arguments.surroundings and (arguments.kills or arguments.kill_supervisor or arguments.troubles):
        return "--surroundings goes without --kills, --kill-supervisor and --troubles: each fault is judged by itself"
    if arguments.ledger != place.OFF and (arguments.surroundings or arguments.kill_supervisor or arguments.troubles):
        return (
            "--ledger goes without --surroundings, --kill-supervisor and --troubles: what is lost on the way to the "
            "processors is not in their logs"
        )
    if arguments.ledger != place.OFF and arguments.fill_disk:
        return "--fill-disk is for rings and books; --ledger fills a disk of its own"
    if arguments.fill_disk and arguments.durability == "memory":
        return "--fill-disk needs --durability disk or sync: in memory nothing is on a disk"
    return ""


def _bouts(arguments: argparse.Namespace, scenario: Scenario) -> int:
    if not arguments.surroundings:
        return 0
    return arguments.bouts or max(int(scenario.load.duration_s / BOUT_S), 1)


def _hold(arguments: argparse.Namespace, scenario: Scenario, seed: int) -> int:
    # Imported here: not every installation has the packages that they need, and `run` says so in a sentence.
    from engine.lab.chaos import apart, report
    from engine.lab.chaos.mounts import MountError
    from engine.lab.chaos.run import ChaosError, Wishes, hold

    console = results.new_console()
    directory = results.directory(arguments.output, "chaos")
    has_ledger = arguments.ledger != place.OFF
    kills = 0 if arguments.surroundings else LEDGER_KILLS if has_ledger else KILLS
    troubles = 0 if arguments.surroundings or has_ledger else TROUBLES
    is_apart = False
    if arguments.surroundings:
        try:
            apart.enter()
            is_apart = True
        except MountError as error:
            console.print(f"without silent name servers and a full /dev/shm: {error}", style="yellow", markup=False)
    wishes = Wishes(
        kills=kills if arguments.kills is None else arguments.kills,
        kill_supervisor=arguments.kill_supervisor,
        troubles=troubles if arguments.troubles is None else arguments.troubles,
        faults={
            "reset_after_insert": arguments.reset_after,
            "reset_before_insert": arguments.reset_before,
            "hang_after_insert": arguments.hang / 2,
            "hang_before_insert": arguments.hang / 2,
        },
        hang_s=arguments.hang_seconds,
        durability=arguments.durability,
        fill_disk=arguments.fill_disk,
        bouts=_bouts(arguments, scenario),
        within_s=arguments.within,
        is_apart=is_apart,
        ledger=arguments.ledger,
        settle_s=arguments.settle_seconds,
        engine_port=arguments.engine_port,
        processor_ports={"default": arguments.default_port, "fallback": arguments.fallback_port},
    )
    console.print(f"seed {seed}: {scenario.title}", markup=False, highlight=False)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        findings = hold(scenario, wishes, seed, directory, console)
    except (ChaosError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):
            directory.rmdir()  # unless there are files in it
        return UNUSABLE
    report.print_tables(findings, console)
    path = arguments.json or directory / "chaos.json"
    results.write_json(report.result(findings), path)
    results.say(console, f"result: {path}")
    return PASSED if findings.passed else FAILED
