"""Exceptions for people, in 80 columns, and for machines. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from engine.correlation import format_id
from engine.ledger.report_text import amount, as_csv, as_json, iso
from engine.ledger.reports import Column, Kind, Report
from engine.reconcile.cases import Run, Version
from engine.reconcile.finding import BOOKS
from engine.reconcile.span import Span

WIDTH: Final = 80
INDENT: Final = " " * 5
COLUMNS: Final = (
    Column("number", ""), Column("version", ""), Column("state", "", Kind.TEXT), Column("against", "", Kind.TEXT),
    Column("processor", "", Kind.TEXT), Column("from", "", Kind.TIME), Column("to", "", Kind.TIME),
    Column("id", "", Kind.TEXT), Column("payments", ""), Column("amount_cents", "", Kind.CENTS),
    Column("there_at", "", Kind.TEXT), Column("evidence", "", Kind.TEXT), Column("decided_by", "", Kind.TEXT),
    Column("written", "", Kind.TIME),
)  # fmt: skip


def table(versions: Sequence[Version], names: Mapping[int, str]) -> str:
    """A line for each version, and below it what is known of the payment."""
    lines = [f"{'no':>4} {'state':20} {'at':8} {'when (UTC)':23} {'count':>5} {'amount':>15}"]
    lines.append(" ".join("-" * width for width in (4, 20, 8, 23, 5, 15)))
    before = 0
    for one in versions:
        finding = one.finding
        number = str(one.number) if one.number != before else ""
        before = one.number
        at = "books" if finding.against == BOOKS else names.get(finding.processor, str(finding.processor))
        lines.append(
            f"{number:>4} {finding.state:20} {_cut(at, 8):8} {_moment(finding.span.from_ms):23} "
            f"{_count(finding.difference.payments):>5} {_signed(finding.difference.cents):>15}"
        )
        for text in _details(one, names):
            lines += textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT + "  ")
    return "\n".join(lines)


def machine(versions: Sequence[Version], names: Mapping[int, str], form: str) -> str:
    """CSV or JSON, with everything that is kept."""
    rows = [
        (one.number, one.version, one.finding.state, one.finding.against,
         names.get(one.finding.processor, str(one.finding.processor)), one.finding.span.from_ms,
         one.finding.span.to_ms, None if one.finding.id is None else _id(one.finding.id),
         one.finding.difference.payments, one.finding.difference.cents,
         None if one.finding.there_ms is None else iso(one.finding.there_ms), one.finding.evidence, one.decided_by,
         one.created_ms)
        for one in versions
    ]  # fmt: skip
    report = Report(COLUMNS, rows)
    return as_csv(report) if form == "csv" else as_json(report)


def summary(run: Run, count: int) -> str:
    """What was done, and what is open now."""
    windows = "window" if run.windows == 1 else "windows"
    asked = f"{run.summaries} summary calls and {run.lookups} lookups"
    if run.span.from_ms > run.span.to_ms:
        lines = [f"Nothing new is settled; what is open was asked for again: {asked}."]
    else:
        lines = [f"{run.windows} {windows} of {between(run.span)}", f"were compared: {asked}."]
    if run.failure:
        lines += textwrap.wrap(f"It did not come to its end. {run.failure}", WIDTH)
    lines.append("1 exception is open." if count == 1 else f"{count or 'No'} exceptions are open.")
    return "\n".join(lines)


def between(span: Span) -> str:
    """A span of times."""
    return f"{_moment(span.from_ms)} to {_moment(span.to_ms)} UTC"


def _details(one: Version, names: Mapping[int, str]) -> list[str]:
    finding, lines = one.finding, list[str]()
    if finding.against == BOOKS:
        lines.append(f"at {names.get(finding.processor, str(finding.processor))}")
    if finding.span.length_ms > 1:
        lines.append(f"until {_moment(finding.span.to_ms)}")
    if finding.id is not None:
        lines.append(f"payment {_id(finding.id)}")
    if finding.there_ms not in (None, finding.span.from_ms):
        assert finding.there_ms is not None
        lines.append(f"there under {_moment(finding.there_ms)}")
    said = _printable(finding.evidence)
    lines.append(f"{said} ({_printable(one.decided_by)}, {_moment(one.created_ms)})" if one.decided_by else said)
    return [line for line in lines if line]


def _moment(at_ms: int) -> str:
    text = iso(at_ms).replace("T", " ").removesuffix("Z")
    return text if at_ms % 1000 else f"{text}.000"


def _count(payments: int) -> str:
    return f"{payments:+}" if payments else "0"


def _signed(cents: int) -> str:
    return f"+{amount(cents)}" if cents > 0 else amount(cents)


def _id(identity: bytes) -> str:
    return format_id(*divmod(int.from_bytes(identity, "big"), 1 << 64))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."


def _printable(text: str) -> str:
    """A text that can do nothing to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
