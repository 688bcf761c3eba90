"""What every store judges alike: whether a call is well formed, and what becomes of a row. Pure.

The checks raise ValueError: a call that is not well formed is a mistake in this program, and goes to no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.cluster.values import (
    ANSWER_BYTES_MAX,
    INTEGER_MAX,
    LEASE_MS_MAX,
    NAME_CHARACTERS_MAX,
    NO_PROCESSOR,
    ROWS_MAX,
    Epoch,
    Kept,
    Kind,
    Offer,
    Outcome,
    Pin,
    Verdict,
)

ID_BYTES: Final = 16
SMALL_MAX: Final = (1 << 15) - 1  # of a processor, a reason, a status and a subject


def judge_pin(by: Epoch, pin: Pin, kept: Kept) -> Verdict:
    """What becomes of a pin of a payment that is kept."""
    if kept.outcome is not None:
        return Verdict.ENDED
    if kept.holder != by.number:
        return Verdict.NOT_HELD
    if kept.pin is not None and kept.pin_epoch != by.number:
        return Verdict.ADOPTED
    if kept.pin == pin:
        return Verdict.SAME
    return Verdict.BEHIND if pin.number <= kept.pins else Verdict.NEW


def judge_outcome(by: Epoch, outcome: Outcome, kept: Kept) -> Verdict:
    """What becomes of an outcome of a payment that is kept."""
    if kept.outcome is not None:
        if is_same(kept.outcome, outcome):
            return Verdict.SAME
        # What was said of a payment before it was reopened, and arrives late, contradicts nothing.
        is_old = outcome.kind == Kind.GIVEN_UP and outcome.pins < kept.pins
        return Verdict.BEHIND if is_old else Verdict.DISCREPANCY
    if outcome.kind != Kind.GIVEN_UP:
        return Verdict.NEW
    if kept.holder != by.number:
        return Verdict.NOT_HELD
    if kept.pin is not None and kept.pin_epoch != by.number:
        return Verdict.ADOPTED
    return Verdict.NEW if outcome.pins == kept.pins else Verdict.BEHIND


def is_same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes say the same of the same payment."""
    return one[:4] == other[:4]


def check_join(name: str, place: bytes, life: bytes, lease_ms: int) -> None:
    """A name has 1 to NAME_CHARACTERS_MAX letters and digits of ASCII, ``-``, ``_`` or ``.``."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (name.isascii() and plain.isalnum() and len(name) <= NAME_CHARACTERS_MAX):
        raise ValueError(f"{name!r} is no name of a cell")
    check_id(place)
    check_id(life)
    check_lease(lease_ms)


def check_lease(lease_ms: int, told_ms: int = 0) -> None:
    """A lease is LEASE_MS_MAX long at most."""
    _check_number("lease_ms", lease_ms, LEASE_MS_MAX, 1)
    _check_number("told_ms", told_ms)


def check_adoption(by: Epoch, epoch: int) -> None:
    """Nobody adopts itself."""
    if epoch == by.number:
        raise ValueError(f"epoch {epoch} cannot adopt itself")


def check_limit(limit: int, since: int = 0) -> None:
    """A page has 1 to ROWS_MAX rows."""
    _check_number("limit", limit, ROWS_MAX, 1)
    _check_number("since", since)


def check_id(identity: bytes) -> None:
    """An id has ID_BYTES."""
    if not isinstance(identity, bytes) or len(identity) != ID_BYTES:
        raise ValueError(f"an id has {ID_BYTES} bytes, not {identity!r}")


def check_ids(ids: Sequence[bytes], *, once: bool = False) -> None:
    """A batch has 1 to ROWS_MAX ids; ``once``: each of them once."""
    if not 1 <= len(ids) <= ROWS_MAX:
        raise ValueError(f"a batch has 1 to {ROWS_MAX} rows, not {len(ids)}")
    for identity in ids:
        check_id(identity)
    if once and len(set(ids)) != len(ids):
        raise ValueError("an id is in the batch twice")


def check_offers(offers: Sequence[Offer]) -> None:
    """Amounts are above 0."""
    check_ids([offer.id for offer in offers])
    for offer in offers:
        _check_number("cents", offer.cents, minimum=1)
        _check_number("accepted_ms", offer.accepted_ms)


def check_pins(pins: Sequence[Pin]) -> None:
    """Numbers of pins begin with 1."""
    check_ids([pin.id for pin in pins], once=True)
    for pin in pins:
        _check_number("number", pin.number, (1 << 31) - 1, 1)
        _check_number("processor", pin.processor, SMALL_MAX)
        _check_number("requested_ms", pin.requested_ms)


def check_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What was charged has a processor, and what was given up has none."""
    check_ids([outcome.id for outcome in outcomes], once=True)
    for outcome in outcomes:
        if outcome.kind == Kind.REOPENED:
            raise ValueError("a payment is reopened by an act")
        lowest = NO_PROCESSOR if outcome.kind in (Kind.GIVEN_UP, Kind.DECLARED) else 0
        highest = NO_PROCESSOR if outcome.kind == Kind.GIVEN_UP else SMALL_MAX
        _check_number("processor", outcome.processor, highest, lowest)
        _check_number("requested_ms", outcome.requested_ms, 0 if outcome.processor == NO_PROCESSOR else INTEGER_MAX)
        _check_number("ended_ms", outcome.ended_ms)
        _check_number("reason", outcome.reason, SMALL_MAX)
        _check_number("pins", outcome.pins, (1 << 31) - 1)


def check_question(subject: int, pause_ms: int) -> None:
    """A subject is a small number."""
    _check_number("subject", subject, SMALL_MAX)
    _check_number("pause_ms", pause_ms)


def check_answer(subject: int, asked_ms: int, status: int, body: bytes) -> None:
    """A body has ANSWER_BYTES_MAX at most."""
    check_question(subject, 0)
    _check_number("asked_ms", asked_ms)
    _check_number("status", status, SMALL_MAX)
    if len(body) > ANSWER_BYTES_MAX:
        raise ValueError(f"an answer has {ANSWER_BYTES_MAX} bytes at most, not {len(body)}")


def _check_number(name: str, number: int, maximum: int = INTEGER_MAX, minimum: int = 0) -> None:
    if not minimum <= number <= maximum:
        raise ValueError(f"{name} is {minimum} to {maximum}, not {number}")
