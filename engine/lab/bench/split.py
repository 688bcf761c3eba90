"""Which split of the CPU over the services serves p99 best: successive halving over a grid, by measurement.

In every rung each split that is left has as many rounds as before, in turn, and then the better half goes on; the last
ones have the most rounds. (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", 2016.) The split of the compose file is always one of them and is kept to the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.lab.bench.figures import RampRound, Spread, spread
from engine.lab.machine.limits import Limit
from engine.lab.results import say

Json = dict[str, Any]

FINALISTS = 3
# The grid: what nginx and each API process may have; the dispatcher has the rest, if it is worth anything.
NGINX_CPUS = tuple(map(Decimal, ("0.2", "0.3", "0.4", "0.5", "0.6")))
API_CPUS = tuple(map(Decimal, ("0.2", "0.3", "0.4", "0.5")))
DISPATCHER_CPUS_MIN = Decimal("0.1")
_NGINX, _DISPATCHER, _API = "nginx", "dispatcher", "api-"


@dataclass(frozen=True)
class Split:
    """How much each service has: ``api`` is for each API process. In cores."""

    nginx: Decimal
    api: Decimal
    dispatcher: Decimal

    @property
    def name(self) -> str:
        """``0.40 / 0.35 / 0.40``."""
        return " / ".join(f"{cpus:.2f}" for cpus in (self.nginx, self.api, self.dispatcher))

    def limits(self, shipped: Mapping[str, Limit]) -> dict[str, Limit]:
        """The shipped limits with this split of the CPU."""
        cpus = {name: self.api for name in shipped if name.startswith(_API)}
        cpus |= {_NGINX: self.nginx, _DISPATCHER: self.dispatcher}
        return {name: Limit(cpus.get(name, limit.cpus), limit.memory_bytes) for name, limit in shipped.items()}


def of_limits(limits: Mapping[str, Limit]) -> Split:
    """The split that these limits make. Raises ValueError when the API services differ or a service is missing."""
    api = {limit.cpus for name, limit in limits.items() if name.startswith(_API)}
    if len(api) != 1 or not {_NGINX, _DISPATCHER} <= set(limits):
        raise ValueError("a split needs nginx, dispatcher and api-N services that have the same CPU each")
    return Split(limits[_NGINX].cpus, api.pop(), limits[_DISPATCHER].cpus)


def candidates(shipped: Mapping[str, Limit]) -> list[Split]:
    """The splits on the grid with the sum of the shipped one, which is the first. Raises ValueError."""
    own = of_limits(shipped)
    processes = sum(name.startswith(_API) for name in shipped)
    in_all = own.nginx + processes * own.api + own.dispatcher
    grid = [Split(nginx, api, in_all - nginx - processes * api) for nginx in NGINX_CPUS for api in API_CPUS]
    return [own, *(split for split in grid if split.dispatcher >= DISPATCHER_CPUS_MIN and split != own)]


@dataclass
class Tried:
    """A split and its rounds."""

    split: Split
    rounds: list[RampRound] = field(default_factory=list)

    @property
    def p99_ms(self) -> Spread:
        """Of accepting. Raises ValueError when there was no round."""
        return spread(each.latency_ms["p99"] for each in self.rounds)

    @property
    def throttled_percent(self) -> Spread:
        """Periods throttled of the service that was throttled most. Raises ValueError when there was no round."""
        return spread(each.throttled_percent_max for each in self.rounds)


def rungs(count: int) -> list[tuple[int, int]]:
    """For ``count`` splits: how many are in each rung and how many rounds each has there, until few are left."""
    found, rounds = [], 1
    while count > FINALISTS:
        found.append((count, rounds))
        count = max(math.ceil(count / 2), FINALISTS)
        rounds = sum(each for _, each in found)
    return [*found, (count, rounds)]


def rounds_in_all(count: int) -> int:
    """How many rounds :func:`search` holds for so many splits, at most."""
    # The shipped one may go on beside the best ones.
    return sum((splits + 1) * rounds for splits, rounds in rungs(count)) - 1


def search(splits: Sequence[Split], measure: Callable[[Split], RampRound]) -> list[Tried]:
    """Holds the rounds; returns all splits: first those that went furthest, among these first the better ones.

    Parameters:
      splits: the first is kept to the end, good or bad: the others are compared with it.
      measure: holds one round.
    """
    tried = [Tried(split) for split in splits]
    kept = tried
    for count, rounds in rungs(len(splits)):
        best = _ranked(kept)[:count] if kept[0].rounds else kept
        kept = best if tried[0] in best else [*best, tried[0]]
        for _ in range(rounds):  # in turn: when the machine is slow for a while, all of them are
            for each in kept:
                each.rounds.append(measure(each.split))
    return _ranked(tried)


def _ranked(tried: Sequence[Tried]) -> list[Tried]:
    return sorted(tried, key=lambda each: (-len(each.rounds), each.p99_ms.median))


def result(tried: Sequence[Tried], shipped: Split, seconds: float) -> Json:
    """For JSON: all splits in their order, the best one's name, and the place of the shipped one among all (1 is best).

    That place is by the median p99 alone: the shipped one has more rounds than it would have earned.
    """
    own = next(each for each in tried if each.split == shipped).p99_ms
    return {
        "passed": not any(each.problems for one in tried for each in one.rounds),
        "problems": [f"{one.split.name}: {text}" for one in tried for each in one.rounds for text in each.problems],
        "seconds": seconds,
        "best": tried[0].split.name,
        "shipped": shipped.name,
        "shipped_place": 1 + sum(each.p99_ms.median < own.median for each in tried),
        # Whether every round of the best was better than any of the shipped one: anything less may be chance.
        "is_clear": tried[0].p99_ms.high < own.low,
        "splits": [
            {
                "name": each.split.name,
                "nginx": float(each.split.nginx),
                "api": float(each.split.api),
                "dispatcher": float(each.split.dispatcher),
                "is_shipped": each.split == shipped,
                "rounds": len(each.rounds),
                "p99_ms": asdict(each.p99_ms),
                "p99.9_ms": asdict(spread(one.latency_ms["p99.9"] for one in each.rounds)),
                "throttled_percent": asdict(each.throttled_percent),
            }
            for each in tried
        ],
    }


def print_table(outcome: Json, console: Console) -> None:
    """``outcome`` is what :func:`result` gives."""
    table = Table(title=f"CPU split, rounds of {outcome['seconds']:g} s: median (least to most)", title_style="bold")
    table.add_column("nginx / each API / dispatcher", style="cyan", no_wrap=True)
    for name in ("rounds", "p99, ms", "p99.9, ms", "worst throttled, %"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in outcome["splits"]:
        mark = " (compose file)" if each["is_shipped"] else ""
        figures = [_shown(each[key]) for key in ("p99_ms", "p99.9_ms", "throttled_percent")]
        table.add_row(each["name"] + mark, str(each["rounds"]), *figures)
    console.print(table)
    for problem in outcome["problems"]:
        console.print(f"FAILED: {problem}", style="bold red", markup=False)
    place, count = outcome["shipped_place"], len(outcome["splits"])
    said = f"best: {outcome['best']}; the compose file's {outcome['shipped']} is number {place} of {count}"
    if place > 1:
        said += ": " + (
            "take the best" if outcome["is_clear"] else "their rounds overlap, which is no reason to change"
        )
    say(console, said)


def _shown(each: Json) -> str:
    return f"{each['median']:.2f} ({each['low']:.2f} to {each['high']:.2f})"
