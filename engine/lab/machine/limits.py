"""The limits of `docker-compose.yml`, service by service. Pure apart from :func:`of_compose_file`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

COMPOSE_FILE = Path(__file__).resolve().parents[3] / "docker-compose.yml"
# As Docker reads them (docs.docker.com/reference/compose-file/extension/#specifying-byte-values): powers of 1024.
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}


class LimitsError(Exception):
    """The limits cannot be read; the text names the service and what is wrong."""


@dataclass(frozen=True)
class Limit:
    """What one service may use: ``cpus`` in cores, ``memory_bytes`` of memory, the page cache included."""

    cpus: Decimal
    memory_bytes: int


def of_compose(text: str) -> dict[str, Limit]:
    """The ``deploy.resources.limits`` of every service of a compose file. Raises LimitsError."""
    import yaml

    try:
        services = yaml.safe_load(text)["services"]
        found = {name: service["deploy"]["resources"]["limits"] for name, service in services.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise LimitsError(f"a service without limits, or no compose file: {error!r:.200}") from None
    return {name: _limit(name, words) for name, words in found.items()}


def of_compose_file(path: Path = COMPOSE_FILE) -> dict[str, Limit]:
    """As :func:`of_compose`, of the shipped file. Raises LimitsError."""
    try:
        return of_compose(path.read_text())
    except OSError as error:
        raise LimitsError(f"{path}: {error.strerror}") from None


def _limit(service: str, words: Mapping[str, object]) -> Limit:
    try:
        cpus = Decimal(str(words["cpus"]))
        memory = re.fullmatch(r"([0-9]+)([a-z]*)", str(words["memory"]).lower())
        if not 0 < cpus <= 1024 or memory is None or memory[2] not in _UNITS:
            raise ValueError
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise LimitsError(f"{service}: limits must be like cpus: '0.40' and memory: 70M, not {words!r}") from None
    return Limit(cpus, int(memory[1]) * _UNITS[memory[2]])
