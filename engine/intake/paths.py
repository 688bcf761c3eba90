"""Paths that are written in another way and name the same resource (RFC 3986, 6.2.2.2). Pure."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def plain(path: str) -> str:
    """``path`` with letters, digits and ``-._~`` as they are, which may come escaped; what else is escaped stays so."""
    return _ESCAPED.sub(_plain_character, path)


def pattern(route: str) -> re.Pattern[str]:
    """What matches the paths of a route; a part such as ``:id`` is a group."""
    return re.compile("/".join("([^/]+)" if part.startswith(":") else re.escape(part) for part in route.split("/")))


def _plain_character(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0]
