"""A small disk that can be filled: a file system in a file, which only root may mount.

It is a real one (ext4), because the engine refuses to keep in memory what must survive.
"""

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
    """A file system at ``path``, which must exist and be empty. A context manager; raises DiskError.

    The file that it is in lies beside ``path``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._image = path.with_name(f"{path.name}.img")
        self._filler = path / "filler"

    def __enter__(self) -> SmallDisk:
        if os.geteuid() != 0:
            raise DiskError("only root can mount a small disk")
        with self._image.open("wb") as image:
            image.truncate(SIZE_MB << 20)
        try:
            # No blocks are kept for root: with them, root finds room on a full disk.
            _run("/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
            _run("mount", "-o", "loop", str(self._image), str(self.path))
        except DiskError:
            self._image.unlink()
            raise
        (self.path / "lost+found").rmdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazy: a process that was ended a moment ago may not be gone yet.
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        self._image.unlink(missing_ok=True)

    def fill(self) -> None:
        """Fills it to the last block."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while filler.write(_BLOCK):
                    pass
            except OSError:
                return  # full

    def free(self) -> None:
        """Gives the room back."""
        self._filler.unlink(missing_ok=True)


def _run(*command: str) -> None:
    """Raises DiskError."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise DiskError(f"a small disk cannot be made: {error}") from error
    except subprocess.CalledProcessError as error:
        raise DiskError(f"a small disk cannot be made: {error.stderr.strip()}") from error
