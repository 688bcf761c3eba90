"""What the segments of an engine are called, and which of all names are its own.

A name of an engine has letters, digits, ``-`` and ``_`` only (ENGINE_NAME), so what follows a dot is never part of one,
and no engine's segments are taken for another's: ``shop`` owns ``shop-ring-0``, and an engine that is called
``shop-ring-0`` owns ``shop-ring-0-ring-0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# Of a segment that is being made, and does not count before the books are.
NEW = ".new"

_OWN = re.compile(r"-(?:(books)|(ids)|ring-(0|[1-9][0-9]*))(\.new)?")


def books_name(engine: str) -> str:
    """Name of the books."""
    return f"{engine}-books"


def ring_name(engine: str, index: int) -> str:
    """Name of the ring of API process ``index``."""
    return f"{engine}-ring-{index}"


def ids_name(engine: str) -> str:
    """Name of the id memory. It is only a memory: an engine is whole without it."""
    return f"{engine}-ids"


def lock_name(engine: str) -> str:
    """Name of the lock file, which is there before any segment; see :mod:`engine.storage.making`."""
    return f"{engine}.lock"


class Found(NamedTuple):
    """Which segments of an engine there are, but the id memory; of the rings their indices, in their order."""

    books: bool
    rings: list[int]
    new_books: bool
    new_rings: list[int]


def find(engine: str, names: Iterable[str]) -> Found:
    """Those of ``names`` that are segments of ``engine``."""
    books: dict[bool, bool] = {False: False, True: False}
    rings: dict[bool, list[int]] = {False: [], True: []}
    for name in names:
        match = _match(engine, name)
        if match is not None and match[1]:
            books[bool(match[4])] = True
        elif match is not None and match[3]:
            rings[bool(match[4])].append(int(match[3]))
    return Found(books[False], sorted(rings[False]), books[True], sorted(rings[True]))


def own(engine: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are segments of ``engine``, finished or not."""
    return [name for name in names if _match(engine, name) is not None]


def _match(engine: str, name: str) -> re.Match[str] | None:
    return _OWN.fullmatch(name[len(engine) :]) if name.startswith(engine) else None
