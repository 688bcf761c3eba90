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
    state = payment.state
    is_sent, is_over = payment.attempts > 0, state in OVER
    is_dead = payment.is_parked and payment.reason != layout.REASON_NONE
    has_processor = is_sent and state not in (layout.QUEUED, layout.FAILED)
    processor = payment.processor if has_processor or state == layout.CHARGED_BEFORE else None
    reason = payment.reason if is_over or is_dead else layout.REASON_NONE
    is_charged = processor is not None and state == layout.COMPLETED
    return PaymentRow(
        era,
        (payment.id_high << 64 | payment.id_low).to_bytes(16, "big"),
        state if is_over or is_current else PURGED,
        processor,
        payment.attempts,
        # Where the amounts differ, what the processor has charged.
        payment.first_ms if is_over and reason == layout.REASON_AMOUNT else payment.cents,
        payment.accepted_ms,
        payment.requested_ms if is_sent or state == layout.CHARGED_BEFORE else None,
        payment.settled_ms if is_over else None,
        fees.at(processor, payment.requested_ms) if is_charged and processor is not None else None,
        reason,
        ring,
        position,
    )
