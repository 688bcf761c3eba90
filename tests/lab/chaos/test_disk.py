"""The small disk is full when it is filled, and has room again when freed; a user who may not mount it is told so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engine.lab.chaos.disk import SmallDisk
from engine.lab.chaos.mounts import MountError
from engine.storage import filesystem


def test_a_full_disk_takes_nothing_and_a_freed_one_does(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.mkdir()
    try:
        with SmallDisk(path) as disk:
            assert filesystem.complaint(str(path)) == "", "what is kept there is kept"
            kept = path / "kept"
            kept.write_bytes(b"before")
            disk.fill()
            with pytest.raises(OSError, match="No space left") as refused:
                (path / "more").write_bytes(bytes(10_000))
            assert refused.value.errno == errno.ENOSPC
            disk.free()
            (path / "more").write_bytes(bytes(10_000))
            assert kept.read_bytes() == b"before"
    except MountError as error:
        pytest.skip(str(error))
    assert list(tmp_path.iterdir()) == [path] and list(path.iterdir()) == []


def test_a_user_who_is_not_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MountError, match="only root"):
        SmallDisk(tmp_path).__enter__()
