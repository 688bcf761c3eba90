"""A correlationId, which inside the engine is two integers of 64 bits: as text, and as a database has it."""

from __future__ import annotations


def format_id(id_high: int, id_low: int) -> str:
    """The canonical, lower-case text of a UUID."""
    text = f"{id_high:016x}{id_low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_bytes(id_high: int, id_low: int) -> bytes:
    """The id in 16 bytes, as ledger and store have it."""
    return (id_high << 64 | id_low).to_bytes(16, "big")


def halves(identity: bytes) -> tuple[int, int]:
    """An id of 16 bytes as two words."""
    return int.from_bytes(identity[:8], "big"), int.from_bytes(identity[8:], "big")
