"""What a command of the laboratory leaves: an exit code, a directory with files, and lines that name them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

DIRECTORY = Path("contest-results")
LOG_WIDTH = 120  # of lines that go to a file
# Exit codes. A command that judges nothing is DONE.
DONE = PASSED = 0
FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


def new_console() -> Console:
    """Standard output: as wide as the terminal, or :data:`LOG_WIDTH`."""
    from rich.console import Console  # not in every installation: the command has checked

    return Console(width=None if sys.stdout.isatty() else LOG_WIDTH)


def directory(asked: Path | None, name: str) -> Path:
    """Where files go: the directory ``asked`` for, else one with ``name`` and the time in it. It is not made here."""
    return asked or DIRECTORY / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def say(console: Console, text: str) -> None:
    """A line as it is: without markup or colours, and never broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def write_json(outcome: Mapping[str, Any], path: Path) -> None:
    """Writes ``outcome``; its directory is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome, indent=1) + "\n")


def duration(seconds: float) -> str:
    """``1:05`` for 65 seconds, ``1:01:05`` for an hour more; ``0:00`` for less than none."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
