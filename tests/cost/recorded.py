"""The figures that a payment may cost, recorded, and how they are compared and recorded anew.

``python -m tests.cost.recorded`` (``make record-cost``) measures and writes them. Do that after a change that made a
payment cheaper, so that the gain is kept, or that made it dearer for a reason; the difference is in the commit.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.cost import measure

PATH = Path(__file__).with_name("recorded.json")
WORSE_MAX = 0.15
# What may be on at most, as a share of the same with it off; and how far two runs of the same lie apart.
SHARES_MAX = {
    ("intake-metrics", "intake"): 1.03,
    ("dispatch-metrics", "dispatch"): 1.03,
    ("dispatch-ledger", "dispatch"): 1.06,
}
NOISE = 0.01
# A payment of commit 9e04bbb, before there were ledger, metrics and acts, measured in the same way; and how much more
# it may cost now, with metrics too.
BEFORE = {"3.11": {"intake": 7_680, "dispatch": 185_800}}
MORE_MAX = 1.05
RECORD_ANEW = "if there is a reason for it: `make record-cost`"

Figures = dict[str, float]


def interpreter() -> str:
    """Under which figures are kept, such as ``3.11``: another interpreter executes other instructions."""
    return ".".join(platform.python_version_tuple()[:2])


def load(path: Path = PATH) -> dict[str, Figures]:
    """Instructions for each payment by interpreter and by what is measured. Raises OSError and ValueError."""
    content: dict[str, Figures] = json.loads(path.read_text())
    return content


def save(figures: Mapping[str, float], path: Path = PATH) -> None:
    """Keeps ``figures`` of this interpreter, and those of others as they are. Raises OSError and ValueError."""
    every = load(path) if path.exists() else {}
    every[interpreter()] = {name: round(figure) for name, figure in figures.items()}
    path.write_text(json.dumps(every, indent=2, sort_keys=True) + "\n")


def complaint(name: str, recorded: float, measured: float) -> str:
    """What is wrong with ``measured`` instructions for a payment, in words; ``""`` when it is no more than
    :data:`WORSE_MAX` above ``recorded``."""
    share = measured / recorded - 1
    if share <= WORSE_MAX:
        return ""
    return (
        f"{name} executes {measured:,.0f} instructions for a payment, {share:.1%} more than the recorded "
        f"{recorded:,.0f}; at most {WORSE_MAX:.0%} more is allowed. Make it cheaper, or, {RECORD_ANEW}"
    )


def main() -> int:
    """Measures everything, writes it down and says what has changed."""
    before = load().get(interpreter(), {}) if PATH.exists() else {}
    figures = {name: run() for name, run in measure.MEASURES.items()}
    for name, figure in figures.items():
        change = f"{figure / before[name] - 1:+.1%}" if name in before else "new"
        print(f"{name}: {figure:,.0f} instructions for a payment ({change})")
    save(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
