"""The result of a benchmark: for JSON, and as tables for people. Pure but for the console that it is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.lab.bench import targets
from engine.lab.bench.figures import QUANTILES, RampRound, SaturationRound, Spread, ratios, spread, spreads
from engine.lab.bench.run import Findings, Wishes, order, saturation_variables
from engine.lab.bench.sides import ENGINE, FLOOR
from engine.lab.bench.targets import Check
from engine.lab.machine.limits import Limit
from engine.lab.results import say

Json = dict[str, Any]

LATENCIES = ("p50", "p90", "p99", "p99.9", "max")
OTHERS_CORES_NOTED = 0.1  # above it, other programs determine a round's latency
DIGITS = 4


@dataclass(frozen=True)
class LimitsNote:
    """Whether the compose file's limits were applied; ``why_not`` is ``""`` then."""

    why_not: str
    services: Mapping[str, Limit]

    @property
    def applied(self) -> bool:
        """Whether the limits were applied."""
        return not self.why_not

    def describe(self) -> str:
        """One sentence."""
        if not self.applied:
            return f"no limits were applied: {self.why_not}"
        each = ", ".join(
            f"{name} {limit.cpus} CPU {limit.memory_bytes / (1 << 20):g} MiB" for name, limit in self.services.items()
        )
        return f"limits of docker-compose.yml applied under the contest's load: {each} (saturation: none)"


def result(findings: Findings, wishes: Wishes, limits: LimitsNote, machine: Json) -> Json:
    """Everything, for JSON; times, sizes and rates in the unit of their name. Needs at least one round of each kind
    that was wished for; of rounds that were cut short on one side only, the other side's count is cut too."""
    content: Json = _rounded(
        {
            "passed": not findings.problems,
            "problems": findings.problems,
            "machine": machine,
            "options": {
                "rounds": wishes.rounds,
                "seconds": wishes.ramp_s,
                "saturation_seconds": wishes.saturation_s,
                "connections": wishes.connections,
            },
            "limits": {
                "applied": limits.applied,
                "in_words": limits.describe(),
                "services": {
                    name: {"cpus": float(limit.cpus), "memory_bytes": limit.memory_bytes}
                    for name, limit in limits.services.items()
                },
            },
            "contest_load": _ramp(findings.ramp) if wishes.ramp_s else None,
            "saturation": _saturation(findings.saturation, wishes) if wishes.saturation_s else None,
            "checks": [asdict(check) | {"met": check.met} for check in checks(findings)],
        }
    )
    return content


def checks(findings: Findings) -> list[Check]:
    """All targets that something was measured for."""
    floor, engine = _whole_rounds(findings.ramp)
    found = targets.of_ramp(floor, engine) if engine else []
    saturated = findings.saturation[ENGINE]
    return found + (targets.of_saturation(saturated) if saturated else [])


def _whole_rounds(by_side: Mapping[str, list[RampRound]]) -> tuple[list[RampRound], list[RampRound]]:
    """The rounds in which both sides have a p99: ratios are of one round."""
    both = [
        (floor, engine)
        for floor, engine in zip(by_side[FLOOR], by_side[ENGINE], strict=False)
        if floor.latency_ms and engine.latency_ms and engine.cpu_us
    ]
    return [floor for floor, _ in both], [engine for _, engine in both]


def _ramp(by_side: Mapping[str, list[RampRound]]) -> Json:
    floor, engine = _whole_rounds(by_side)
    content: Json = {
        "one_in": [1 / (1 - share) for share in QUANTILES],  # one request in so many took longer than quantiles_ms
        "rounds": [
            {"first": order(number)[0]}
            | {name: asdict(rounds[number]) for name, rounds in by_side.items() if number < len(rounds)}
            for number in range(max(map(len, by_side.values())))
        ],
    }
    if not engine:
        return content
    content["to_floor"] = {
        name: asdict(ratios([e.latency_ms[name] for e in engine], [f.latency_ms[name] for f in floor]))
        for name in LATENCIES
    }
    for name, rounds in ((FLOOR, floor), (ENGINE, engine)):
        content[name] = {
            "latency_ms": _spreads([each.latency_ms for each in rounds]),
            "cpu_us": _spreads([each.cpu_us for each in rounds]),
            "cpu_us_all": asdict(spread(each.cpu_us_all for each in rounds)),
            "pss_mb": _spreads([each.pss_mb for each in rounds]),
            "pss_mb_all": asdict(spread(each.pss_mb_all for each in rounds)),
            "memory_peak_mb": _spreads([each.memory_peak_mb for each in rounds]),
            "throttled_percent": _spreads(
                [{service: use.percent for service, use in each.throttled.items()} for each in rounds]
            ),
            "accepted": asdict(spread(each.accepted for each in rounds)),
            "settled": asdict(spread(each.settled for each in rounds)),
            "others_cores": asdict(spread(each.others_cores for each in rounds)),
        }
    return content


def _saturation(by_side: Mapping[str, list[SaturationRound]], wishes: Wishes) -> Json:
    content: Json = {
        "variables": saturation_variables(wishes.saturation_s),
        "rounds": [
            {"first": order(number)[0]}
            | {name: asdict(rounds[number]) for name, rounds in by_side.items() if number < len(rounds)}
            for number in range(max(map(len, by_side.values())))
        ],
    }
    for name, rounds in by_side.items():
        if rounds:
            content[name] = _spreads([_saturation_figures(each) for each in rounds])
    return content


def _saturation_figures(each: SaturationRound) -> dict[str, float]:
    return {
        "accepted_per_s": each.accepted_per_s,
        "accepted": each.accepted,
        "refused": each.refused,
        "p50_ms": each.latency_ms["p50"],
        "p99_ms": each.latency_ms["p99"],
        "settled_while_per_s": each.settled_while_per_s,
        "left_to_drain": max(each.settled - each.settled_while, 0),
        "drain_s": each.drain_s,
        "drain_per_s": each.drain_per_s,
        "drain_peak_per_s": each.drain_peak_per_s,
        "others_cores": each.others_cores,
    }


def _spreads(rounds: Sequence[Mapping[str, float]]) -> Json:
    return {name: asdict(each) for name, each in spreads(rounds).items()}


def _rounded(content: Any) -> Any:
    """The same with every number to :data:`DIGITS` digits, and dataclasses' tuples as lists."""
    if isinstance(content, float):
        return round(content, DIGITS)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content


def print_tables(outcome: Json, console: Console, *, with_targets: bool) -> None:
    """The result as tables; ``outcome`` is what :func:`result` gives."""
    if outcome["contest_load"] and ENGINE in outcome["contest_load"]:
        _print_ramp(outcome["contest_load"], outcome, console)
    if outcome["saturation"]:
        _print_saturation(outcome["saturation"], outcome, console)
    say(console, outcome["limits"]["in_words"])
    for problem in outcome["problems"]:
        console.print(f"FAILED: {problem}", style="bold red", markup=False)
    for check in outcome["checks"] if with_targets else ():
        style, word = ("green", "met   ") if check["met"] else ("red", "MISSED")
        relation = "at most" if check["is_most"] else "at least"
        figure = (
            f"{check['what']}: {_number(check['value'])} {check['unit']}, {relation} {_number(check['target'])} wanted"
        )
        console.print(f"{word} {figure}", style=style, markup=False)


def _print_ramp(content: Json, outcome: Json, console: Console) -> None:
    rounds, seconds = len(content["rounds"]), outcome["options"]["seconds"]
    table = Table(title=f"Contest load, {seconds:g} s, {rounds} rounds: median (least to most)", title_style="bold")
    table.add_column("", style="cyan", no_wrap=True)
    for name in ("floor", "engine", "engine / floor"):
        table.add_column(name, justify="right", no_wrap=True)
    floor, engine = content[FLOOR], content[ENGINE]
    for name in LATENCIES:
        table.add_row(
            f"{name} of accepting, ms",
            _shown(floor["latency_ms"][name], 2), _shown(engine["latency_ms"][name], 2),
            _shown(content["to_floor"][name], 2),
        )  # fmt: skip
    table.add_row("accepted", _shown(floor["accepted"], 0), _shown(engine["accepted"], 0), "")
    table.add_row("settled", "", _shown(engine["settled"], 0), "")
    for key, title, digits in (("cpu_us", "CPU for each payment, us", 1), ("pss_mb", "memory (PSS), MB", 1)):
        table.add_section()
        table.add_row(f"[bold]{title}", _shown(floor[f"{key}_all"], digits), _shown(engine[f"{key}_all"], digits), "")
        for role in engine[key]:
            table.add_row(f"  {role}", _shown(floor[key].get(role), digits), _shown(engine[key][role], digits), "")
    if engine["throttled_percent"]:
        table.add_section()
        table.add_row("[bold]periods throttled, %", "", "", "")
        for service, each in engine["throttled_percent"].items():
            own = floor["throttled_percent"].get(service) if service == "nginx" else None
            table.add_row(f"  {service}", _shown(own, 2), _shown(each, 2), "")
        table.add_section()
        table.add_row("[bold]most memory of the control group, MB", "", "", "")
        for service, each in engine["memory_peak_mb"].items():
            own = floor["memory_peak_mb"].get(service) if service == "nginx" else None
            table.add_row(f"  {service}", _shown(own, 1), _shown(each, 1), "")
    table.add_section()
    table.add_row(
        "cores busy with other things", _shown(floor["others_cores"], 2), _shown(engine["others_cores"], 2), ""
    )
    console.print(table)
    _note_others(content, console)


def _print_saturation(content: Json, outcome: Json, console: Console) -> None:
    options = outcome["options"]
    title = f"Saturation, {options['saturation_seconds']:g} s, {options['connections']} connections, "
    title += f"{len(content['rounds'])} rounds: median (least to most)"
    table = Table(title=title, title_style="bold")
    table.add_column("", style="cyan", no_wrap=True)
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("engine", justify="right", no_wrap=True)
    rows = (
        ("accepted_per_s", "accepted a second", 0),
        ("refused", "refused (not 2xx)", 0),
        ("p50_ms", "p50, ms", 2),
        ("p99_ms", "p99, ms", 2),
        ("settled_while_per_s", "settled a second meanwhile", 0),
        ("left_to_drain", "left when the load ended", 0),
        ("drain_s", "settled after, s", 1),
        ("drain_per_s", "settled a second then, mean", 0),
        ("drain_peak_per_s", "settled a second then, peak", 0),
        ("others_cores", "cores busy with other things", 2),
    )
    for key, name, digits in rows:
        own = content[FLOOR][key] if FLOOR in content and not key.startswith(("settled", "left", "drain")) else None
        table.add_row(name, _shown(own, digits), _shown(content.get(ENGINE, {}).get(key), digits))
    console.print(table)
    _note_others(content, console)
    given = ", ".join(f"{name}={value}" for name, value in content["variables"].items())
    say(console, f"the engine's variables at saturation: {given}")


def _note_others(content: Json, console: Console) -> None:
    if max(content[name]["others_cores"]["high"] for name in (FLOOR, ENGINE) if name in content) > OTHERS_CORES_NOTED:
        console.print("The machine had other things to do: these figures are worse than they need be.", style="yellow")


def _shown(each: Spread | Json | None, digits: int) -> str:
    if each is None:
        return ""
    values = asdict(each) if isinstance(each, Spread) else each
    low, median, high = (f"{values[key]:,.{digits}f}" for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
