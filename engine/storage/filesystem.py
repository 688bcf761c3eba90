"""The kind of file system of a directory, and why files that must survive may not be there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MOUNTS_PATH = "/proc/self/mountinfo"

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
_LAYERED = ("overlay", "overlayfs", "aufs", "unionfs", "fuse.fuse-overlayfs", "fuse.unionfs")
_NETWORK = (
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs", "ceph",
    "glusterfs", "gluster", "lustre", "beegfs", "orangefs", "gpfs", "pvfs2", "davfs", "fuse",
)  # fmt: skip
_WHAT_TO_DO = "Set ENGINE_DATA_DIR to a directory of a local disk (ext4, xfs, btrfs, zfs), in a container to a volume"


class Mount(NamedTuple):
    """One mounted file system: ``device`` as in :func:`os.stat`, its mount point and its kind."""

    device: int
    point: str
    kind: str


def complaint(directory: str, mounts: Callable[[], list[Mount]] | None = None) -> str:
    """Why files in ``directory``, which need not exist yet, would not survive; "" if they would.

    ``mounts``: a function that returns the mounts; None asks the kernel.
    """
    path = os.path.realpath(directory)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    kind = kind_of(path, os.stat(path).st_dev, mounts() if mounts is not None else mounted())
    if kind in _IN_MEMORY:
        return f"it is on {kind}, which is memory: its files are gone when the machine goes down. {_WHAT_TO_DO}"
    if kind in _LAYERED:
        return f"it is on {kind}, a container's own layer: its files go with the container. {_WHAT_TO_DO}"
    if kind in _NETWORK or kind.startswith("fuse."):
        return (
            f"it is on {kind}: over a network, or through a program, neither memory mappings nor locks nor fdatasync "
            f"can be relied on. {_WHAT_TO_DO}"
        )
    return ""


def kind_of(path: str, device: int, mounts: list[Mount]) -> str:
    """The kind of the file system of ``path``, which is absolute and has no symbolic links; "" if it is not known.

    ``device``: the path's own, ``st_dev``. Some file systems (overlay, btrfs) show another one than their mount does.
    """
    over = [mount for mount in mounts if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")]
    # The longest mount point is the nearest. If several are mounted at one place, the last hides those before. But a
    # later mount higher up hides a nearer one below it: then only the device tells.
    over.sort(key=lambda mount: len(mount.point))
    same = [mount for mount in over if mount.device == device]
    return (same or over or [Mount(0, "", "")])[-1].kind


def mounted() -> list[Mount]:
    """The mounts that this process sees, in the order of mounting; see proc_pid_mountinfo(5)."""
    return parse(Path(MOUNTS_PATH).read_text())


def parse(text: str) -> list[Mount]:
    """The mounts in the text of a ``mountinfo``."""
    mounts = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, _, point = fields.split(" ")[:5]
        major, minor = map(int, device.split(":"))
        mounts.append(Mount(os.makedev(major, minor), _unescaped(point), rest.split(" ")[0]))
    return mounts


def _unescaped(text: str) -> str:
    """The text without escapes: a space, for example, is written as a backslash and three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
