"""Which act is safe for a payment now. Pure: the dispatcher decides by it, and an operator's dry run shows the same.

====================  ===========  ===========  ==================================  ==================
a payment that        ask          retry        charged, cancel                     offered to people
====================  ===========  ===========  ==================================  ==================
is a dead letter      DONE         MAY_BE_...   DONE; cancel not before nothing     ask, charged,
                                                that was sent can be under way      cancel
has failed            DONE         DONE         NOT_CHARGED                         ask, retry
is still worked on    DONE         NOT_DEAD     NOT_DEAD                            ask
has ended otherwise   OVER         OVER         OVER                                nothing
====================  ===========  ===========  ==================================  ==================

A dead letter is open, with a reason, and nothing is sent for it any more. But a request that nobody waits for may still
be under way: a lookup that does not find the payment proves nothing before it has had its time (``UNDER_WAY_MS``).
"""

from __future__ import annotations

from engine.memory import layout
from engine.memory.acts_layout import Act, Result, pack_expected
from engine.payment import Payment

# A request that was sent when the payment became a dead letter has arrived, or never will, after this: ten minutes are
# the longest time for which an answer may be waited for (ENGINE_REQUEST_TIMEOUT_MS).
UNDER_WAY_MS = 600_000
OPEN = (layout.QUEUED, layout.PROCESSING, layout.ALREADY)


def is_dead_letter(payment: Payment) -> bool:
    """Whether a person may decide about a parked payment: its outcome is unknown, or it has failed."""
    return has_failed(payment) or (payment.state in OPEN and payment.reason != layout.REASON_NONE)


def has_failed(payment: Payment) -> bool:
    """Whether the engine has given it up, and no person has ended it."""
    return payment.state == layout.FAILED and payment.reason not in layout.DECLARED


def seen(payment: Payment) -> int:
    """What a command says that its operator saw of a payment."""
    return pack_expected(payment.state, payment.reason, payment.attempts)


def decide(act: int, payment: Payment, now_ms: int) -> Result:
    """What an act on a parked payment comes to, by the table.

    Parameters:
      payment: as its parking place has it.
      now_ms: the wall clock, ms since 1970 UTC.
    """
    if has_failed(payment):
        return {Act.ASK: Result.DONE, Act.RETRY: Result.DONE}.get(Act(act), Result.NOT_CHARGED)
    if payment.state not in OPEN:
        return Result.OVER
    if act == Act.ASK:
        return Result.DONE
    if payment.reason == layout.REASON_NONE:
        return Result.NOT_DEAD
    if act == Act.RETRY:
        return Result.MAY_BE_CHARGED
    if act == Act.CANCEL and now_ms - payment.settled_ms < UNDER_WAY_MS:
        return Result.UNDER_WAY
    return Result.DONE
