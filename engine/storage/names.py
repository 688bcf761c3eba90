"""The names of an engine's segments, and which of all names belong to an engine.

The name of an engine has letters, digits, ``-`` and ``_`` only (ENGINE_NAME), so text after a dot is never part of it.
Segments of different engines cannot be confused: ``shop`` owns ``shop-ring-0``, and an engine that is called
``shop-ring-0`` owns ``shop-ring-0-ring-0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from engine.memory import layout

# The ending of the name of a new segment, which does not count before the books are renamed. Each layout has its own:
# if an engine of an older layout is started again meanwhile, it must not throw away segments that it does not know.
NEW = f".new{layout.LAYOUT_VERSION}"

_OWN = re.compile(r"-(?:(books)|(ids|journal|acts|metrics|cell)|ring-(0|[1-9][0-9]*))(\.new[0-9]*)?")


def books_name(engine: str) -> str:
    """Name of the books."""
    return f"{engine}-books"


def ring_name(engine: str, index: int) -> str:
    """Name of the ring of API process ``index``."""
    return f"{engine}-ring-{index}"


def ids_name(engine: str) -> str:
    """Name of the id memory. It is only an aid: an engine is complete without it."""
    return f"{engine}-ids"


def journal_name(engine: str) -> str:
    """Name of the journal. An engine is complete without it, as without the id memory."""
    return f"{engine}-journal"


def acts_name(engine: str) -> str:
    """Name of the command ring. An engine is complete without it, as without the journal."""
    return f"{engine}-acts"


def metrics_name(engine: str) -> str:
    """Name of the metrics, which are an aid too. They are in shared memory, wherever the other segments are."""
    return f"{engine}-metrics"


def cell_name(engine: str) -> str:
    """Name of the memory between a cell's agent, API processes and dispatcher, in shared memory too."""
    return f"{engine}-cell"


def lock_name(engine: str) -> str:
    """Name of the lock file, which is there before any segment; see :mod:`engine.storage.making`."""
    return f"{engine}.lock"


class Found(NamedTuple):
    """Which segments of an engine exist, the id memory left out.

    ``rings``: their indices, in order. ``new_books``, ``new_rings``: segments that are being made, in any layout; for
    rings the index by the name.
    """

    books: bool
    rings: list[int]
    new_books: bool
    new_rings: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether there are no segments that count."""
        return not self.books and not self.rings


def find(engine: str, names: Iterable[str]) -> Found:
    """Those of ``names`` that are segments of ``engine``."""
    books: dict[bool, bool] = {False: False, True: False}
    rings: list[int] = []
    new_rings: dict[str, int] = {}
    for name in sorted(names):
        match = _match(engine, name)
        if match is not None and match[1]:
            books[bool(match[4])] = True
        elif match is not None and match[3] and match[4]:
            new_rings[name] = int(match[3])
        elif match is not None and match[3]:
            rings.append(int(match[3]))
    return Found(books[False], sorted(rings), books[True], new_rings)


def is_new(engine: str, name: str) -> bool:
    """Whether ``name`` is that of a segment of ``engine`` that is being made."""
    match = _match(engine, name)
    return match is not None and bool(match[4])


def own(engine: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are segments of ``engine``, finished or not."""
    return [name for name in names if _match(engine, name) is not None]


def _match(engine: str, name: str) -> re.Match[str] | None:
    return _OWN.fullmatch(name[len(engine) :]) if name.startswith(engine) else None
