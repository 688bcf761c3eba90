"""Scenarios by seed: courses of events as a contest's organiser could have thought of them, no two alike.

A scenario is a row of *episodes*, each of one kind of trouble and of one to five stages, with calm between them, and
an end that may be bad. What is drawn is thrown away and drawn again, from the same seed, until it is a fair contest:

 - 60 to 300 s, 5 to 14 stages, and in at least a third of the time something is wrong with a processor.
 - The two processors together can carry nearly all of the load until the end: with 800 requests at once they have taken
   all but at most ``LEFT_SHARE_MAX`` of it.
 - Both processors fail at the end for at most ``DOWN_AT_END_SHARE_MAX`` of the run: in that time not even the oracle,
   which knows the future, earns anything.

How many of the first 200 scenarios have each kind of trouble (``KINDS``): slow default 137, failing default 113, both
slow 101, slow fallback 82, capacity short 80, flapping 78, both down 70, failing fallback 64, failing end 43, slow end
37. In 181 default fails or takes 1.5 s or more for at least 8 s on end. The oracle settles more than 2 % at fallback in
56, and has to leave more than 1 % of the payments in 4, never more than 2.9 %.

In a *flaky* scenario there are episodes (``FLAKY_KINDS``) in which a processor, beside all that, answers a part of its
requests with 500, drawn from ``FAILING_PERCENT``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from random import Random

from engine.lab.contest.scenario import AuditPlan, Condition, Fees, Flaky, Load, Ramp, Scenario, Stage
from engine.lab.replay.model import HANDLED_MAX

LENGTHS_S = (60, 300)
STAGES = (5, 14)
USERS = (200, 600)
AMOUNT_CENTS = 1990
FIRST_STAGE_S = 1.0  # as in the preview

TROUBLED_SHARE_MIN = 1 / 3
TROUBLED_DELAY_MS = 200
FAILING_PERCENT = (2, 5, 10, 20, 30, 40, 40, 50, 60, 80)  # of the answers, where they fail at random
LEFT_SHARE_MAX = 0.03
DOWN_AT_END_SHARE_MAX = 0.02

_DRAWS_MAX = 10_000


@dataclass(frozen=True)
class _Part:
    """A stage to be: its ``weight`` in what is left of the run, or exactly ``fixed_s`` long if that is not 0."""

    default: Condition
    fallback: Condition
    weight: float = 1.0
    fixed_s: float = 0.0


def _delay(random: Random, low_ms: int, high_ms: int) -> int:
    """A delay between the two, each factor as likely as any other; in whole 10 ms."""
    return max(round(math.exp(random.uniform(math.log(low_ms), math.log(high_ms))) / 10) * 10, 10)


def _quick(random: Random) -> Condition:
    return Condition(random.choice((0, 0, 0, 10, 20, 50, 100)), False)


def _slow(random: Random, low_ms: int = 50) -> Condition:
    return Condition(_delay(random, low_ms, 5_000), False)


def _failing(random: Random) -> Condition:
    return Condition(random.choice((0, 0, 10, 100, 500, 1_000, 2_000, 5_000)), True)


def _seconds(random: Random, low_s: float, high_s: float) -> float:
    return round(random.uniform(low_s, high_s), 1)


def _calm(random: Random) -> list[_Part]:
    return [_Part(_quick(random), _quick(random), weight=random.uniform(0.4, 1.0))]


def _slow_default(random: Random) -> list[_Part]:
    return [_Part(_slow(random), _quick(random), random.uniform(0.6, 1.6)) for _ in range(random.randint(1, 2))]


def _slow_fallback(random: Random) -> list[_Part]:
    return [_Part(_quick(random), _slow(random, 200), random.uniform(0.5, 1.2))]


def _both_slow(random: Random) -> list[_Part]:
    return [_Part(_slow(random), _slow(random), random.uniform(0.6, 1.4))]


def _default_failing(random: Random) -> list[_Part]:
    return [_Part(_failing(random), _quick(random), random.uniform(0.4, 1.0))]


def _fallback_failing(random: Random) -> list[_Part]:
    slow_too = random.random() < 0.3
    return [_Part(_slow(random) if slow_too else _quick(random), _failing(random), random.uniform(0.5, 1.2))]


def _flapping(random: Random) -> list[_Part]:
    """Stages shorter than the time between two health queries: default fails in every other, or the two by turns."""
    by_turns = random.random() < 0.4
    parts = []
    for number in range(random.randint(3, 5)):
        bad, good = _failing(random), _quick(random)
        default, fallback = (bad, good) if number % 2 == 0 else (good, bad if by_turns else good)
        parts.append(_Part(default, fallback, fixed_s=_seconds(random, 1, 4)))
    return parts


def _both_down(random: Random) -> list[_Part]:
    return [_Part(_failing(random), _failing(random), fixed_s=_seconds(random, 3, 12))]


def _capacity_short(random: Random) -> list[_Part]:
    """Neither can carry the load of some hundred users alone with 800 requests at once."""
    default, fallback = (Condition(_delay(random, 2_500, 5_000), False) for _ in range(2))
    return [_Part(default, fallback, random.uniform(0.5, 1.2))]


def _slow_end(random: Random) -> list[_Part]:
    both = random.random() < 0.3
    slow = Condition(_delay(random, 1_000, 3_000 if both else 5_000), False)
    other = Condition(_delay(random, 500, 2_000), False) if both else _quick(random)
    return [_Part(slow, other, random.uniform(0.5, 1.2))]


def _failing_end(random: Random) -> list[_Part]:
    if random.random() < 0.2:
        # So short that it costs hardly anything; a policy that waits for the very last second is caught.
        return [_Part(_failing(random), _failing(random), fixed_s=_seconds(random, 1, 3))]
    return [_Part(_failing(random), _quick(random), random.uniform(0.5, 1.2))]


def _flaky(random: Random, condition: Condition) -> Flaky:
    return Flaky(condition.delay_ms, False, Decimal(random.choice(FAILING_PERCENT)) / 100)


def _flaky_default(random: Random) -> list[_Part]:
    return [_Part(_flaky(random, _quick(random)), _quick(random), random.uniform(0.6, 1.6))]


def _flaky_slow_default(random: Random) -> list[_Part]:
    return [_Part(_flaky(random, _slow(random)), _quick(random), random.uniform(0.6, 1.6))]


def _flaky_fallback(random: Random) -> list[_Part]:
    """The dearer one fails at random while default fails, or is slow."""
    default = _failing(random) if random.random() < 0.6 else _slow(random, 500)
    return [_Part(default, _flaky(random, _quick(random)), random.uniform(0.4, 1.0))]


def _both_flaky(random: Random) -> list[_Part]:
    default, fallback = (_slow(random) if random.random() < 0.4 else _quick(random) for _ in range(2))
    return [_Part(_flaky(random, default), _flaky(random, fallback), random.uniform(0.6, 1.4))]


def _flaky_around_outage(random: Random) -> list[_Part]:
    calm, flaky = _quick(random), _flaky(random, _quick(random))
    middle = _Part(_failing(random), calm, fixed_s=_seconds(random, 3, 12))
    return [_Part(flaky, calm, random.uniform(0.3, 0.8)), middle, _Part(flaky, calm, random.uniform(0.3, 0.8))]


_Episodes = dict[str, tuple[Callable[[Random], list[_Part]], int]]
# How often each kind is drawn, relative to the others.
_EPISODES: _Episodes = {
    "slow default": (_slow_default, 5),
    "slow fallback": (_slow_fallback, 2),
    "both slow": (_both_slow, 3),
    "failing default": (_default_failing, 4),
    "failing fallback": (_fallback_failing, 2),
    "flapping": (_flapping, 2),
    "both down": (_both_down, 2),
    "capacity short": (_capacity_short, 2),
    "calm": (_calm, 5),
}
_ENDS: _Episodes = {
    "slow end": (_slow_end, 2),
    "failing end": (_failing_end, 2),
    "calm end": (_calm, 6),
}
_FLAKY: _Episodes = {
    "flaky default": (_flaky_default, 5),
    "flaky and slow default": (_flaky_slow_default, 4),
    "flaky fallback": (_flaky_fallback, 3),
    "both flaky": (_both_flaky, 3),
    "flaky around an outage": (_flaky_around_outage, 3),
}
KINDS = tuple(kind for kind in (*_EPISODES, *_ENDS) if not kind.startswith("calm"))
FLAKY_KINDS = tuple(_FLAKY)


def generate(seed: int) -> Scenario:
    """The scenario of ``seed``, always the same; its title names the ``KINDS`` of trouble in it, each once."""
    return _first_fair(f"generated:{seed}", f"Generated {seed}", Random(seed), _EPISODES, [])


def generate_flaky(seed: int) -> Scenario:
    """A scenario in which processors fail at random too: of ``seed``, always the same, and none of :func:`generate`.

    Its title names the kinds of trouble in it, of ``KINDS`` and at least one of ``FLAKY_KINDS``, each once.
    """
    name = f"generated-flaky:{seed}"
    return _first_fair(name, f"Generated flaky {seed}", Random(name), _EPISODES | _FLAKY, FLAKY_KINDS)


def _first_fair(name: str, title: str, random: Random, episodes: _Episodes, wanted: Sequence[str]) -> Scenario:
    """The first that is fair and has one of the kinds that are ``wanted``, if any are."""
    for _ in range(_DRAWS_MAX):
        scenario, kinds = _draw(name, title, random, episodes)
        if _is_fair(scenario) and (not wanted or any(kind in wanted for kind in kinds)):
            return scenario
    raise AssertionError(f"{name} gave no fair scenario in {_DRAWS_MAX} draws")


def kinds_of(title: str) -> list[str]:
    """The kinds of trouble that the title of a generated scenario names."""
    return title.partition(": ")[2].partition(";")[0].split(", ")


def troubled(stage: Stage) -> bool:
    """Whether one of the processors fails, always or at random, or takes long enough to matter."""
    conditions = (stage.default, stage.fallback)
    return any(c.failing or isinstance(c, Flaky) or c.delay_ms >= TROUBLED_DELAY_MS for c in conditions)


def lengths_s(scenario: Scenario) -> list[float]:
    """How long each stage holds, the last until the end of the load, in s."""
    bounds = [*(stage.at_s for stage in scenario.stages), scenario.load.duration_s]
    return [until_s - at_s for at_s, until_s in pairwise(bounds)]


def down_at_end_s(scenario: Scenario) -> float:
    """For how long both processors fail before the load ends, in s."""
    well_s = [
        stage.at_s + duration_s
        for stage, duration_s in zip(scenario.stages, lengths_s(scenario), strict=True)
        if not (stage.default.failing and stage.fallback.failing)
    ]
    return scenario.load.duration_s - max(well_s, default=scenario.stages[0].at_s)


def _draw(name: str, title: str, random: Random, episodes: _Episodes) -> tuple[Scenario, list[str]]:
    """A scenario that may be unfair, and the kinds of its episodes."""
    length_s = float(random.randint(*LENGTHS_S))
    target = random.randint(STAGES[0], STAGES[1] - 2)
    kinds, parts = ["calm"], _calm(random)
    while len(parts) < target:
        weights = [weight for _, weight in episodes.values()]
        kind = random.choices(list(episodes), weights)[0]
        kinds.append(kind)
        parts.extend(episodes[kind][0](random))
    end = random.choices(list(_ENDS), [weight for _, weight in _ENDS.values()])[0]
    kinds.append(end)
    parts.extend(_ENDS[end][0](random))

    load = _load(random, length_s)
    fee_default = random.randint(20, 100)
    fee_fallback = fee_default + random.randint(10, 100)
    named = ", ".join(kind for kind in (*KINDS, *FLAKY_KINDS) if kind in kinds)
    scenario = Scenario(
        name=name,
        title=f"{title}: {named}; {fee_default / 10:g} % and {fee_fallback / 10:g} % fee",
        load=load,
        fees=Fees(default=Decimal(fee_default) / 1000, fallback=Decimal(fee_fallback) / 1000),
        audit=AuditPlan(every_s=10.0, from_s=15.0, to_s=1.5),
        stages=_stages(parts, length_s),
    )
    return scenario, kinds


def _load(random: Random, length_s: float) -> Load:
    """A ramp to the end as in the preview; a ramp that ends on a plateau; or up, and down again."""
    peak = random.randint(*USERS)
    shape = random.choice(("ramp", "plateau", "up and down"))
    up_s = length_s if shape == "ramp" else round(length_s * random.uniform(0.2, 0.7))
    ramps = [Ramp(duration_s=up_s, target=peak)]
    if shape != "ramp":
        after = peak if shape == "plateau" else round(peak * random.uniform(0.2, 0.6))
        ramps.append(Ramp(duration_s=length_s - up_s, target=after))
    return Load(start_vus=1, amount_cents=AMOUNT_CENTS, sleep_s=1.0, timeout_s=1.5, ramps=tuple(ramps))


def _stages(parts: Sequence[_Part], length_s: float) -> tuple[Stage, ...]:
    """The parts one after the other until the end of the run, beginning at whole tenths of a second."""
    share_s = (length_s - FIRST_STAGE_S - sum(part.fixed_s for part in parts)) / sum(
        0.0 if part.fixed_s else part.weight for part in parts
    )
    stages, at_s = [], FIRST_STAGE_S
    for part in parts:
        stages.append(Stage(round(at_s, 1), part.default, part.fallback))
        at_s += part.fixed_s or part.weight * share_s
    return tuple(stages)


def _is_fair(scenario: Scenario) -> bool:
    stages, durations_s = scenario.stages, lengths_s(scenario)
    if not STAGES[0] <= len(stages) <= STAGES[1] or min(durations_s) < 1:
        return False
    troubled_s = sum(duration_s for stage, duration_s in zip(stages, durations_s, strict=True) if troubled(stage))
    if troubled_s < TROUBLED_SHARE_MIN * scenario.load.duration_s:
        return False
    if down_at_end_s(scenario) > DOWN_AT_END_SHARE_MAX * scenario.load.duration_s:
        return False
    return _left_share(scenario) <= LEFT_SHARE_MAX


def _left_share(scenario: Scenario) -> float:
    """The share of all payments that has not been taken by the end when both processors do all they can.

    As if payments flowed: each processor takes at most ``HANDLED_MAX / delay`` of what waits.
    """
    step_s, waiting, arrived = 0.1, 0.0, 0.0
    pace = 1 / scenario.load.sleep_s
    for step in range(round(scenario.load.duration_s / step_s)):
        stage = scenario.stage_at(step * step_s)
        arriving = scenario.load.vus_at(step * step_s) * pace * step_s
        taken = sum(_taken_per_s(condition) for condition in (stage.default, stage.fallback)) * step_s
        arrived += arriving
        waiting = max(waiting + arriving - taken, 0.0)
    return waiting / arrived


def _taken_per_s(condition: Condition) -> float:
    if condition.failing:
        return 0.0
    taken = HANDLED_MAX * 1000 / max(condition.delay_ms, HANDLED_MAX // 10)
    return taken * float(1 - condition.failing_share) if isinstance(condition, Flaky) else taken


def to_toml(scenario: Scenario) -> str:
    """The scenario as a file that :func:`engine.lab.contest.scenario.parse` reads back; its name is the file's."""
    load, audit = scenario.load, scenario.audit
    ramps = ", ".join(f"{{ duration_s = {ramp.duration_s}, target = {ramp.target} }}" for ramp in load.ramps)
    lines = [
        f"title = {json.dumps(scenario.title, ensure_ascii=False)}",
        "", "[fees]",
        f"default = {scenario.fees.default:f}",
        f"fallback = {scenario.fees.fallback:f}",
        "", "[load]",
        f"start_vus = {load.start_vus}",
        f"amount = {Decimal(load.amount_cents) / 100:.2f}",
        f"sleep_s = {load.sleep_s}",
        f"timeout_s = {load.timeout_s}",
        f"ramps = [{ramps}]",
        "", "[audit]",
        f"every_s = {audit.every_s}",
        f"from_s = {audit.from_s}",
        f"to_s = {audit.to_s}",
    ]  # fmt: skip
    for stage in scenario.stages:
        lines += ["", "[[stages]]", f"at_s = {stage.at_s}"]
        for name, condition in (("default", stage.default), ("fallback", stage.fallback)):
            words = f"delay_ms = {condition.delay_ms}, failing = {str(condition.failing).lower()}"
            if isinstance(condition, Flaky):
                words += f", failing_share = {condition.failing_share:f}"
            lines.append(f"{name} = {{ {words} }}")
    return "\n".join(lines) + "\n"
