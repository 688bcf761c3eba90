"""How long a query for health or for a fee waits. Pure."""

from __future__ import annotations

ANSWER_MS_MAX = 4000  # a query that is not answered for this long has ended without an answer
FEE_FIRST_MS = 5000  # wait before the next query for a fee that was not told; doubled each time ...
FEE_LAST_MS = 3_600_000  # ... up to this


def fee_wait_ms(refused: int) -> int:
    """The time from the end of a query for a fee to the next one, after ``refused`` in a row that got no fee. A
    processor that does not tell its fee is queried ever more rarely.
    """
    return min(FEE_FIRST_MS << min(max(refused - 1, 0), 16), FEE_LAST_MS)
