"""An outage, with more failed payments than there are parking places for."""

from __future__ import annotations

from tests.operate.outage import outage


def test_after_an_outage_every_payment_is_found_by_its_status_or_in_the_ledger() -> None:
    found, _ = outage(seconds=6, connections=1)
    assert found.total() > 100 and sum(count for what, count in found.items() if what.startswith("failed")) > 64
