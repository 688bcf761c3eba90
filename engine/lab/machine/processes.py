"""Processes, and which of them are an engine's: found below its supervisor, by role."""

from __future__ import annotations

import contextlib
from pathlib import Path

PROC = Path("/proc")

SUPERVISOR = "supervisor"
DISPATCHER = "dispatcher"
AGENT = "agent"
LEDGER = "ledger"
DATABASE = "database"  # the server of the ledger's database; the ledger's own process in it
DATABASE_BACKEND = "database backend"
CONSOLE = "console"
NGINX = "nginx"
NGINX_WORKER = "nginx worker"


def api(index: int) -> str:
    """The role of API process ``index``."""
    return f"api {index}"


def role(words: list[str]) -> str:
    """The role of a process with this command line, ``""`` when it has none that counts."""
    line = " ".join(words)
    if "nginx: master" in line:
        return NGINX
    if "nginx: worker process" in line:
        return "" if "shutting down" in line else NGINX_WORKER
    if words[2:4] == ["engine", "dispatch"]:
        return DISPATCHER
    if words[2:4] == ["engine", "agent"]:
        return AGENT
    if words[2:4] == ["engine", "ledger"]:
        return LEDGER
    if words[2:4] == ["engine", "console"]:
        return CONSOLE
    if words[2:4] == ["engine", "api"]:
        return f"api {words[-1]}"
    return ""


def of_engine(supervisor_pid: int) -> dict[str, int]:
    """The process ids of the engine under this supervisor, by role; empty when the supervisor has ended."""
    return {SUPERVISOR: supervisor_pid} | below(supervisor_pid) if is_running(supervisor_pid) else {}


def below(pid: int) -> dict[str, int]:
    """The process ids of all that come from ``pid`` and have a role, by role."""
    found = {role(words(child)): child for child in children(pid)}
    found.pop("", None)
    return found


def command(pid: int, proc: Path = PROC) -> str:
    """What a process is for: the command of ``python -m engine COMMAND``, else the program's name.

    Raises OSError when it has ended.
    """
    line = words(pid, proc)
    for index in range(len(line) - 2):
        if line[index : index + 2] == ["-m", "engine"]:
            return line[index + 2]
    return (proc / str(pid) / "comm").read_text().strip()


def is_running(pid: int, proc: Path = PROC) -> bool:
    """Whether it runs; one that has ended and was not waited for (a zombie) does not."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children(pid: int, proc: Path = PROC) -> list[int]:
    """All that come from ``pid``, near ones first. Empty when it has ended."""
    found = [pid]
    for parent in found:  # grows while it is gone through
        for task in tasks(parent, proc):
            with contextlib.suppress(OSError):
                found.extend(map(int, (task / "children").read_text().split()))
    return found[1:]


def tasks(pid: int, proc: Path = PROC) -> list[Path]:
    """The directories of its threads. Empty when it has ended."""
    try:
        return list((proc / str(pid) / "task").iterdir())
    except OSError:
        return []


def words(pid: int, proc: Path = PROC) -> list[str]:
    """The command line; empty when the process has ended."""
    with contextlib.suppress(OSError):
        return (proc / str(pid) / "cmdline").read_text().rstrip("\0").split("\0")
    return []
