"""The run directory belongs to the engine alone, and only its group reaches the sockets."""

from __future__ import annotations

import grp
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine import run_dir, settings
from tests.intake.engine import engine

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_directory_that_is_made_is_closed_to_others_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        run_dir.prepare(str(tmp_path / "a" / "run"), "")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "run") == 0o750


def test_one_that_is_ours_is_taken_as_it_is(tmp_path: Path) -> None:
    for fine in (0o700, 0o750, 0o755):
        tmp_path.chmod(fine)
        run_dir.prepare(f"{tmp_path}/", "")
        assert mode(tmp_path) == fine


@pytest.mark.parametrize("bad", [0o777, 0o1777, 0o770, 0o757])
def test_one_that_others_may_write_to_is_refused(tmp_path: Path, bad: int) -> None:
    tmp_path.chmod(bad)
    with pytest.raises(run_dir.RunDirError, match=rf"others than its owner may write there \(mode {bad:o}\); name a"):
        run_dir.prepare(str(tmp_path), "")


@ROOT_ONLY
def test_one_that_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    with pytest.raises(run_dir.RunDirError, match=f"belongs to user {NOBODY} and the engine runs as 0"):
        run_dir.prepare(str(tmp_path), "")


@ROOT_ONLY
def test_a_link_of_somebody_else_is_refused_although_it_leads_to_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "ours")
    run_dir.prepare(str(link), "")
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    for path in (str(link), f"{link}/"):
        with pytest.raises(run_dir.RunDirError, match=f"is a link that user {NOBODY} has made"):
            run_dir.prepare(path, "")


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
    for name in ("file", "nowhere", "file/run"):
        with pytest.raises(run_dir.RunDirError, match=f"^ENGINE_RUN_DIR={tmp_path}/{name}: "):
            run_dir.prepare(str(tmp_path / name), "")


def test_the_default_is_one_for_each_user() -> None:
    assert settings.read({}).host.run_dir == f"/tmp/engine-{os.geteuid()}"
    assert settings.read({"ENGINE_RUN_DIR": "/x"}).host.run_dir == "/x"


def test_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(run_dir.RunDirError, match="ENGINE_RUN_GROUP=nobody-knows: there is no such group"):
        run_dir.prepare(str(tmp_path / "run"), "nobody-knows")


@ROOT_ONLY
def test_only_owner_and_group_reach_the_sockets(tmp_path: Path) -> None:
    group = grp.getgrgid(NOBODY)
    made = tmp_path / "run"
    with engine(str(made), ENGINE_RUN_GROUP=group.gr_name) as world:
        world.start()
        path = made / "api-0.sock"
        assert (mode(made), mode(path)) == (0o750, 0o660)
        assert made.stat().st_gid == path.stat().st_gid == group.gr_gid
        tmp_path.chmod(0o755)
        for above in tmp_path.parents[:-2]:
            above.chmod(0o755)
        assert connects_as(12345, group.gr_gid, path)
        assert not connects_as(12345, 12345, path)


def connects_as(uid: int, gid: int, path: Path) -> bool:
    """Whether a process of that user and group can connect to the socket."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            code = socket.socket(socket.AF_UNIX).connect_ex(str(path))
        finally:
            os._exit(code != 0)
    return os.waitpid(child, 0)[1] == 0


@ROOT_ONLY
@pytest.mark.parametrize("command", [["up"], ["dispatch"], ["api"]], ids=lambda command: str(command[0]))
def test_no_process_starts_in_a_directory_of_somebody_else(tmp_path: Path, command: list[str]) -> None:
    theirs = tmp_path / "run"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    done = subprocess.run(
        [sys.executable, "-m", "engine", *command],
        env=os.environ | {"ENGINE_RUN_DIR": str(theirs), "ENGINE_NAME": f"test-run-dir-{os.getpid()}"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "engine: " in done.stderr and str(theirs) in done.stderr
    assert f"it belongs to user {NOBODY}" in done.stderr or "this engine belongs to nobody" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(theirs.iterdir()) == []
