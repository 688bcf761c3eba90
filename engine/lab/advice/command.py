"""``python -m engine replay --from-ledger FROM TO``: replays what a ledger has recorded, and writes advice into it."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

import engine
from engine.lab.advice import bound, grid
from engine.lab.advice.grid import Changes, Outcome, Try
from engine.lab.advice.played import Window
from engine.lab.advice.record import Record, RecordError, read
from engine.lab.results import DONE, say
from engine.ledger import advice
from engine.ledger.advice import Advice, Earned
from engine.ledger.command import opened
from engine.ledger.database import open_ledger
from engine.ledger.report_command import moment
from engine.ledger.report_text import amount, duration, iso
from engine.settings import Settings
from engine.version import VERSION

LIMIT_S: Final = 300.0  # of the query for a window


def run(words: Sequence[str], settings: Settings, jobs: int, console: Console) -> int:
    """Replays the window from the first to the second of ``words`` and keeps what it advises; returns the exit code.

    Parameters:
      settings: those that were in force; their ledger is read, and written to.
      jobs: processes.

    Raises RecordError when the window cannot be replayed, and LedgerError.
    """
    try:
        from_ms, to_ms = map(moment, words)
    except argparse.ArgumentTypeError as error:
        raise RecordError(str(error)) from error
    database = opened(settings, LIMIT_S)
    try:
        window = Window(read(database, from_ms, to_ms))
    finally:
        database.close()
    summary, found = advised(window, settings, jobs, console)
    _print(console, summary, found)
    database = open_ledger(settings.ledger_url, name=settings.host.name, adds=True)
    try:
        numbers = advice.record(database, summary, found)
    finally:
        database.close()
    for number, one in zip(numbers, found, strict=True):
        say(console, f"advice {number}: {one.verdict}")
    return DONE


def advised(window: Window, settings: Settings, jobs: int, console: Console) -> tuple[advice.Window, list[Advice]]:
    """The figures of the window, and what to advise."""
    replayed = window.play(settings)
    outcomes = list[Outcome]()
    with _playing(window, jobs, console) as play:
        for some in grid.search(settings, replayed, play):
            outcomes += some
    record = window.record
    summary = advice.Window(
        record.from_ms, record.to_ms, len(window.counted), window.requested_cents, record.left_out, window.was(),
        replayed, bound.most(window), 1 + len(outcomes), program(),
    )  # fmt: skip
    return summary, grid.advise(summary, outcomes)


def program() -> str:
    """The commit of this program, with ``-dirty`` if it was changed since; its version where there is no checkout."""
    words = ["git", "-C", str(Path(engine.__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return VERSION
    return done.stdout.strip() or VERSION


@contextlib.contextmanager
def _playing(
    window: Window, jobs: int, console: Console
) -> Iterator[Callable[[Sequence[Try]], Mapping[Changes, Earned]]]:
    """Plays tries in ``jobs`` processes, with a progress bar."""
    if jobs == 1:
        yield lambda tries: _shown(console, tries, (window.play(one.settings) for one in tries))
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _begin, (window.record,)) as pool:
        yield lambda tries: _shown(console, tries, pool.imap(_play, [one.settings for one in tries]))


def _shown(console: Console, tries: Sequence[Try], earned: Iterable[Earned]) -> dict[Changes, Earned]:
    is_seen = console.is_terminal
    bar = track(earned, description="settings", total=len(tries), console=console, transient=True, disable=not is_seen)
    return {one.changes: each for one, each in zip(tries, bar, strict=True)}


_windows: list[Window] = []  # of a process of the pool: the one that all of its tasks play


def _begin(record: Record) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends the others
    _windows.append(Window(record))


def _play(settings: Settings) -> Earned:
    return _windows[-1].play(settings)


def _print(console: Console, window: advice.Window, found: Sequence[Advice]) -> None:
    """Where the money went: as it was, replayed, with each advice, and by the oracle."""
    columns = {"as it was": window.was, "replayed": window.replayed}
    columns |= {f"advice {place}": one.advised for place, one in enumerate(found, 1) if one.advised is not None}
    columns["oracle"] = window.oracle
    title = f"{iso(window.from_ms)} to {iso(window.to_ms)}, {window.payments:,} payments"
    table = Table(title=title, title_style="bold", padding=(0, 1))
    table.add_column("", style="cyan", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    requested, every = window.requested_cents, list(columns.values())
    table.add_row("requested", *(amount(requested) for _ in every))
    table.add_row("- fees", *(amount(one.fee_cents) for one in every))
    table.add_row("- not settled at the end", *(amount(requested - one.earned_cents - one.fee_cents) for one in every))
    table.add_row("= earned", *(f"[bold]{amount(one.earned_cents)}[/]" for one in every))
    table.add_row("mean wait", *("-" if one.wait_ms is None else duration(one.wait_ms) for one in every))
    console.print(table)
    say(
        console,
        f"model error: {amount(window.error_cents)}; not earned and possible: {amount(window.missed_cents)}; "
        f"left out: {window.left_out} payments that no setting changes; {window.replays} replays",
    )
