"""Which tests may run beside others: `make test` runs two at a time."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# On a busy machine an example takes long for no reason of its own.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

TESTS = Path(__file__).parent
# These drive whole processes, look at the machine or count what they cost: one after the other, so that they have a
# core for themselves. All others may run beside them.
LABORATORIES = "bench", "chaos", "contest", "machine", "simulate", "soak", "tune", "test_launch.py"
ONE_BY_ONE = (
    "client", "containers", "cost", "hostile", "supervise", "system", "test_nginx_conf.py", "test_setup.py",
    *(f"lab/{place}" for place in LABORATORIES),
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of ONE_BY_ONE into a group, which one worker runs."""
    places = [TESTS / place for place in ONE_BY_ONE]
    for item in items:
        if any(item.path.is_relative_to(place) for place in places):
            item.add_marker(pytest.mark.xdist_group("one by one"))
