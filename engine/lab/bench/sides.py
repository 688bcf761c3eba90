"""The two sides that are measured, each started by itself: the floor, and the engine as its user gets it.

The floor is the nginx of the engine with the same workers, which answers 202 itself: what is left when nothing is done
with a payment. Nothing that is put behind this nginx can be quicker.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from engine.lab import launch
from engine.lab.launch import READY_S_MAX, LaunchError, healthy
from engine.lab.machine import processes
from engine.lab.machine.cgroups import Cgroups
from engine.lab.machine.processes import NGINX, SUPERVISOR
from engine.lab.services.addresses import Addresses
from engine.supervise import nginx

FLOOR, ENGINE = "floor", "engine"
POLL_S = 0.02
FINDS_WHILE_STARTING = 20
FIND_PAUSE_S = 0.003
# What nginx says by itself on the floor. The connections are kept as long as the engine's nginx keeps them: nginx's own
# default closes them after 1000 requests, which costs a loader that keeps its connections a new one each time.
_FLOOR_HTTP = """
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path {run_dir}/body;
    proxy_temp_path {run_dir}/proxy;
    fastcgi_temp_path {run_dir}/fastcgi;
    uwsgi_temp_path {run_dir}/uwsgi;
    scgi_temp_path {run_dir}/scgi;
    server {{
        listen {port} backlog=4096;
        keepalive_timeout 75s;
        keepalive_requests 100000;
        client_max_body_size 5k;
        client_body_buffer_size 5k;
        location = /payments {{ return 202; }}
        location = /healthcheck {{ return 200; }}
        location / {{ return 404; }}
    }}
}}
"""
_SERVING_BLOCK = re.compile(r"^(?:http|stream)\s*\{", re.MULTILINE)


def floor_conf(shipped: str, *, port: int, run_dir: str) -> str:
    """A configuration that answers 202 to every ``/payments``, with the workers and events of the shipped one.

    Raises nginx.ConfError when ``shipped`` has no ``http`` or ``stream`` block.
    """
    begin = _SERVING_BLOCK.search(shipped)
    if begin is None:
        raise nginx.ConfError("nginx.conf has no http and no stream block: there is no place for the floor's answers")
    head = shipped[: begin.start()].replace(f"{nginx.SHIPPED_RUN_DIR}/", f"{run_dir}/")
    return head + _FLOOR_HTTP.format(port=port, run_dir=run_dir)


def service_of(role: str) -> str | None:
    """The service of `docker-compose.yml` that a process of this role belongs to; None for the supervisor."""
    if role.startswith(NGINX):
        return NGINX
    return None if role == SUPERVISOR else role.replace(" ", "-")


class Side:
    """What is measured: a process and all below it. The code that starts it also stops it.

    Parameters:
      origin: where it listens.
      pid: of the topmost process, whose role is ``own_role``.
      groups: each process is put into its service's control group once it is found; None for no limits.
    """

    def __init__(self, origin: str, pid: int, own_role: str, groups: Cgroups | None) -> None:
        self.origin = origin
        self._pid = pid
        self._own_role = own_role
        self._groups = groups
        self._placed: set[int] = set()

    def find(self) -> dict[str, int]:
        """Process ids of what runs now, by role. Raises CgroupError."""
        found = {self._own_role: self._pid} | processes.below(self._pid)
        if self._groups is not None:
            for role, pid in found.items():
                service = service_of(role)
                if pid not in self._placed and service in self._groups.services:
                    self._groups.add(service, pid)
                    self._placed.add(pid)
        return found


@contextlib.contextmanager
def engine(
    addresses: Addresses,
    fees: Mapping[str, Decimal],
    variables: Mapping[str, str],
    groups: Cgroups | None,
    directory: Path,
) -> Iterator[Side]:
    """``up`` with empty memory, a name and a run directory of its own; nothing of it is left afterwards.

    Parameters:
      addresses: where it is to listen, and the processors.
      fees: what the processors keep.
      variables: ``ENGINE_`` variables beside those; the environment's own are kept.
      groups: where its processes go, None for no limits.
      directory: where its log goes.

    Raises LaunchError and CgroupError.
    """
    with launch.engine("bench", addresses, fees, directory, variables) as child:
        side = Side(addresses.engine, child.pid, SUPERVISOR, groups)
        child.await_ready(_finding(side, lambda: healthy(addresses.engine)))
        yield side


@contextlib.contextmanager
def floor(origin: str, groups: Cgroups | None) -> Iterator[Side]:
    """nginx with :func:`floor_conf` at ``origin``. Raises LaunchError, CgroupError, nginx.ConfError."""
    with tempfile.TemporaryDirectory(prefix="engine-bench-", ignore_cleanup_errors=True) as run_dir:
        conf = Path(run_dir, "nginx.conf")
        conf.write_text(floor_conf(nginx.find_conf().read_text(), port=int(origin.rsplit(":", 1)[1]), run_dir=run_dir))
        log = Path(run_dir, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                nginx.command(str(conf), run_dir),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        side = Side(origin, process.pid, NGINX, groups)
        try:
            ready = _finding(side, lambda: healthy(origin))
            deadline_s = time.monotonic() + READY_S_MAX
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise LaunchError(f"nginx of the floor does not answer:\n{log.read_text(errors='replace'):.2000}")
                time.sleep(POLL_S)
            yield side
        finally:
            launch.stop(process)


def _finding(side: Side, ready: Callable[[], bool]) -> Callable[[], bool]:
    """``ready``, after a look for new processes: each comes into its group before it has much memory."""

    def look() -> bool:
        for _ in range(FINDS_WHILE_STARTING):
            side.find()
            time.sleep(FIND_PAUSE_S)
        return ready()

    return look
