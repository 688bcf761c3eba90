"""Whether the ledger's report of money says what the processors say of themselves, by hour and by minute."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.lab.chaos.checks import Check, examples
from engine.lab.ledger import recorded
from engine.lab.services.processor import Processor
from engine.ledger.report_text import iso
from engine.ledger.reports import REPORTS, STEPS_MS, Stretch
from engine.settings import Settings

STEPS: Final = ("hour", "minute")


class Taken(NamedTuple):
    """What was charged in a step of time; ``fee_cents`` is None where a fee is not known."""

    payments: int
    cents: int
    fee_cents: int | None
    net_cents: int | None


Takings = Mapping[tuple[str, int], Taken]  # by processor and when a step begins, epoch ms; steps with payments only


def stretch(begin_epoch_s: float, end_epoch_s: float, step: str) -> Stretch:
    """The whole steps of a run."""
    step_ms = STEPS_MS[step]
    begin, end = (int(epoch_s * 1000) // step_ms for epoch_s in (begin_epoch_s, end_epoch_s))
    return Stretch(begin * step_ms, (end + 1) * step_ms, step_ms)


def of_report(settings: Settings, span: Stretch) -> Takings:
    """What ``report money`` says. Raises LedgerError."""
    with contextlib.closing(recorded.opened(settings)) as database:
        report = REPORTS["money"](database, span)
    places = [[one.name for one in report.columns].index(name) for name in
              ("processor", "time", "payments", "gross_cents", "fee_cents", "net_cents")]  # fmt: skip
    rows = ([row[place] for place in places] for row in report.rows)
    return {(name, at_ms): Taken(*values) for name, at_ms, *values in rows if name != "(all)"}


def of_processors(processors: Mapping[str, Processor], span: Stretch) -> Takings:
    """What the processors say, each asked for each step. Raises ServiceError."""
    found = {}
    for name, processor in processors.items():
        for at_ms in range(span.from_ms, span.to_ms, span.step_ms):
            own = processor.summary((iso(at_ms), iso(at_ms + span.step_ms - 1)))
            if own.count:
                found[name, at_ms] = Taken(own.count, own.cents, own.fee_cents, own.cents - own.fee_cents)
    return found


def check(step: str, told: Takings, own: Takings) -> Check:
    """Payments, amounts, fees and net of each processor and step are its own, to the cent."""
    wrong = [
        f"{name} {iso(at_ms)}: {told.get((name, at_ms))} and not {own.get((name, at_ms))}"
        for name, at_ms in sorted(told.keys() | own.keys())
        if told.get((name, at_ms)) != own.get((name, at_ms))
    ]
    fees = {name: sum(one.fee_cents or 0 for (by, _), one in own.items() if by == name) for name, _ in own}
    shown = ", ".join(f"{name} {cents:,}" for name, cents in sorted(fees.items()))
    detail = f"{len(own)} sums, fees in cents: {shown}; {len(wrong)} differ" + examples(wrong)
    return Check(f"fees and net of the report are the processors' own, by {step}", bool(own) and not wrong, detail)
