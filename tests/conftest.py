"""In which order the files of tests are handed out: `make test` runs some at a time, each file by one worker."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# On a busy machine an example takes long for no reason of its own.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

TESTS = Path(__file__).parent
# What takes long is begun first: what is left at the end is short, so that no worker waits for the other one.
# Those that wait take turns with those that reckon.
SLOW = (
    "cost/test_cost.py", "system/test_page.py", "ledger/test_recorded.py", "system/test_require.py",
    "durability/test_power_loss.py", "system/test_stress.py", "lab/replay/test_world.py", "system/test_memory.py",
    "reconcile/test_reconcile.py", "system/test_up.py", "lab/dst/test_simulation.py", "system/test_words.py",
    "lab/replay/test_frozen.py", "system/test_money.py", "ring/test_ids.py", "supervise/test_stopped.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files of SLOW before all others."""
    places = {TESTS / name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path, len(SLOW)))
