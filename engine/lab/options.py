"""Values of command-line options: what ``argparse`` is given as ``type=``, with bounds, and errors that name them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from ``low`` to ``high``; it raises argparse.ArgumentTypeError for anything else."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # is between no two numbers
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:.15g} to {high:.15g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``low``, which is not negative, to ``high``: digits and nothing else.

    It raises argparse.ArgumentTypeError for anything else.
    """

    def read(text: str) -> int:
        try:
            value = int(text) if text.isascii() and text.isdecimal() else -1
        except ValueError:  # Python refuses to read thousands of digits
            value = -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return read


def several(known: Collection[str]) -> Callable[[str], list[str]]:
    """A reader of one or more of ``known``, each once, with commas between them.

    It raises argparse.ArgumentTypeError for anything else.
    """

    def read(text: str) -> list[str]:
        words = text.split(",")
        if not set(words) <= set(known) or len(set(words)) < len(words):
            raise argparse.ArgumentTypeError(f"{text!r} is not some of {', '.join(known)}, with commas between them")
        return words

    return read
