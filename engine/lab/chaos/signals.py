"""Whether ``/metrics`` says the same as engine, ledger, processors and clients, when all is settled. Pure.

Quantiles are compared by the buckets that they lie in. Durations that one side has and the other lacks, as what a
killed dispatcher had not counted yet, may lie anywhere: a quantile is moved by no more places than there are of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from engine.lab.chaos.checks import Check, examples
from engine.lab.chaos.plan import Kill
from engine.lab.contest.books import Totals
from engine.lab.ledger.recorded import Paid, Tried
from engine.lab.machine.processes import DISPATCHER
from engine.lab.services.processor import Summary
from engine.memory import layout
from engine.memory.metrics_layout import TIMES_BUCKETS, VERDICTS
from engine.metrics import times

PERCENTS: Final = (50, 90, 99)
# A dispatcher counts once a second what has settled payments: a killed one takes what has ended since with it.
LOST_MS: Final = 2000
NOTHING_LEFT: Final = (
    "engine_payments_pending", "engine_unknown_payments", "engine_unknown_cents", "engine_in_flight_requests",
    "engine_backlog_payments", "engine_delayed_payments", "engine_parked_payments", "engine_dead_letters",
)  # fmt: skip
Labels = frozenset[tuple[str, str]]
Buckets = Sequence[int]  # how many durations are in each of TIMES_BUCKETS


@dataclass(frozen=True)
class Scraped:
    """A scrape: the values of each name by their labels."""

    values: Mapping[str, Mapping[Labels, float]]

    def value(self, name: str, **labels: str) -> int:
        """The sum of all samples of this name that have these labels. All that is compared here is whole."""
        found = (value for own, value in self.values.get(name, {}).items() if labels.items() <= own)
        return round(sum(found))

    def durations(self, name: str, **labels: str) -> list[int]:
        """The buckets of a histogram."""
        wanted = f"{name}_bucket"
        by_bound = {
            float(dict(own)["le"]): round(value)
            for own, value in self.values.get(wanted, {}).items()
            if labels.items() <= own
        }
        counts = [by_bound[bound] for bound in sorted(by_bound)]
        return [count - before for before, count in zip([0, *counts], counts, strict=False)]


def read(text: str) -> Scraped:
    """A scrape in the text format."""
    values: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Scraped(values)


def payments(scraped: Scraped, told: Totals, rows: Sequence[Paid], own: Mapping[str, Summary]) -> list[Check]:
    """Payments, cents, fees and net of each processor are those of the summary, the ledger and the processor.

    Parameters:
      told: what the engine's summary says.
      rows: of the ledger's payments.
      own: what each processor says, in the order of their numbers.
    """
    names, wrong, fees = list(own), [], []
    carried: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for row in rows:
        if row.state == layout.COMPLETED and row.processor is not None:
            carried[names[row.processor]] += 1
            cents[names[row.processor]] += row.cents
    for name, one in own.items():
        shown = (scraped.value("engine_payments_settled_total", processor=name),
                 scraped.value("engine_settled_cents_total", processor=name))  # fmt: skip
        others = ((told[name].count, told[name].cents), (carried[name], cents[name]), (one.count, one.cents))
        if {shown} != {*others}:
            wrong.append(f"{name} {shown}; summary, ledger and processor: {others}")
        money = (scraped.value("engine_fee_cents", processor=name), scraped.value("engine_net_cents", processor=name))
        if money != (one.fee_cents, one.cents - one.fee_cents):
            fees.append(f"{name} {money} and not {(one.fee_cents, one.cents - one.fee_cents)}")
    accepted, failed = scraped.value("engine_payments_accepted_total"), scraped.value("engine_payments_failed_total")
    if accepted != len(rows) or failed != sum(row.state == layout.FAILED for row in rows):
        wrong.append(f"{accepted} accepted and {failed} failed, in the ledger {len(rows)}")
    left = [f"{name} {value}" for name in NOTHING_LEFT if (value := scraped.value(name))]
    return [
        Check("/metrics has the payments and cents of books, ledger and processors", bool(rows) and not wrong,
              f"{accepted:,} accepted, {sum(cents.values()):,} cents settled; {len(wrong)} differ" + examples(wrong)),
        Check("/metrics has the processors' fees and net to the cent", bool(own) and not fees,
              f"fees {scraped.value('engine_fee_cents'):,}, net {scraped.value('engine_net_cents'):,} cents"
              + examples(fees)),
        Check("/metrics shows nothing that waits, is unknown or is a dead letter", not left,
              "nothing" if not left else "" + examples(left)),
    ]  # fmt: skip


def lost(attempts: Iterable[Tried], kills: Sequence[Kill], begin_epoch_s: float) -> int:
    """How many ends of requests and lookups killed dispatchers may not have counted."""
    killed_ms = [round((begin_epoch_s + kill.at_s) * 1000) for kill in kills if kill.role == DISPATCHER]
    return sum(
        any(0 <= killed - one.ended_ms <= LOST_MS for killed in killed_ms)
        for one in attempts
        if one.ended_ms is not None
    )


def requests(scraped: Scraped, names: Sequence[str], attempts: Sequence[Tried], lost_max: int, extra_max: int) -> Check:
    """Requests and lookups by processor and outcome are those of the ledger.

    Parameters:
      lost_max: what killed dispatchers may not have counted.
      extra_max: what may be counted and not recorded: what was in flight at kills, and what gaps lack.
    """
    ended = Counter((one.processor, one.is_lookup, one.outcome) for one in attempts)
    missing = extra = total = 0
    for number, name in enumerate(names):
        for is_lookup, metric in ((False, "engine_requests_total"), (True, "engine_lookups_total")):
            for verdict, outcome in enumerate(VERDICTS):
                counted = scraped.value(metric, processor=name, outcome=outcome)
                total += counted
                missing += max(0, ended[number, is_lookup, verdict] - counted)
                extra += max(0, counted - ended[number, is_lookup, verdict])
    detail = f"{total:,} counted; {missing} not counted, at most {lost_max} of killed dispatchers' last seconds; "
    detail += f"{extra} not recorded, at most {extra_max}"
    return Check("/metrics counts the requests that the ledger has, by outcome",
                 total > 0 and missing <= lost_max and extra <= extra_max, detail)  # fmt: skip


def in_buckets(durations_us: Iterable[int]) -> list[int]:
    """Durations, counted as the engine counts them."""
    counts = [0] * TIMES_BUCKETS
    for us in durations_us:
        counts[times.bucket(us)] += 1
    return counts


def recorded_answers(attempts: Iterable[Tried], processor: int) -> list[int]:
    """How long the requests to a processor took by the ledger: all whose end the dispatcher has seen and used."""
    return in_buckets(
        one.took_us or 0
        for one in attempts
        if (one.processor, one.is_lookup) == (processor, False) and one.outcome in range(len(VERDICTS))
    )


def same_times(what: str, shown: Mapping[str, Buckets], others: Mapping[str, Buckets], equal_from_us: float) -> Check:
    """No quantile of ``shown`` is shorter than the others' by more than a bucket, and none that is ``equal_from_us`` or
    more there is longer: below that the way between the two places is no small part of it.

    Parameters:
      what: the promise.
      shown, others: what is compared, by name.
    """
    wrong, said = [], []
    for name, ours in shown.items():
        theirs, pairs = others[name], []
        for percent in PERCENTS:
            (low, high), (other_low, other_high) = _quantiles(ours, theirs, percent)
            pairs.append(f"{_shown(low)}/{_shown(other_low)}")
            is_longer = low > other_high + 1 and _bound_us(other_low) >= equal_from_us
            if high < other_low - 1 or is_longer:
                wrong.append(f"{name} p{percent}")
        said.append(f"{name} {', '.join(pairs)} ms ({sum(ours):,}/{sum(theirs):,})")
    are_there = bool(shown) and all(sum(ours) and sum(others[name]) for name, ours in shown.items())
    detail = f"p{', p'.join(map(str, PERCENTS))}: {'; '.join(said)}"
    return Check(what, are_there and not wrong, detail + examples(wrong))


def _quantiles(one: Buckets, other: Buckets, percent: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The buckets in which the quantile of each may lie, the first and the last: the smaller one's rank is known, and
    the larger one's is that, or higher by as many durations as the smaller one lacks.
    """
    least = min(sum(one), sum(other))
    rank = max(1, -(-least * percent // 100))
    first, second = ((_bucket(some, rank), _bucket(some, rank + sum(some) - least)) for some in (one, other))
    return first, second


def _bucket(buckets: Buckets, rank: int) -> int:
    """The bucket of the duration with this rank, 1 being the shortest."""
    left = rank
    for index, count in enumerate(buckets):
        left -= count
        if left <= 0:
            return index
    return len(buckets) - 1


def _bound_us(index: int) -> float:
    return times.bound_us(index) if index < TIMES_BUCKETS - 1 else math.inf


def _shown(index: int) -> str:
    return f"{_bound_us(index) / 1000:,.4g}"
