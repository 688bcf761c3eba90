"""Many generated scenarios: what each policy earned of what was possible, where it did worst, and which was first.

Every policy has the same terms: no payment waits by choice for longer than ``ENGINE_WAIT_MAX_MS``. One that let a
payment wait for longer in some scenario has earned there what the others were not allowed to earn: it is not ranked in
that scenario. The summary also says which policy was first by net alone, whatever it did to the payments.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from engine.lab.contest.scenario import Fees
from engine.lab.replay.generate import FLAKY_KINDS, KINDS, generate, generate_flaky, kinds_of
from engine.lab.replay.play import play
from engine.settings import Settings

# Policies whose ratios to the oracle are this close are equal. The replay's net and that of the same contests for real
# have differed by up to 0.26 %, two real ones by 0.09 % (docs/measurements.md): less does not say which is better.
EQUAL = 0.001
WORST_NAMED = 3


@dataclass(frozen=True)
class Terms:
    """What is played for each seed.

    Parameters:
      is_flaky: the scenario in which processors fail at random too.
      fees: what the processors keep; ``None``: what the scenario says.
      believed: what the policies take for that; ``None``: what the processors keep.
    """

    is_flaky: bool = False
    fees: Fees | None = None
    believed: Fees | None = None


AS_GENERATED = Terms()


@dataclass(frozen=True)
class Score:
    """One policy in one scenario: its worth over the oracle's net, audits missed, longest voluntary wait and whether
    that was within the bound, attempts that failed, and how soon the first payment was settled after each recovery
    (None: never).
    """

    ratio: float
    audits_missed: int
    voluntary_ms: float
    kept_bound: bool
    wasted: int
    recoveries_ms: list[float | None]


@dataclass(frozen=True)
class Row:
    """One scenario, with the score of every policy by name."""

    seed: int
    title: str
    accepted: int
    scores: dict[str, Score]

    def is_first(self, policy: str) -> bool:
        """Whether it kept the bound, and no other policy that kept it was better."""
        kept = [score.ratio for score in self.scores.values() if score.kept_bound]
        score = self.scores[policy]
        return score.kept_bound and score.ratio >= max(kept) - EQUAL

    def is_first_by_net(self, policy: str) -> bool:
        """Whether no other policy was better, however long payments waited."""
        return self.scores[policy].ratio >= max(score.ratio for score in self.scores.values()) - EQUAL

    def json(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Line:
    """One policy over all scenarios.

    Parameters:
      mean, worst: of its ratios to the oracle; worst_seeds: those with the lowest, the worst first.
      first: share of the scenarios in which it kept the bound and is first, or equal first, of those that kept it.
      first_by_net: the same among all, whether they kept the bound or not.
      bound_broken: scenarios in which it let a payment wait by choice for longer than the bound.
      audits_missed: in all of them together.
      voluntary_ms: the longest voluntary wait in any.
      wasted: attempts that failed, in the median scenario.
    """

    policy: str
    mean: float
    worst: float
    worst_seeds: list[int]
    first: float
    first_by_net: float
    bound_broken: int
    audits_missed: int
    voluntary_ms: float
    wasted: int


def summarize(rows: Sequence[Row]) -> list[Line]:
    """A line for each policy; there is at least one row, and all have the same policies."""
    lines = []
    for policy in rows[0].scores:
        scores = [row.scores[policy] for row in rows]
        by_ratio = sorted(rows, key=lambda row: (row.scores[policy].ratio, row.seed))
        lines.append(
            Line(
                policy=policy,
                mean=fmean(score.ratio for score in scores),
                worst=by_ratio[0].scores[policy].ratio,
                worst_seeds=[row.seed for row in by_ratio[:WORST_NAMED]],
                first=sum(row.is_first(policy) for row in rows) / len(rows),
                first_by_net=sum(row.is_first_by_net(policy) for row in rows) / len(rows),
                bound_broken=sum(not score.kept_bound for score in scores),
                audits_missed=sum(score.audits_missed for score in scores),
                voluntary_ms=max(score.voluntary_ms for score in scores),
                wasted=sorted(score.wasted for score in scores)[len(scores) // 2],
            )
        )
    return lines


def by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each kind of trouble that is in any; a scenario has several kinds."""
    kinds = {kind: [row for row in rows if kind in kinds_of(row.title)] for kind in (*KINDS, *FLAKY_KINDS)}
    return {kind: found for kind, found in kinds.items() if found}


def play_seed(seed: int, policies: Sequence[str], settings: Settings, terms: Terms = AS_GENERATED) -> Row:
    """The row of one generated scenario."""
    scenario = generate_flaky(seed) if terms.is_flaky else generate(seed)
    if terms.fees:
        scenario = replace(scenario, fees=terms.fees)
    played = play(scenario, policies, settings, believed=terms.believed)
    scores = {
        name: Score(
            played.accounts[name].ratio,
            result.audits_missed,
            result.voluntary_ms,
            result.voluntary_ms <= settings.routing.wait_max_ms,
            result.wasted,
            [recovery.first_ms for recovery in result.recoveries],
        )
        for name, result in played.results.items()
    }
    accepted = next(iter(played.results.values())).accepted
    return Row(seed, played.scenario.title, accepted, scores)


def play_seeds(
    seeds: range, policies: Sequence[str], settings: Settings, jobs: int, terms: Terms = AS_GENERATED
) -> Iterator[Row]:
    """The rows of many, as they are done, by ``jobs`` processes."""
    tasks = [(seed, policies, settings, terms) for seed in seeds]
    if jobs == 1:
        yield from map(_play_task, tasks)
        return
    # Ctrl-C reaches the whole group: it is the parent that ends the others.
    ignored = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(seeds)), signal.signal, ignored) as pool:
        yield from pool.imap_unordered(_play_task, tasks)


def _play_task(task: tuple[int, Sequence[str], Settings, Terms]) -> Row:
    return play_seed(*task)
