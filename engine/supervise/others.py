"""What of an engine belongs to another user of this machine: all of it is said at once, with what to set instead."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

from engine.run_dir import RunDirError
from engine.settings import Settings
from engine.storage import durability, names
from engine.storage.segment import SHARED_MEMORY_DIRECTORY


class Owned(NamedTuple):
    """A path of another user, and the variable that leads to it."""

    path: str
    variable: str
    owner: int


def memory_directory(settings: Settings) -> str:
    """Where the files of the engine's memory are."""
    return settings.storage.data_dir if durability.of(settings).is_on_disk else SHARED_MEMORY_DIRECTORY


def owned(settings: Settings) -> list[Owned]:
    """What another user has of what an engine with these settings would use."""
    name, directory = settings.host.name, memory_directory(settings)
    found = [Owned(settings.host.run_dir, "ENGINE_RUN_DIR", _owner(settings.host.run_dir))]
    if durability.of(settings).is_on_disk:
        found.append(Owned(directory, "ENGINE_DATA_DIR", _owner(directory)))
    try:
        there = os.listdir(directory)
    except OSError:
        there = []
    segments = sorted({*names.own(name, there), *({names.lock_name(name)} & {*there})})
    paths = (f"{directory}/{one}" for one in segments)
    found += [Owned(path, "ENGINE_NAME", _owner(path)) for path in paths]
    return [one for one in found if one.owner not in (-1, os.geteuid())]


def is_about_rights(error: BaseException | None) -> bool:
    """Whether an error comes from a file or directory that this user may not use."""
    while error is not None:
        if isinstance(error, PermissionError | RunDirError):
            return True
        error = error.__cause__
    return False


def complaint(settings: Settings) -> str:
    """Says who has what of this engine; "" when nothing of it is another user's."""
    found = owned(settings)
    if not found:
        return ""
    owners = " and ".join(sorted({_name(one.owner) for one in found}))
    shown: dict[str, Owned] = {}
    for one in found:
        shown.setdefault(one.variable, one)  # one path for each variable says enough
    lines = [f"  {one.variable:15} {one.path} is {_name(one.owner)}'s" for one in shown.values()]
    return "\n".join(
        [f"this engine belongs to {owners}, and you are {_name(os.geteuid())}:", *lines, "Set all that is named here."]
    )


def _owner(path: str) -> int:
    try:
        return os.stat(path).st_uid
    except OSError:
        return -1


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
