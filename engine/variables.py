"""One environment variable: its name, bounds and effect, written at the field that it sets.

    @dataclass(frozen=True)
    class DispatchSettings:
        batch: int = variable("ENGINE_DISPATCH_BATCH", 64, "payments", 1, 4096, "Most payments in one pass.")

:mod:`engine.settings` has them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.addresses import origins
from engine.processors import check_url, parse_fees, parse_urls

PREFIX = "ENGINE_"


def _check_database(text: str) -> None:
    if text and not re.fullmatch(r"sqlite:////[ -~]+|postgresql://[ -~]+", text):
        raise ValueError("must be like sqlite:////directory/file or postgresql://user@host/name")


def _check_store(text: str) -> None:
    if text and not re.fullmatch(r"postgresql://[ -~]+", text):
        raise ValueError("must be like postgresql://user@host/name")


def _check_cell(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("may hold letters, digits, - and _ only")


_CHECKS: dict[str, Callable[[str], object]] = {
    "url": check_url, "processors": parse_urls, "fees": parse_fees, "database": _check_database,
    "origins": origins, "store": _check_store, "cell": _check_cell,
}  # fmt: skip
_SHOWN = {
    "url": "http://host[:port][/path]",
    "database": "sqlite:////directory/file or postgresql://...",
    "store": "postgresql://...",
    "name": "letters, digits, - and _",
    "cell": "letters, digits, - and _",
    "printable": "ASCII",
    "processors": "2 to 8 pairs name=http://host[:port][/path]",
    "fees": "pairs name=ppm",
    "origins": "origins like https://tools.example, with commas",
}


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Parameters:
      name: the environment variable.
      default: its value when the environment does not have it; its type (int, str, bool) is the variable's type.
      unit: the unit of the value, ``""`` for none.
      low, high: inclusive bounds of an integer, or of the length of a text.
      effect: what it does, in a sentence.
      check: ``""``, ``"power of two"``, ``"url"``, ``"name"``, ``"printable"``, ``"processors"``, ``"fees"``,
        ``"database"``, ``"origins"``, ``"store"``, ``"cell"``, or the words that are allowed, separated by ``|``.
      was: its name in older versions, which goes on working with a warning; ``""`` for none.
      group, field: which field of :class:`engine.settings.Settings` it sets.
    """

    name: str
    default: int | str | bool
    unit: str
    low: int
    high: int
    effect: str
    check: str = ""
    was: str = ""
    group: str = ""
    field: str = ""

    @property
    def bounds(self) -> str:
        """The bounds as people write them."""
        if isinstance(self.default, bool):
            return "0 or 1"
        if isinstance(self.default, str):
            if "|" in self.check:
                return ", ".join(self.check.split("|"))
            return _SHOWN.get(self.check, "text")
        return f"{self.low} to {self.high}" + (f", a {self.check}" if self.check else "")

    def parse(self, text: str) -> int | str | bool:
        """The value of ``text``. Raises ValueError with a reason."""
        if isinstance(self.default, bool):
            if text not in ("0", "1"):
                raise ValueError("must be 0 or 1")
            return text == "1"
        if isinstance(self.default, int):
            return self._parse_number(text)
        if not self.low <= len(text) <= self.high:
            raise ValueError(f"must have {self.low} to {self.high} characters")
        if "|" in self.check and text not in self.check.split("|"):
            raise ValueError(f"must be one of {self.bounds}")
        if self.check == "printable" and not re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", text):
            raise ValueError("may hold printable ASCII characters only, and no space at an end")
        if self.check == "name" and not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError("may hold letters, digits, - and _ only")
        if self.check in _CHECKS:
            _CHECKS[self.check](text)
        return text

    def _parse_number(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise ValueError("must be a whole number")
        number = int(text)
        if not self.low <= number <= self.high:
            raise ValueError(f"must be {self.low} to {self.high}")
        if self.check == "power of two" and number & (number - 1):
            raise ValueError("must be a power of two")
        return number


def variable(
    name: str,
    default: int | str | bool,
    unit: str,
    low: int,
    high: int,
    effect: str,
    check: str = "",
    *,
    was: str = "",
) -> Any:
    """A dataclass field that an environment variable sets; the parameters are those of :class:`Variable`."""
    return field(default=default, metadata={"variable": Variable(name, default, unit, low, high, effect, check, was)})
