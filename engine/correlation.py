"""The text of a correlationId, which inside the engine is two integers of 64 bits."""

from __future__ import annotations


def format_id(id_high: int, id_low: int) -> str:
    """The canonical, lower-case text of a UUID."""
    text = f"{id_high:016x}{id_low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
