"""When a processor is asked for something that is not a payment. Pure."""

from __future__ import annotations

ANSWER_MS_MAX = 4000  # a query that is not answered for so long has ended without an answer
FEE_FIRST_MS = 5000  # until the fee is asked for again when it was not told, doubled each time ...
FEE_LAST_MS = 3_600_000  # ... up to this


def fee_wait_ms(refused: int) -> int:
    """How long after the end of a query for a fee the next one is, when ``refused`` in a row were not answered with
    one: a processor that does not tell its fee is asked ever more rarely.
    """
    return min(FEE_FIRST_MS << min(max(refused - 1, 0), 16), FEE_LAST_MS)
