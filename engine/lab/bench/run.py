"""The benchmark itself: rounds in which floor and engine take turns, first with the contest's load, then saturated."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import settings as settings_module
from engine.lab import launch
from engine.lab.bench import ramp, saturation, sides
from engine.lab.bench.books import Books
from engine.lab.bench.figures import RampRound, SaturationRound
from engine.lab.bench.progress import Step, Steps
from engine.lab.bench.sides import ENGINE, FLOOR, Side
from engine.lab.bench.split import Split, Tried, search
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.samples import LoadError
from engine.lab.machine.cgroups import CgroupError, Cgroups
from engine.lab.machine.limits import Limit

SCENARIO = "preview"
# Starting and stopping a side, k6's own start, settling and comparing. Only the estimate of the time left uses it.
AROUND_S = {FLOOR: 3.0, ENGINE: 7.0}
DRAIN_OF_LOAD = 1.5  # a drain takes about so many times as long as the load


@dataclass(frozen=True)
class Wishes:
    """What is to be measured.

    Parameters:
      rounds: how often.
      ramp_s: length of the contest's load; 0: not at all.
      saturation_s: length of the saturating load; 0: not at all.
      connections: of the saturating loader.
      limits: of each service during the contest's load; None: none.
    """

    rounds: int
    ramp_s: float
    saturation_s: float
    connections: int
    limits: Mapping[str, Limit] | None


@dataclass
class Findings:
    """What was measured, by side; a round's number is its index."""

    ramp: dict[str, list[RampRound]] = field(default_factory=lambda: {FLOOR: [], ENGINE: []})
    saturation: dict[str, list[SaturationRound]] = field(default_factory=lambda: {FLOOR: [], ENGINE: []})

    def has_all(self, wishes: Wishes) -> bool:
        """Whether there is a round of everything that was wished for, and so a result."""
        has_ramp = not wishes.ramp_s or all(self.ramp.values())
        return has_ramp and (not wishes.saturation_s or all(self.saturation.values()))

    @property
    def problems(self) -> list[str]:
        """All that went wrong."""
        kinds: tuple[tuple[str, Mapping[str, Sequence[RampRound | SaturationRound]]], ...] = (
            ("contest load", self.ramp),
            ("saturation", self.saturation),
        )
        return [
            f"{kind}, round {number}, {name}: {problem}"
            for kind, by_side in kinds
            for name, rounds in by_side.items()
            for number, each in enumerate(rounds, 1)
            for problem in each.problems
        ]


def order(number: int) -> tuple[str, str]:
    """The sides in their order in round ``number`` (0, 1, ...): in turn, so that none always has the warmer machine."""
    return (FLOOR, ENGINE) if number % 2 == 0 else (ENGINE, FLOOR)


def planned_s(wishes: Wishes) -> float:
    """About how long everything takes."""
    around_s = sum(AROUND_S.values())
    one_s = (2 * wishes.ramp_s + around_s) if wishes.ramp_s else 0.0
    if wishes.saturation_s:
        one_s += (2 + DRAIN_OF_LOAD) * wishes.saturation_s + around_s
    return wishes.rounds * one_s


class Bench:
    """The place where rounds are held: the processors run in it. A context manager.

    Parameters:
      directory: where logs and k6's files go.

    Raises LaunchError from ``with``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._scenario = scenarios.load(SCENARIO)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Bench:
        fees = self._scenario.fees.by_name
        self._addresses = launch.free_addresses(fees)
        processors = self._held.enter_context(launch.processors(self._addresses, fees, self._directory))
        self._others = {"processors": processors.pid}
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def ramp_round(self, name: str, seconds: float, limits: Mapping[str, Limit] | None, step: Step) -> RampRound:
        """The contest's load for ``seconds`` on the side called ``name``.

        Raises ContestError, LaunchError, LoadError, ServiceError, CgroupError, nginx.ConfError.
        """
        load = self._scenario.stretched(seconds).load
        with contextlib.ExitStack() as held:
            groups = held.enter_context(Cgroups(f"engine-bench-{os.getpid()}", limits)) if limits is not None else None
            side, books = held.enter_context(self._side(name, {}, groups))
            return ramp.hold(side, load, books, groups, self._others, self._directory, step.advance)

    def saturation_round(self, name: str, seconds: float, connections: int, step: Step) -> SaturationRound:
        """``seconds`` of as much as the side called ``name`` takes, without limits.

        Raises LaunchError, LoadError, ServiceError, nginx.ConfError.
        """
        with self._side(name, saturation_variables(seconds), None) as (side, books):
            return saturation.hold(side, seconds, connections, books, self._others, step.advance)

    @contextlib.contextmanager
    def _side(
        self, name: str, variables: Mapping[str, str], groups: Cgroups | None
    ) -> Iterator[tuple[Side, Books | None]]:
        if name == FLOOR:
            with sides.floor(self._addresses.engine, groups) as side:
                yield side, None
            return
        with contextlib.closing(Books(self._addresses)) as books:
            books.forget()
            fees = self._scenario.fees.by_name
            with sides.engine(self._addresses, fees, variables, groups, self._directory) as side:
                yield side, books


def saturation_variables(seconds: float) -> dict[str, str]:
    """What the engine is given beside its defaults for a saturating load: rings that hold all of it.

    A ring size in the environment is left as it is. Raises SettingsError.
    """
    api_processes = settings_module.read(os.environ).host.api_processes
    slots = os.environ.get("ENGINE_RING_SLOTS") or str(saturation.ring_slots(seconds, api_processes))
    return {"ENGINE_RING_SLOTS": slots}


def hold(wishes: Wishes, directory: Path, steps: Steps, findings: Findings) -> None:
    """Holds all rounds and adds them to ``findings``: Ctrl-C leaves what was measured until then.

    Raises ContestError, LaunchError, LoadError, ServiceError, CgroupError, nginx.ConfError.
    """
    with Bench(directory) as bench:
        for number in range(wishes.rounds):
            for name in order(number):
                text = f"round {number + 1} of {wishes.rounds}, {name}"
                if wishes.ramp_s:
                    with steps.step(f"{text}, contest load", wishes.ramp_s + AROUND_S[name]) as step:
                        findings.ramp[name].append(bench.ramp_round(name, wishes.ramp_s, wishes.limits, step))
            for name in order(number):
                text = f"round {number + 1} of {wishes.rounds}, {name}"
                drain_s = wishes.saturation_s * DRAIN_OF_LOAD if name == ENGINE else 0.0
                if wishes.saturation_s:
                    with steps.step(f"{text}, saturated", wishes.saturation_s + drain_s + AROUND_S[name]) as step:
                        findings.saturation[name].append(
                            bench.saturation_round(name, wishes.saturation_s, wishes.connections, step)
                        )


def ramp_round_s(seconds: float) -> float:
    """About how long a round of the engine takes with so many seconds of the contest's load."""
    return seconds + AROUND_S[ENGINE]


def hold_splits(
    splits: Sequence[Split], shipped: Mapping[str, Limit], seconds: float, directory: Path, steps: Steps
) -> list[Tried]:
    """Looks for the best of ``splits``, as ``split.search`` does.

    Raises ContestError, LaunchError, LoadError, ServiceError, CgroupError, nginx.ConfError.
    """
    numbers = itertools.count(1)
    with Bench(directory) as bench:

        def measure(split: Split) -> RampRound:
            with steps.step(f"round {next(numbers)}, {split.name}", ramp_round_s(seconds)) as step:
                found = bench.ramp_round(ENGINE, seconds, split.limits(shipped), step)
            if not found.latency_ms:
                raise LoadError("; ".join(found.problems) or "nothing was accepted")
            return found

        return search(splits, measure)


def why_no_limits(limits: Mapping[str, Limit]) -> str:
    """Tries the limits out: ``""`` when they can be applied, else why not. Raises SettingsError."""
    started = settings_module.read(os.environ).host.api_processes
    if unlimited := {f"api-{index}" for index in range(started)} - set(limits):
        return f"ENGINE_API_PROCESSES={started}, and there is no limit for {', '.join(sorted(unlimited))}"
    try:
        with Cgroups(f"engine-bench-try-{os.getpid()}", limits):
            return ""
    except CgroupError as error:
        return str(error)
