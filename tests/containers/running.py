"""The containers that scripts/containers.sh has started, by service. It says with what in three variables.

CONTAINERS_TOOL      docker or podman
CONTAINERS_COMPOSE   the command for the engine's compose file, such as docker compose -p contest-engine -f ...
CONTAINERS_PROJECT   the name of its project
"""

from __future__ import annotations

import datetime
import http.client
import json
import os
import re
import shlex
import subprocess
from typing import Any

from engine.lab.contest.books import Totals
from engine.lab.services.addresses import Addresses
from engine.lab.services.processors import Processors
from tests.system.client import Payment, client, new_payments, wait_until

PORT = 9999
PROCESSORS = {"default": "http://127.0.0.1:8001", "fallback": "http://127.0.0.1:8002"}
# In the order of their start; services of one line depend on those before.
ORDER = (("dispatcher",), ("api-0", "api-1"), ("nginx",))
ENGINE_SERVICES = ("dispatcher", "api-0", "api-1")
SERVICES = (*ENGINE_SERVICES, "nginx")
READY_SECONDS_MAX = 60.0
FORGET_SECONDS_MAX = 10.0
COMMAND_SECONDS_MAX = 300


def is_there() -> bool:
    """Whether scripts/containers.sh runs this."""
    return "CONTAINERS_TOOL" in os.environ


def stops_in_order() -> bool:
    """Whether the tool heeds, when it stops services, which of them depend on which."""
    return os.environ.get("CONTAINERS_TOOL") == "docker"


def tool(*words: str) -> str:
    """What docker or podman prints. Fails with what it complains of."""
    return _output([os.environ["CONTAINERS_TOOL"], *words])


def compose(*words: str) -> str:
    """A command about the engine's services."""
    return _output([*shlex.split(os.environ["CONTAINERS_COMPOSE"]), *words])


def container(service: str) -> str:
    """The id of a service's container, running or not."""
    project = f"label=com.docker.compose.project={os.environ['CONTAINERS_PROJECT']}"
    found = tool(
        "ps", "--all", "--quiet", "--filter", project, "--filter", f"label=com.docker.compose.service={service}"
    )
    (one,) = found.split()
    return one


def inspect(service: str) -> dict[str, Any]:
    """All that is known of a service's container."""
    found: list[dict[str, Any]] = json.loads(tool("inspect", container(service)))
    return found[0]


def moment(service: str, which: str) -> datetime.datetime:
    """When a service's container was started (``StartedAt``) or ended (``FinishedAt``)."""
    text = re.sub(r"(\.[0-9]{6})[0-9]*", r"\1", inspect(service)["State"][which])
    return datetime.datetime.fromisoformat(text)


def inside(service: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a running container, as the container's own user."""
    command = [os.environ["CONTAINERS_TOOL"], "exec", container(service), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)


def wait_until_ready() -> None:
    """Returns when both API processes say that they can accept payments that will be settled."""
    wait_until(lambda: all(map(is_healthy, ("api-0", "api-1", "nginx"))), READY_SECONDS_MAX, "all services are healthy")


def is_healthy(service: str) -> bool:
    """Whether the service's own health check, run now, is content."""
    kind, *words = inspect(service)["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    return inside(service, *words).returncode == 0


def is_answering(status: int) -> bool:
    """Whether port 9999 answers, and with this status."""
    with client(PORT) as shop:
        try:
            return shop.request("GET", "/health").status == status
        except (OSError, http.client.HTTPException):
            return False


def processors_totals() -> Totals:
    """What the processors have charged."""
    return _processors().totals()


def forget() -> None:
    """Lets engine and processors forget everything, as the contest does it.

    A request that its sender has given up may still arrive after a purge, and is a new payment then. So both sides are
    purged until nothing comes any more.
    """
    processors = _processors()

    def is_empty() -> bool:
        assert shop.request("POST", "/purge-payments").status == 200
        processors.purge()
        return not shop.summary().count + processors.totals().count

    with client(PORT) as shop:
        wait_until(is_empty, FORGET_SECONDS_MAX, "both sides have forgotten everything")


def pay(count: int = 20) -> list[Payment]:
    """Pays, and returns when all is settled."""
    payments = new_payments(count)
    with client(PORT) as shop:
        for payment in payments:
            assert shop.pay(payment).status == 202
        wait_until(lambda: shop.pending() == 0, 30, "everything is settled")
    return payments


def summary() -> Totals:
    """What the engine says was settled."""
    with client(PORT) as shop:
        return shop.summary()


def _processors() -> Processors:
    return Processors(Addresses(f"http://127.0.0.1:{PORT}", PROCESSORS))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    return done.stdout
