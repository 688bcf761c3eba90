"""What is written without the official client is what the official client would write."""

from __future__ import annotations

import random

import pytest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from engine.console.exposition import BOUNDS, exposed
from engine.console.families import BY_NAME, FAMILIES, Kind
from engine.console.scrape import Sample
from engine.memory import metrics_layout as layout

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HISTOGRAMS = [family for family in FAMILIES if family.kind is Kind.HISTOGRAM]


def some() -> list[Sample]:
    chance = random.Random(3)
    return [
        Sample(family.name, [chance.randrange(10) for _ in range(layout.TIMES_BUCKETS + 1)], labels)
        for family in HISTOGRAMS
        for labels in ([("default",), ("fallback",)] if family.labels else [()])
    ]


class Official(Collector):
    """Histograms as the official client writes them."""

    def describe(self) -> list[HistogramMetricFamily]:
        return []

    def collect(self) -> list[HistogramMetricFamily]:
        made: dict[str, HistogramMetricFamily] = {}
        for sample in some():
            family = BY_NAME[sample.name]
            one = made.setdefault(sample.name, HistogramMetricFamily(family.name, family.help, labels=family.labels))
            assert isinstance(sample.value, list)
            counts = [sum(sample.value[: index + 1]) for index in range(layout.TIMES_BUCKETS)]
            one.add_metric(sample.labels, list(zip(BOUNDS, counts, strict=True)), sample.value[-1] / 1e6)
        return list(made.values())


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("", text_string_to_metric_families), (OPENMETRICS, openmetrics.text_string_to_metric_families)],
)
def test_histograms_are_those_of_the_official_client(accept: str, parse: object) -> None:
    assert callable(parse)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Official())
    encode, content_type = choose_encoder(accept)
    text, ours = exposed(some(), accept)
    assert ours == content_type
    assert list(parse(text.decode())) == list(parse(encode(registry).decode()))


def test_a_metric_that_is_not_described_is_not_shown() -> None:
    with pytest.raises(AssertionError):
        exposed([Sample("engine_secret", 1)], "")
