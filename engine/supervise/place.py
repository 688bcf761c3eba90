"""The run directory of an engine that `up` supervises: held against others, and made again when it is removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from engine import run_dir
from engine.settings import Settings
from engine.supervise import nginx
from engine.supervise.nginx_log import FILE


class UpError(Exception):
    """The engine cannot be started, or cannot go on; the text says why and what to do."""


class InTheWayError(UpError):
    """Another engine, or whoever has a port, is in the way: with other variables a second one can be started."""


class Place:
    """Holds the run directory: two engines in one would take each other's sockets.

    Their memory is not protected by that, see :func:`engine.storage.mapping.supervising`.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises UpError."""
        self._host = settings.host
        self._console = settings.console
        self._access_percent = settings.logs.access_percent
        self._conf = ""
        self._lock = self._hold()

    @property
    def conf_path(self) -> str:
        """Where nginx finds its configuration."""
        return f"{self._host.run_dir}/nginx.conf"

    @property
    def nginx_log(self) -> str:
        """Where nginx writes about requests; "": it does not."""
        return f"{self._host.run_dir}/{FILE}" if self._console.console or self._access_percent else ""

    def write_conf(self, *, ipv6: bool) -> None:
        """Writes nginx.conf for these settings. Raises nginx.ConfError, and UpError where it cannot be written."""
        include = self._host.nginx_include
        if include and not any(Path(include).glob("*.conf")):
            raise nginx.ConfError(f"ENGINE_NGINX_INCLUDE={include}: there is no *.conf in it")
        self._conf = nginx.render(
            nginx.find_conf().read_text(),
            port=self._host.port,
            run_dir=self._host.run_dir,
            api_processes=self._host.api_processes,
            ipv6=ipv6,
            status=self._console.console,
            percent=self._access_percent,
            rate=self._host.client_rate,
            include=include,
        )
        try:
            Path(self.conf_path).write_text(self._conf)
        except OSError as error:
            raise UpError(f"{self.conf_path}: it cannot be written: {error.strerror}") from error

    def keep(self) -> None:
        """Makes again what somebody has removed of directory, lock and nginx.conf.

        A cleaner of /tmp does so. Sockets and doorbell are made by the processes that have them. Raises UpError when
        the directory is somebody else's by now.
        """
        try:
            is_ours = os.path.samestat(os.stat(self._lock_path), os.fstat(self._lock))
        except OSError:
            is_ours = False
        if not is_ours:
            held = self._hold()
            os.close(self._lock)
            self._lock = held
        if not os.path.exists(self.conf_path):
            Path(self.conf_path).write_text(self._conf)

    def close(self) -> None:
        """Lets go of the directory."""
        os.close(self._lock)

    @property
    def _lock_path(self) -> str:
        return f"{self._host.run_dir}/up.lock"

    def _hold(self) -> int:
        """The descriptor of the lock file, locked."""
        try:
            run_dir.prepare(self._host.run_dir, self._host.run_group)
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except run_dir.RunDirError as error:
            raise UpError(str(error)) from error
        except OSError as error:
            raise UpError(f"ENGINE_RUN_DIR={self._host.run_dir}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 20).decode(errors="replace")
            os.close(lock)
            who = f" (process {holder})" if holder.isdecimal() else ""
            raise InTheWayError(f"an engine runs in {self._host.run_dir} already{who}") from None
        with contextlib.suppress(OSError):  # a full disk keeps no engine from starting
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        return lock
