"""What a check has found. Pure."""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH = 100  # of a line for people
_INDENT = " " * 7


class Grade(enum.Enum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"  # nothing is broken; somebody should know it
    WRONG = "wrong"  # payments, money or secrets are at risk, or will be


class Finding(NamedTuple):
    """One finding.

    Parameters:
      name: of what was looked at, the same in every run; scripts may rely on it.
      grade: how bad it is.
      what: what was seen, as a sentence without a full stop.
      do: what to do about it; "" where there is nothing to do.
    """

    name: str
    grade: Grade
    what: str
    do: str = ""


def good(name: str, what: str) -> Finding:
    """Something is as it should be."""
    return Finding(name, Grade.GOOD, what)


def note(name: str, what: str, do: str = "") -> Finding:
    """Something that somebody should know."""
    return Finding(name, Grade.NOTE, what, do)


def wrong(name: str, what: str, do: str) -> Finding:
    """Something is wrong."""
    return Finding(name, Grade.WRONG, what, do)


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(one.grade is not Grade.WRONG for one in findings)


def text(findings: Sequence[Finding]) -> str:
    """All findings for people: what is wrong comes last, where a terminal shows it."""
    order = list(Grade)
    lines: list[str] = []
    for one in sorted(findings, key=lambda one: order.index(one.grade)):
        lines += textwrap.wrap(f"{one.grade.value:5}  {one.name}: {one.what}", WIDTH, subsequent_indent=_INDENT)
        if one.do:
            lines += textwrap.wrap(f"-> {one.do}", WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "   ")
    bad = sum(one.grade is Grade.WRONG for one in findings)
    count = f"{len(findings)} looked at"
    verdict = f"{count}, nothing is wrong." if not bad else f"{count}, {bad} {'is' if bad == 1 else 'are'} wrong."
    return "\n".join([*lines, "", verdict])


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings for machines."""
    return {
        "ok": is_well(findings),
        "findings": [
            {"name": one.name, "grade": one.grade.value, "what": one.what, "do": one.do or None} for one in findings
        ],
    }
