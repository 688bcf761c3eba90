"""Addresses: when two processors are one and the same, and from where pages may ask the console. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def normalized(url: str) -> str:
    """An http(s) address in one form, however it was written: without user and password, always with the port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")  # in lower case already
    if ":" in host:
        host = f"[{ipaddress.ip_address(host)}]"
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}{_path(parts.path)}"


def fingerprint(url: str) -> int:
    """64 bits of the address; never 0."""
    return int.from_bytes(hashlib.sha256(normalized(url).encode()).digest()[:8], "big") or 1


def origins(text: str) -> frozenset[str]:
    """The origins of a list with commas, each as browsers write it: scheme, host in lower case, and the port where it
    is not the scheme's own. Raises ValueError for anything else: a pattern, ``null``, a path."""
    found = [one.strip() for one in text.split(",")] if text else []
    for one in found:
        if not _ORIGIN.fullmatch(one) or one.endswith((":80", ":443")):
            raise ValueError(f"{one!r} is no origin like https://tools.example, without a port that is the usual one")
    return frozenset(found)


def _path(path: str) -> str:
    """A base path without slashes at its end, and with nothing escaped that need not be (RFC 3986, 6.2.2)."""
    return _ESCAPED.sub(_unescaped, path.rstrip("/"))


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()
