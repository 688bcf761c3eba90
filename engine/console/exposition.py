"""Samples in the formats that Prometheus reads.

The official client writes all but histograms. It takes 10 us for a line, and a histogram has 163: with eight processors
that would be 40 ms of each scrape. Their lines, which are the same in both formats, are written here; a test compares
them with the client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from engine.console.families import BY_NAME, FAMILIES, Family, Kind
from engine.console.scrape import Sample
from engine.memory import metrics_layout as layout
from engine.metrics.times import bound_us

BOUNDS: Final = (*(str(bound_us(index) / 1e6) for index in range(layout.TIMES_BUCKETS - 1)), "+Inf")
_END: Final = b"# EOF\n"  # of OpenMetrics


def exposed(samples: Iterable[Sample], accept: str) -> tuple[bytes, str]:
    """The samples in the format that a scrape with this ``Accept`` header wants, and its Content-Type."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    assert by_name.keys() <= BY_NAME.keys()
    registry = CollectorRegistry(auto_describe=False)
    encode, content_type = choose_encoder(accept)
    registry.register(_Plain(by_name))
    text = encode(registry)
    end = _END if text.endswith(_END) else b""
    return text.removesuffix(end) + "".join(_histograms(by_name)).encode() + end, content_type


class _Plain(Collector):
    """The counters and gauges of which there are samples, in the order of :data:`FAMILIES`."""

    def __init__(self, samples: dict[str, list[Sample]]) -> None:
        self._samples = samples

    def describe(self) -> list[Metric]:
        """Nothing: it spares the registry a first collection, by which it finds names that clash."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See :class:`Collector`."""
        for family in FAMILIES:
            if family.kind is not Kind.HISTOGRAM and family.name in self._samples:
                made = _made(family)
                for sample in self._samples[family.name]:
                    assert not isinstance(sample.value, list)
                    made.add_metric(sample.labels, sample.value)
                yield made


def _made(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    if family.kind is Kind.COUNTER:
        return CounterMetricFamily(family.name.removesuffix("_total"), family.help, labels=family.labels)
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)


def _histograms(samples: dict[str, list[Sample]]) -> Iterator[str]:
    for family in FAMILIES:
        if family.kind is Kind.HISTOGRAM and family.name in samples:
            yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} histogram\n"
            for sample in samples[family.name]:
                assert isinstance(sample.value, list)
                yield from _lines(family, sample.labels, sample.value)


def _lines(family: Family, labels: tuple[str, ...], times: Sequence[int]) -> Iterator[str]:
    *buckets, sum_us = times
    *heads, count_head, sum_head = _heads(family, labels)
    counts = list(accumulate(buckets))
    for head, count in zip(heads, counts, strict=True):
        yield f"{head}{count}\n"
    yield f"{count_head}{counts[-1]}\n"
    yield f"{sum_head}{sum_us / 1e6}\n"


@cache  # bounded: labels come from closed sets
def _heads(family: Family, labels: tuple[str, ...]) -> tuple[str, ...]:
    """What each line begins with: buckets, count, sum. Labels are names that need not be escaped."""
    own = [f'{name}="{value}"' for name, value in zip(family.labels, labels, strict=True)]
    plain = f"{{{','.join(own)}}}" if own else ""
    marks = (",".join([*own, f'le="{bound}"']) for bound in BOUNDS)
    buckets = (f"{family.name}_bucket{{{mark}}} " for mark in marks)
    return (*buckets, f"{family.name}_count{plain} ", f"{family.name}_sum{plain} ")
