"""From a record of :mod:`logging` to a line: processors, each a function from what is known of an event to more of it.

They have the shape of structlog's, so that either runs them: structlog where it is installed and the process may start
slowly (:mod:`engine.logs.writing`), else :class:`Formatter`. Both write the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from engine.logs.masking import Mask

TEXT_MAX = 4_000  # characters of a field
FIELDS_MAX = 50  # entries of a list or a table
Known = MutableMapping[str, Any]
Processor = Callable[[Any, str, Known], Known]
Render = Callable[[Any, str, Known], str]

_UPPER = re.compile(r"_([a-z0-9])")


class Formatter(logging.Formatter):
    """Runs the processors, as structlog's ``ProcessorFormatter`` does."""

    def __init__(self, processors: Sequence[Processor], render: Render) -> None:
        super().__init__()
        self._processors = processors
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        known: Known = {"_record": record, "event": record.getMessage(), "exc_info": record.exc_info}
        level = record.levelname.lower()
        for processor in self._processors:
            known = processor(None, level, known)
        return self._render(None, level, known)


def from_record(process: str, cell: str | None) -> Processor:
    """The first processor: the members of the schema, from the record alone. ``cell``: None: there is none."""

    def processor(_logger: Any, _level: str, known: Known) -> Known:
        record: logging.LogRecord = known["_record"]
        fields = getattr(record, "fields", None)
        event, text = getattr(record, "event", "library"), known["event"]
        if fields is None:
            fields = {"logger": record.name, "said": text}
        made: Known = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "event": event,
            "cell": cell,
            "process": process,
            "pid": os.getpid(),
            **{camel(name): value for name, value in fields.items()},
            "text": text,
            "_created": record.created,
        }
        if isinstance(known.get("exc_info"), tuple):
            made["traceback"] = "".join(traceback.format_exception(*known["exc_info"]))
        return made

    return processor


def without_secrets(mask: Mask) -> Processor:
    """A processor that masks secrets in all values, however deep they lie, and bounds the length of each."""

    def clean(value: Any) -> Any:
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, dict):
            return {clean(str(name)): clean(one) for name, one in list(value.items())[:FIELDS_MAX]}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(one) for one in list(value)[:FIELDS_MAX]]
        return bounded(mask(value if isinstance(value, str) else str(value)))

    def processor(_logger: Any, _level: str, known: Known) -> Known:
        return {name: clean(value) for name, value in known.items()}

    return processor


def as_json(_logger: Any, _level: str, known: Known) -> str:
    """A line of JSON."""
    return json.dumps({name: value for name, value in known.items() if not name.startswith("_")}, ensure_ascii=False)


def for_people(_logger: Any, _level: str, known: Known) -> str:
    """A line for people: when, who, how grave, what; and the trace of an error below it."""
    if known["event"] == "cannot_go_on":
        return f"engine: {known['text']}"
    second = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(known["_created"]))
    when = f"{second},{int(known['_created'] * 1000) % 1000:03d}"
    request = f" (request {known['requestId']})" if "requestId" in known else ""
    who = f"{known['cell']}.{known['process']}" if known["cell"] else known["process"]
    line = f"{when} engine.{who} {known['level'].upper()} {known['text']}{request}"
    return f"{line}\n{known['traceback'].rstrip()}" if "traceback" in known else line


def utc(seconds: float) -> str:
    """A time of the wall clock, in UTC with milliseconds."""
    ms = int(seconds * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


def bounded(text: str) -> str:
    """``text``, cut where it is too long: its end says most of an error's trace."""
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX // 2]} ... {text[-TEXT_MAX // 2 :]}"


def camel(name: str) -> str:
    """A field's name as it is in JSON: ``correlation_id`` is ``correlationId``."""
    return _UPPER.sub(lambda match: match[1].upper(), name)
