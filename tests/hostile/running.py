"""A whole engine for a test: nginx, two API processes, dispatcher and simulated processors, as ``up`` starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import engine
from tests.lab.simulate import processes
from tests.system.running import free_port

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0
ADMIN_TOKEN = "correct horse battery staple"
REPOSITORY = Path(engine.__file__).parents[1]
_SERVING = re.compile(r"serving on http://127\.0\.0\.1:\d+ \((.*)\)")
_CHILD = re.compile(r"([a-z]+(?: \d+)?): (\d+)")


@dataclass
class Engine:
    """An engine that runs."""

    port: int
    run_dir: Path
    said: list[str] = field(default_factory=list)  # all lines that any of its processes has printed
    pids: dict[str, int] = field(default_factory=dict)  # "api 0", "api 1", "dispatcher", "nginx"

    @property
    def url(self) -> str:
        """Where nginx listens."""
        return f"http://127.0.0.1:{self.port}"

    def api_socket(self, index: int = 0) -> str:
        """The Unix socket of an API process."""
        return str(self.run_dir / f"api-{index}.sock")

    @property
    def api_pids(self) -> list[int]:
        """The API processes."""
        return [pid for name, pid in self.pids.items() if name.startswith("api")]

    def alarms(self) -> list[str]:
        """What it printed that no client may ever cause: errors, restarts, exceptions in callbacks."""
        return [
            line for line in self.said if re.search(r"Traceback|cffi|ERROR|ended with|\[(alert|crit|emerg)\]", line)
        ]


@contextmanager
def running(run_dir: Path) -> Iterator[Engine]:
    """Starts an engine with a name of its own on free ports, and ends it. RuntimeError when it does not start."""
    with processes.processors() as processors:
        started = Engine(free_port(), run_dir)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")} | {
            "ENGINE_NAME": f"hostile-{os.getpid()}-{started.port}",
            "ENGINE_RUN_DIR": str(run_dir),
            "ENGINE_PORT": str(started.port),
            "ENGINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "PAYMENT_PROCESSOR_URL_DEFAULT": processors.default.base_url,
            "PAYMENT_PROCESSOR_URL_FALLBACK": processors.fallback.base_url,
        }
        command = [sys.executable, "-m", "engine", "up", "--discard"]
        with subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            serving = threading.Event()
            listener = threading.Thread(target=_listen, args=(process, started, serving), daemon=True)
            listener.start()
            try:
                if not serving.wait(START_SECONDS_MAX) or not started.pids:
                    raise RuntimeError("the engine did not start:\n" + "".join(started.said))
                yield started
            finally:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                listener.join()


def _listen(process: subprocess.Popen[str], started: Engine, serving: threading.Event) -> None:
    """Keeps what the engine says, until it ends, and notes when it serves."""
    assert process.stderr is not None
    for line in process.stderr:
        started.said.append(line)
        if match := _SERVING.search(line):
            started.pids |= {name: int(pid) for name, pid in _CHILD.findall(match[1])}
            serving.set()
    serving.set()  # the caller that waits need not wait longer
