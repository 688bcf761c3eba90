"""The run directory: the sockets, the doorbell and nginx's files. Whoever may write there decides where payments go."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

MODE = 0o750
SOCKET_MODE = 0o660


class RunDirError(OSError):
    """The directory cannot be used. Holds a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


def prepare(path: str, group: str) -> None:
    """Makes the directory ``path`` if it is not there, and checks that nobody else can change what is in it.

    Parameters:
      path: ENGINE_RUN_DIR.
      group: whose members may reach the sockets; "" for the process's own.

    Raises RunDirError.
    """
    try:
        _make(path)
        _check_link(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, error.strerror if error.strerror else str(error)) from error
    try:
        _check(path, os.fstat(descriptor))
        if group:
            give(path, group)
    finally:
        os.close(descriptor)


def give(path: str, group: str) -> None:
    """Gives ``path``, which is ours, to ``group``; "" leaves it with the process's own. Raises RunDirError."""
    if not group:
        return
    try:
        shutil.chown(path, group=group)
    except LookupError as error:
        raise RunDirError(f"ENGINE_RUN_GROUP={group}: there is no such group") from error
    except OSError as error:
        raise RunDirError(f"ENGINE_RUN_GROUP={group}: {path} cannot be given to it: {error.strerror}") from error


def _make(path: str) -> None:
    parent = os.path.dirname(os.path.abspath(path))
    with contextlib.suppress(FileExistsError):
        os.makedirs(parent, mode=0o755)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, MODE)  # whatever the umask is


def _check_link(path: str) -> None:
    found = os.lstat(path.rstrip("/") or "/")
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise OSError(f"it is a link that user {found.st_uid} has made")


def _check(path: str, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise _refused(path, f"it belongs to user {found.st_uid} and the engine runs as {os.geteuid()}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refused(path, f"others than its owner may write there (mode {stat.S_IMODE(found.st_mode):o})")


def _refused(path: str, why: str) -> RunDirError:
    return RunDirError(
        f"ENGINE_RUN_DIR={path}: {why}; "
        "name a directory that only the engine's user may write to, or one that is not there"
    )
