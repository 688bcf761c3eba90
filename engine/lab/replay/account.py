"""Where the money of a run went, held against the best that was possible. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal

from engine.lab.replay.oracle import Best
from engine.lab.replay.result import Result


@dataclass(frozen=True)
class Account:
    """All in currency units. What is taken off ``requested`` adds up exactly to ``worth``.

    Parameters:
      requested: the amounts of all accepted payments.
      fees_unavoidable: fees of the oracle, which knows the future.
      fees_unknowing: what was paid in fees beyond that. Negative when payments were left that would have cost fees.
      left_unavoidable: amounts that could not have been settled in time.
      left: amounts beyond ``left_unavoidable`` that were not settled when the run ended.
      fine: for missed audits.
      worth: net after the fine.
      ratio: ``worth`` over what the oracle nets.
    """

    requested: Decimal
    fees_unavoidable: Decimal
    fees_unknowing: Decimal
    left_unavoidable: Decimal
    left: Decimal
    fine: Decimal
    worth: Decimal
    ratio: float

    def json(self) -> dict[str, float]:
        """For a JSON file."""
        return {name: float(value) for name, value in asdict(self).items()}


def account(result: Result, best: Best) -> Account:
    """The account of ``result``; ``best`` is of the same scenario and arrivals."""
    amount = Decimal(result.amount_cents) / 100
    fees = result.fees.default, result.fees.fallback

    def paid(settled: tuple[int, int]) -> Decimal:
        return sum((count * amount * fee for count, fee in zip(settled, fees, strict=True)), Decimal(0))

    unavoidable, left_unavoidable = paid((best.on_default, best.on_fallback)), best.left * amount
    return Account(
        requested=result.requested,
        fees_unavoidable=unavoidable,
        fees_unknowing=paid(result.settled) - unavoidable,
        left_unavoidable=left_unavoidable,
        left=result.left * amount - left_unavoidable,
        fine=result.fine,
        worth=result.worth,
        ratio=float(result.worth / best.net) if best.net else 1.0,
    )
