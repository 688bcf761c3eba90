"""Bodies of payments for these tests."""

from __future__ import annotations

import json
import uuid

NOON_MS = 1_752_580_800_000  # 2025-07-15T12:00:00.000Z
NOON = "2025-07-15T12:00:00.000Z"


def payment_id(number: int) -> str:
    """A UUID that is the same for the same number."""
    return str(uuid.UUID(int=number))


def payment_body(number: int, amount: float | str = 19.9, requested_at: str = NOON) -> bytes:
    """A payment's body; ``amount`` as a text is put in as it is, to have the digits exact."""
    text = amount if isinstance(amount, str) else json.dumps(amount)
    return f'{{"correlationId":"{payment_id(number)}","amount":{text},"requestedAt":"{requested_at}"}}'.encode()
