"""A report as a picture: a panel for each quantity, a line for each processor, in SVG. Pure; it needs no package."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from engine.ledger.report_text import short_time
from engine.ledger.reports import Kind, Report

WIDTH, PANEL_HEIGHT, GAP = 900, 120, 34
LEFT, RIGHT, TOP, BOTTOM = 90, 130, 62, 40
COLORS: Final = ("#2a7f62", "#e09f3e", "#457b9d", "#b5838d", "#8ab17d", "#e76f51", "#6d597a", "#606c38")
INK, GREY, GRID = "#1d3557", "#6b7785", "#dfe4ea"
STEPS_MAX: Final = 4000
MARKS: Final = 6  # on the axis of time, about
UNITS: Final = {Kind.CENTS: "", Kind.BALANCE: "", Kind.MS: " ms", Kind.US: " ms", Kind.COUNT: ""}

Line = dict[int, float]  # values by time


def svg(name: str, report: Report, step_ms: int) -> str:
    """The picture of a report. A step in which nothing happened is 0 where things are counted, and a gap elsewhere."""
    panels = [
        (column.label, column.kind, _lines(report, place, column.kind))
        for place, column in enumerate(report.columns)
        if column.kind in UNITS
    ]
    times = sorted({row[0] for row in report.rows})
    height = TOP + len(panels) * (PANEL_HEIGHT + GAP) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold" fill="{INK}">{escape(name)}</text>',
    ]
    if not times:
        return "\n".join([*parts, f'<text x="{LEFT}" y="50" fill="{GREY}">nothing in this time</text>', "</svg>"])
    steps = range(times[0], times[-1] + 1, step_ms)
    scale = _Times(times[0], max(times[-1], times[0] + step_ms))
    names = sorted({line for _, _, lines in panels for line in lines})
    for number, (title, kind, lines) in enumerate(panels):
        parts += _panel(TOP + number * (PANEL_HEIGHT + GAP), title, kind, lines, names, steps, scale)
    parts += _axis(height - BOTTOM + 4, scale, steps)
    parts += _legend(names)
    return "\n".join([*parts, "</svg>"])


class _Times:
    """Where a time is, from left to right."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._span = first, last - first

    def x(self, at_ms: int) -> float:
        return LEFT + (at_ms - self._first) / self._span * (WIDTH - LEFT - RIGHT)


def _lines(report: Report, place: int, kind: Kind) -> dict[str, Line]:
    """The values of a column by processor, "" for a report that has none; several rows of a step are added."""
    is_split = report.columns[1].kind is Kind.TEXT
    lines: dict[str, Line] = {}
    for row in report.rows:
        value = row[place]
        if value is not None:
            line = lines.setdefault(row[1] if is_split else "", {})
            line[row[0]] = line.get(row[0], 0) + (value / 1000 if kind is Kind.US else value)
    return lines


def _panel(
    top: int, title: str, kind: Kind, lines: dict[str, Line], names: Sequence[str], steps: range, scale: _Times
) -> list[str]:
    highest = max((value for line in lines.values() for value in line.values()), default=0) or 1
    bottom = top + PANEL_HEIGHT
    parts = [f'<text x="{LEFT}" y="{top - 6}" fill="{INK}" font-weight="bold">{escape(title)}</text>']
    for share in (0, 0.5, 1):
        y = bottom - share * PANEL_HEIGHT
        shown = _shown(kind, highest * share)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{GREY}">{shown}</text>',
        ]
    is_sum = kind in (Kind.COUNT, Kind.CENTS)
    for name, line in lines.items():
        color = COLORS[names.index(name) % len(COLORS)]
        points = [(at, line.get(at, 0.0)) for at in steps if is_sum or at in line]
        places = [f"{scale.x(at):.1f},{bottom - value / highest * PANEL_HEIGHT:.1f}" for at, value in points]
        if len(places) == 1:  # which is no line
            left, down = places[0].split(",")
            parts.append(f'<circle cx="{left}" cy="{down}" r="3" fill="{color}"/>')
        parts.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    return parts


def _axis(y: int, scale: _Times, steps: range) -> list[str]:
    every = max(1, -(-len(steps) // MARKS))
    return [
        f'<text x="{scale.x(at):.1f}" y="{y}" text-anchor="middle" fill="{GREY}">{short_time(at, steps.step)}</text>'
        for at in steps[::every]
    ]


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, name in enumerate(names if names != [""] else ()):
        y, color = TOP + 10 + 20 * number, COLORS[number % len(COLORS)]
        parts += [
            f'<rect x="{WIDTH - RIGHT + 16}" y="{y - 8}" width="14" height="4" fill="{color}"/>',
            f'<text x="{WIDTH - RIGHT + 36}" y="{y}" fill="{INK}">{escape(name)}</text>',
        ]
    return parts


def _shown(kind: Kind, value: float) -> str:
    if kind in (Kind.CENTS, Kind.BALANCE):
        return f"{value / 100:,.0f}"
    digits = f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return f"{digits}{UNITS[kind]}"
