"""The surroundings of an engine: what is removed, stopped, silenced and filled, and given back afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from engine.lab.chaos.apart import SHARED_MEMORY, SmallMemory
from engine.lab.chaos.faults import NEED_MEMORY, NEED_NAMES, Fault
from engine.lab.chaos.name_server import NameServer
from engine.lab.chaos.world import World
from engine.lab.machine import processes
from engine.storage import names


class Surroundings:
    """Does faults to a world.

    Parameters:
      name_server: which the engine asks; None where there is no world apart.
      memory: its /dev/shm, or None.
    """

    def __init__(self, world: World, name_server: NameServer | None, memory: SmallMemory | None) -> None:
        self._world = world
        self._name_server = name_server
        self._memory = memory
        self._run_dir = Path(world.settings.host.run_dir)
        self._stopped: list[int] = []

    @property
    def possible(self) -> list[Fault]:
        """The faults that can be done here."""
        lacking = (NEED_NAMES if self._name_server is None else set()) | (
            NEED_MEMORY if self._memory is None else set()
        )
        return [fault for fault in Fault if fault not in lacking]

    def begin(self, fault: Fault, api: str) -> str:
        """Does it. ``api``: the role of the API process that it may be done to. Returns the roles that are concerned.

        Raises LookupError when a process that it is to be done to is not there at the moment.
        """
        world = self._world
        concerned: Sequence[str] = ()
        match fault:
            case Fault.SOCKET_REMOVED:
                concerned = [api]
                self._remove(world.socket_of(api))
            case Fault.SOCKETS_REMOVED:
                self._remove(*map(world.socket_of, world.apis), world.settings.host.doorbell_path)
            case Fault.LOCKS_REMOVED:
                storage = world.settings.storage
                kept = SHARED_MEMORY if storage.durability == "memory" else Path(storage.data_dir)
                lock = kept / names.lock_name(world.settings.host.name)
                self._remove(*(str(self._run_dir / name) for name in ("up.lock", "intake.lock")), str(lock))
                concerned = self._kill(api)
            case Fault.DIRECTORY_REMOVED:
                shutil.rmtree(self._run_dir, ignore_errors=True)
            case Fault.DIRECTORY_REMOVED_KILL:
                shutil.rmtree(self._run_dir, ignore_errors=True)
                concerned = self._kill(api)
            case Fault.API_STOPPED:
                concerned = self._stop(api)
            case Fault.APIS_STOPPED:
                self._stop(*world.apis)
            case Fault.DISPATCHER_STOPPED:
                self._stop(processes.DISPATCHER)
            case Fault.NGINX_STOPPED:
                self._stop(processes.NGINX)
            case Fault.WORKER_STOPPED:
                self._stop(processes.NGINX_WORKER)
            case Fault.SUPERVISOR_STOPPED:
                self._stop(processes.SUPERVISOR)
            case Fault.NAMES_SILENT | Fault.NAMES_SILENT_KILL:
                assert self._name_server is not None
                self._name_server.silence()
                if fault is Fault.NAMES_SILENT_KILL:
                    self._kill(processes.DISPATCHER)
            case Fault.MEMORY_FULL:
                assert self._memory is not None
                self._memory.fill()
                concerned = [*self._kill(api), *self._kill(processes.DISPATCHER)]
        return ", ".join(concerned)

    def end(self) -> None:
        """Undoes what lasts: lets processes go on, name servers speak, and gives room back."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):  # it was started anew
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()
        if self._name_server is not None:
            self._name_server.speak()
        if self._memory is not None:
            self._memory.free()

    def _remove(self, *paths: str) -> None:
        for path in paths:
            Path(path).unlink(missing_ok=True)

    def _kill(self, role: str) -> Sequence[str]:
        if self._world.kill(role) is None:
            raise LookupError(role)
        return [role]

    def _stop(self, *roles: str) -> Sequence[str]:
        for role in roles:
            pid = self._world.signal(role, signal.SIGSTOP)
            if pid is None:
                raise LookupError(role)
            self._stopped.append(pid)
        return roles
