"""The variables of what is written for people and machines; see :mod:`engine.settings` and :mod:`engine.logs`."""

from __future__ import annotations

from dataclasses import dataclass

from engine.variables import variable


# fmt: off
@dataclass(frozen=True)
class LogSettings:
    """How lines look, and which requests have one."""

    form: str = variable(
        "ENGINE_LOG_FORMAT", "people", "", 4, 6,
        "How every process writes its lines: `people`, or `json`, one object a line (docs/operations.md).",
        "people|json",
    )
    access_percent: int = variable(
        "ENGINE_ACCESS_LOG_PERCENT", 0, "% of the requests", 0, 100,
        "How many requests nginx writes a line about, chosen at random; 0: none.",
    )
# fmt: on
