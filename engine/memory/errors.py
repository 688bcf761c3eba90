"""Problems of shared memory as a whole."""

from __future__ import annotations


class SegmentError(Exception):
    """A segment cannot be used: it has another layout or size, is damaged, or there is no room for it."""
