"""What must hold of the ledger after the chaos: it tells the same as clients and processors. Pure."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.lab.chaos.checks import Check, examples
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent
from engine.lab.ledger.gauge import Behind
from engine.lab.ledger.recorded import Gap, Paid, Recorded, Tried
from engine.lab.machine.processes import DISPATCHER
from engine.lab.services.processor import Charged, Heard
from engine.memory.layout import COMPLETED

Request = tuple[bytes, int, bool]  # a payment's id, the processor's number, whether it is a lookup
JOURNAL = "journal"


@dataclass(frozen=True)
class Account:
    """Requests of the processors' own logs against attempts of the ledger.

    Parameters:
      heard, attempts: how many there are.
      missing: requests without an attempt.
      extra: attempts without a request.
    """

    heard: int
    attempts: int
    missing: list[Request]
    extra: list[Request]


def compare(heard: Mapping[int, Iterable[Heard]], attempts: Iterable[Tried]) -> Account:
    """Finds for each request an attempt of the same payment, processor and kind.

    Parameters:
      heard: the log of each processor, by number.
    """
    requests: Counter[Request] = Counter(
        (one.key, number, one.is_lookup) for number, log in heard.items() for one in log
    )
    tried: Counter[Request] = Counter((one.key, one.processor, one.is_lookup) for one in attempts)
    return Account(
        requests.total(), tried.total(), list((requests - tried).elements()), list((tried - requests).elements())
    )


def all_checks(
    sent: Sequence[Sent],
    charges: Mapping[str, Sequence[Charged]],
    recorded: Recorded,
    account: Account,
    kills: Sequence[Kill],
    begun: int,
) -> list[Check]:
    """Every promise.

    Parameters:
      charges: everything that each processor has charged, in the order of their numbers.
      begun: payments that dispatchers had at a processor when they were killed, all kills together.
    """
    return [
        *payments(sent, recorded.payments),
        settled(charges, recorded.payments),
        requests(account, recorded.gaps),
        extra(account, sum(kill.role == DISPATCHER for kill in kills), begun),
        Check("no row was set apart", not recorded.rejected, f"{len(recorded.rejected)} rows"
              + examples(recorded.rejected)),
    ]  # fmt: skip


def payments(sent: Sequence[Sent], rows: Sequence[Paid]) -> list[Check]:
    """`payment` has every accepted payment once and no other; one that saw an error may be there or not."""
    times = Counter(str(uuid.UUID(bytes=row.key)) for row in rows)
    accepted = {one.correlation_id for one in sent if one.is_accepted}
    unsure = {one.correlation_id for one in sent if not one.is_accepted}
    lost = accepted - times.keys()
    twice = [name for name, count in times.items() if count > 1]
    strangers = times.keys() - accepted - unsure
    return [
        Check("the ledger has every accepted payment once", bool(accepted) and not lost and not twice,
              f"{len(accepted):,} accepted, {len(accepted - lost):,} recorded, {len(twice)} twice"
              + examples(lost or twice)),
        Check("the ledger has no other payment", not strangers,
              f"{len(strangers)} strangers among {len(times):,}; of {len(unsure)} that saw an error "
              f"{len(unsure & times.keys())} were accepted" + examples(strangers)),
    ]  # fmt: skip


def settled(charges: Mapping[str, Sequence[Charged]], rows: Iterable[Paid]) -> Check:
    """Each payment is completed where it was charged, and what each processor has charged is the same to the cent."""
    where = {
        uuid.UUID(one.correlation_id).bytes: number for number, some in enumerate(charges.values()) for one in some
    }
    sums: Counter[int] = Counter()
    wrong = []
    for row in rows:
        if row.state == COMPLETED and row.processor is not None:
            sums[row.processor] += row.cents
        if row.state != COMPLETED or where.get(row.key) != row.processor:
            wrong.append(str(uuid.UUID(bytes=row.key)))
    own = [sum(one.amount_cents for one in some) for some in charges.values()]
    told = [sums[number] for number in range(len(own))]
    detail = "; ".join(
        f"{name} {ours:,} cents, the ledger {theirs:,}" for name, ours, theirs in zip(charges, own, told, strict=True)
    )
    detail += f"; {len(wrong)} payments differ{examples(wrong)}"
    return Check("the ledger's sums are the processors' own", own == told and not wrong, detail)


def requests(account: Account, gaps: Collection[Gap]) -> Check:
    """Every request that a processor saw has an attempt, or lies in a gap that is counted."""
    counted = sum(gap.missing for gap in gaps if gap.source == JOURNAL)
    detail = f"{account.heard:,} requests, {account.attempts:,} attempts, {len(account.missing)} requests without one"
    detail += f"; {counted} records in gaps" + examples(list(map(_shown, account.missing)))
    return Check("every request has an attempt or lies in a counted gap", len(account.missing) <= counted, detail)


def extra(account: Account, kills: int, begun: int) -> Check:
    """Attempts that no processor saw are what a killed dispatcher was about to send, or to keep."""
    detail = f"{len(account.extra)}, at most the {begun:,} that were in flight at {kills} kills of the dispatcher"
    name = "attempts without a request are at most what kills cut off"
    return Check(name, len(account.extra) <= begun, detail + examples(list(map(_shown, account.extra))))


def carried(caught_up_s: float | None, limit_s: float, lags: Sequence[Behind]) -> Check:
    """SQL had everything soon after all was back and settled."""
    detail = f"lag at most {max((one.lag_ms for one in lags), default=0) / 1000:.1f} s meanwhile"
    after = "not" if caught_up_s is None else f"{caught_up_s:.1f} s after"
    return Check(f"the ledger has caught up within {limit_s:g} s", caught_up_s is not None, f"{after}; {detail}")


def _shown(request: Request) -> str:
    key, number, is_lookup = request
    return f"{'lookup' if is_lookup else 'request'} of {uuid.UUID(bytes=key)} at {number}"
