"""Dead letters and acts for people, at most 80 columns wide. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.acts import rules
from engine.correlation import format_id, halves
from engine.ledger.acts import DoneRow
from engine.ledger.report_text import iso
from engine.ledger.rows import OUTCOME_NAMES, STATE_NAMES, AttemptRow, PaymentRow
from engine.memory import layout
from engine.memory.acts_layout import Act, Carried, Command, Result
from engine.operate.carrying import SENTENCES
from engine.operate.selection import REASONS, Plan
from engine.payment import Payment
from engine.wording import counted, money

WIDTH: Final = 80
NAME_WIDTH: Final = 9  # of a processor's name in the table; a longer one is cut
AMOUNT_WIDTH: Final = 9
ATTEMPTS_SHOWN: Final = 12
TEXT_MAX: Final = 60  # of what a person wrote, in a line
WORDS: Final = {
    Act.ASK: "ask",
    Act.RETRY: "retry",
    Act.CHARGED: "charged",
    Act.CANCEL: "cancel",
    Act.PAUSE: "pause",
    Act.RESUME: "resume",
}


def table(letters: Sequence[Payment], names: Sequence[str], now_ms: int) -> list[str]:
    """One line for each dead letter, below two of heads."""
    rows: list[tuple[str, ...]] = [("PAYMENT", "WHY", "AT", "AMOUNT", "SINCE")]
    for one in letters:
        name = _name(names, one.processor) if one.state != layout.FAILED else "-"
        cents = money(one.cents).replace(",", "")
        rows.append((format_id(one.id_high, one.id_low), why(one), name, cents, _age(now_ms - one.settled_ms)))
    amount = max(AMOUNT_WIDTH, *(len(row[3]) for row in rows))
    widths = (36, 14, min(NAME_WIDTH, WIDTH - 59 - amount), amount, 5)
    rows.insert(1, tuple("-" * width for width in widths))
    return [
        " ".join(
            cell[:width].ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def why(one: Payment) -> str:
    """Why a payment is a dead letter, in two words."""
    return REASONS.get(one.reason, layout.STATE_NAMES[one.state])


def described(one: Payment, names: Sequence[str], now_ms: int) -> list[str]:
    """All that memory has of a payment, and which acts are offered."""
    offered = [WORDS[act] for act in (Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL) if _is_offered(act, one, now_ms)]
    state = layout.STATE_NAMES[one.state]
    reason = layout.REASON_NAMES[one.reason]
    lines = [
        f"payment    {format_id(one.id_high, one.id_low)}",
        f"amount     {money(one.cents)}",
        f"state      {state}{f': {reason}' if reason else ''}",
        f"accepted   {iso(one.accepted_ms)}",
    ]
    if one.attempts:
        lines.append(f"last sent  {iso(one.requested_ms)}, to {_name(names, one.processor)}, {one.attempts} in all")
    if one.settled_ms and one.reason:
        lines.append(f"since      {iso(one.settled_ms)}")
    return [*lines, f"acts       {', '.join(offered) or 'none: there is nothing to decide'}"]


def recorded(row: PaymentRow) -> list[str]:
    """What the ledger has of a payment that memory does not hold."""
    reason = layout.REASON_NAMES[row.reason]
    return [
        f"payment    {format_id(*halves(row.id))}",
        f"amount     {money(row.cents)}",
        f"state      {STATE_NAMES[row.state]}{f': {reason}' if reason else ''} (as the ledger has it)",
        f"accepted   {iso(row.accepted_ms)}",
        "acts       none: it holds no parking place",
    ]


def attempts(rows: Sequence[AttemptRow], names: Sequence[str]) -> list[str]:
    """The last attempts of a payment."""
    lines = ["", f"{counted(len(rows), 'attempt')}{', the last ones:' if len(rows) > ATTEMPTS_SHOWN else ':'}"]
    for row in rows[-ATTEMPTS_SHOWN:]:
        began = iso(row.began_ms) if row.began_ms is not None else "-"
        end = "no answer yet" if row.ended_ms is None else OUTCOME_NAMES.get(row.outcome or 0, "?")
        what = "lookup" if row.is_lookup else "request"
        lines.append(f"  {began:24} {what:8} {_name(names, row.processor)[:NAME_WIDTH]:{NAME_WIDTH}} {end}")
    return lines


def acts(rows: Sequence[DoneRow]) -> list[str]:
    """What operators have asked for a payment."""
    lines = ["", f"{counted(len(rows), 'act')}:"] if rows else []
    for row in rows:
        became = "no result" if row.result is None else Result(row.result).name.lower().replace("_", " ")
        lines.append(f"  {iso(row.created_ms):24} {WORDS[Act(row.act)]:8} {became:14} {printable(row.who)[:28]}")
        lines.append(f"    {printable(row.why)}")
        if row.evidence:
            lines.append(f"    evidence: {printable(row.evidence)}")
    return lines


def dry_run(plan: Plan) -> list[str]:
    """What an act would come to."""
    lines = [f"{WORDS[plan.act]}: {counted(len(plan.eligible), 'payment')}, {money(plan.cents)} in all"]
    lines += [f"  not for {count:,}: {SENTENCES[result]}" for result, count in sorted(plan.reasons().items())]
    if plan.is_cut:
        lines.append("  there are more: these are the oldest, and the act can be repeated")
    return lines


def results(done: Sequence[tuple[Command, Carried]], unheard: Sequence[Command]) -> list[str]:
    """What became of the commands of an action."""
    found = Counter(Result(carried.result) for _, carried in done)
    lines = [f"  {count:,}: {SENTENCES[result]}" for result, count in sorted(found.items())]
    if unheard:
        lines.append(f"  {len(unheard):,}: no result. Is the dispatcher up? What was put is done when it is back")
    return lines or ["  nothing to do"]


def printable(text: str) -> str:
    """A text that can do nothing to a terminal, and fits into a line."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= TEXT_MAX else shown[: TEXT_MAX - 3] + "..."


def _is_offered(act: Act, one: Payment, now_ms: int) -> bool:
    return rules.decide(act, one, now_ms) is Result.DONE


def _name(names: Sequence[str], processor: int) -> str:
    return names[processor] if processor < len(names) else str(processor)


def _age(ms: int) -> str:
    """How long ago, in five characters."""
    seconds = max(0, ms) // 1000
    for unit, length in (("y", 31_536_000), ("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
