"""Bugs to plant: a simulation that does not find them proves nothing by finding none.

Each changes one thing of the product for as long as :func:`planted` lasts, and nothing outside of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

from engine.books.reader import BooksReader
from engine.books.writer import BooksWriter
from engine.dispatch import ending, life, outcome, starting
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.unresolved import Unresolved
from engine.dispatch.work import Work
from engine.intake.desk import Desk
from engine.lab.dst import wrong
from engine.lab.dst.processes import VirtualDesk
from engine.memory import layout
from engine.ring.ring import RingReader, RingWriter
from engine.storage import fingerprints


class Plant(NamedTuple):
    """``attribute`` of ``owner`` is replaced by ``wrong``, and so are ``others``."""

    text: str
    owner: object
    attribute: str
    wrong: Any
    others: tuple[tuple[object, str, Any], ...] = ()


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Has the bug ``name`` of :data:`PLANTS` in the product."""
    plant = PLANTS[name]
    with contextlib.ExitStack() as stack:
        for owner, attribute, wrong_one in ((plant.owner, plant.attribute, plant.wrong), *plant.others):
            stack.enter_context(mock.patch.object(owner, attribute, wrong_one))
        yield


PLANTS = {
    "unknown-goes-anywhere": Plant(
        "a time-out is taken for a refusal, and the payment goes to the other processor",
        outcome,
        "of_error",
        wrong.of_error,
    ),
    "no-redo-log": Plant("a transaction of the books is stored without its log", BooksWriter, "commit", wrong.commit),
    "redo-forgotten": Plant("a new writer drops what was committed", BooksWriter, "recover", wrong.recover_books),
    "head-first": Plant("a payment is published before its slot is whole", RingWriter, "put", wrong.put_head_first),
    "sent-before-stored": Plant(
        "PROCESSING is stored after the request was sent",
        starting,
        "begin",
        wrong.begin_late,
        ((Dispatcher, "finish", wrong.finish_late),),
    ),
    "absent-is-not-charged": Plant("a 404 is taken for a refusal", ending, "finish", wrong.finish_absent),
    "recovered-as-queued": Plant(
        "after a crash, what was in flight may go anywhere", Work, "recover", wrong.recover_as_queued
    ),
    "no-lock": Plant("two API processes look up and put at the same time", VirtualDesk, "accept", VirtualDesk._accept),
    "slot-given-early": Plant(
        "a slot is given away before its payment is over", RingReader, "is_done", wrong.is_done_early
    ),
    "leftover-kept": Plant(
        "a new API process leaves what its predecessor had not published", RingWriter, "__init__", wrong.open_as_it_is
    ),
    "torn-reading": Plant("the books are read without their version", BooksReader, "_read", wrong.read_whatever),
    "aside-not-found": Plant("what was put aside is not looked up", BooksReader, "aside", lambda *_: None),
    "record-of-any-time": Plant("a record is taken for ours whatever its time", life, "whose", wrong.whose_ever),
    "seen-ignored": Plant("an id that was here before is not looked up first", layout, "ORIGIN_SEEN", 0),
    "refused-waits": Plant("what is refused goes into the queue again", life, "_AFTER_REQUEST", wrong.REFUSED_WAITS),
    "refused-by-one": Plant(
        "a payment has failed when one processor has refused it", life, "is_refused_for_good", wrong.refused_by_one
    ),
    "aged-by-the-wall": Plant("ages are measured by the wall clock", Dispatcher, "_queue", wrong.aged_by_the_wall),
    "same-though-failed": Plant("202 for a payment that has failed", Desk, "_accept", wrong.same_though_failed),
    "gateway-has-failed": Plant("503 and 504 are taken for a failure", outcome, "of_payment", wrong.gateway_has_failed),
    "accepted-is-charged": Plant("202 is taken for a charge", outcome, "of_payment", wrong.accepted_is_charged),
    "any-200-is-charged": Plant("every 200 is taken for a charge", outcome, "of_payment", wrong.any_200_is_charged),
    "settled-after-eight": Plant(
        "422 and eight times 404 are taken for a charge", life, "after_lookup", wrong.settled_after_eight
    ),
    "whatever-id": Plant("the id of what is looked up is not compared", outcome, "of_lookup", wrong.whatever_id),
    "no-carry": Plant("sums wrap around at 2^63", BooksWriter, "_counts", wrong.no_carry),
    "undecided": Plant("what deciding raises ends the dispatcher", Work, "decided", wrong.undecided),
    "asked-for-ever": Plant(
        "lookups after a 422 have no count, and no back-off",
        life,
        "after_lookup",
        wrong.never_told,
        ((Unresolved, "wait_ms", wrong.always_soon),),
    ),
    "settled-without-lookup": Plant(
        "a 422 to the first request is taken for a charge when no lookup can be had",
        life,
        "after_lookup",
        wrong.settled_without_lookup,
    ),
    "any-address": Plant("another address of a processor is always taken", fingerprints, "complaint", lambda *_: ""),
    "amount-unsaid": Plant("another amount is booked without a word", life, "after_lookup", wrong.amount_unsaid),
}
