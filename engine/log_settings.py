"""The variables of what is written for people and machines; see :mod:`engine.settings` and :mod:`engine.logs`."""

from __future__ import annotations

from dataclasses import dataclass

from engine.variables import variable


# fmt: off
@dataclass(frozen=True)
class LogSettings:
    """How lines look."""

    form: str = variable(
        "ENGINE_LOG_FORMAT", "people", "", 4, 6,
        "How every process writes its lines: `people`, or `json`, one object a line (docs/operations.md).",
        "people|json",
    )
# fmt: on
