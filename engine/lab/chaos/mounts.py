"""File systems of a run's own: commands that only root may use, and a file that takes all the room."""

from __future__ import annotations

import subprocess
from pathlib import Path

_BLOCK = bytes(65_536)


class MountError(Exception):
    """There is no file system of a run's own; the text says why."""


class Filler:
    """A file in ``directory`` that takes its room, but for ``left_bytes``."""

    def __init__(self, directory: Path, left_bytes: int = 0) -> None:
        self._path = directory / "filler"
        self._left_bytes = left_bytes

    def fill(self) -> None:
        """Takes the room."""
        with self._path.open("ab", buffering=0) as filler:
            try:
                while filler.write(_BLOCK):
                    pass
            except OSError:  # full
                filler.truncate(max(0, filler.tell() - self._left_bytes))

    def free(self) -> None:
        """Gives it back."""
        self._path.unlink(missing_ok=True)


def run(what: str, *command: str) -> None:
    """Runs a command that makes ``what``. Raises MountError."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise MountError(f"{what} cannot be made: {error}") from error
    except subprocess.CalledProcessError as error:
        raise MountError(f"{what} cannot be made: {error.stderr.strip()}") from error
