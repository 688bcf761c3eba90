"""The engine's processes by role, found below its supervisor."""

from __future__ import annotations

import contextlib

import psutil

SUPERVISOR = "supervisor"
DISPATCHER = "dispatcher"
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
    if words[2:4] == ["engine", "api"]:
        return f"api {words[-1]}"
    return ""


def find(supervisor_pid: int) -> dict[str, psutil.Process]:
    """The processes that run now, by role. One that has just ended is left out."""
    found: dict[str, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        supervisor = psutil.Process(supervisor_pid)
        if supervisor.status() == psutil.STATUS_ZOMBIE:
            return found
        found[SUPERVISOR] = supervisor
        for process in supervisor.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                name = role(process.cmdline())
                if name:
                    found[name] = process
    return found
