"""``python -m engine bench``: the engine measured beside nginx that answers by itself."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import options, packages, results
from engine.lab.interrupt import noted
from engine.lab.results import FAILED, INTERRUPTED, PASSED, UNUSABLE

if TYPE_CHECKING:
    from rich.console import Console

    from engine.lab.bench.report import LimitsNote
    from engine.lab.bench.run import Wishes
    from engine.lab.machine.limits import Limit

HELP = "Measures the engine beside its floor, nginx answering 202 by itself, under the same load in the same run."
NEEDED = ("rich", "matplotlib", "yaml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = (
        "Exit code: 0 if every accepted payment was settled, once, and the books agreed in every round (whether the "
        "targets were met or not); 1 if not; 2 if it could not be held; 130 if it was interrupted."
    )
    option = parser.add_argument
    option("--rounds", type=options.whole(1, 100), default=5, metavar="N", help="rounds (default: %(default)s)")
    option(
        "--seconds",
        type=_seconds(0, 3600),
        default=60.0,
        metavar="S",
        help="length of the contest's load in each round; 0 leaves it out (default: %(default)s)",
    )
    option(
        "--saturation-seconds",
        type=_seconds(0, 600),
        default=20.0,
        metavar="S",
        help="length of the saturating load in each round; 0 leaves it out (default: %(default)s)",
    )
    option(
        "--connections",
        type=options.whole(1, 1024),
        default=64,
        metavar="N",
        help="requests that are open at once under the saturating load (default: %(default)s)",
    )
    option("--no-limits", action="store_true", help="do not apply the limits of docker-compose.yml")
    option("--check", action="store_true", help="compare with the targets: print which are met")
    option("--split", action="store_true", help="look for the best split of the CPU over the services instead")
    option(
        "--split-seconds",
        type=_seconds(1, 3600),
        default=20.0,
        metavar="S",
        help="length of the contest's load in each round of --split (default: %(default)s)",
    )
    option("--output", type=Path, metavar="DIR", help="where files go (default: contest-results/bench-<time>)")
    option("--json", type=Path, metavar="FILE", help="write the result to this file, instead of DIR/bench.json")
    option("--no-picture", action="store_true", help="draw no pictures")


def _seconds(low: int, high: int) -> Callable[[str], float]:
    """Reads a number of seconds from 1 to ``high``, or 0 if ``low`` is."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not (1 <= number <= high or number == low):
            words = f"a number from 1 to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {words}" + (", nor 0" if low == 0 else ""))
        return number

    return read


def run(arguments: argparse.Namespace) -> int:
    """Holds the benchmark; returns the exit code."""
    problem = packages.missing(NEEDED)
    if not (arguments.split or arguments.seconds or arguments.saturation_seconds):
        problem = "both loads are left out: there is nothing to measure"
    if problem:
        print(f"bench: {problem}", file=sys.stderr)
        return UNUSABLE
    with noted() as is_stopped:  # an interrupt takes effect where `progress.Steps` says
        try:
            return _hold(arguments, is_stopped)
        except KeyboardInterrupt:
            print("bench: interrupted before there was a result", file=sys.stderr)
            return INTERRUPTED


def _hold(arguments: argparse.Namespace, is_stopped: Callable[[], bool]) -> int:
    # Imported here: not every installation has the packages that they need, and `run` says so in a sentence.
    from engine.lab.bench import report
    from engine.lab.bench import run as bench
    from engine.lab.bench.saturation import find_wrk
    from engine.lab.contest.load import find_k6
    from engine.lab.contest.run import ContestError
    from engine.lab.contest.samples import LoadError
    from engine.lab.launch import LaunchError
    from engine.lab.machine import limits as limits_module
    from engine.lab.machine.cgroups import CgroupError
    from engine.lab.services.service import ServiceError
    from engine.settings import SettingsError
    from engine.supervise.nginx import ConfError

    console = results.new_console()
    directory = results.directory(arguments.output, "split" if arguments.split else "bench")
    try:
        of_services = limits_module.of_compose_file()
        why_not = "--no-limits" if arguments.no_limits else bench.why_no_limits(of_services)
        if arguments.split and why_not:
            raise CgroupError(f"without limits there is nothing to split: {why_not}")
        find_k6()
        directory.mkdir(parents=True, exist_ok=True)
        if arguments.split:
            return _split(arguments, of_services, directory, console, is_stopped)
        if arguments.saturation_seconds:
            find_wrk()
        wishes = bench.Wishes(
            rounds=arguments.rounds,
            ramp_s=arguments.seconds,
            saturation_s=arguments.saturation_seconds,
            connections=arguments.connections,
            limits=None if why_not else of_services,
        )
        return _bench(arguments, wishes, report.LimitsNote(why_not, of_services), directory, console, is_stopped)
    except (
        CgroupError, ConfError, ContestError, LaunchError, LoadError, ServiceError, SettingsError,
        limits_module.LimitsError, OSError,
    ) as error:  # fmt: skip
        print(f"bench: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):
            directory.rmdir()  # unless there are files in it
        return UNUSABLE


def _bench(
    arguments: argparse.Namespace,
    wishes: Wishes,
    limits: LimitsNote,
    directory: Path,
    console: Console,
    is_stopped: Callable[[], bool],
) -> int:
    from engine.lab.bench import picture, report
    from engine.lab.bench import run as bench
    from engine.lab.bench.progress import Steps

    findings, interrupted = bench.Findings(), False
    try:
        with Steps(console, bench.planned_s(wishes), is_stopped) as steps:
            bench.hold(wishes, directory, steps, findings)
    except KeyboardInterrupt:
        if not findings.has_all(wishes):
            raise
        interrupted = True
    outcome = report.result(findings, wishes, limits, _machine())
    report.print_tables(outcome, console, with_targets=arguments.check)
    _write(outcome, arguments.json or directory / "bench.json", console)
    if not arguments.no_picture:
        _name_pictures(picture.draw(outcome, directory), console)
    if interrupted:
        return INTERRUPTED
    return PASSED if outcome["passed"] else FAILED


def _split(
    arguments: argparse.Namespace,
    shipped: Mapping[str, Limit],
    directory: Path,
    console: Console,
    is_stopped: Callable[[], bool],
) -> int:
    from engine.lab.bench import picture, split
    from engine.lab.bench import run as bench
    from engine.lab.bench.progress import Steps

    seconds = arguments.split_seconds
    candidates = split.candidates(shipped)
    with Steps(console, split.rounds_in_all(len(candidates)) * bench.ramp_round_s(seconds), is_stopped) as steps:
        tried = bench.hold_splits(candidates, shipped, seconds, directory, steps)
    outcome = split.result(tried, candidates[0], seconds) | {"machine": _machine()}
    split.print_table(outcome, console)
    _write(outcome, arguments.json or directory / "split.json", console)
    if not arguments.no_picture:
        _name_pictures(picture.draw_splits(outcome, directory), console)
    return PASSED if outcome["passed"] else FAILED


def _name_pictures(paths: Sequence[Path], console: Console) -> None:
    for path in paths:
        results.say(console, f"picture: {path}")


def _write(outcome: dict[str, Any], path: Path, console: Console) -> None:
    results.write_json(outcome, path)
    results.say(console, f"result: {path}")


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
