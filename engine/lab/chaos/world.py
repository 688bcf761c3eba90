"""The world of a chaos run: processors, a proxy before each, and an engine whose processes may be killed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from engine import settings as settings_module
from engine.lab import launch
from engine.lab.chaos.disk import LEDGER_MB, SmallDisk
from engine.lab.chaos.mounts import MountError
from engine.lab.chaos.plan import Trouble
from engine.lab.chaos.proxy import Proxy
from engine.lab.contest.run import ContestError
from engine.lab.launch import Child, healthy
from engine.lab.ledger import gauge, place
from engine.lab.machine import processes
from engine.lab.services.addresses import Addresses
from engine.lab.services.engine import Engine
from engine.lab.services.processors import Processors
from engine.lab.services.service import ServiceError
from engine.storage import mapping

RESTART_S_MAX = 60.0
RESTART_PAUSE_S = 0.5  # as systemd's RestartSec would be set
STATUS_OF_KILLED = -signal.SIGKILL
LOG_REQUESTS = 2_000_000  # of each processor, where there is a ledger to compare with: 50 MB


@dataclass(frozen=True)
class Shape:
    """How the world is to be.

    Parameters:
      fees: what each processor keeps, 0.05 being 5 %.
      durability: ENGINE_DURABILITY.
      recent_s: how far back summaries must be exact to the ms at the end of the run.
      faults: chance of each fault of the processors, by the names of `engine.lab.simulate.faults.Fault`.
      hang_s: how long a hang lasts.
      has_small_disk: rings and books are on a small disk of their own, which can be filled, if one can be had.
      has_names: the engine finds the processors by names, :func:`name_of` each.
      ledger: where the engine has a ledger, one of `engine.lab.ledger.place.KINDS`; on a small disk of its own, if one
        can be had.
    """

    fees: Mapping[str, Decimal]
    durability: str
    recent_s: float
    faults: Mapping[str, float]
    hang_s: float
    has_small_disk: bool
    has_names: bool = False
    ledger: str = place.OFF


def name_of(processor: str) -> str:
    """The name by which the engine finds a processor, where it finds it by one."""
    return f"{processor}.chaos.test"


class World:
    """Everything that a run needs, started and stopped. A context manager: when a start fails, it stops what runs
    already.

    Parameters:
      addresses: where engine and processors are to listen, on 127.0.0.1.
      directory: where logs go.
      seed: of the proxies' and the processors' random numbers.

    Raises ContestError, LaunchError and OSError from ``with``.
    """

    def __init__(self, addresses: Addresses, shape: Shape, directory: Path, seed: int) -> None:
        self.addresses = addresses
        self.processors = Processors(addresses)  # reached directly, not through the proxies
        self.disk: SmallDisk | None = None
        self.notes: list[str] = []
        self.engine_starts = 0
        self.ledger = place.Place(place.OFF)
        self._shape = shape
        self._directory = directory
        self._seed = seed
        self._proxies: dict[str, Proxy] = {}
        self._environment: dict[str, str] = {}
        self._engine: Child | None = None
        self._restart_at_s = 0.0  # monotonic
        self.begun = 0  # payments that dispatchers had at a processor when they were killed, all kills together
        self._held = contextlib.ExitStack()

    def __enter__(self) -> World:
        with contextlib.ExitStack() as held:
            self._start(held)
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _start(self, held: contextlib.ExitStack) -> None:
        addresses, shape = self.addresses, self._shape
        launch.check_free(addresses)
        held.callback(self.processors.close)
        run_dir = held.enter_context(tempfile.TemporaryDirectory(prefix="engine-chaos-", ignore_cleanup_errors=True))
        data_dir = Path(run_dir, "data")
        data_dir.mkdir()
        if shape.has_small_disk:
            try:
                self.disk = held.enter_context(SmallDisk(data_dir))
            except MountError as error:
                self.notes.append(f"no disk is filled: {error}")
        given = {
            "ENGINE_DATA_DIR": str(data_dir),
            "ENGINE_DURABILITY": shape.durability,
            "ENGINE_BOOKS_RECENT_SECONDS": str(max(300, math.ceil(shape.recent_s))),
        }
        self.ledger = held.enter_context(place.place(shape.ledger, self._directory, self._ledger_disk))
        given |= self.ledger.variables
        console, *free = launch.free_ports(1 + len(addresses.processors))
        if self.has_ledger:
            given |= {"ENGINE_CONSOLE": "1", "ENGINE_CONSOLE_PORT": str(console)}
        ports = dict(zip(addresses.processors, free, strict=True))
        hosts = {name: name_of(name) if shape.has_names else "127.0.0.1" for name in ports}
        seen = Addresses(addresses.engine, {name: f"http://{hosts[name]}:{port}" for name, port in ports.items()})
        # A directory below ours: it may be removed and made again.
        self._environment = launch.engine_variables("chaos", seen, shape.fees, f"{run_dir}/run", given)
        try:
            self.settings = settings_module.read(os.environ | self._environment)
        except settings_module.SettingsError as error:
            raise ContestError(str(error)) from None
        log_requests = LOG_REQUESTS if self.has_ledger else 0
        held.enter_context(launch.processors(addresses, shape.fees, self._directory, log_requests))
        for name, port in ports.items():
            target = launch.host_and_port(addresses.processors[name])[1]
            self._proxies[name] = held.enter_context(Proxy(port, target, self._seed))
        held.callback(mapping.remove_all, self.settings)
        held.callback(self._stop_engine)
        self._start_engine().await_ready(lambda: healthy(addresses.engine))

    @contextlib.contextmanager
    def _ledger_disk(self, path: Path) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                self.disk = held.enter_context(SmallDisk(path, LEDGER_MB))
            except MountError as error:
                self.notes.append(f"no disk is filled: {error}")
            yield

    def _start_engine(self) -> Child:
        # Never with --discard: memory is new because the name is, and an engine that is started again finds it as it
        # was left.
        self.engine_starts += 1
        self._engine = Child("up", [], self._environment, self._directory)
        return self._engine

    def _stop_engine(self) -> None:
        if self._engine is not None:
            self._engine.stop()

    @property
    def apis(self) -> list[str]:
        """The roles of the API processes."""
        return [processes.api(index) for index in range(self.settings.host.api_processes)]

    @property
    def roles(self) -> list[str]:
        """The roles that are killed: all of the engine's processes but its supervisor. Where there is a ledger, what it
        tells of is: API processes, dispatcher, the ledger process, and its database.
        """
        if not self.has_ledger:
            return [*self.apis, processes.DISPATCHER, processes.NGINX, processes.NGINX_WORKER]
        database = [] if self.ledger.server is None else [processes.DATABASE, processes.DATABASE_BACKEND]
        return [*self.apis, processes.DISPATCHER, processes.LEDGER, *database]

    @property
    def has_ledger(self) -> bool:
        """Whether the engine records what happens."""
        return self.ledger.kind != place.OFF

    @property
    def engine_log(self) -> str:
        """All that the engine has printed."""
        return (self._directory / "up.log").read_text(errors="replace")

    def kill(self, role: str) -> int | None:
        """kill -9 of the process with this role; its process id, None when there is none at the moment."""
        server = self.ledger.server
        if role == processes.DATABASE:
            return None if server is None else server.kill()
        if role == processes.DATABASE_BACKEND:
            return None if server is None else server.kill_backend(place.DATABASE)
        pid = self.signal(role, signal.SIGKILL)
        if pid is not None and role == processes.DISPATCHER and self.has_ledger:
            self.begun += gauge.begun(self.settings)  # nobody changes it before the next dispatcher has started
        return pid

    def signal(self, role: str, number: signal.Signals) -> int | None:
        """Sends a signal to the process with this role; its process id, None when there is none at the moment."""
        assert self._engine is not None
        pid = processes.of_engine(self._engine.pid).get(role)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)
        return pid

    def socket_of(self, api: str) -> str:
        """The Unix socket of the API process with this role."""
        return self.settings.host.api_socket(self.apis.index(api))

    def is_back(self, role: str, pid: int, killed_at_epoch_s: float) -> bool:
        """Whether another process than ``pid`` has taken the role and does its work, and clients are answered."""
        assert self._engine is not None
        if role in (processes.DATABASE, processes.DATABASE_BACKEND):
            return self.ledger.server is not None and self.ledger.server.answers()
        now = processes.of_engine(self._engine.pid).get(role)
        if now in (None, pid) or not healthy(self.addresses.engine):
            return False
        sockets = [self.settings.host.api_socket(index) for index in range(self.settings.host.api_processes)]
        return all(map(_connects, sockets)) and self._dispatcher_was_seen_since(killed_at_epoch_s)

    def _dispatcher_was_seen_since(self, epoch_s: float) -> bool:
        engine = Engine(self.addresses)
        try:
            age_ms = engine.json("GET", "/health")["dispatcher"]["heartbeatAgeMs"]
        except ServiceError:
            return False
        finally:
            engine.close()
        return age_ms is not None and time.time() - age_ms / 1000 > epoch_s

    def tend(self) -> None:
        """Starts the engine again when its supervisor has been killed, and the database's server when it has ended, as
        an operator would: until it stays.

        Raises ContestError if its supervisor ended in any other way.
        """
        if self.ledger.server is not None:
            self.ledger.server.tend()
        assert self._engine is not None
        code = self._engine.process.poll()
        if code is None:
            return
        now_s = time.monotonic()
        if code != STATUS_OF_KILLED and self.engine_starts == 1:
            raise ContestError(f"the engine ended by itself with {code}; see {self._directory / 'up.log'}")
        if code == STATUS_OF_KILLED or now_s >= self._restart_at_s:
            # What it left behind may take some seconds to go; until then the new one says so and ends.
            self._restart_at_s = now_s + RESTART_PAUSE_S
            self._start_engine()

    def set_network(self, processor: str, trouble: Trouble) -> None:
        """Makes the way to a processor bad, or good again."""
        self._proxies[processor].set(trouble)

    def resets(self) -> int:
        """Connections to processors that were reset so far."""
        return sum(proxy.resets for proxy in self._proxies.values())

    def set_faults(self, are_on: bool) -> None:
        """Lets the processors go wrong at random, or not any more. Raises ServiceError."""
        for number, processor in enumerate(self.processors.values()):
            if are_on:
                processor.set_faults(
                    probabilities=self._shape.faults,
                    seed=self._seed + number,
                    hang_ms=round(self._shape.hang_s * 1000),
                )
            else:
                processor.clear_faults()

    def calm(self) -> None:
        """Ends all trouble that is not over yet."""
        for proxy in self._proxies.values():
            proxy.set(Trouble.NONE)
        self.set_faults(False)
        if self.disk is not None:
            self.disk.free()


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
