"""How long a payment has waited by choice."""

from __future__ import annotations

from engine.routing.outages import TotalOutages
from engine.routing.policy import TOTAL_OUTAGES_MAX

T = 1_000_000  # a moment


def test_only_time_in_which_a_processor_was_healthy_is_by_choice() -> None:
    outages = TotalOutages()
    for now_ms, is_now in ((T, False), (T + 100, True), (T + 150, True), (T + 300, False), (T + 1000, False)):
        outages.looked(now_ms, is_now)
    assert outages.choice_ms(T + 1000, 1000) == 800
    assert outages.choice_ms(T + 1000, 800) == 700  # it came in the middle of it
    assert outages.choice_ms(T + 1000, 700) == 700


def test_an_outage_that_lasts_counts_up_to_the_last_look() -> None:
    outages = TotalOutages()
    outages.looked(T, True)
    outages.looked(T + 60, True)
    assert outages.choice_ms(T + 60, 60) == 0
    assert outages.choice_ms(T + 80, 80) == 20


def test_the_oldest_are_forgotten() -> None:
    outages = TotalOutages()
    for now_ms in range(T, T + 1000 * TOTAL_OUTAGES_MAX, 10):
        outages.looked(now_ms, is_now=now_ms % 20 == 0)
    now_ms = T + 1000 * TOTAL_OUTAGES_MAX
    assert outages.choice_ms(now_ms, now_ms - T) == now_ms - T - 10 * TOTAL_OUTAGES_MAX
