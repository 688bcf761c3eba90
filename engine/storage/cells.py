"""The memory between a cell's agent, its API processes and its dispatcher: the first process makes it.

It holds nothing that anybody was promised, so memory that does not fit is made anew, in shared memory always. And the
memory of a cell is told from that of an engine without a store here: payments of the one must not be paid as those of
the other.
"""

from __future__ import annotations

import contextlib

from engine.cluster_settings import MODE
from engine.logs.logger import Logger
from engine.memory import cell_layout, layout
from engine.memory.errors import SegmentError
from engine.memory.words import WORD_BYTES
from engine.settings import Settings
from engine.storage import making, mapping, names, remembered
from engine.storage.segment import EmptyError, Segment, SharedMemoryStore

log = Logger(__name__)


def open_cell(settings: Settings, books: Segment) -> Segment | None:
    """Attaches to it, making it if need be; None where ENGINE_DURABILITY is not `cluster`. Raises SegmentError."""
    if settings.storage.durability != MODE:
        return None
    store, name = SharedMemoryStore(), names.cell_name(settings.host.name)
    rings, slots = settings.host.api_processes, settings.storage.ring_slots
    generation = books.words[layout.BOOKS_GENERATION_AT]
    length = cell_layout.cell_words(rings, slots)
    try:
        with making.locked(mapping.store(settings), settings.host.name):
            found = _usable(store, name, rings, slots, generation)
            if found is not None:
                return found
            store.remove(name)
            store.remove(name + names.NEW)
            # Beside, until it is whole: whoever opens it never finds half of it.
            with contextlib.closing(store.create(name + names.NEW, length)) as made:
                cell_layout.lay_out_cell(made.words, rings, slots, generation)
            store.rename(name + names.NEW, name)
            return store.open(name)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error


def check_whose(settings: Settings, books: Segment, rings: list[Segment]) -> None:
    """Refuses memory of an engine without a store for a cell, and a cell's memory for an engine without a store.

    Raises SegmentError.
    """
    is_cells = books.words[layout.BOOKS_EPOCH_AT] != 0
    if settings.storage.durability != MODE and is_cells:
        raise SegmentError(
            f"{books.name}: this is the memory of a cell, whose payments are in a store (ENGINE_DURABILITY={MODE}). "
            "`reset` removes it, and nothing of the store; or choose another ENGINE_NAME"
        )
    is_new_cell = settings.storage.durability == MODE and not is_cells
    if is_new_cell and not remembered.read(settings, books, rings).is_nothing:
        raise SegmentError(
            f"{books.name}: this memory has payments of an engine without a store, which a cell would forget. Let that "
            "engine finish, then `reset`; or choose another ENGINE_NAME"
        )


def _usable(store: SharedMemoryStore, name: str, rings: int, slots: int, generation: int) -> Segment | None:
    try:
        segment = store.open(name)
    except (FileNotFoundError, EmptyError):
        return None
    problem = cell_layout.complaint(segment.words, rings, slots, generation)
    if not problem:
        return segment
    segment.close()
    log.warning("segment_replaced", segment=name, reason=problem)
    return None
