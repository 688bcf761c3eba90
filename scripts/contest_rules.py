"""The contest's rules for the folder of an entry (the Rinha de Backend 2025, INSTRUCOES.md of its repository).

They are held against what was written, not against how it was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from engine.lab.machine import limits

CPUS_MAX = Decimal("1.5")
MEMORY_BYTES_MAX = 350 << 20  # "350MB", as Docker reads it
PORT = 9999
API_PROCESSES_MIN = 2
PLATFORM = "linux/amd64"
PROCESSOR_NETWORK = "payment-processor"
COMPOSE, INFO, README = "docker-compose.yml", "info.json", "README.md"
INFO_TEXTS = ("name", "source-code-repo")
INFO_LISTS = ("social", "langs", "storages", "messaging", "load-balancers", "other-technologies")
# Keys that no service may have, at any depth: rights and networks of the machine, several containers behind one name,
# and whatever needs source or files that an entry does not bring.
FORBIDDEN = {"privileged", "cap_add", "devices", "network_mode", "ipc", "pid", "userns_mode"}
FORBIDDEN |= {"replicas", "scale", "mode", "build", "env_file", "extends"}


def broken(folder: Path) -> list[str]:
    """What the entry in ``folder`` breaks, a sentence for each; nothing if it may be sent.

    Raises OSError if the compose file cannot be read.
    """
    text = (folder / COMPOSE).read_text()
    try:
        compose = yaml.safe_load(text)
        services: dict[str, dict[str, Any]] = compose["services"]
        found = limits.of_compose(text)
    except (yaml.YAMLError, KeyError, TypeError, limits.LimitsError) as error:
        return [f"{COMPOSE}: {error}"]
    return [
        *_limits(found),
        *(one for name, service in services.items() for one in _service(name, service)),
        *_networks(compose.get("networks") or {}, services),
        *_door(services),
        *_instances(services),
        *_files(folder, services),
        *_info(folder / INFO),
        *(f"{COMPOSE}: {one} is left to the machine that runs it" for one in re.findall(r"(?<!\$)\$\{?\w+", text)),
    ]


def _limits(found: dict[str, limits.Limit]) -> Iterator[str]:
    cpus = sum(limit.cpus for limit in found.values())
    memory = sum(limit.memory_bytes for limit in found.values())
    if cpus > CPUS_MAX:
        yield f"the services have {cpus} CPU together, and may have {CPUS_MAX}"
    if memory > MEMORY_BYTES_MAX:
        yield f"the services have {memory >> 20} MB together, and may have {MEMORY_BYTES_MAX >> 20}"


def _service(name: str, service: dict[str, Any]) -> Iterator[str]:
    for key in sorted(_keys(service) & FORBIDDEN):
        yield f"{name}: {key} is not allowed"
    if not service.get("image"):
        yield f"{name}: it has no image"
    if service.get("platform") != PLATFORM:
        yield f"{name}: its platform must be {PLATFORM}"


def _networks(networks: dict[str, Any], services: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, network in networks.items():
        if name == PROCESSOR_NETWORK:
            if network != {"name": PROCESSOR_NETWORK, "external": True}:
                yield f"network {name}: it is the processors' own, so it must be external under this name"
        elif network != {"driver": "bridge"}:
            yield f"network {name}: only the driver bridge is allowed"
    used = {network for service in services.values() for network in service.get("networks", ["default"])}
    if PROCESSOR_NETWORK not in used:
        yield f"no service is on the network {PROCESSOR_NETWORK}"
    for name in sorted(used - networks.keys()):
        yield f"network {name} is used and not declared"


def _door(services: dict[str, dict[str, Any]]) -> Iterator[str]:
    ports = sorted(str(port) for service in services.values() for port in service.get("ports", []))
    if [port.split(":")[0] for port in ports] != [str(PORT)]:
        yield f"port {PORT}, and no other, must be published; {', '.join(ports) or 'none'} is"


def _instances(services: dict[str, dict[str, Any]]) -> Iterator[str]:
    count = sum((service.get("command") or [""])[0] == "api" for service in services.values())
    if count < API_PROCESSES_MIN:
        yield f"{API_PROCESSES_MIN} API processes must answer at least, each a service of its own; there is {count}"


def _files(folder: Path, services: dict[str, dict[str, Any]]) -> Iterator[str]:
    mounted = {
        volume.split(":")[0].removeprefix("./")
        for service in services.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str) and volume.startswith((".", "/", "~"))
    }
    wanted = {COMPOSE, INFO, README} | mounted
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(wanted - there):
        yield f"{name} is missing"
    for name in sorted(there - wanted):
        yield f"{name} does not belong there: no source, no logs, only what a run needs"


def _info(path: Path) -> Iterator[str]:
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        return  # said above
    except ValueError as error:
        yield f"{INFO}: it is not JSON: {error}"
        return
    if not isinstance(info, dict) or info.keys() != {*INFO_TEXTS, *INFO_LISTS}:
        yield f"{INFO}: it must have {', '.join((*INFO_TEXTS, *INFO_LISTS))}, and nothing else"
        return
    for key in INFO_TEXTS:
        if not isinstance(info[key], str):
            yield f"{INFO}: {key} must be a text"
    for key in INFO_LISTS:
        if not isinstance(info[key], list) or not all(isinstance(one, str) for one in info[key]):
            yield f"{INFO}: {key} must be a list of texts"


def _keys(tree: object) -> set[str]:
    """Every key anywhere in ``tree``."""
    if isinstance(tree, dict):
        return set(tree).union(*(_keys(value) for value in tree.values()))
    if isinstance(tree, list):
        return set().union(*(_keys(value) for value in tree))
    return set()
