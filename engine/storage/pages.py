"""The segment of the metrics: every process that counts opens it, and the first one makes it.

It is an aid, and no process waits for it or ends because of it: where it cannot be made, nothing is counted. It is in
shared memory whatever ENGINE_DURABILITY says, because nobody needs it after the machine went down.
"""

from __future__ import annotations

import contextlib

from engine.logs.logger import Logger
from engine.memory import metrics_layout as layout
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import durability, making, names
from engine.storage.segment import EmptyError, Segment, SharedMemoryStore

log = Logger(__name__)


def open_to_write(settings: Settings) -> Segment | None:
    """The pages, made if need be; None where nothing is counted (ENGINE_METRICS=0), or they cannot be made."""
    if not settings.console.metrics:
        return None
    name, store = names.metrics_name(settings.host.name), SharedMemoryStore()
    try:
        with making.locked(durability.of(settings).store(settings.storage.data_dir), settings.host.name):
            found = _usable(store, name)
            if found is not None:
                return found
            store.remove(name)
            store.remove(name + names.NEW)
            # Beside, until it is whole: whoever reads never finds half of it.
            with contextlib.closing(store.create(name + names.NEW, layout.METRICS_WORDS)) as made:
                layout.lay_out_metrics(made.words)
            store.rename(name + names.NEW, name)
            return store.open(name)
    except (OSError, SegmentError) as error:
        log.warning("metrics_off", segment=name, reason=str(error))
        return None


def _usable(store: SharedMemoryStore, name: str) -> Segment | None:
    """The segment if it is there and has this layout."""
    try:
        segment = store.open(name)
    except (FileNotFoundError, EmptyError):
        return None
    if layout.is_usable(segment.words):
        return segment
    segment.close()
    return None


def remove(settings: Settings) -> None:
    """Removes the segment. Processes that count go on doing so, unseen."""
    SharedMemoryStore().remove(names.metrics_name(settings.host.name))
