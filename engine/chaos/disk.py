"""A small disk that can be filled: a tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

SIZE_MB = 64  # rings and books take about 40 with the default settings
_BLOCK = bytes(65_536)


class DiskError(Exception):
    """There is no small disk; the text says why."""


class SmallDisk:
    """A tmpfs at ``path``, which must exist and be empty. A context manager; raises DiskError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def __enter__(self) -> SmallDisk:
        if os.geteuid() != 0:
            raise DiskError("only root can mount a small disk")
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "chaos", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DiskError(f"a small disk cannot be mounted: {done.stderr.strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazy: a process that was only just ended may still be on its way out.
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)

    def fill(self) -> None:
        """Leaves not a single block."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while filler.write(_BLOCK):
                    pass
            except OSError:
                return  # full

    def free(self) -> None:
        """Gives the room back."""
        self._filler.unlink(missing_ok=True)
