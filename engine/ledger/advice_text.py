"""Advice in sentences for people. Pure."""

from __future__ import annotations

from typing import Any

from engine.ledger.report_text import amount, duration
from engine.ledger.reports import Report


def sentences(report: Report) -> str:
    """For each advice of a report its verdict and its figures; an advice that changes two variables stands once."""
    rows = [dict(zip([column.name for column in report.columns], row, strict=True)) for row in report.rows]
    return "\n\n".join("\n".join(_lines(row)) for row in {row["number"]: row for row in rows}.values())


def _lines(row: dict[str, Any]) -> list[str]:
    lines = [
        f"Advice {row['number']} ({row['payments']} payments, {row['replays']} replays by {row['program']}):",
        f"  {row['verdict']}",
        _figures("as it was", row, "was"),
        _figures("replayed as it was", row, "replayed"),
    ]
    if row["advised_earned_cents"] is not None:
        lines.append(_figures("with the advice", row, "advised"))
    return [*lines, _figures("the oracle", row, "oracle")]


def _figures(title: str, row: dict[str, Any], world: str) -> str:
    earned, fee, unsettled = (amount(row[f"{world}_{what}_cents"]) for what in ("earned", "fee", "unsettled"))
    wait_ms = row.get(f"{world}_wait_ms")
    waited = "" if wait_ms is None else f", mean wait {duration(wait_ms)}"
    return f"    {title + ':':20}earned {earned}, fees {fee}, not settled {unsettled}{waited}"
