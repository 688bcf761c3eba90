"""The addresses of processors: when two of them are one and the same. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def normalized(url: str) -> str:
    """An http(s) address in one form, however it was written: without user and password, always with the port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")  # in lower case already
    if ":" in host:
        host = f"[{ipaddress.ip_address(host)}]"
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def fingerprint(url: str) -> int:
    """64 bits of the address; never 0."""
    return int.from_bytes(hashlib.sha256(normalized(url).encode()).digest()[:8], "big") or 1
