"""The real engine for a test: `engine up` in its own place. It waits for the engine, and ends it without a trace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from engine.lab.launch import free_ports
from engine.lab.machine.processes import role
from tests.lab.simulate.processes import REPOSITORY, Processors
from tests.storage.places import on_disk
from tests.system.client import Client, wait_until

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
SERVING = "serving on http://"
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine lives: nothing of it is shared with another one. ``settings`` are its variables."""

    name: str
    run_dir: str
    port: int
    settings: dict[str, str]

    @property
    def log(self) -> Path:
        """Everything that the engine has printed."""
        return Path(self.run_dir, "log")

    def said(self) -> str:
        """The log's content."""
        return self.log.read_text() if self.log.exists() else ""

    def api_socket(self, index: int) -> str:
        """The Unix socket of API process ``index``."""
        return f"{self.run_dir}/api-{index}.sock"

    def segments(self) -> list[str]:
        """The engine's segments of shared memory that exist."""
        return [path.name for path in SHARED_MEMORY.glob(f"{self.name}-*")]

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Starts ``engine up``, which prints to the log; waits for nothing."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("ENGINE_")}
        command = [sys.executable, "-m", "engine", "up", *options]
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                command, cwd=REPOSITORY, env=environment | self.settings, stdout=log, stderr=subprocess.STDOUT
            )

    def refused(self, *options: str, **settings: str) -> tuple[int, str]:
        """The exit code and the words of an ``engine up`` that cannot start here with these other ``settings``."""
        before = len(self.said())
        changed = Place(self.name, self.run_dir, self.port, self.settings | settings)
        code = changed.start(*options).wait(START_SECONDS_MAX)
        return code, self.said()[before:]


# All places there are now: a failing test shows what their engines have printed (conftest.py).
places: list[Place] = []


@contextmanager
def place(default_url: str, fallback_url: str, **settings: str) -> Iterator[Place]:
    """A place for an engine, empty at the beginning and removed at the end."""
    with contextlib.ExitStack() as held:
        data_dir = ""
        if settings.get("ENGINE_DURABILITY", "memory") != "memory":
            data_dir = str(held.enter_context(on_disk()) / "data")
        yield from _place(default_url, fallback_url, data_dir, settings)


def _place(default_url: str, fallback_url: str, data_dir: str, settings: dict[str, str]) -> Iterator[Place]:
    run_dir = tempfile.mkdtemp(prefix="e-")
    port = free_port()
    name = f"test-{uuid.uuid4().hex[:12]}"
    here = {
        "PAYMENT_PROCESSOR_URL_DEFAULT": default_url,
        "PAYMENT_PROCESSOR_URL_FALLBACK": fallback_url,
        "ENGINE_NAME": name,
        "ENGINE_RUN_DIR": run_dir,
        "ENGINE_DATA_DIR": data_dir,
        "ENGINE_PORT": str(port),
        "ENGINE_PURGE": "1",
    }
    made = Place(name, run_dir, port, here | settings)
    places.append(made)
    try:
        yield made
    finally:
        places.remove(made)
        for segment in made.segments():
            (SHARED_MEMORY / segment).unlink()
        (SHARED_MEMORY / f"{name}.lock").unlink(missing_ok=True)
        shutil.rmtree(run_dir)


class Engine:
    """An engine that runs in ``place``; ``process`` is its supervisor."""

    def __init__(self, place: Place, process: subprocess.Popen[bytes]) -> None:
        self.place = place
        self.process = process

    @property
    def port(self) -> int:
        """Where nginx listens."""
        return self.place.port

    def processes(self) -> dict[str, psutil.Process]:
        """What runs now, by name: "up", "dispatcher", "api 0", ..., "nginx", "nginx worker"."""
        found = {"up": psutil.Process(self.process.pid)}
        for process in found["up"].children(recursive=True):
            with contextlib.suppress(psutil.Error):
                name = role(process.cmdline())
                if name:
                    found[name] = process
        return found

    def pid(self, role: str) -> int:
        """The process id of one of them."""
        return int(self.processes()[role].pid)

    def send_signal(self, role: str, number: signal.Signals) -> int:
        """Sends a signal to one of them, and returns its process id."""
        pid = self.pid(role)
        os.kill(pid, number)
        return pid

    @contextmanager
    def standing_still(self, *roles: str) -> Iterator[None]:
        """Stops some of them by SIGSTOP for the length of the block."""
        pids = [self.send_signal(role, signal.SIGSTOP) for role in roles]
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def wait_for_another(self, role: str, pid: int) -> None:
        """Waits until another process than ``pid`` has its role, and everybody answers."""

        def is_there() -> bool:
            found = self.processes().get(role)
            return found is not None and found.pid != pid

        wait_until(is_there, START_SECONDS_MAX, f"another {role} than {pid}")
        self.wait_until_it_answers()

    def wait_until_nginx_uses(self, index: int) -> None:
        """Waits until nginx has connections to API process ``index``: it keeps away from one that was gone for 1 s."""
        path = self.place.api_socket(index)

        def is_used() -> bool:
            sockets = self.processes()[f"api {index}"].net_connections("unix")
            return len([one for one in sockets if one.laddr == path]) >= 2  # it listens on one of them

        wait_until(is_used, 10, f"nginx uses api {index}")

    def wait_until_it_answers(self) -> None:
        """Waits for every API process, each through its own socket, and for nginx."""
        apis = int(self.place.settings.get("ENGINE_API_PROCESSES", "2"))
        places: list[int | str] = [*map(self.place.api_socket, range(apis)), self.port]
        for where in places:
            wait_until(partial(is_alive, where), START_SECONDS_MAX, f"an answer at {where}")

    def stop(self) -> None:
        """SIGTERM: it ends with 0 and leaves no process, and holds no port."""
        everybody = list(self.processes().values())
        self.process.terminate()
        assert self.process.wait(STOP_SECONDS_MAX) == 0
        assert [process for process in everybody if not has_ended(process)] == []
        assert not is_listening(self.port)

    def kill(self) -> None:
        """Ends everything at once, after a failure."""
        for process in self.processes().values():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()


@contextmanager
def engine_in(here: Place, *options: str) -> Iterator[Engine]:
    """An engine in a place, up to the end of the block, where it is stopped if the block did not do it itself."""
    before = here.said().count(SERVING)
    process = here.start(*options)
    running = Engine(here, process)
    try:
        wait_until(
            lambda: process.poll() is not None or here.said().count(SERVING) > before, START_SECONDS_MAX, "it serves"
        )
        assert process.poll() is None, here.said()
        yield running
        if process.poll() is None:
            running.stop()
    finally:
        if process.poll() is None:
            running.kill()


@contextmanager
def engine(processors: Processors, **settings: str) -> Iterator[Engine]:
    """An engine with empty memory, in a place of its own, with the ``settings`` that differ; checks that it leaves
    no process and no memory behind."""
    with place(processors.default.base_url, processors.fallback.base_url, **settings) as here:
        with engine_in(here, "--discard") as running:
            yield running
        assert here.segments() == []


def free_port() -> int:
    """A port on which no process listens, and which the kernel does not give to a client."""
    return free_ports(1)[0]


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; an orphan may stay a zombie until the machine's first process looks after it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def is_listening(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_alive(where: int | str) -> bool:
    """Whether /healthcheck answers there."""
    shop = Client(where)
    try:
        return shop.request("GET", "/healthcheck").status == 200
    except OSError:
        return False
    finally:
        shop.close()
