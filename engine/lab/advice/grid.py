"""Which settings are tried, and what follows from what they earn. Pure: whoever plays is handed in.

One variable at a time takes the values of a ladder around its own; then the best values of the variables that gained
most are tried in pairs. The number of replays is bounded by that (:data:`REPLAYS_MAX`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from engine import settings as settings_module
from engine.lab.replay.many import EQUAL
from engine.ledger.advice import Advice, Change, Earned, Window
from engine.ledger.report_text import amount, duration
from engine.settings import VARIABLES, Settings, SettingsError
from engine.variables import Variable

GROUP: Final = "routing"
# What these three are for is an audit of others, and no ledger records audits: a replay without them would always
# advise to care less.
NOT_TRIED: Final = ("slow_ms", "audit_interval_ms", "audit_guard_ms")
TRIED: Final = tuple(variable for variable in VARIABLES if variable.group == GROUP and variable.field not in NOT_TRIED)
DIVISORS: Final = (4, 2)
FACTORS: Final = (2, 4)
PAIRED: Final = 4  # variables whose best values are tried in pairs
LADDER_MAX: Final = len(DIVISORS) + len(FACTORS) + 1  # and the default
REPLAYS_MAX: Final = 1 + len(TRIED) * LADDER_MAX + PAIRED * (PAIRED - 1) // 2
ADVICE_MAX: Final = 5
# A replay that differs from what was earned by a greater share knows the window too little for any figure. Measured on
# a starved machine (the whole engine had 0.03 cores): it differed by 4.2 %, and what it said would be earned by 8.8 %.
ERROR_SHARE_MAX: Final = 0.01

Changes = tuple[Change, ...]


class Try(NamedTuple):
    """Settings that differ from those in force, and how."""

    changes: Changes
    settings: Settings


class Outcome(NamedTuple):
    """What a try has earned."""

    changes: Changes
    earned: Earned


def singles(settings: Settings) -> list[Try]:
    """One variable at a time."""
    tries = (changed(settings, (Change(variable.name, now, value),)) for variable, now, value in _ladders(settings))
    return [one for one in tries if one is not None]


def pairs(settings: Settings, outcomes: Sequence[Outcome], replayed: Earned) -> list[Try]:
    """The best values of the variables that gained most, two at a time."""
    found = [one.changes for one in _best_of_each(outcomes, replayed)[:PAIRED]]
    tries = (changed(settings, first + second) for first, second in combinations(found, 2))
    return [one for one in tries if one is not None]


def changed(settings: Settings, changes: Changes) -> Try | None:
    """The settings with these changes; None when they contradict each other."""
    environment = settings_module.as_environment(settings) | {one.variable: str(one.advised) for one in changes}
    try:
        return Try(changes, settings_module.read(environment))
    except SettingsError:
        return None


def advise(window: Window, outcomes: Sequence[Outcome]) -> list[Advice]:
    """What to advise: for each variable its best value, then the best pair, as far as they gain more than is noise.

    Noise is the model's own error, and what two replays of equal worth may differ by. A pair must gain so much more
    than the best of its variables alone. One advice without changes when there is none, or when the model's error is
    more than ERROR_SHARE_MAX of what was earned.
    """
    if window.error_cents > abs(window.was.earned_cents) * ERROR_SHARE_MAX:
        return [Advice((), None, _unlike(window))]
    noise_cents = max(window.error_cents, round(abs(window.replayed.earned_cents) * EQUAL))
    gains = [one for one in outcomes if _gain(one, window.replayed) > noise_cents]
    found = _best_of_each([one for one in gains if len(one.changes) == 1], window.replayed)
    best_cents = _gain(found[0], window.replayed) if found else 0
    together = sorted((one for one in gains if len(one.changes) > 1), key=lambda one: -one.earned.earned_cents)
    least_cents = best_cents + round(abs(window.replayed.earned_cents) * EQUAL)
    more = [one for one in together[:1] if _gain(one, window.replayed) > least_cents]
    if not found and not more:
        return [Advice((), None, _nothing(window, outcomes, noise_cents))]
    return [Advice(one.changes, one.earned, _verdict(window, one)) for one in (*more, *found[:ADVICE_MAX])]


def search(
    settings: Settings, replayed: Earned, play: Callable[[Sequence[Try]], Mapping[Changes, Earned]]
) -> Iterator[list[Outcome]]:
    """Tries all of it: the outcomes of the single variables, then those of the pairs.

    Parameters:
      replayed: what the settings in force earn in the replay.
      play: earns what several tries earn.
    """
    first = _outcomes(play(singles(settings)))
    yield first
    yield _outcomes(play(pairs(settings, first, replayed)))


def _outcomes(earned: Mapping[Changes, Earned]) -> list[Outcome]:
    return [Outcome(changes, one) for changes, one in earned.items()]


def _ladders(settings: Settings) -> Iterator[tuple[Variable, int, int]]:
    for variable in TRIED:
        now, default = settings.value(variable), variable.default
        assert isinstance(now, int) and isinstance(default, int), "routing is set by numbers"
        values = [*(now // divisor for divisor in DIVISORS), *(now * factor for factor in FACTORS), default]
        for value in sorted({min(max(one, variable.low), variable.high) for one in values} - {now}):
            yield variable, now, value


def _best_of_each(outcomes: Sequence[Outcome], replayed: Earned) -> list[Outcome]:
    """The best value of each variable that gains anything, the greatest gain first; of equal ones the nearest."""
    best = dict[str, Outcome]()
    for one in sorted(outcomes, key=lambda one: (-one.earned.earned_cents, _distance(one.changes[0]))):
        best.setdefault(one.changes[0].variable, one)
    return [one for one in best.values() if _gain(one, replayed) > 0]


def _distance(change: Change) -> int:
    return abs(change.advised - change.now)


def _gain(one: Outcome, replayed: Earned) -> int:
    return one.earned.earned_cents - replayed.earned_cents


def _verdict(window: Window, one: Outcome) -> str:
    named = " and ".join(f"{change.variable} from {change.now} to {change.advised}" for change in one.changes)
    gain = amount(_gain(one, window.replayed))
    before, after = (_waited(earned) for earned in (window.replayed, one.earned))
    return (
        f"{named} would have earned {gain} more, in the replay (model error {amount(window.error_cents)}); "
        f"payments then wait {after} in the mean, instead of {before}"
    )


def _nothing(window: Window, outcomes: Sequence[Outcome], noise_cents: int) -> str:
    best = max(outcomes, key=lambda one: one.earned.earned_cents, default=None)
    gain_cents = 0 if best is None else max(_gain(best, window.replayed), 0)
    return (
        f"nothing to advise: the best of {len(outcomes)} settings gains {amount(gain_cents)}, and less than "
        f"{amount(noise_cents)} is noise (model error {amount(window.error_cents)})"
    )


def _unlike(window: Window) -> str:
    error = amount(window.error_cents)
    return (
        f"nothing to advise: the replay differs by {error} from what was earned, which is more than "
        f"{ERROR_SHARE_MAX:.0%} of it. Other settings may have been in force, or the machine was overloaded"
    )


def _waited(earned: Earned) -> str:
    return "nothing" if earned.wait_ms is None else duration(earned.wait_ms)
