"""What a cell decides: calls to the store, requests to processors, replies to customers."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from engine.cluster.held import Held
from engine.cluster.values import Call


class ReplyTo(IntEnum):
    """What a customer is told, by its status."""

    ACCEPTED = 202
    CONFLICT = 409
    AWAY = 503  # with Retry-After: this cell cannot say whether it is accepted


class Reply(NamedTuple):
    """An answer to those who offer this payment for this amount.

    ``is_held``: this very offer was accepted, and this cell pays it. Otherwise it was accepted before, or not at all.
    ``failed``: with CONFLICT, why the payment was given up (a slot's word of that name); None: it has another amount.
    """

    id: bytes
    cents: int
    to: ReplyTo
    is_held: bool = False
    failed: int | None = None


class Request(NamedTuple):
    """A request for a payment; whatever cell sends it, the body of one pin is the same."""

    id: bytes
    number: int
    processor: int
    requested_ms: int
    cents: int


class Unsent(NamedTuple):
    """A payment that was to be pinned is not sent. ``is_gone``: this cell does not hold it any more."""

    id: bytes
    is_gone: bool


class Taken(NamedTuple):
    """An open payment that the store has handed over: an adopted one, one of an earlier epoch of this cell, or one of
    which it knew more than this cell."""

    held: Held


class Forgot(NamedTuple):
    """Nothing of what was held counts any more. ``is_purged``: everything of all cells was purged."""

    is_purged: bool


class Say(NamedTuple):
    """A call to the store; its answer comes back with the same number."""

    number: int
    call: Call


class AskHealth(NamedTuple):
    """A query for a processor's health, for all cells, at once. ``asked_ms``: the store's clock when it was granted."""

    processor: int
    asked_ms: int


class HealthTold(NamedTuple):
    """A newer answer to such a query, whichever cell has asked: its status, and its body."""

    processor: int
    status: int
    body: bytes


Action = Reply | Request | Unsent | Taken | Forgot | Say | AskHealth | HealthTold
