"""The one way to write a line: the name of an event (:mod:`engine.logs.events`) and its fields.

    log = Logger("engine.up")
    log.warning("process_ended", child="api 0", code=-9, in_ms=50)

A line goes through :mod:`logging`, where those of libraries go too, and there to :mod:`engine.logs.writing`.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from engine.logs.events import EVENTS

# The request that is being handled, on every line that is written meanwhile; "": none is.
request_id: ContextVar[str] = ContextVar("request_id", default="")


class Logger:
    """Writes events. ``name``: of the logger of :mod:`logging` that carries them. Raises KeyError for an event that
    does not exist; a test looks at all that are written."""

    def __init__(self, name: str) -> None:
        self._carrier = logging.getLogger(name)

    def info(self, event: str, **fields: Any) -> None:
        """What happens as it should."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody should know."""
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """What somebody must look at."""
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the trace of the exception that is being handled."""
        self.log(logging.ERROR, event, is_traced=True, **fields)

    def critical(self, event: str, **fields: Any) -> None:
        """Why the process ends."""
        self.log(logging.CRITICAL, event, **fields)

    def log(self, level: int, event: str, *, is_traced: bool = False, **fields: Any) -> None:
        """An event of any level of :mod:`logging`."""
        if not self._carrier.isEnabledFor(level):
            return
        request = request_id.get()
        if request:
            fields.setdefault("request_id", request)
        text = EVENTS[event].text.format_map(fields)
        self._carrier.log(level, "%s", text, exc_info=is_traced, extra={"event": event, "fields": fields})
