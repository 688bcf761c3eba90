"""Words that several messages to people share. Pure."""

from __future__ import annotations

import shlex

from engine.invocation import command


def counted(number: int, noun: str) -> str:
    """``1 payment``, ``2 payments``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money(cents: int) -> str:
    """Cents as a decimal with two places, its thousands apart."""
    return f"{cents // 100:,}.{cents % 100:02d}"


def percent(ppm: int) -> str:
    """Millionths as per cent: ``5 %``, ``7.25 %``."""
    return f"{ppm / 10_000:.4f}".rstrip("0").rstrip(".") + " %"


def line(variables: dict[str, str], words: str) -> str:
    """A command with its variables, to be copied into a shell."""
    return " ".join([*(f"{name}={shlex.quote(text)}" for name, text in variables.items()), command(*words.split())])
