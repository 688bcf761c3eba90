"""What a payment is, said plainly with the standard library: :func:`engine.intake.payment.parse` must agree."""

from __future__ import annotations

import json
import math
import uuid
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, NoReturn

BRACKETS_MAX = 200  # beyond it the parsers differ in how deep they read, and both may refuse


def payment(body: bytes, amount_cents_max: int) -> tuple[int, int, int] | None:
    """(high and low half of the correlationId, cents), None when the body is no payment.

    JSON is RFC 8259 with its sections 6 and 8.2 read strictly: numbers fit into a double, strings are Unicode.
    """
    try:
        document = json.loads(
            body.decode(),
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
        _check_strings(document)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    text, amount = document.get("correlationId"), document.get("amount")
    if not isinstance(text, str) or not isinstance(amount, Decimal):
        return None
    try:
        correlation_id = uuid.UUID(text)
    except ValueError:
        return None
    if str(correlation_id) != text.lower():
        return None
    cents = amount.scaleb(2, Context(prec=len(body), Emax=MAX_EMAX, Emin=MIN_EMIN))
    if not 0 < cents <= amount_cents_max or cents != cents.to_integral_value():
        return None
    return correlation_id.int >> 64, correlation_id.int & (1 << 64) - 1, int(cents)


def is_crowded(body: bytes) -> bool:
    """Whether it may be nested too deeply to be read by everybody."""
    return body.count(b"[") + body.count(b"{") > BRACKETS_MAX


def _number(text: str) -> Decimal:
    if math.isinf(float(text)):
        raise ValueError(f"{text[:20]} is no double")
    return Decimal(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for pair in pairs:  # also those that a later one of the same name replaces
        _check_strings(list(pair))
    return dict(pairs)


def _check_strings(value: Any) -> None:
    """Raises UnicodeEncodeError for half a surrogate pair. Objects have been looked into when they were made."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
