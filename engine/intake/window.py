"""The window of ``/payments-summary``: its bounds, and when it is read. Pure: a query string in, milliseconds out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from urllib.parse import parse_qsl

from engine.books.reader import EXACT_MS, UNBOUNDED_MS
from engine.intake.shown import instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

# How much later the books are read while the dispatcher listens for answers that are due. By then the books have what
# the processors had inserted at the moment of the audit. The median time from an insertion to the books is 0.9 ms, and
# an audit reads the processors 0.4 ms after us (measured: engine/lab/replay/pace.py). A longer wait would be worse than
# none: we would count payments that the processors had not inserted yet.
HELD_MS = 1

NAMES = ("from", "to")
NAME_SHOWN_MAX = 64  # characters of an unknown name that are said again

RESOLUTION_HEADER = "Summary-Resolution"
RESOLUTION_NONE = "none"
COMPLETE_HEADER = "Summary-Complete-Until"

# A blank may stand before an offset: a "+" that was not escaped means a blank in a query string.
INSTANT_PATTERN = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,32}))?)?"
    r"(?:([Zz])|([ +-])([0-9]{2})(?::?([0-5][0-9]))?)?)?"
)


class BadBound(Exception):  # noqa: N818 - it names what came in, not what went wrong here
    """A bound cannot be read, or a field of the query is none; ``field``: its name, which may be the client's own."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def parse(query: str) -> tuple[int | None, int | None]:
    """Both bounds in ms since 1970 UTC, inclusive; None for one that is absent or empty.

    Parameters:
      query: what follows the ``?``, still escaped.

    Raises BadBound for one that cannot be read or is given twice, and for a field of another name: whoever has written
    ``form`` wants a window, and must not be told the sum of all time.
    """
    bounds: dict[str, int | None] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in NAMES:
            raise _unknown(name)
        if name in bounds:
            raise BadBound(name, "is given twice")
        bounds[name] = instant_ms(name, value) if value else None
    return bounds.get("from"), bounds.get("to")


def _unknown(name: str) -> BadBound:
    if not name:
        return BadBound("query", "has a field without a name; only from and to are known")
    meant = get_close_matches(name.lower(), NAMES, 1)
    perhaps = f"; perhaps {meant[0]} is meant" if meant else ""
    return BadBound(name[:NAME_SHOWN_MAX], f"is not known, only from and to are{perhaps}")


def instant_ms(field: str, text: str) -> int:
    """The instant in whole ms, such that the bound includes the same ms: ``from`` is rounded up, ``to`` down.

    ISO 8601: a date (its midnight), to the minute, the second or any fraction; no offset means UTC. Raises BadBound.
    """
    match = INSTANT_PATTERN.fullmatch(text)
    if match is None:
        raise BadBound(field, "must be an ISO 8601 date and time")
    date, hours, minutes, seconds, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    offset = f"{'-' if sign == '-' else '+'}{offset_hours or '00'}:{offset_minutes or '00'}"
    try:
        moment = datetime.fromisoformat(f"{date}T{hours or '00'}:{minutes or '00'}:{seconds or '00'}{offset}")
    except ValueError:
        raise BadBound(field, "is no existing date and time") from None
    # datetime has microseconds only, so the fraction is handled separately.
    fraction = fraction or ""
    finer = field == "from" and fraction[3:].strip("0") != ""
    return (moment - EPOCH) // MILLISECOND + int(f"{fraction:0<3.3}") + finer


def complete_headers(complete_ms: int, to_ms: int) -> tuple[tuple[bytes, bytes], ...]:
    """What an answer for a window that ends at ``to_ms`` says when other cells may still tell of some of it.

    ``complete_ms``: UTC; the books have all that any cell has settled with an earlier requestedAt.
    """
    if to_ms < complete_ms:
        return ()
    return ((COMPLETE_HEADER.encode(), (instant(complete_ms) or "").encode() if complete_ms else b"none"),)


def resolution_headers(resolution_ms: int) -> tuple[tuple[bytes, bytes], ...]:
    """What an answer says of its :attr:`Window.resolution_ms`; nothing when it is exact."""
    if resolution_ms == EXACT_MS:
        return ()
    value = RESOLUTION_NONE if resolution_ms == UNBOUNDED_MS else f"{resolution_ms // 1000}s"
    return ((RESOLUTION_HEADER.encode(), value.encode()),)
