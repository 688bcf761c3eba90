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
BESIDE_OTHERS = "cost", "system/test_page.py"  # instructions are the same on a busy machine; a page waits
ONE_BY_ONE = (
    "client", "cluster/test_up.py", "containers", "hostile", "supervise", "system",
    "test_nginx_conf.py", "test_setup.py",
    *(f"lab/{place}" for place in LABORATORIES),
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of ONE_BY_ONE into a group, which one worker runs; each of BESIDE_OTHERS is a group of its own."""
    groups = {TESTS / place: place for place in BESIDE_OTHERS} | {TESTS / place: "one by one" for place in ONE_BY_ONE}
    for item in items:
        group = next((group for place, group in groups.items() if item.path.is_relative_to(place)), None)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
