"""A report as a table for people, as CSV or as JSON. Pure.

People get amounts with two decimals, times as short as the step allows, and milliseconds. CSV and JSON have integers in
the unit that ends the column's name, and times in ISO 8601.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
from itertools import pairwise
from typing import Any, Final

from engine.ledger.reports import STEPS_MS, Column, Kind, Report

NOTHING: Final = "-"
WIDTH: Final = 80  # of a terminal: a table that would be wider stands closer
TEXT_WIDTH_MAX: Final = 28  # of a table's text; what is longer is cut
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def table(report: Report, step_ms: int) -> str:
    """A table. Repeated times are left out, so that the rows of a step are seen together."""
    if not report.rows:
        return "nothing in this time"
    shown = [(place, column) for place, column in enumerate(report.columns) if column.title]
    lines = [[column.title for _, column in shown]]
    lines += [[_cell(column, row[place], step_ms) for place, column in shown] for row in report.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for before, line in reversed(list(pairwise(lines))):  # backwards: each is compared with what is still there
        if before[0] == line[0]:
            line[0] = ""
    lines.insert(1, ["-" * width for width in widths])
    between = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
    left = [column.kind in (Kind.TEXT, Kind.TIME) for _, column in shown]
    return "\n".join(
        between.join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def as_csv(report: Report) -> str:
    """CSV with a line of names; nothing stands for what is not known."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in report.columns])
    writer.writerows([_plain(column, value) for column, value in zip(report.columns, row, strict=True)]
                     for row in report.rows)  # fmt: skip
    return file.getvalue().rstrip("\n")


def as_json(report: Report) -> str:
    """An array of objects, one for each row."""
    rows = [
        {column.name: _plain(column, value) for column, value in zip(report.columns, row, strict=True)}
        for row in report.rows
    ]
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]" if rows else "[]"


FORMATS: Final = ("table", "csv", "json")


def text(report: Report, form: str, step_ms: int) -> str:
    """The report in one of FORMATS."""
    if form == "table":
        return table(report, step_ms)
    return as_csv(report) if form == "csv" else as_json(report)


def iso(at_ms: int) -> str:
    """A time in ISO 8601, UTC, with milliseconds only where it has some."""
    moment = _EPOCH + datetime.timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")


def short_time(at_ms: int, step_ms: int) -> str:
    """A time as a table or a picture has it."""
    moment = _EPOCH + datetime.timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%d}" if step_ms == STEPS_MS["day"] else f"{moment:%m-%d %H:%M}"


def amount(cents: int) -> str:
    """Cents with two decimals."""
    sign, whole = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{whole // 100}.{whole % 100:02}"


def _plain(column: Column, value: Any) -> Any:
    return iso(value) if column.kind is Kind.TIME else value


def _cell(column: Column, value: Any, step_ms: int) -> str:
    if value is None:
        return NOTHING
    if column.kind is Kind.TIME:
        return short_time(value, step_ms)
    if column.kind in (Kind.CENTS, Kind.BALANCE):
        return amount(value)
    if column.kind is Kind.US:
        return duration(value / 1000)
    if column.kind is Kind.MS:
        return duration(value)
    if column.kind is Kind.TEXT:
        return _one_line(str(value))
    return str(value)


def duration(ms: float) -> str:
    """A length of time for people: three digits, or whole seconds."""
    if ms < 9.995:
        return f"{ms:.2f} ms"
    if ms < 99.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 9999.5 else f"{ms / 1000:.0f} s"


def _one_line(value: str) -> str:
    """A text that can do nothing to a terminal."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in value)
    return shown if len(shown) <= TEXT_WIDTH_MAX else shown[: TEXT_WIDTH_MAX - 3] + "..."
