"""A small disk that can be filled: a file system in a file, which only root may mount.

It is a real one (ext4), because the engine refuses to keep in memory what must survive.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

from engine.lab.chaos.mounts import Filler, MountError, run

SIZE_MB = 64  # rings and books take about 40 with the default settings
LEDGER_MB = 256  # an empty PostgreSQL takes about 50, a ledger of 50,000 payments as much
_WHAT = "a small disk"


class SmallDisk(Filler):
    """A file system at ``path``, which must exist and be empty. A context manager; raises MountError.

    The file that it is in lies beside ``path``.
    """

    def __init__(self, path: Path, size_mb: int = SIZE_MB) -> None:
        super().__init__(path)
        self._size_mb = size_mb
        self.path = path
        self._image = path.with_name(f"{path.name}.img")

    def __enter__(self) -> SmallDisk:
        if os.geteuid() != 0:
            raise MountError("only root can mount a small disk")
        with self._image.open("wb") as image:
            image.truncate(self._size_mb << 20)
        try:
            # No blocks are kept for root: with them, root finds room on a full disk.
            run(_WHAT, "/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
            run(_WHAT, "mount", "-o", "loop", str(self._image), str(self.path))
        except MountError:
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
