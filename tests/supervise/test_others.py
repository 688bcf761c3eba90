"""Whoever starts an engine after another user of the machine is told all of it at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import mapping
from engine.supervise import others, up
from engine.supervise.place import Place, UpError
from tests.system.running import free_port

NOBODY = pwd.getpwnam("nobody")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def roots() -> Iterator[Settings]:
    """The engine that root has run before: its directory and its memory are there."""
    directory = tempfile.mkdtemp(prefix="e-")
    os.chmod(directory, 0o755)
    settings = settings_module.read(
        {
            "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}",
            "ENGINE_RUN_DIR": f"{directory}/run",
            "ENGINE_PORT": str(free_port()),
            "ENGINE_RING_SLOTS": "64",
        }
    )
    try:
        with contextlib.closing(Place(settings)), mapping.supervising(settings):
            mapping.open_books(settings).close()
        yield settings
    finally:
        mapping.remove_all(settings)
        shutil.rmtree(directory)


def said_to_nobody(settings: Settings, **changed: str) -> tuple[int, str]:
    """The exit code and the words of an ``up`` of another user."""
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            code = 99
            try:
                os.dup2(told.fileno(), 1)
                os.dup2(told.fileno(), 2)
                os.setgroups([])
                os.setgid(NOBODY.pw_gid)
                os.setuid(NOBODY.pw_uid)
                os.environ |= settings_module.as_environment(settings) | changed
                with open(2, "w", buffering=1, closefd=False) as error, contextlib.redirect_stderr(error):
                    code = up.run(argparse.Namespace(simulate=True, discard=False))
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        return os.waitstatus_to_exitcode(status), told.read().decode()


@as_root
def test_directory_and_memory_of_another_user_are_named_together_with_what_to_set(roots: Settings) -> None:
    code, said = said_to_nobody(roots)
    assert code == 1
    assert "this engine belongs to root, and you are nobody:" in said
    assert f"ENGINE_RUN_DIR  {roots.host.run_dir} is root's" in said
    assert f"ENGINE_NAME     /dev/shm/{roots.host.name}" in said
    line = next(one for one in said.splitlines() if one.startswith("ENGINE_NAME="))
    assert f"ENGINE_NAME={roots.host.name}-2 ENGINE_RUN_DIR={roots.host.run_dir}-2 ENGINE_PORT=" in line
    assert "Permission denied" not in said


@as_root
def test_memory_alone_is_named_to_whoever_has_a_directory_of_its_own(roots: Settings, tmp_path: Path) -> None:
    own = tempfile.mkdtemp(prefix="e-")
    os.chown(own, NOBODY.pw_uid, NOBODY.pw_gid)
    try:
        code, said = said_to_nobody(roots, ENGINE_RUN_DIR=own)
    finally:
        shutil.rmtree(own)
    assert code == 1
    assert "ENGINE_NAME     /dev/shm/" in said
    assert "ENGINE_RUN_DIR  " not in said


def test_what_is_ones_own_is_no_complaint(roots: Settings) -> None:
    assert others.complaint(roots) == ""


def test_a_data_directory_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_module.read({"ENGINE_DURABILITY": "disk", "ENGINE_DATA_DIR": str(tmp_path)})
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 12_345)
    assert f"ENGINE_DATA_DIR {tmp_path} is {pwd.getpwuid(os.getuid()).pw_name}'s" in others.complaint(settings)
    assert f"you are user {os.getuid() + 12_345}:" in others.complaint(settings)


def test_an_error_of_rights_is_told_from_others() -> None:
    def caused(error: Exception, cause: Exception) -> Exception:
        error.__cause__ = cause
        return error

    assert others.is_about_rights(caused(SegmentError("x"), PermissionError(13, "denied")))
    assert not others.is_about_rights(caused(UpError("x"), FileNotFoundError(2, "gone")))
    assert not others.is_about_rights(None)
