"""Where the lines of a process go: to its standard error, as ENGINE_LOG_FORMAT says, limited in rate.

structlog runs the chain in the processes that need the packages of ``ops`` anyway. Importing it takes 0.1 s of CPU and
5 MB, which the API processes and the dispatcher do not have: a dispatcher that was killed must be back in 0.2 s. They,
and an installation without structlog, run the same chain by themselves.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from engine.logs import chain
from engine.logs.events import EVENTS
from engine.logs.limit import Limits
from engine.logs.logger import Logger
from engine.logs.masking import mask_of

FORMAT: Final = "ENGINE_LOG_FORMAT"
CELL: Final = "ENGINE_CELL"
JSON: Final = "json"
WITH_STRUCTLOG: Final = frozenset({"ledger", "reconcile", "console"})
NEVER_LIMITED: Final = frozenset({"more", "access"})  # nginx has chosen which requests these are of

log = Logger("engine")


class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # of whatever stderr is now
    """Writes lines, and leaves out what is too much of a kind."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._limits = Limits()
        self._is_telling = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        self.tick()
        event = getattr(record, "event", "library")
        return event in NEVER_LIMITED or self._limits.admits(_kind(event, record), _mono_ms())

    def tick(self, *, at_once: bool = False) -> None:
        """Says how many lines were left out, of the kinds of which that is due."""
        if self._is_telling:
            return
        self._is_telling = True
        try:
            for more in self._limits.due(_mono_ms(), at_once=at_once):
                log.warning("more", of=more.kind, count=more.lines, seconds=round(more.ms / 1000, 1))
        finally:
            self._is_telling = False

    def close(self) -> None:
        """Says what was left out: the process ends."""
        self.tick(at_once=True)
        super().close()


def begin(process: str, environment: Mapping[str, str] = os.environ) -> None:
    """From now on this process writes its lines as ``environment`` says; ``process``: its name, as in the metrics."""
    handler = Handler()
    is_json = environment.get(FORMAT) == JSON
    cell = environment.get(CELL) or None
    processors = [chain.from_record(process, cell), chain.without_secrets(mask_of(environment))]
    render = chain.as_json if is_json else chain.for_people
    handler.setFormatter(formatter(process, processors, render))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # of libraries, which tell at length how they begin
    logging.getLogger("engine").setLevel(logging.INFO)
    sys.excepthook = _crashed
    threading.excepthook = lambda seen: _crashed(seen.exc_type, seen.exc_value, seen.exc_traceback)


def formatter(process: str, processors: list[chain.Processor], render: chain.Render) -> logging.Formatter:
    """What runs the chain in this process."""
    if process in WITH_STRUCTLOG:
        try:
            import structlog
        except ImportError:
            pass
        else:
            made: logging.Formatter = structlog.stdlib.ProcessorFormatter(processors=[*processors, render])
            return made
    return chain.Formatter(processors, render)


def tick() -> None:
    """To be called now and then: says what was left out, also when no further line comes."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.tick()


def is_for_people(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody reads what is written."""
    return environment.get(FORMAT) != JSON


def fail(reason: object) -> None:
    """Says why this process cannot start, or cannot go on. A command that has not begun to log says it to people."""
    if any(isinstance(handler, Handler) for handler in logging.getLogger().handlers):
        log.critical("cannot_go_on", reason=str(reason))
    else:
        print(f"engine: {mask_of(os.environ)(str(reason))}", file=sys.stderr)


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What nobody has caught is a line like any other."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    logging.getLogger("engine").critical(
        "%s",
        EVENTS["crashed"].text.format(error=repr(error)),
        exc_info=(kind, error or kind(), trace),
        extra={"event": "crashed", "fields": {"error": repr(error)}},
    )


def _kind(event: str, record: logging.LogRecord) -> str:
    """What is counted together: lines of an event, told apart by its fields of closed sets."""
    fields = getattr(record, "fields", {"logger": record.name})
    parts = [str(fields[name]) for name in EVENTS[event].by if name in fields]
    return " ".join([event, *parts])


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
