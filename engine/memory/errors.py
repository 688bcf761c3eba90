"""Problems of shared memory as a whole."""

from __future__ import annotations

from engine.memory.layout import LAYOUT_VERSION


class SegmentError(Exception):
    """A segment cannot be used: it has another layout or size, is damaged, or there is no room for it."""


def other_version(version: int) -> str:
    """The message for memory of another layout version."""
    return (
        f"it has layout version {version}, this engine writes {LAYOUT_VERSION}, and cannot take over payments of "
        "that version: let the engine that wrote it settle them"
    )
