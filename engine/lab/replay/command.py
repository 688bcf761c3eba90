"""``python -m engine replay``: contests in virtual time, one or many."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import settings as settings_module
from engine.invocation import command
from engine.lab import packages, results
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import Fees, Scenario, ScenarioError
from engine.lab.interrupt import interruptible
from engine.lab.ledger.place import NEEDED
from engine.lab.replay.policies import POLICIES, RIVALS
from engine.lab.results import DONE, INTERRUPTED, UNUSABLE, say, write_json
from engine.settings import Settings, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from engine.lab.replay.many import Row, Terms
    from engine.lab.replay.play import Played
    from engine.lab.replay.result import Result

HELP = "A contest in virtual time: the engine's routing, and others, against the best that was possible."
GENERATED, GENERATED_FLAKY = "generated:", "generated-flaky:"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = "Settings are taken from the environment (tuning.md), so that other values can be tried."
    option = parser.add_argument
    option(
        "scenario",
        nargs="?",
        metavar="SCENARIO",
        help=f"{', '.join(scenarios.names())}, a TOML file, {GENERATED}SEED or {GENERATED_FLAKY}SEED",
    )
    option("--generate", type=_range, metavar="A:B", help="play the generated scenarios with seeds from A to before B")
    option(
        "--generate-flaky", type=_range, metavar="A:B", help="the same with processors that fail at random now and then"
    )
    option(
        "--from-ledger",
        nargs=2,
        metavar=("FROM", "TO"),
        help="replay what the ledger has of this time (2026-11-27T14:30Z, or 2h ago), under the settings of the "
        "environment and under others, and write into it which would have earned more (docs/money.md)",
    )
    option(
        "--policy",
        type=_policies,
        default=list(POLICIES),
        metavar="NAME[,NAME]",
        help=f"whose choices: {', '.join(POLICIES)} (all of them without it), or an earlier rule of ours: "
        f"{', '.join(RIVALS)}; ours is the engine's own",
    )
    option(
        "--fees",
        type=_fees,
        metavar="D,F",
        help="what default and fallback keep instead, as shares: 0.07,0.10 is 7 and 10 %%",
    )
    option("--believed-fees", type=_fees, metavar="D,F", help="what the policies take for the fees, as above")
    option("--kinds", action="store_true", help="say what was earned for each kind of trouble in generated scenarios")
    option("--json", type=Path, metavar="FILE", help="write everything that is known of the result")
    option("--picture", type=Path, metavar="FILE", help="draw the result as a PNG")
    option("--write", type=Path, metavar="FILE", help="write SCENARIO as TOML for `engine contest --scenario FILE`")
    option(
        "--jobs",
        type=int,
        choices=range(1, 65),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes for --generate and --from-ledger (default: the number of cores)",
    )


def _range(text: str) -> range:
    begin, _, end = text.partition(":")
    try:
        seeds = range(int(begin), int(end))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0:200") from None
    if not seeds or seeds[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed, or a negative one")
    return seeds


def _policies(text: str) -> list[str]:
    if text == "all":
        return list(POLICIES)
    names = text.split(",")
    unknown = [name for name in names if name not in POLICIES and name not in RIVALS]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must name some of all, {', '.join((*POLICIES, *RIVALS))}, each once"
        )
    return names


def _fees(text: str) -> Fees:
    default, comma, fallback = text.partition(",")
    try:
        fees = Fees(Decimal(default), Decimal(fallback))
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0.07,0.10") from None
    if not comma or not all(fee.is_finite() and 0 <= fee <= 1 for fee in (fees.default, fees.fallback)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0.07,0.10: two shares from 0 to 1")
    return fees


def run(arguments: argparse.Namespace) -> int:
    """Plays; returns the exit code."""
    needed = ["rich", *(["matplotlib"] if arguments.picture else []), *(NEEDED if arguments.from_ledger else [])]
    problem = packages.missing(needed)
    seeds = arguments.generate or arguments.generate_flaky
    kinds = [arguments.scenario, arguments.generate, arguments.generate_flaky, arguments.from_ledger]
    if kinds.count(None) != len(kinds) - 1:
        problem = problem or "give a SCENARIO, or --generate A:B, or --generate-flaky A:B, or --from-ledger FROM TO"
    if seeds and arguments.write:
        problem = problem or f"--write writes one scenario: give {GENERATED}SEED"
    if problem:
        return _unusable(problem)
    console = results.new_console()
    with interruptible():
        try:
            settings = settings_module.read(os.environ)
            if arguments.from_ledger:
                return _play_ledger(arguments, settings, console)
            if seeds:
                return _play_many(arguments, seeds, settings, console)
            return _play_one(arguments, _load(arguments.scenario), settings, console)
        except (ScenarioError, SettingsError, OSError) as error:
            return _unusable(str(error))
        except KeyboardInterrupt:
            print("replay: interrupted", file=sys.stderr)
            return INTERRUPTED


def _play_ledger(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from engine.lab.advice import command as from_ledger
    from engine.lab.advice.record import RecordError
    from engine.ledger.errors import LedgerError

    try:
        return from_ledger.run(arguments.from_ledger, settings, arguments.jobs, console)
    except (RecordError, LedgerError) as error:
        return _unusable(str(error))


def _unusable(reason: str) -> int:
    print(f"replay: {reason}", file=sys.stderr)
    return UNUSABLE


def _load(name: str) -> Scenario:
    """The scenario that is asked for. Raises ScenarioError."""
    from engine.lab.replay.generate import generate, generate_flaky

    for prefix, make in ((GENERATED, generate), (GENERATED_FLAKY, generate_flaky)):
        if name.startswith(prefix):
            seed = name.removeprefix(prefix)
            if not seed.isascii() or not seed.isdecimal():
                raise ScenarioError(f"{name!r}: the seed must be a whole number, as in {prefix}17")
            return make(int(seed))
    return scenarios.load(name)


def _play_one(arguments: argparse.Namespace, scenario: Scenario, settings: Settings, console: Console) -> int:
    from engine.lab.replay.play import play

    if arguments.fees:
        scenario = replace(scenario, fees=arguments.fees)

    if arguments.write:
        from engine.lab.replay.generate import to_toml

        arguments.write.write_text(to_toml(scenario), encoding="utf-8")
        say(console, f"scenario: {arguments.write}")
    played = play(scenario, arguments.policy, settings, believed=arguments.believed_fees)
    _print_account(console, played)
    for name in arguments.policy:
        _print_events(console, played.results[name])
    if arguments.json:
        write_json(_one_json(played), arguments.json)
        say(console, f"result: {arguments.json}")
    if arguments.picture:
        from engine.lab.replay import picture

        picture.draw(arguments.picture, scenario, played.results, played.best)
        say(console, f"picture: {arguments.picture}")
    return DONE


def _play_many(arguments: argparse.Namespace, seeds: range, settings: Settings, console: Console) -> int:
    from rich.progress import track

    from engine.lab.replay.many import Terms, play_seeds

    terms = Terms(arguments.generate is None, arguments.fees, arguments.believed_fees)
    rows = sorted(
        track(
            play_seeds(seeds, arguments.policy, settings, arguments.jobs, terms),
            description="scenarios",
            total=len(seeds),
            console=console,
            transient=True,
        ),
        key=lambda row: row.seed,
    )
    _print_many(console, rows, terms)
    if arguments.kinds:
        _print_kinds(console, rows)
    if arguments.json:
        write_json(_many_json(rows), arguments.json)
        say(console, f"result: {arguments.json}")
    if arguments.picture:
        from engine.lab.replay import picture

        ratios = {name: [row.scores[name].ratio for row in rows] for name in arguments.policy}
        picture.draw_many(arguments.picture, ratios)
        say(console, f"picture: {arguments.picture}")
    return DONE


def _print_account(console: Console, played: Played) -> None:
    """Where the money went, a column for each policy."""
    from rich.table import Table

    best = played.best
    table = Table(title=played.scenario.title, title_style="bold", padding=(0, 1))
    table.add_column("", style="cyan", no_wrap=True)
    for name in played.results:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("oracle", justify="right", no_wrap=True)
    results, accounts = list(played.results.values()), list(played.accounts.values())

    def money(title: str, field: str, oracle: object = 0) -> None:
        table.add_row(title, *(f"{getattr(one, field):,.2f}" for one in accounts), f"{oracle:,.2f}")

    first = accounts[0]
    money("requested", "requested", first.requested)
    money("- fees, unavoidable", "fees_unavoidable", first.fees_unavoidable)
    money("- fees for lack of knowledge", "fees_unknowing")
    money("- left, unavoidable", "left_unavoidable", first.left_unavoidable)
    money("- left", "left")
    money("- fine", "fine")
    money("= net after the fine", "worth", best.net)
    table.add_row("of the oracle's", *(f"[bold]{one.ratio:.4f}[/]" for one in accounts), "1")
    table.add_section()
    rows = (
        ("on default", [one.settled[0] for one in results], best.on_default),
        ("on fallback", [one.settled[1] for one in results], best.on_fallback),
        ("left", [one.left for one in results], best.left),
        ("attempts that failed", [one.wasted for one in results], ""),
        ("rejected, timed out", [f"{one.rejected:,}, {one.timed_out:,}" for one in results], ""),
        ("audits missed", [f"{one.audits_missed} of {len(one.audits)}" for one in results], ""),
        ("longest voluntary wait", [f"{one.voluntary_ms:,.0f} ms" for one in results], ""),
        ("longest wait", [f"{one.waited_ms:,.0f} ms" for one in results], ""),
        ("peak backlog", [one.backlog_max for one in results], ""),
    )
    for title, values, oracle in rows:
        table.add_row(title, *(_shown(value) for value in values), _shown(oracle))
    console.print(table)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_events(console: Console, result: Result) -> None:
    """What each change of failing cost, in a line for each."""
    names = ("default", "fallback")
    events: list[tuple[float, str]] = []
    for onset in result.onsets:
        text = f"fails: {onset.caught} caught, {onset.sent_soon} sent within a second, {onset.sent_later} probes later"
        events.append((onset.at_s, f"{names[onset.processor]} {text}"))
    for recovery in result.recoveries:
        first = "nothing settled" if recovery.first_ms is None else f"first settled after {recovery.first_ms:,.0f} ms"
        events.append((recovery.at_s, f"{names[recovery.processor]} recovers: {first}"))
    for at_s, text in sorted(events):
        say(console, f"{result.policy:12} {at_s:7.1f} s  {text}")


def _print_many(console: Console, rows: list[Row], terms: Terms) -> None:
    from rich.table import Table

    from engine.lab.replay.many import summarize

    seeds, payments = f"{rows[0].seed}:{rows[-1].seed + 1}", sum(row.accepted for row in rows)
    kind, name = ("generated flaky", GENERATED_FLAKY) if terms.is_flaky else ("generated", GENERATED)
    title = f"{len(rows)} {kind} scenarios, seeds {seeds}, {payments:,} payments"
    table = Table(title=title, title_style="bold", padding=(0, 1))
    for index, column in enumerate(
        (
            "policy", "mean", "worst", "first", "by net alone", "audits missed", "longest wait", "too long", "wasted",
            "worst seeds",
        )
    ):  # fmt: skip
        table.add_column(column, justify="left" if index in (0, 9) else "right", style="cyan" if not index else None)
    for line in summarize(rows):
        table.add_row(
            line.policy,
            f"{line.mean:.4f}",
            f"{line.worst:.4f}",
            f"{line.first:.1%}" if len(rows[0].scores) > 1 else "-",
            f"{line.first_by_net:.1%}" if len(rows[0].scores) > 1 else "-",
            str(line.audits_missed),
            f"{line.voluntary_ms:,.0f} ms",
            str(line.bound_broken),
            f"{line.wasted:,}",
            " ".join(map(str, line.worst_seeds)),
        )
    console.print(table)
    say(
        console,
        "mean, worst: net after the fine over the oracle's. first: share of the scenarios in which no policy that kept "
        "the bound was better; a policy that let a payment wait by choice for longer than ENGINE_WAIT_MAX_MS is not "
        "ranked in that scenario. by net alone: the same without that rule. longest wait: by choice, while a processor "
        "was healthy and had room. too long: in how many scenarios that broke the bound. wasted: attempts that "
        "failed, median.\n"
        f"again: {command('replay')} {name}{summarize(rows)[0].worst_seeds[0]}",
    )


def _print_kinds(console: Console, rows: list[Row]) -> None:
    from rich.table import Table

    from engine.lab.replay.many import by_kind, summarize

    table = Table(title="mean and worst where there was", title_style="bold", padding=(0, 1))
    table.add_column("", style="cyan")
    for name in ("scenarios", *rows[0].scores):
        table.add_column(name, justify="right")
    for kind, found in by_kind(rows).items():
        table.add_row(kind, str(len(found)), *(f"{line.mean:.4f} {line.worst:.4f}" for line in summarize(found)))
    console.print(table)


def _one_json(played: Played) -> dict[str, Any]:
    best = played.best
    oracle = {"on_default": best.on_default, "on_fallback": best.on_fallback, "left": best.left, "net": float(best.net)}
    policies = {
        name: result.json() | {"account": played.accounts[name].json()} for name, result in played.results.items()
    }
    return {"scenario": played.scenario.name, "title": played.scenario.title, "oracle": oracle, "policies": policies}


def _many_json(rows: list[Row]) -> dict[str, Any]:
    from dataclasses import asdict

    from engine.lab.replay.many import summarize

    return {"policies": [asdict(line) for line in summarize(rows)], "scenarios": [row.json() for row in rows]}
