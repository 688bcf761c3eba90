"""``python -m engine soak``: pays for minutes or hours, and says whether everything stayed as it was."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import options, packages, results
from engine.lab.interrupt import interruptible
from engine.lab.ledger import place
from engine.lab.results import FAILED, INTERRUPTED, PASSED, UNUSABLE

if TYPE_CHECKING:
    from rich.console import Console

HELP = "Pays for minutes or hours as fast as it is settled; memory, descriptors and books must stay what they are."
NEEDED = ("rich", "matplotlib")
MINUTES_DEFAULT = 5.0
HOURS_MAX = 24.0 * 30
PAYMENTS_MAX = 2**32 - 1  # what a simulated processor remembers
RATE_MAX = 100_000.0
# A window is so short that there are about so many of them, and no shorter than a second.
WINDOWS = 600
# For the length of a window and of the warm-up, when only the number of payments is given.
RATE_GUESSED_PER_S = 8000.0
LEDGER_MB = 100.0  # what journal and ledger process may have
WARM_S = 60.0
WARM_SHARE = 1 / 3  # of a run that is shorter than three times the warm-up


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = (
        "The engine gets ENGINE_ variables, but for name, directory and port. Exit code: 0 if every promise held, "
        "1 if one did not, 2 if the run could not be held, 130 if it was interrupted."
    )
    option = parser.add_argument
    option("--minutes", type=options.number(0.05, HOURS_MAX * 60), metavar="M",
           help=f"pay so long (default: {MINUTES_DEFAULT:g}, or as long as --payments takes)")  # fmt: skip
    option("--payments", type=options.whole(1, PAYMENTS_MAX), metavar="N", help="pay so many at most, such as 5000000")
    option("--rate", type=options.number(1, RATE_MAX), default=RATE_MAX, metavar="R",
           help="payments a second at most (default: as many as are settled)")  # fmt: skip
    option("--backlog", type=options.whole(1, 2**26), default=32_768, metavar="N",
           help="accepted payments that may wait to be settled, at most (default: %(default)s)")  # fmt: skip
    option("--connections", type=options.whole(1, 512), default=32, metavar="N",
           help="that pay, each one payment after the other (default: %(default)s)")  # fmt: skip
    option("--growth-mb", type=options.number(0.1, 1000), default=5.0, metavar="MB",
           help="memory may grow by less than so much after the first minute (default: %(default)s)")  # fmt: skip
    option("--memory-mb", type=options.number(1, 100_000), default=200.0, metavar="MB",
           help=f"the engine may have less than so much memory, {LEDGER_MB:g} more with --ledger "
           "(default: %(default)s)")  # fmt: skip
    option("--settle-seconds", type=options.number(1, 3600), default=120.0, metavar="S",
           help="how long the engine may take to settle the rest (default: %(default)s)")  # fmt: skip
    option("--ledger", type=options.several(place.KINDS), metavar="KIND,...",
           help=f"a soak with the ledger in each of these, and a comparison: {', '.join(place.KINDS)} "
           "(default: one soak, with what ENGINE_LEDGER says)")  # fmt: skip
    option("--rounds", type=options.whole(1, 100), default=1, metavar="N",
           help="of --ledger: so often all of them, in turns (default: %(default)s)")  # fmt: skip
    option("--output", type=Path, metavar="DIR", help="where files go (default: contest-results/soak-<time>)")


def run(arguments: argparse.Namespace) -> int:
    """Holds the run; returns the exit code."""
    has_ledger = arguments.ledger is not None and arguments.ledger != [place.OFF]
    if problem := packages.missing((*NEEDED, *place.NEEDED) if has_ledger else NEEDED):
        print(f"soak: {problem}", file=sys.stderr)
        return UNUSABLE
    with interruptible():
        try:
            return _hold(arguments)
        except KeyboardInterrupt:
            print("soak: interrupted", file=sys.stderr)
            return INTERRUPTED


def _hold(arguments: argparse.Namespace) -> int:
    # Imported here: not every installation has the packages that they need, and `run` says so in a sentence.
    from engine.lab.soak import compare

    console = results.new_console()
    directory = results.directory(arguments.output, "soak")
    if arguments.ledger is None:
        return _soak(arguments, directory, console, None)[0]
    codes, outcomes = [], list[dict[str, Any]]()
    for number in range(1, arguments.rounds + 1):
        # In turns: when the machine is slow for a while, all of them are.
        for kind in arguments.ledger:
            results.say(console, f"round {number} of {arguments.rounds}, ledger {kind}")
            code, outcome = _soak(arguments, directory / f"{number}-{kind}", console, kind)
            codes.append(code)
            if code in (UNUSABLE, INTERRUPTED):
                return code
            outcomes.append(outcome | {"kind": kind, "round": number})
    compared = compare.compare(outcomes)
    results.say(console, compare.table(compared))
    results.write_json(compared, directory / "soaks.json")
    results.say(console, f"result: {directory}/soaks.json")
    return PASSED if set(codes) == {PASSED} and compared["passed"] else FAILED


def _soak(
    arguments: argparse.Namespace, directory: Path, console: Console, kind: str | None
) -> tuple[int, dict[str, Any]]:
    """One soak; its exit code, and its result if there is one."""
    from engine.lab.soak import picture, report
    from engine.lab.soak.checks import MB, Limits, all_checks
    from engine.lab.soak.live import View
    from engine.lab.soak.recording import Plan
    from engine.lab.soak.run import SoakError, hold

    seconds, expected_s = lengths(arguments.minutes, arguments.payments)
    plan = Plan(
        seconds=seconds,
        payments=arguments.payments or PAYMENTS_MAX,
        rate_per_s=arguments.rate,
        backlog_max=arguments.backlog,
        connections=arguments.connections,
        settle_s=arguments.settle_seconds,
        warm_s=min(WARM_S, expected_s * WARM_SHARE),
        window_s=max(1.0, expected_s / WINDOWS),
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with View(console) as view:
            seen = hold(plan, directory, view.show, kind)
    except (SoakError, OSError) as error:
        print(f"soak: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):
            directory.rmdir()  # unless there are files in it
        return UNUSABLE, {}
    memory_mb = arguments.memory_mb + (0.0 if kind in (None, place.OFF) else LEDGER_MB)
    checks = all_checks(seen, Limits(growth=int(arguments.growth_mb * MB), memory=int(memory_mb * MB)))
    report.print_tables(seen, checks, console)
    outcome = report.result(seen, checks)
    results.write_json(outcome, directory / "soak.json")
    picture.draw(outcome, directory / "soak.png")
    results.say(console, f"result: {directory}/soak.json, soak.png, windows.jsonl")
    if seen.interrupted:
        return INTERRUPTED, outcome
    return PASSED if report.passed(seen, checks) else FAILED, outcome


def lengths(minutes: float | None, payments: int | None) -> tuple[float, float]:
    """For how many seconds to pay at most, and for how many about."""
    if minutes is None:
        minutes = MINUTES_DEFAULT if payments is None else HOURS_MAX * 60
    expected_s = minutes * 60 if payments is None else min(minutes * 60, payments / RATE_GUESSED_PER_S)
    return minutes * 60, expected_s
