"""How each processor behaved, as a function of time, from what it answered. Pure.

*How long it took* is a function of the moment at which a request was begun. A request's answer came between two passes
of the dispatcher: later than the last pass before the one that took it, and within the time that the request is known
to have taken. So each request bounds the time from below and from above; one that was not answered bounds it from below
alone. Of the requests that were begun in the same millisecond the quickest counts, for the others may have queued. The
function has the fewest constant pieces that agree with all bounds, up to ``QUEUED_MS``: a new piece begins where the
bounds contradict each other, halfway between two sendings. A piece takes the least time that was seen in it.

*Whether it failed* is a function of the moment at which a request ended. Failures in a row are an outage when there are
``OUTAGE_FAILURES`` and they last for ``OUTAGE_MS``, or when a health answer among them says so. An outage lasts from
halfway after the last success before it to halfway before the first success after it. All other failures are chance:
their share of the answers is counted over ``SHARE_ANSWERS`` at a time.

*Where nothing was sent* for ``NEAR_MS`` before and after a health answer, that answer says both, as a request would.
Before the first that is known, and after the last, it was as then.

What is left out: refusals of single payments (400, 404 ...), which say nothing of others; 429, because the modelled
processors turn away by their own limits; and requests whose answers nobody waited for to the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Final, NamedTuple

from engine.connectors.answers import Verdict
from engine.lab.advice.record import Record, Request, Said
from engine.lab.contest.scenario import Condition, Flaky, Stage
from engine.lab.replay.model import Model
from engine.ledger.rows import DROPPED

QUEUED_MS: Final = 10  # bounds that contradict each other by less than this agree: answers queue for a moment
NEAR_MS: Final = 250
OUTAGE_FAILURES: Final = 3
OUTAGE_MS: Final = 300
SHARE_ANSWERS: Final = 128
SHARE_DIGITS: Final = 6
TIMED_OUT: Final = "timed out"  # as the ledger has libcurl's error
NO_LIMIT_US: Final = 1 << 62
US: Final = 1000

Steps = list[tuple[int, int]]  # from a time (ms) on a value


class _Bound(NamedTuple):
    """Begun at ``at_ms``, a request takes from ``low_us`` to ``high_us``."""

    at_ms: int
    low_us: int
    high_us: int


class _Seen(NamedTuple):
    """At ``at_ms`` the processor failed, or did not. ``is_told``: its health says so."""

    at_ms: int
    failed: bool
    is_told: bool


def stages(record: Record, model: Model) -> tuple[Stage, ...]:
    """How both processors behaved from ``record.begin_ms`` on, as stages of a scenario, in seconds since then.

    ``model``: what of a request's time is not the processor's delay.
    """
    passes = _passes(record.requests)
    both = [_conditions(record, number, passes, model) for number in range(len(record.names))]
    times = sorted({at_ms for steps in both for at_ms, _ in steps})
    return tuple(Stage((at_ms - record.begin_ms) / 1000, _at(both[0], at_ms), _at(both[1], at_ms)) for at_ms in times)


def _conditions(record: Record, number: int, passes: Sequence[int], model: Model) -> list[tuple[int, Condition]]:
    """How one processor behaved: from a time on (ms), the first being ``record.begin_ms``."""
    requests = [one for one in record.requests if one.processor == number]
    said = [one for one in record.said if one.processor == number]
    overhead_us = 2 * model.transit_us + model.service_us
    taken, failed = delays(requests, said, passes, overhead_us), failures(requests, said)
    times = sorted({record.begin_ms, *(max(at_ms, record.begin_ms) for at_ms, _ in (*taken, *failed))})
    made = list[tuple[int, Condition]]()
    for at_ms in times:
        if at_ms >= record.to_ms and made:
            break
        delay_ms = round(max(_value(taken, at_ms, overhead_us) - overhead_us, 0) / US)
        share = Decimal(_value(failed, at_ms, 0)).scaleb(-SHARE_DIGITS)
        condition = Condition(delay_ms, share == 1) if share in (0, 1) else Flaky(delay_ms, False, share)
        if not made or made[-1][1] != condition:
            made.append((at_ms, condition))
    return made


def delays(requests: Iterable[Request], said: Iterable[Said], passes: Sequence[int], overhead_us: int) -> Steps:
    """What a request takes (us) from a time on (ms), by the moment at which it is begun."""
    by_time = groupby(sorted(_bounds(requests, passes), key=lambda pair: pair[0].at_ms), key=lambda pair: pair[0].at_ms)
    bounds = [_quickest(list(some)) for _, some in by_time]
    sent_ms = [one.at_ms for one in bounds]
    for one in said:
        if not _is_near(sent_ms, one.at_ms):
            told_us = one.min_response_ms * US + overhead_us
            bounds.append(_Bound(one.at_ms, max(told_us - QUEUED_MS * US, 0), told_us))
    return _fewest(sorted(bounds))


def failures(requests: Iterable[Request], said: Iterable[Said]) -> Steps:
    """The share of requests that fail (millionths) from a time on (ms), by the moment at which they end."""
    seen = [
        _Seen(one.ended_ms, failed, False)
        for one in requests
        if one.ended_ms is not None and (failed := _has_failed(one)) is not None
    ]
    ended_ms = sorted(one.at_ms for one in seen)
    seen += [_Seen(one.at_ms, one.failing, True) for one in said if not _is_near(ended_ms, one.at_ms)]
    seen.sort()
    made, chance = Steps(), list[_Seen]()
    shares = list[tuple[list[_Seen], int]]()  # what was seen in each part, and the share that failed
    for failed, some in groupby(seen, key=lambda one: one.failed):
        row = list(some)
        if failed and _is_outage(row):
            shares += [*_parts(chance), (row, 10**SHARE_DIGITS)]
            chance = []
        else:
            chance += row
    shares += _parts(chance)
    last_ms = None
    for part, share in shares:
        begin_ms = part[0].at_ms if last_ms is None else (last_ms + part[0].at_ms + 1) // 2
        made.append((begin_ms, share))
        last_ms = part[-1].at_ms
    return made


def _passes(requests: Iterable[Request]) -> list[int]:
    """When the dispatcher is known to have looked: what ended, or was begun, was so in a pass."""
    return sorted({one.ended_ms for one in requests if one.ended_ms is not None} | {one.began_ms for one in requests})


def _bounds(requests: Iterable[Request], passes: Sequence[int]) -> Iterable[tuple[_Bound, bool]]:
    """What each request says of the time, and whether it was charged."""
    for one in requests:
        if one.ended_ms is None or one.outcome in (None, Verdict.REJECTED, Verdict.REFUSED):
            continue
        if one.outcome == DROPPED or one.error == TIMED_OUT or one.latency_us is None:
            low_us = one.latency_us or (one.ended_ms - one.began_ms) * US
            yield _Bound(one.began_ms, max(low_us - QUEUED_MS * US, 0), NO_LIMIT_US), False
            continue
        before = bisect_left(passes, one.ended_ms) - 1
        looked_ms = passes[before] if before >= 0 else one.began_ms
        low_us = min((looked_ms - one.began_ms) * US, one.latency_us) - QUEUED_MS * US
        yield _Bound(one.began_ms, max(low_us, 0), one.latency_us), one.outcome in (Verdict.CHARGED, Verdict.ALREADY)


def _quickest(pairs: Sequence[tuple[_Bound, bool]]) -> _Bound:
    """The bounds of requests that were begun together: of the charged ones, if there are any."""
    some = [bound for bound, is_charged in pairs if is_charged] or [bound for bound, _ in pairs]
    return _Bound(some[0].at_ms, min(one.low_us for one in some), min(one.high_us for one in some))


def _fewest(bounds: Sequence[_Bound]) -> Steps:
    """The fewest pieces that agree with all bounds, each with the least time that was seen in it."""
    made, begin_ms, last_ms, low_us, high_us = Steps(), None, 0, 0, NO_LIMIT_US
    for one in bounds:
        new_low_us, new_high_us = max(low_us, one.low_us), min(high_us, one.high_us)
        if begin_ms is None:
            begin_ms = one.at_ms
        elif new_low_us > new_high_us:
            made.append((begin_ms, _least(low_us, high_us)))
            begin_ms, new_low_us, new_high_us = (last_ms + one.at_ms + 1) // 2, one.low_us, one.high_us
        last_ms, low_us, high_us = one.at_ms, new_low_us, new_high_us
    if begin_ms is not None:
        made.append((begin_ms, _least(low_us, high_us)))
    return made


def _least(low_us: int, high_us: int) -> int:
    """Of a piece without an answer it is known that it took longer than ``low_us`` and the allowance in it."""
    return high_us if high_us < NO_LIMIT_US else low_us + QUEUED_MS * US


def _has_failed(one: Request) -> bool | None:
    """Whether a request shows that its processor failed when it ended; None where it shows nothing."""
    if one.outcome in (Verdict.CHARGED, Verdict.ALREADY):
        return False
    if one.outcome == Verdict.FAILED:
        return True
    return True if one.outcome == Verdict.UNKNOWN and one.error != TIMED_OUT else None


def _is_outage(row: Sequence[_Seen]) -> bool:
    if any(one.is_told for one in row):
        return True
    return len(row) >= OUTAGE_FAILURES and row[-1].at_ms - row[0].at_ms >= OUTAGE_MS


def _parts(seen: Sequence[_Seen]) -> list[tuple[list[_Seen], int]]:
    """What failed by chance, or not, in parts with the share of each; neighbours with the same share are one."""
    made = list[tuple[list[_Seen], int]]()
    for begin in range(0, len(seen), SHARE_ANSWERS):
        part = list(seen[begin : begin + SHARE_ANSWERS])
        share = sum(one.failed for one in part) * 10**SHARE_DIGITS // len(part)
        if made and made[-1][1] == share:
            made[-1][0].extend(part)
        else:
            made.append((part, share))
    return made


def _is_near(times: Sequence[int], at_ms: int) -> bool:
    """Whether one of ``times``, which are in order, is within NEAR_MS of a moment."""
    place = bisect_left(times, at_ms - NEAR_MS)
    return place < len(times) and times[place] <= at_ms + NEAR_MS


def _value(steps: Steps, at_ms: int, default: int) -> int:
    """The value at a time; before the first step, that one; ``default`` without any."""
    if not steps:
        return default
    return steps[max(bisect_right(steps, at_ms, key=lambda step: step[0]) - 1, 0)][1]


def _at(conditions: Sequence[tuple[int, Condition]], at_ms: int) -> Condition:
    return conditions[max(bisect_right(conditions, at_ms, key=lambda one: one[0]) - 1, 0)][1]
