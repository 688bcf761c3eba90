"""A connector: the protocol of one kind of processor. The transport carries its requests without understanding them.

How to add one:

1. Write a module beside :mod:`engine.connectors.rinha`: functions that make requests and read answers, and a function
   ``connector(token)`` that puts them together as a :class:`Connector`. Its docstring has a table of every answer that
   is known, with its source. An answer that is not in the table is UNKNOWN (:mod:`engine.connectors.answers`).
2. Name it in :data:`engine.connectors.registry.CONNECTORS`.
3. Test the table. Test also that a reading never raises, whatever the bytes and the status are.

The processor must refuse an id that it has charged, and must tell what it has stored for an id. Without the first, a
payment may be charged twice after a time-out. Without the second, a payment may never end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.connectors.answers import Fee, Health, Outcome, Summary

Body = bytes | bytearray


class Request(NamedTuple):
    """An HTTP request, but for the processor's origin and base path.

    ``path``: from the first slash, with the query. ``headers``: names and values. ``body``: empty with GET; with any
    other method, ``headers`` has its type.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Connector:
    """Requests and readings of one kind of processor. All functions are pure.

    A reading gets the status and the whole body of an answer, at most BODY_BYTES_MAX. It must not keep a reference to
    the body, because the bytes change afterwards. A reading that raises counts as UNKNOWN, and for a query as None.

    Parameters:
      payments: what all requests for payments have in common; ``payment_body`` makes the body of each.
      payment_body: of id_high, id_low, cents and requested_ms (ms since 1970). The same four give the same bytes.
      lookup: of id_high, id_low: asks what the processor has stored for this id.
      health, fee: the queries for these two.
      summary: of from_ms, to_ms (ms since 1970): asks what was charged under a requestedAt from the beginning of the
        first millisecond to the end of the last one.
      read_payment: of status, body: CHARGED, ALREADY, REJECTED, FAILED, REFUSED or UNKNOWN.
      read_lookup: of status, body, id_high, id_low: FOUND, ABSENT or UNKNOWN. A record of another id is UNKNOWN.
      read_summary: of status, body. None: the answer is no summary.
      read_health, read_fee: of processor (its number, which the result carries), status, body. None: the answer has no
        health, or no fee.
    """

    payments: Request
    payment_body: Callable[[int, int, int, int], bytes]
    lookup: Callable[[int, int], Request]
    health: Request
    fee: Request
    summary: Callable[[int, int], Request]
    read_payment: Callable[[int, Body], Outcome]
    read_lookup: Callable[[int, Body, int, int], Outcome]
    read_health: Callable[[int, int, Body], Health | None]
    read_fee: Callable[[int, int, Body], Fee | None]
    read_summary: Callable[[int, Body], Summary | None]

    def __post_init__(self) -> None:
        assert self.payments.method != "GET", "a payment has a body"
        assert not self.payments.body, "each payment has its own"
