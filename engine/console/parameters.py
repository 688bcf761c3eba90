"""Parameters of the console's API. All raise BadRequestError for what they do not understand."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from engine.console.problem import BadRequestError
from engine.ledger.database import wall_ms
from engine.ledger.report_command import BACK_MS, moment

BY: Final = BACK_MS
TEXT_MAX: Final = 200
AMOUNT: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,2}))?")
CENTS_MAX: Final = 10**17


def only(request: Request, *names: str) -> None:
    """That nothing else was sent: a parameter that is misspelt would be a filter that does nothing."""
    for name in request.query_params:
        if name not in names:
            raise BadRequestError(name[:TEXT_MAX], f"it is not a parameter: {', '.join(names) or 'there are none'}")


def text(request: Request, name: str) -> str | None:
    """A word; None: it was not sent."""
    found = request.query_params.get(name)
    if found is not None and not 0 < len(found) <= TEXT_MAX:
        raise BadRequestError(name, f"from 1 to {TEXT_MAX} characters")
    return found


def one_of(request: Request, name: str, known: Collection[str]) -> str | None:
    """One of the ``known`` words; None: it was not sent."""
    found = text(request, name)
    if found is not None and found not in known:
        raise BadRequestError(name, f"one of {', '.join(known)}")
    return found


def number(request: Request, name: str, default: int, most: int) -> int:
    """A number from 1 to ``most``."""
    found = text(request, name)
    if found is None:
        return default
    if not (found.isascii() and found.isdecimal() and len(found) < 10) or not 1 <= int(found) <= most:
        raise BadRequestError(name, f"a number from 1 to {most}")
    return int(found)


def cents(request: Request) -> tuple[int, int] | None:
    """``amountFrom`` and ``amountTo`` in cents, both included; None: neither was sent."""
    low, high = _cents(request, "amountFrom"), _cents(request, "amountTo")
    if low is None and high is None:
        return None
    found = low or 0, CENTS_MAX if high is None else high
    if found[0] > found[1]:
        raise BadRequestError("amountFrom", "it is more than amountTo")
    return found


def between(request: Request, back_ms: int | None) -> tuple[int, int]:
    """``from`` and ``to`` in ms, each a moment or how long ago.

    Parameters:
      back_ms: how far back it goes that says no ``from``; None: to the beginning.
    """
    to_ms = _moment(request, "to")
    end_ms = to_ms if to_ms is not None else wall_ms()
    from_ms = _moment(request, "from")
    if from_ms is None:
        from_ms = 0 if back_ms is None else max(0, end_ms - back_ms)
    if from_ms >= end_ms:
        raise BadRequestError("from", "it is not before to")
    return from_ms, end_ms


def _moment(request: Request, name: str) -> int | None:
    word = text(request, name)
    if word is None:
        return None
    try:
        return moment(word.replace(" ", "+"))  # what an unescaped + has become
    except argparse.ArgumentTypeError as error:
        raise BadRequestError(name, "a moment like 2026-11-27T14:30Z, or how long ago, like 90m") from error


def _cents(request: Request, name: str) -> int | None:
    word = text(request, name)
    if word is None:
        return None
    found = AMOUNT.fullmatch(word)
    if found is None:
        raise BadRequestError(name, "an amount like 19.90")
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
