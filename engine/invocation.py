"""How a person starts a command of this engine: for messages that name one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "engine.sh"


def command(*words: str) -> str:
    """The line of shell that runs the engine's command ``words`` from this process's working directory.

    In a checkout it begins with ``./engine.sh``, or with the whole path where the working directory is another one.
    The image has no checkout: there it is ``python -m engine``.
    """
    return " ".join([_program(), *map(shlex.quote, words)])


def _program() -> str:
    if not SCRIPT.is_file():
        return "python -m engine"
    try:
        is_here = os.path.samefile(os.curdir, SCRIPT.parent)
    except OSError:  # the working directory was removed
        is_here = False
    return f"./{SCRIPT.name}" if is_here else shlex.quote(str(SCRIPT))
