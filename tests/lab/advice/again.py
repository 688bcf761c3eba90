"""What advice is worth where the truth is known: ``python -m tests.lab.advice.again SCENARIO [NAME=VALUE ...]``.

The scenario is played in virtual time under these settings, audits and all, and recorded in a ledger. The ledger alone
says what to change. Then the scenario is played again with the first advice.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence

from engine import settings as settings_module
from engine.lab.advice import command, grid
from engine.lab.advice.played import Window
from engine.lab.advice.record import read
from engine.lab.contest import scenario as scenarios
from engine.lab.results import new_console
from engine.ledger.report_text import amount
from tests.lab.advice.recording import Recording, opened, record
from tests.ledger.making import NOW_MS


def main(name: str, changes: Sequence[str]) -> None:
    """Prints what was earned, what the replay says, what it would earn with the advice, and what that then earns."""
    scene = scenarios.load(name)
    settings = settings_module.read(dict(one.split("=", 1) for one in changes))
    with tempfile.TemporaryDirectory() as directory:
        database = opened(f"sqlite:///{directory}/ledger.db")
        _, end_ms = record(database, scene, settings)
        window = Window(read(database, NOW_MS, end_ms))
        database.close()
    summary, (first, *_) = command.advised(window, settings, 1, new_console())
    print(first.verdict)
    print(f"as it was {amount(summary.was.earned_cents)}, replayed {amount(summary.replayed.earned_cents)}")
    advised = grid.changed(settings, first.changes)
    if first.advised is None or advised is None:
        return
    earned = Recording(scene, advised.settings).run("ours").net
    print(f"with the advice, as said {amount(first.advised.earned_cents)}, as it came {earned:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
