"""Files that must survive are refused on file systems where they would not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.memory.errors import SegmentError
from engine.storage import filesystem, mapping
from engine.storage.filesystem import Mount

# Of a container: its own layer, a volume, memory mounted twice at one place, a name with a space.
MOUNTINFO = """\
700 600 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
701 700 0:55 / /proc rw,nosuid - proc proc rw
702 700 0:56 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
703 702 0:57 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k
704 700 254:1 /var/lib/volumes/data /var/lib/engine rw,relatime - ext4 /dev/vda1 rw
705 700 0:60 / /mnt/my\\040disk rw - nfs4 server:/export rw
706 700 0:61 /sub /srv rw - btrfs /dev/vdb rw
707 700 0:62 / /srv/inner rw - ext4 /dev/vdc rw
708 700 0:63 / /srv rw - xfs /dev/vdd rw
"""


def kind(path: str, device: tuple[int, int]) -> str:
    return filesystem.kind_of(path, os.makedev(*device), filesystem.parse(MOUNTINFO))


@pytest.mark.parametrize(
    ("path", "device", "expected"),
    [
        ("/", (0, 50), "overlay"),
        ("/tmp/x", (0, 50), "overlay"),
        ("/var/lib/engine", (254, 1), "ext4"),
        ("/var/lib/engine/deep/er", (254, 1), "ext4"),
        ("/var/lib/engine2", (0, 50), "overlay"),
        ("/var/lib/engine/overlaid", (99, 9), "ext4"),  # a device that no mount shows: the nearest one
        ("/dev/shm/x", (0, 57), "tmpfs"),
        ("/mnt/my disk/x", (0, 60), "nfs4"),
        ("/srv", (0, 63), "xfs"),  # the later of two at one place
        ("/srv/inner", (0, 63), "xfs"),  # hidden by the later mount above it
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_mount_it_is_on(
    path: str, device: tuple[int, int], expected: str
) -> None:
    assert kind(path, device) == expected


@pytest.mark.parametrize(
    "name",
    [
        "tmpfs",
        "ramfs",
        "overlay",
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "fuse.sshfs",
        "fuse.glusterfs",
        "9p",
        "ceph",
        "virtiofs",
    ],
)
def test_what_does_not_survive_is_refused_by_its_name_with_what_to_do(name: str, tmp_path: Path) -> None:
    complaint = filesystem.complaint(str(tmp_path / "not" / "there"), lambda: [Mount(0, "/", name)])
    assert f"it is on {name}" in complaint
    assert "Set ENGINE_DATA_DIR" in complaint


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", ""])
def test_a_local_disk_is_accepted(name: str, tmp_path: Path) -> None:
    assert filesystem.complaint(str(tmp_path), lambda: [Mount(0, "/", name)]) == ""


def test_memory_is_refused_for_real() -> None:
    mounts = filesystem.mounted()
    if not any(mount.point == "/dev/shm" and mount.kind == "tmpfs" for mount in mounts):
        pytest.skip("no tmpfs at /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        settings = settings_module.read({"ENGINE_DURABILITY": "sync", "ENGINE_DATA_DIR": f"{directory}/data"})
        with pytest.raises(
            SegmentError, match=r"ENGINE_DATA_DIR=.*it is on tmpfs, which is memory.*Set ENGINE_DATA_DIR"
        ):
            mapping.open_books(settings)
        assert os.listdir(directory) == []


def test_a_link_to_memory_is_refused_too(tmp_path: Path) -> None:
    mounts = [Mount(0, "/", "ext4"), Mount(0, "/dev/shm", "tmpfs")]
    (tmp_path / "link").symlink_to("/dev/shm")
    assert "tmpfs" in filesystem.complaint(str(tmp_path / "link" / "data"), lambda: mounts)
