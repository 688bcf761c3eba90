"""The connectors by name. :mod:`engine.connectors.connector` says how to add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from engine.connectors import rinha
from engine.connectors.connector import Connector

CONTEST = "rinha"
# Each function makes a connector from the token that its processors ask for.
CONNECTORS: Mapping[str, Callable[[str], Connector]] = MappingProxyType({CONTEST: rinha.connector})
