"""Starting the simulated processors and an engine for a run: they are waited for, and ended so that nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from engine import settings as settings_module
from engine.invocation import command
from engine.lab.services.addresses import Addresses
from engine.processors import PPM
from engine.settings import SettingsError
from engine.storage import mapping
from engine.supervise.alive import is_alive

ROOT = Path(__file__).parents[2]  # where `-m engine` is found, wherever the laboratory was called
READY_S_MAX = 40.0  # longer than `up` gives its own children
STOP_S_MAX = 20.0
LOG_LINES_SHOWN = 15
POLL_S = 0.05
FEE_VARIABLES = {"default": "ENGINE_FEE_DEFAULT_PPM", "fallback": "ENGINE_FEE_FALLBACK_PPM"}
URL_VARIABLES = {"default": "PAYMENT_PROCESSOR_URL_DEFAULT", "fallback": "PAYMENT_PROCESSOR_URL_FALLBACK"}


class LaunchError(Exception):
    """Something cannot be started; the text says why, with the end of what it printed."""


def host_and_port(origin: str) -> tuple[str, int]:
    """Of ``http://host:port``. Raises LaunchError if it has no port: then nothing can be started there."""
    parts = urlsplit(origin)
    if not parts.hostname or not parts.port:
        raise LaunchError(f"addresses to start at are like http://127.0.0.1:9999, not {origin!r}")
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


def check_free(addresses: Addresses) -> None:
    """Raises LaunchError when something listens already at one of them."""
    taken = [origin for origin in (addresses.engine, *addresses.processors.values()) if listens(origin)]
    if taken:
        raise LaunchError(f"something listens already at {', '.join(taken)}")


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens and which the kernel does not give to clients."""
    lowest_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, min(lowest_of_clients, 32_768))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))  # nginx listens on every address
            if port not in found:
                found.append(port)
    return found


def free_addresses(names: Collection[str]) -> Addresses:
    """Free places on this machine for an engine and for processors with these ``names``."""
    engine, *processors = (f"http://127.0.0.1:{port}" for port in free_ports(1 + len(names)))
    return Addresses(engine, dict(zip(names, processors, strict=True)))


class Child:
    """A command of the engine, its output at the end of ``directory/<command>.log``.

    Parameters:
      command, options: what ``python -m engine`` is given.
      environment: variables beside those of this process.
    """

    def __init__(self, command: str, options: list[str], environment: Mapping[str, str], directory: Path) -> None:
        self.command = command
        self.environment = dict(environment)
        self._log = directory / f"{command}.log"
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches only this process, which sends SIGTERM when the run is over.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", command, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | environment, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def await_ready(self, ready: Callable[[], bool]) -> None:
        """Waits for ``ready``. Raises LaunchError with the end of its log if it ends or takes too long."""
        deadline_s = time.monotonic() + READY_S_MAX
        while not ready():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline_s:
                what = f"ended with {self.process.returncode}" if ended else f"not ready in {READY_S_MAX:g} s"
                said = self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
                raise LaunchError("\n".join([f"`{command(self.command)}`: {what}", *said]))
            time.sleep(POLL_S)

    def stop(self) -> None:
        """SIGTERM, and after :data:`STOP_S_MAX` SIGKILL for it and all that it started."""
        stop(self.process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM if it runs, and after :data:`STOP_S_MAX` SIGKILL for it and its group, which it must lead."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def processors(
    addresses: Addresses, fees: Mapping[str, Decimal], directory: Path, log_requests: int = 0
) -> Iterator[Child]:
    """The simulated processors, once they listen; yields the process above them.

    Parameters:
      addresses: where they are to listen, all on one host.
      fees: what each keeps, 0.05 being 5 %.
      directory: where their log goes.
      log_requests: how many requests each remembers.

    Raises LaunchError.
    """
    places = {name: host_and_port(origin) for name, origin in addresses.processors.items()}
    options = ["--host", next(iter(places.values()))[0], "--token", addresses.token]
    options += ["--log-requests", str(log_requests)]
    for name, (_, port) in places.items():
        options += ["--processor", f"{name}={port}:{fees[name]}"]
    child = Child("simulate", options, {}, directory)
    try:
        child.await_ready(lambda: all(map(listens, addresses.processors.values())))
        yield child
    finally:
        child.stop()


def engine_variables(
    kind: str, addresses: Addresses, fees: Mapping[str, Decimal], run_dir: str, given: Mapping[str, str]
) -> dict[str, str]:
    """The variables of an engine that shares nothing with another one.

    Parameters:
      kind: how its name begins.
      addresses: where it is to listen, and the contest's two processors.
      fees: what they keep. A fee that is given, or set in this process, is kept: the engine is to believe it.
      run_dir: a directory of its own.
      given: variables that are wanted, beside those of this process.
    """
    port = host_and_port(addresses.engine)[1]
    told = {FEE_VARIABLES[name]: str(round(fee * PPM)) for name, fee in fees.items()}
    told["ENGINE_DATA_DIR"] = f"{run_dir}/data"
    place = {
        "ENGINE_NAME": f"{kind}-{os.getpid()}-{port}",
        "ENGINE_RUN_DIR": run_dir,
        "ENGINE_PORT": str(port),
        "ENGINE_PURGE": "1",
    }
    place |= {URL_VARIABLES[name]: origin for name, origin in addresses.processors.items()}
    return {name: text for name, text in told.items() if name not in os.environ} | dict(given) | place


@contextlib.contextmanager
def engine(
    kind: str, addresses: Addresses, fees: Mapping[str, Decimal], directory: Path, given: Mapping[str, str]
) -> Iterator[Child]:
    """``up`` with empty memory, a name and a run directory of its own, as its supervisor; nothing of it is left.

    The caller waits for it: ``child.await_ready(lambda: healthy(addresses.engine))``. Parameters are those of
    :func:`engine_variables`; its log goes to ``directory``. Raises LaunchError.
    """
    with tempfile.TemporaryDirectory(prefix=f"engine-{kind}-", ignore_cleanup_errors=True) as run_dir:
        variables = engine_variables(kind, addresses, fees, run_dir, given)
        try:
            settings = settings_module.read(os.environ | variables)
        except SettingsError as error:
            raise LaunchError(str(error)) from None
        child = Child("up", ["--discard"], variables, directory)
        try:
            yield child
        finally:
            child.stop()
            mapping.remove_all(settings)  # in case it had to be killed


class Children:
    """The simulated processors and an engine. A context manager that stops them, the engine first.

    Parameters:
      kind: how the engine's name begins.
      addresses: where they are to listen; nothing may listen there yet.
      fees: what the processors are to keep.
      directory: where their logs go.
      given: variables of the engine, beside those of this process.

    Raises LaunchError from ``with``.
    """

    def __init__(
        self,
        kind: str,
        addresses: Addresses,
        fees: Mapping[str, Decimal],
        directory: Path,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self._kind = kind
        self._addresses = addresses
        self._fees = fees
        self._directory = directory
        self._given = dict(given or {})
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Children:
        addresses = self._addresses
        check_free(addresses)
        with contextlib.ExitStack() as held:
            self.processors = held.enter_context(processors(addresses, self._fees, self._directory))
            self.engine = held.enter_context(engine(self._kind, addresses, self._fees, self._directory, self._given))
            self.engine.await_ready(lambda: healthy(addresses.engine))
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def ended(self) -> list[str]:
        """The commands that have ended by themselves, with their exit code."""
        return [
            f"`{command(child.command)}` ended by itself with {child.process.returncode}"
            for child in (self.engine, self.processors)
            if child.process.poll() is not None
        ]
