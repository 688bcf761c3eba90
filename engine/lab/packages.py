"""What a command of the laboratory needs and not every installation has."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable


def missing(needed: Iterable[str]) -> str:
    """A sentence that names the packages of ``needed`` which are not installed; ``""`` when all are."""
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} missing: `make setup`, or pip install it" if absent else ""
