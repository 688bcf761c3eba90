"""What ``reconcile`` says when it cannot do what is asked; the rest of it is tried with a running engine."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.ledger.database import Database, open_ledger
from engine.ledger.rows import EraRow
from engine.reconcile import cases
from engine.reconcile.cases import Run
from engine.reconcile.command import configure, stretch
from engine.reconcile.span import Span
from engine.settings import SettingsError
from tests.ledger import making
from tests.ledger.making import NOW_MS
from tests.reconcile.world import World

NAMES = ("DEFAULT", "FALLBACK")
MINUTE = 60_000
WRONG = (
    ("--from", "1h", "--to", "2h"), ("--rate", "0"), ("resolve", "1", "--by", "A"), ("--again",),
    ("resolve", "7", "--by", "A", "--evidence", "B"),
)  # fmt: skip


def reconcile(directory: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    own = {"ENGINE_LEDGER_URL": f"sqlite:///{directory}/ledger.db", "ENGINE_NAME": f"none-{os.getpid()}"}
    own |= {f"PAYMENT_PROCESSOR_URL_{name}": f"http://127.0.0.1:{port}" for port, name in enumerate(NAMES, 1)}
    command = [sys.executable, "-m", "engine", "reconcile", *words]
    return subprocess.run(
        command, env=known | own | settings, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def test_what_cannot_be_done_is_a_sentence_and_a_status(tmp_path: Path) -> None:
    none = reconcile(tmp_path)
    assert none.returncode == 3 and none.stderr.startswith("engine: the ledger's database")
    open_ledger(f"sqlite:///{tmp_path}/ledger.db", name=f"none-{os.getpid()}", engine=making.ENGINE).close()
    silent = reconcile(tmp_path, "--from", "10m")
    assert silent.returncode == 3 and "default: its summary cannot be asked for" in silent.stdout
    assert "No exceptions are open." in silent.stdout
    for words in WRONG:
        done = reconcile(tmp_path, *words)
        assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr


def test_there_is_nothing_to_repeat_without_a_ledger() -> None:
    with pytest.raises(SettingsError, match="ENGINE_RECONCILE_SECONDS"):
        settings_module.read({"ENGINE_RECONCILE_SECONDS": "60"})
    settings_module.read({"ENGINE_RECONCILE_SECONDS": "60", "ENGINE_LEDGER": "best"})


@pytest.fixture
def ledger(tmp_path: Path) -> Database:
    return open_ledger(f"sqlite:///{tmp_path}/l.db", name="engine", engine=making.ENGINE, now_ms=lambda: NOW_MS)


def asked(database: Database, *words: str, **settings: str) -> Span:
    parser = argparse.ArgumentParser()
    configure(parser)
    return stretch(settings_module.read(settings), database, parser.parse_args(list(words)))


def test_a_run_goes_on_where_the_last_one_has_ended_and_begins_with_the_era(ledger: Database) -> None:
    with closing(ledger):
        assert asked(ledger) == Span(NOW_MS - MINUTE - 86_400_000, NOW_MS - MINUTE)
        span = Span(NOW_MS - 50 * MINUTE, NOW_MS - 30 * MINUTE)
        cases.keep(ledger, Run(span, False, NOW_MS, 2, 2, 0, ""), [], [])
        assert asked(ledger) == Span(NOW_MS - 30 * MINUTE + 1, NOW_MS - MINUTE)
        cases.keep(ledger, Run(span._replace(to_ms=NOW_MS - MINUTE), False, NOW_MS, 2, 2, 0, "away"), [], [])
        assert asked(ledger) == Span(NOW_MS - 30 * MINUTE + 1, NOW_MS - MINUTE), "what has failed is done again"
        World(ledger, 0).carry(eras=(EraRow(1, NOW_MS - 10 * MINUTE, None, 1, "purge"),))
        assert asked(ledger) == Span(NOW_MS - 10 * MINUTE, NOW_MS - MINUTE)
        assert asked(ledger, "--from", "2026-11-27T07:00Z", "--to", "2026-11-27T07:30Z") == Span(
            NOW_MS - 60 * MINUTE, NOW_MS - 30 * MINUTE
        )


def test_what_may_still_be_under_way_is_left_out(ledger: Database) -> None:
    with closing(ledger):
        assert asked(ledger, "--to", "2026-11-28").to_ms == NOW_MS - MINUTE
        assert asked(ledger, "--settled", "5").to_ms == NOW_MS - 5000
        assert asked(ledger, ENGINE_REQUEST_TIMEOUT_MS="90000").to_ms == NOW_MS - 180_000
