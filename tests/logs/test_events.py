"""Every line that the product writes is an event of the list, with the fields that its text needs."""

from __future__ import annotations

import ast
import functools
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import engine
from engine.logs.events import EVENTS, markdown

ENGINE = Path(engine.__file__).parent
LEVELS = ("info", "warning", "error", "exception", "critical", "log")
OPERATIONS = ENGINE.parent / "docs" / "operations.md"
# Their fields come from where the event is made, as a dictionary, or they are written by other means.
BY_NAME = {"processor_changed", "routing_changed", "library", "crashed"}


class Written(NamedTuple):
    """A call that writes a line."""

    place: str
    event: str
    fields: set[str]
    has_others: bool


@functools.cache
def written() -> tuple[Written, ...]:
    return tuple(_written())


def _written() -> Iterator[Written]:
    for path in sorted(ENGINE.rglob("*.py")):
        if path.relative_to(ENGINE).parts[0] == "lab" or " log." not in path.read_text():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            whose = node.func.value
            if isinstance(whose, ast.Name) and whose.id == "log" and node.func.attr in LEVELS:
                event = node.args[node.func.attr == "log"]
                if isinstance(event, ast.Constant):
                    fields = {word.arg for word in node.keywords if word.arg}
                    has_others = any(word.arg is None for word in node.keywords)
                    yield Written(f"{path.name}:{node.lineno}", str(event.value), fields, has_others)


def needed(event: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(EVENTS[event].text) if name} | set(EVENTS[event].by)


def test_each_line_is_an_event_of_the_list_with_the_fields_that_it_needs() -> None:
    for line in written():
        assert line.event in EVENTS, line
        assert line.has_others or needed(line.event) <= line.fields, line


def test_each_event_of_the_list_is_written_somewhere() -> None:
    assert EVENTS.keys() - {line.event for line in written()} == BY_NAME


def test_nothing_but_the_logs_writes_by_the_library_s_own_means() -> None:
    for path in sorted(ENGINE.rglob("*.py")):
        if path.relative_to(ENGINE).parts[0] not in ("lab", "logs", "doctor"):  # doctor shows findings, not events
            assert "basicConfig" not in path.read_text() and "StreamHandler" not in path.read_text(), path


def test_a_line_about_a_payment_has_its_correlation_id() -> None:
    for name, event in EVENTS.items():
        if name in ("dead_letter", "payment_unreadable"):
            assert "correlation_id" in next(line.fields for line in written() if line.event == name), event


def test_the_document_has_the_list() -> None:
    assert markdown() in OPERATIONS.read_text()
