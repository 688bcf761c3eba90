"""The sizes of an engine's memory: as the settings ask for them, and as existing memory has them in its headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from engine.books import levels, listed
from engine.books.levels import Shape
from engine.memory import layout
from engine.memory.words import Words
from engine.settings import Settings


@dataclass(frozen=True)
class Sizes:
    """Units and bounds as in :mod:`engine.settings`, under the same names; ``processors``: their names, in order."""

    processors: tuple[str, ...]
    api_processes: int
    ring_slots: int
    parked_slots: int
    books_recent_seconds: int
    books_horizon_hours: int

    @property
    def shape(self) -> Shape:
        """The shape of the books."""
        return levels.shape(
            self.books_recent_seconds, self.books_horizon_hours, self.parked_slots, len(self.processors)
        )

    def differences(self, asked: Sizes) -> str:
        """The variables in which ``asked`` differs from these sizes, as text for people."""
        told = []
        for field in fields(self):
            have, want = _shown(getattr(self, field.name)), _shown(getattr(asked, field.name))
            if have != want:
                told.append(f"ENGINE_{field.name.upper()} says {want} and the memory has {have}")
        return ", ".join(told)


def asked(settings: Settings) -> Sizes:
    """The sizes that the settings ask for."""
    storage = settings.storage
    return Sizes(
        settings.processors.names,
        settings.host.api_processes,
        storage.ring_slots,
        storage.parked_slots,
        storage.books_recent_seconds,
        storage.books_horizon_hours,
    )


def read(books: Words, rings: Sequence[Words]) -> Sizes:
    """The sizes in the headers of segments that were checked, or of old memory that was read as today's."""
    return Sizes(
        listed.read(books),
        len(rings),
        rings[0][layout.RING_SLOTS_AT],
        books[layout.BOOKS_PARKED_SLOTS_AT],
        books[layout.BOOKS_RECENT_SECONDS_AT],
        books[layout.BOOKS_HORIZON_HOURS_AT],
    )


def _shown(value: int | tuple[str, ...]) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
