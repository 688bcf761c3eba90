"""A payment as memory has it, as a row. Pure."""

from __future__ import annotations

from engine.ledger.fees import Fees
from engine.ledger.follow import OVER
from engine.ledger.rows import PURGED, PaymentRow
from engine.memory import layout
from engine.payment import Payment


def row_of(payment: Payment, ring: int, position: int, era: int, is_current: bool, fees: Fees) -> PaymentRow:
    """The row of a payment that was accepted at ``position`` of ``ring``, in the ledger's ``era``.

    ``is_current``: whether the era lasts; what was open when it ended is purged. ``fees``: which was valid when.
    """
    # Taken apart at once, because this is done for every payment.
    (
        _, id_high, id_low, cents, accepted_ms, state, number, attempts, requested_ms, settled_ms, reason, _, first_ms,
        is_parked,
    ) = payment  # fmt: skip
    is_sent, is_over = attempts > 0, state in OVER
    has_processor = is_sent and state not in (layout.QUEUED, layout.FAILED)
    processor = number if has_processor or state == layout.CHARGED_BEFORE else None
    if not is_over and not is_parked:  # an open payment that is parked and has a reason is a dead letter
        reason = layout.REASON_NONE
    is_charged = processor is not None and state == layout.COMPLETED
    return PaymentRow(
        era,
        (id_high << 64 | id_low).to_bytes(16, "big"),
        state if is_over or is_current else PURGED,
        processor,
        attempts,
        # Where the amounts differ, what the processor has charged.
        first_ms if is_over and reason == layout.REASON_AMOUNT else cents,
        accepted_ms,
        requested_ms if is_sent or state == layout.CHARGED_BEFORE else None,
        settled_ms if is_over else None,
        fees.at(processor, requested_ms) if is_charged and processor is not None else None,
        reason,
        ring,
        position,
    )
