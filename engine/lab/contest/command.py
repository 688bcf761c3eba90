"""``python -m engine contest``: what the Rinha de Backend 2025 does to a backend, run on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.lab import options, packages, results
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import Scenario, ScenarioError
from engine.lab.interrupt import interruptible
from engine.lab.ledger import place
from engine.lab.results import FAILED, INTERRUPTED, PASSED, UNUSABLE

if TYPE_CHECKING:
    from rich.console import Console

    from engine.lab.launch import Children

HELP = "Runs the contest against an engine and writes its result: a table, JSON and a picture."
NEEDED = ("rich", "matplotlib")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = (
        "Exit code: 0 if all accepted payments were settled, every audit agreed and nothing was charged twice; "
        "1 if not; 2 if the contest could not be held; 130 if it was interrupted."
    )
    option = parser.add_argument
    option(
        "--scenario",
        default="preview",
        metavar="NAME|FILE",
        help=f"{', '.join(scenarios.names())}, or a TOML file (default: %(default)s)",
    )
    option("--start", action="store_true", help="start (and stop) the engine and the simulated processors")
    option("--base-url", default="http://127.0.0.1:9999", metavar="URL", help="the engine (default: %(default)s)")
    option(
        "--default-url",
        default=os.environ.get("PAYMENT_PROCESSOR_URL_DEFAULT", "http://127.0.0.1:8001"),
        metavar="URL",
        help="default processor (default: PAYMENT_PROCESSOR_URL_DEFAULT or http://127.0.0.1:8001)",
    )
    option(
        "--fallback-url",
        default=os.environ.get("PAYMENT_PROCESSOR_URL_FALLBACK", "http://127.0.0.1:8002"),
        metavar="URL",
        help="fallback processor (default: PAYMENT_PROCESSOR_URL_FALLBACK or http://127.0.0.1:8002)",
    )
    option("--token", default="123", help="the processors' X-Rinha-Token (default: %(default)s)")
    option(
        "--drain-seconds",
        type=options.number(0, 3600),
        default=15.0,
        metavar="S",
        help="how long the engine may take to settle the rest after the load (default: %(default)s)",
    )
    option("--max-p99-ms", type=options.number(0, 3600), metavar="MS", help="a p99 above it fails the run")
    option("--engine-pid", type=int, metavar="PID", help="watch CPU and memory of this process and its children")
    option(
        "--ledger",
        type=options.several(place.KINDS),
        metavar="KIND,...",
        help=f"start everything at free ports with the ledger in each of these, and compare: {', '.join(place.KINDS)} "
        "(default: one contest, with what ENGINE_LEDGER says)",
    )
    option(
        "--rounds",
        type=options.whole(1, 100),
        default=1,
        metavar="N",
        help="of --ledger: so often all of them, in turns (default: %(default)s)",
    )
    option("--output", type=Path, metavar="DIR", help="where files go (default: contest-results/<scenario>-<time>)")
    option("--json", type=Path, metavar="FILE", help="write the result to this file, instead of DIR/result.json")
    option("--no-picture", action="store_true", help="draw no picture")


def run(arguments: argparse.Namespace) -> int:
    """Holds the contest; returns the exit code."""
    needed = [name for name in NEEDED if name != "matplotlib" or not arguments.no_picture]
    if arguments.ledger is not None and arguments.ledger != [place.OFF]:
        needed += place.NEEDED
    if problem := packages.missing(needed):
        print(f"contest: {problem}", file=sys.stderr)
        return UNUSABLE
    try:
        scenario = scenarios.load(arguments.scenario)
    except ScenarioError as error:
        print(f"contest: {error}", file=sys.stderr)
        return UNUSABLE
    with interruptible():
        try:
            return _hold(arguments, scenario)
        except KeyboardInterrupt:
            print("contest: interrupted before there was a result", file=sys.stderr)
            return INTERRUPTED


def _hold(arguments: argparse.Namespace, scenario: Scenario) -> int:
    console = results.new_console()
    directory = results.directory(arguments.output, scenario.name)
    if arguments.ledger is None:
        return _contest(arguments, scenario, directory, console)[0]
    # Imported here: not every installation has the packages that they need, and `run` says so in a sentence.
    from engine.lab.contest import compare

    outcomes = list[dict[str, Any]]()
    for number in range(1, arguments.rounds + 1):
        # In turns, and every other round in the other order: when the machine is slow for a while, all of them are.
        for kind in arguments.ledger[:: 1 if number % 2 else -1]:
            results.say(console, f"round {number} of {arguments.rounds}, ledger {kind}")
            code, outcome = _contest(arguments, scenario, directory / f"{number}-{kind}", console, kind)
            if code in (UNUSABLE, INTERRUPTED):
                return code
            outcomes.append(outcome | {"kind": kind, "round": number})
    compared = compare.compare(outcomes)
    results.say(console, compare.table(compared))
    path = arguments.json or directory / "compared.json"
    results.write_json(compared, path)
    results.say(console, f"result: {path}")
    return PASSED if compared["passed"] else FAILED


def _contest(
    arguments: argparse.Namespace, scenario: Scenario, directory: Path, console: Console, kind: str | None = None
) -> tuple[int, dict[str, Any]]:
    """One contest; its exit code, and its result if there is one.

    ``kind``: with the ledger there, an engine and processors of its own, at free ports.
    """
    from engine.lab import launch
    from engine.lab.contest import live, report
    from engine.lab.contest.run import Contest, ContestError
    from engine.lab.contest.samples import LoadError
    from engine.lab.launch import Children, LaunchError
    from engine.lab.machine.tree import NoSuchTreeError, Tree
    from engine.lab.services.addresses import Addresses
    from engine.lab.services.service import ServiceError
    from engine.memory.errors import SegmentError

    addresses = Addresses(
        engine=arguments.base_url.rstrip("/"),
        processors={"default": arguments.default_url.rstrip("/"), "fallback": arguments.fallback_url.rstrip("/")},
        token=arguments.token,
    )
    if kind is not None:
        addresses = launch.free_addresses(addresses.processors)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            children = None
            where = held.enter_context(place.place(kind or place.OFF, directory))
            if arguments.start or kind is not None:
                results.say(console, "starting the engine and two simulated processors")
                given = {} if kind is None else where.variables
                fees = scenario.fees.by_name
                children = held.enter_context(Children("contest", addresses, fees, directory, given))
                if where.url:
                    _await_ledger(children)
            pids = {"engine": arguments.engine_pid}
            if children is not None:
                pids = {"engine": children.engine.pid, "processors": children.processors.pid}
            if where.server is not None:
                pids["database"] = where.server.pid
            trees = {name: Tree(pid, with_memory=name == "engine") for name, pid in pids.items() if pid is not None}
            trees["contest"] = Tree(os.getpid(), with_children=False, with_memory=False)
            view = live.view(console)
            contest = Contest(scenario, addresses, directory, arguments.drain_seconds, trees, view.show)
            held.callback(contest.close)
            contest.prepare()
            with view:
                recording = contest.run()
            if children is not None:
                recording.notes.extend(children.ended())
    except (
        ContestError,
        LaunchError,
        place.PlaceError,
        ServiceError,
        LoadError,
        NoSuchTreeError,
        SegmentError,
        OSError,
    ) as error:
        print(f"contest: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):
            directory.rmdir()  # unless there are files in it
        return UNUSABLE, {}
    outcome = report.result(recording, arguments.max_p99_ms)
    report.print_table(outcome, console)
    path = directory / "result.json" if arguments.json is None or kind is not None else arguments.json
    results.write_json(outcome, path)
    results.say(console, f"result: {path}")
    if not arguments.no_picture:
        from engine.lab.contest import picture

        picture.draw(outcome, directory / "contest.png")
        results.say(console, f"picture: {directory / 'contest.png'}")
    if outcome["interrupted"]:
        return INTERRUPTED, outcome
    return PASSED if outcome["passed"] else FAILED, outcome


def _await_ledger(children: Children) -> None:
    from engine import settings
    from engine.lab.ledger.gauge import await_made

    await_made(settings.read(os.environ | children.engine.environment))
