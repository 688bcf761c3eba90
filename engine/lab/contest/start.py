"""``--start``: the engine and the simulated processors as children of the contest."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from engine.lab.contest.run import ContestError
from engine.lab.contest.scenario import Fees
from engine.lab.contest.services import Addresses
from engine.routing.fees import PPM
from engine.supervise.alive import is_alive

ROOT = Path(__file__).parents[3]  # where `-m engine` is found, wherever the contest was called
READY_S_MAX = 40.0  # longer than `up` gives its own children
STOP_S_MAX = 20.0
LOG_LINES_SHOWN = 15
POLL_S = 0.05


def host_and_port(origin: str) -> tuple[str, int]:
    """Of ``http://host:port``. Raises ContestError if it has no port: then nothing can be started there."""
    parts = urlsplit(origin)
    if not parts.hostname or not parts.port:
        raise ContestError(f"--start needs addresses like http://127.0.0.1:9999, not {origin!r}")
    return parts.hostname, parts.port


def listens(origin: str) -> bool:
    """Whether something accepts connections at ``origin``."""
    try:
        socket.create_connection(host_and_port(origin), timeout=1).close()
    except OSError:
        return False
    return True


def healthy(origin: str) -> bool:
    """Whether the engine at ``origin`` says that it is alive."""
    return is_alive(*host_and_port(origin))


class Child:
    """A command of the engine that runs beside the contest, its output at the end of ``directory/<command>.log``."""

    def __init__(self, command: str, options: list[str], environment: dict[str, str], directory: Path) -> None:
        self.command = command
        self._log = directory / f"{command}.log"
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is ours, and the child is told by SIGTERM when the run is over.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", command, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | environment, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    def await_ready(self, ready: Callable[[], bool]) -> None:
        """Waits for ``ready``. Raises ContestError with the end of its log if it ends or takes too long."""
        deadline_s = time.monotonic() + READY_S_MAX
        while not ready():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                what = f"ended with {self.process.returncode}" if ended else f"not ready in {READY_S_MAX:g} s"
                said = self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
                raise ContestError("\n".join([f"`python -m engine {self.command}`: {what}", *said]))
            time.sleep(POLL_S)

    def stop(self) -> None:
        """SIGTERM, and after :data:`STOP_S_MAX` SIGKILL for it and all that it started."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Children:
    """The simulated processors and an engine. A context manager that stops both, the engine first.

    The engine has a name and a run directory of its own: one that was stopped on this machine may still have payments
    in its shared memory, and this one begins and ends with empty memory. Other ``ENGINE_`` settings are passed on.

    Parameters:
      addresses: where they are to listen; nothing may listen there yet.
      fees: what the processors are to keep.
      directory: where their logs go.
    """

    def __init__(self, addresses: Addresses, fees: Fees, directory: Path) -> None:
        self._addresses = addresses
        self._fees = fees
        self._directory = directory
        self._run_dir = tempfile.TemporaryDirectory(prefix="engine-contest-", ignore_cleanup_errors=True)
        self.processors: Child | None = None
        self.engine: Child | None = None

    def __enter__(self) -> Children:
        """Starts both and waits until they answer. Raises ContestError."""
        addresses = self._addresses
        taken = [o for o in (addresses.engine, addresses.default, addresses.fallback) if listens(o)]
        if taken:
            raise ContestError(f"--start: something listens already at {', '.join(taken)}")
        host, default_port = host_and_port(addresses.default)
        options = ["--host", host, "--token", addresses.token]
        options += ["--default-port", str(default_port)]
        options += ["--fallback-port", str(host_and_port(addresses.fallback)[1])]
        options += ["--default-fee", str(self._fees.default), "--fallback-fee", str(self._fees.fallback)]
        port = host_and_port(addresses.engine)[1]
        environment = {
            "ENGINE_NAME": f"contest-{port}",
            "ENGINE_RUN_DIR": self._run_dir.name,
            "PAYMENT_PROCESSOR_URL_DEFAULT": addresses.default,
            "PAYMENT_PROCESSOR_URL_FALLBACK": addresses.fallback,
            "ENGINE_PURGE": "1",
            "ENGINE_PORT": str(port),
        }
        # Fees are configuration. Who wants the engine to believe something else has set them.
        for name, fee in (
            ("ENGINE_FEE_DEFAULT_PPM", self._fees.default),
            ("ENGINE_FEE_FALLBACK_PPM", self._fees.fallback),
        ):
            environment[name] = os.environ.get(name, str(round(fee * PPM)))
        try:
            self.processors = Child("simulate", options, {}, self._directory)
            self.processors.await_ready(lambda: listens(addresses.default) and listens(addresses.fallback))
            self.engine = Child("up", ["--discard"], environment, self._directory)
            self.engine.await_ready(lambda: healthy(addresses.engine))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for child in (self.engine, self.processors):
            if child is not None:
                child.stop()
        self._run_dir.cleanup()

    @property
    def engine_pid(self) -> int | None:
        """Process id of the engine's supervisor."""
        return self.engine.process.pid if self.engine else None

    @property
    def processors_pid(self) -> int | None:
        """Process id of the parent of the simulated processors."""
        return self.processors.process.pid if self.processors else None

    def ended(self) -> list[str]:
        """The commands that have ended by themselves, with their exit code."""
        children = [child for child in (self.engine, self.processors) if child is not None]
        return [
            f"`python -m engine {child.command}` ended by itself with {child.process.returncode}"
            for child in children
            if child.process.poll() is not None
        ]
