"""Every metric is described once, by the rules of Prometheus, and the document has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.console.families import FAMILIES, Family, Kind, markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
CLOSED = {
    "version", "python", "layout", "name", "ring", "reason", "processor", "outcome", "state", "process", "place",
    "status",
}  # fmt: skip


def test_the_document_has_the_table_that_is_made_from_the_metrics() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(("| `engine_", "| Metric", "|---"))]
    assert lines == markdown().splitlines()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_and_labels_are_as_prometheus_wants_them(family: Family) -> None:
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.kind is not Kind.HISTOGRAM or family.name.endswith("_seconds")
    assert not family.name.endswith(("_ms", "_us", "_percent")) and {*family.labels} <= CLOSED


def test_no_name_stands_twice() -> None:
    names = [family.name.removesuffix("_total") for family in FAMILIES]
    assert len({*names}) == len(names)
