"""The cost of a payment, in instructions, does not get worse than what is recorded by more than 15 %."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cost import measure, recorded

pytestmark = pytest.mark.timeout(900)  # a test measures twice at most, and waits twice in each


@pytest.mark.parametrize("name", measure.MEASURES)
def test_a_payment_costs_no_more_than_is_recorded(name: str) -> None:
    figures = recorded.load().get(recorded.interpreter())
    if figures is None:
        pytest.skip(f"nothing is recorded for Python {recorded.interpreter()}: `make record-cost`")
    assert recorded.complaint(name, figures[name], measure.MEASURES[name]()) == ""


@pytest.mark.parametrize(("name", "without"), recorded.SHARES_MAX)
def test_metrics_and_ledger_cost_a_small_share_of_a_payment(name: str, without: str) -> None:
    most = recorded.SHARES_MAX[name, without]
    for figures in recorded.load().values():
        assert figures[name] <= most * figures[without]
    bound = (most + recorded.NOISE) * measure.MEASURES[without]()
    # On a starved machine a dispatcher makes more passes for as many payments. That only adds, and is not so each time.
    assert measure.MEASURES[name]() <= bound or any(measure.ANEW[name]() <= bound for _ in range(2))


def test_a_payment_costs_hardly_more_than_before_ledger_and_metrics() -> None:
    for interpreter, before in recorded.BEFORE.items():
        figures = recorded.load()[interpreter]
        for name, figure in before.items():
            assert max(figures[name], figures[f"{name}-metrics"]) <= recorded.MORE_MAX * figure


def test_what_costs_more_than_15_per_cent_more_is_complained_of() -> None:
    assert recorded.complaint("intake", 100_000, 115_001) != ""
    # A record that lies 20 % lower than what is measured fails.
    assert recorded.RECORD_ANEW in recorded.complaint("dispatch", 0.8 * 200_000, 200_000)


def test_noise_and_gains_are_not_complained_of() -> None:
    assert recorded.complaint("intake", 100_000, 114_999) == ""
    assert recorded.complaint("intake", 100_000, 60_000) == ""


def test_recording_keeps_the_figures_of_other_interpreters(tmp_path: Path) -> None:
    path = tmp_path / "recorded.json"
    path.write_text('{"2.7": {"intake": 5}}')
    recorded.save({"intake": 1000.4}, path)
    assert recorded.load(path) == {"2.7": {"intake": 5}, recorded.interpreter(): {"intake": 1000}}
