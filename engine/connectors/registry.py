"""The connectors by name. :mod:`engine.connectors.connector` says how to add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from engine.connectors import rinha
from engine.connectors.connector import Connector

CONTEST = "rinha"
# What makes each, of the token with which a processor lets its owner in.
CONNECTORS: Mapping[str, Callable[[str], Connector]] = MappingProxyType({CONTEST: rinha.connector})
