"""Reading the body of ``POST /payments``. Pure: bytes in, integers out."""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal
from typing import Any, NoReturn

import orjson

ID_PATTERN = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ID_LOW_MASK = (1 << 64) - 1

# A valid body holds at least 66 bytes beside its amount, {"correlationId":"<36 characters>","amount":}. So in a body of
# up to 81 bytes the amount has at most 15 characters. With up to 15 digits a double is as exact as the decimal.
FAST_BODY_BYTES_MAX = 66 + 15
# Enough for 13 digits of cents; quantize() refuses what does not fit.
EXACT = Context(prec=30)
CENT = Decimal("0.01")


class BadPayment(Exception):  # noqa: N818 - it names what came in, not what went wrong here
    """The body is no payment: ``field`` is wrong (``""``: the body as a whole), ``reason`` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'body'} {reason}")
        self.field = field
        self.reason = reason


def parse(body: bytes, amount_cents_max: int) -> tuple[int, int, int]:
    """(high and low half of the correlationId, cents) of a payment.

    Fields that are not known are ignored. If a field is given twice, the last one counts, as in ECMAScript.
    Raises BadPayment.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadPayment("", "is not valid JSON") from None
    if type(document) is not dict:
        raise BadPayment("", "must be a JSON object")
    id_high, id_low = parse_id(document.get("correlationId"))
    amount = document.get("amount")
    if type(amount) is not float and type(amount) is not int:
        raise BadPayment("amount", "is missing" if "amount" not in document else "must be a number")
    if amount <= 0:
        raise BadPayment("amount", "must be greater than 0")
    if amount > amount_cents_max:  # far too large, because it is in units; 100 times as much may be infinite
        _too_large(amount_cents_max)
    if len(body) <= FAST_BODY_BYTES_MAX:
        cents = round(amount * 100)
        if cents / 100 != amount:
            raise BadPayment("amount", "must have at most 2 decimal places")
    else:
        cents = _exact_cents(body, amount_cents_max)
    if cents > amount_cents_max:
        _too_large(amount_cents_max)
    return id_high, id_low, cents


def parse_id(text: Any) -> tuple[int, int]:
    """Both halves of a canonical UUID (36 characters, any case, any version). Raises BadPayment."""
    if type(text) is not str:
        raise BadPayment("correlationId", "is missing" if text is None else "must be a string")
    if ID_PATTERN.fullmatch(text) is None:
        raise BadPayment("correlationId", "must be a UUID")
    number = int(text.replace("-", ""), 16)
    return number >> 64, number & ID_LOW_MASK


def format_cents(cents: int) -> str:
    """``cents`` as a JSON number in units, exact however large it is."""
    return f"{cents // 100}.{cents % 100:02d}"


def _exact_cents(body: bytes, amount_cents_max: int) -> int:
    """The amount of a body that is known to be a JSON object with a positive number there, of any number of digits."""
    try:
        # Integers too: int() refuses more than 4300 digits, Decimal does not, and is linear.
        amount = json.loads(body.decode(), parse_float=Decimal, parse_int=Decimal)["amount"]
    except (ValueError, ArithmeticError, RecursionError):
        # An exponent that is too large for a Decimal, or nesting that only orjson reads, in any field.
        raise BadPayment("", "is nested too deeply, or holds a number beyond all bounds") from None
    # The comparison comes first, because quantize() makes as many digits as the number has.
    if amount * 100 > amount_cents_max:
        _too_large(amount_cents_max)
    rounded = amount.quantize(CENT, context=EXACT)
    if rounded != amount:
        raise BadPayment("amount", "must have at most 2 decimal places")
    return int(rounded * 100)


def _too_large(amount_cents_max: int) -> NoReturn:
    raise BadPayment("amount", f"must be at most {format_cents(amount_cents_max)}")
