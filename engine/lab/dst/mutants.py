"""Mutants, bugs that are put in on purpose: a simulation that does not find them proves nothing by finding none.

Each changes one thing of the product for as long as :func:`mutated` lasts, and nothing outside of it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from engine.acts import rules
from engine.books import parked
from engine.books.reader import EXACT_MS, BooksReader
from engine.books.writer import BooksWriter
from engine.connectors import answers, rinha
from engine.dispatch import ending, life, pacing, starting
from engine.dispatch.acting import Acting
from engine.dispatch.asked import Asked
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.drain import Drain
from engine.dispatch.history import History
from engine.dispatch.loop import Loop
from engine.dispatch.queries import Queries
from engine.dispatch.unresolved import Unresolved
from engine.dispatch.work import Work
from engine.intake import acceptor
from engine.intake.acceptor import Acceptor
from engine.intake.committer import Committer
from engine.journal.writer import JournalWriter
from engine.lab.dst import processes, wrong, wrong_ledger
from engine.lab.dst.mutant import Mutant, put_in
from engine.lab.dst.sql import Sql
from engine.ledger import slots
from engine.ledger.carrier import Carrier
from engine.ledger.eras import Eras
from engine.ledger.marks import Marks
from engine.memory.doorbell import Doorbell
from engine.operate import carrying
from engine.ring.ids import IdMemory
from engine.ring.ring import RingReader, RingWriter
from engine.storage import fingerprints, migration
from engine.storage.durability import Syncing


def mutated(name: str) -> AbstractContextManager[None]:
    """Puts the bug ``name`` of :data:`MUTANTS` into the product, and takes it out at the end."""
    return put_in(MUTANTS[name])


MUTANTS = {
    "unknown-goes-anywhere": Mutant(
        "a time-out is taken for a refusal, and the payment goes to the other processor",
        answers,
        "of_error",
        wrong.of_error,
    ),
    "no-redo-log": Mutant("a transaction of the books is stored without its log", BooksWriter, "commit", wrong.commit),
    "redo-forgotten": Mutant("a new writer drops what was committed", BooksWriter, "recover", wrong.recover_books),
    "head-first": Mutant("a payment is published before its slot is whole", RingWriter, "fill", wrong.fill_head_first),
    "sent-before-stored": Mutant(
        "PROCESSING is stored after the request was sent",
        starting,
        "begin",
        wrong.begin_late,
        ((Dispatcher, "finish", wrong.finish_late),),
    ),
    "parked-left-behind": Mutant(
        "memory of other sizes does not get what is parked", migration, "_plan_parked", wrong.none_parked
    ),
    "sent-before-synced": Mutant(
        "a payment is sent before it is on disk where it goes", Syncing, "before_sends", lambda *_: None
    ),
    "answered-before-synced": Mutant(
        "a 202 is sent before the payment is on disk", Committer, "commit", wrong.commit_unsynced
    ),
    "absent-is-not-charged": Mutant("a 404 is taken for a refusal", ending, "finish", wrong.finish_absent),
    "recovered-as-queued": Mutant(
        "after a crash, what was in flight may go anywhere", Work, "recover", wrong.recover_as_queued
    ),
    "left-not-asked": Mutant(
        "after a crash, what was in flight is sent again before anybody asks for it",
        starting,
        "begin_left",
        lambda *_: [],
    ),
    "left-asked-late": Mutant(
        "after a crash, what was in flight is asked for half a second later", Work, "recover", wrong.recover_late
    ),
    "lock-file-anew": Mutant(
        "a new API process locks another file than those that run", processes, "lock_file", wrong.lock_file_anew
    ),
    "waits-for-ever": Mutant(
        "a lock whose holder stands still is waited for without limit", acceptor, "STRIPE_WAIT_SECONDS", 1e9
    ),
    "no-lock": Mutant("two API processes look up and put at the same time", Acceptor, "accept", Acceptor._accept),
    "slot-given-early": Mutant(
        "a slot is given away before its payment is over", RingReader, "is_done", wrong.is_done_early
    ),
    "leftover-kept": Mutant(
        "a new API process leaves what its predecessor had not published", RingWriter, "__init__", wrong.open_as_it_is
    ),
    "torn-reading": Mutant("the books are read without their version", BooksReader, "_read", wrong.read_whatever),
    "said-to-be-exact": Mutant(
        "an old window does not say how exact it is", BooksReader, "_resolution_ms", lambda *_: EXACT_MS
    ),
    "bounds-rounded-apart": Mutant(
        "a bound is rounded up where a window begins, and down where it ends",
        BooksReader,
        "_window",
        wrong.window_rounded_apart,
    ),
    "parked-not-found": Mutant("what was parked is not looked up", BooksReader, "parked", lambda *_: None),
    "record-of-any-time": Mutant("a record is taken for ours whatever its time", life, "whose", wrong.whose_ever),
    "seen-ignored": Mutant(
        "an id that was here before is not looked up first", IdMemory, "remember", wrong.remember_unsaid
    ),
    "refused-waits": Mutant("what is refused goes into the queue again", life, "_AFTER_REQUEST", wrong.REFUSED_WAITS),
    "refused-by-one": Mutant(
        "a payment has failed when one processor has refused it", life, "is_refused_for_good", wrong.refused_by_one
    ),
    "aged-by-the-wall": Mutant("ages are measured by the wall clock", Dispatcher, "_queue", wrong.aged_by_the_wall),
    "same-though-failed": Mutant("202 for a payment that has failed", Acceptor, "_accept", wrong.same_though_failed),
    "gateway-has-failed": Mutant(
        "503 and 504 are taken for a failure", rinha, "read_payment", wrong.gateway_has_failed
    ),
    "accepted-is-charged": Mutant("202 is taken for a charge", rinha, "read_payment", wrong.accepted_is_charged),
    "any-200-is-charged": Mutant("every 200 is taken for a charge", rinha, "read_payment", wrong.any_200_is_charged),
    "settled-after-eight": Mutant(
        "422 and eight times 404 are taken for a charge", life, "after_lookup", wrong.settled_after_eight
    ),
    "whatever-id": Mutant("the id of what is looked up is not compared", rinha, "read_lookup", wrong.whatever_id),
    "no-carry": Mutant("sums wrap around at 2^63", BooksWriter, "_counts", wrong.no_carry),
    "undecided": Mutant("what deciding raises ends the dispatcher", Work, "decided", wrong.undecided),
    "asked-for-ever": Mutant(
        "lookups after a 422 have no count, and no back-off",
        life,
        "after_lookup",
        wrong.never_told,
        ((Unresolved, "wait_ms", wrong.always_soon),),
    ),
    "settled-without-lookup": Mutant(
        "a 422 to the first request is taken for a charge when no lookup can be had",
        life,
        "after_lookup",
        wrong.settled_without_lookup,
    ),
    "any-address": Mutant("another address of a processor is always taken", fingerprints, "complaint", lambda *_: ""),
    "amount-unsaid": Mutant("another amount is booked without a word", life, "after_lookup", wrong.amount_unsaid),
    "no-last-look": Mutant(
        "the dispatcher falls asleep without a last look", Loop, "_may_sleep", wrong.may_always_sleep
    ),
    "sleeps-for-ever": Mutant(
        "the dispatcher does not wake by itself when no ring is heard", pacing, "IDLE_WAIT_MS", 10**9
    ),
    "bell-not-rung": Mutant("an API process does not wake the dispatcher", Doorbell, "ring_if_asleep", lambda *_: None),
    "deaf": Mutant("it says that it listens for an answer, and does not", pacing, "decide", wrong.deaf),
    "late-start": Mutant(
        "payments are sent after the drain time",
        Drain,
        "is_late",
        wrong.never_late,
        ((Drain, "is_over", wrong.over_in_time),),
    ),
    "fee-of-the-other": Mutant(
        "a fee is learnt for the other processor", Queries, "_heard_fee", wrong.fee_of_the_other
    ),
    "health-at-once": Mutant(
        "a new dispatcher does not know when health was asked for last", Queries, "begin", lambda *_: None
    ),
    "act-without-row": Mutant(
        "a command is put before who and why are in SQL", carrying, "carry_out", wrong.put_before_row
    ),
    "effect-twice": Mutant(
        "an act and the place of the command ring are two transactions",
        Acting,
        "_carry_out",
        wrong.act_in_two_transactions,
    ),
    "retry-whatever": Mutant(
        "what may be charged is sent again when a person asks",
        rules,
        "decide",
        wrong.retry_whatever,
        ((Acting, "_do", wrong.retry_unknown),),
    ),
    "pause-forgotten": Mutant(
        "a new dispatcher does not know what is paused", Acting, "_observe_pauses", wrong.pause_without_memory
    ),
    "result-untold": Mutant(
        "a result whose dispatcher died before it told it is never told", Acting, "recover", wrong.recover_untold
    ),
    "cursor-before-rows": Mutant(
        "the ledger's cursor is committed before the rows", Sql, "write", wrong_ledger.write_cursor_first
    ),
    "sums-twice": Mutant(
        "a payment that is carried again adds its amount", Sql, "put_payment", wrong_ledger.put_payment_again
    ),
    "rows-twice": Mutant("an attempt's answer is another row", Sql, "complete", wrong_ledger.add_answer),
    "slot-given-unrecorded": Mutant(
        "a slot is given away before SQL has its payment, though that is required",
        RingReader,
        "is_full",
        property(wrong_ledger.is_full_of_open),
    ),
    "place-given-unrecorded": Mutant(
        "a settled parked place is used again before SQL has its payment", parked, "_is_recorded", lambda *_: True
    ),
    "open-counts-as-recorded": Mutant(
        "shared memory is told that SQL has the end of what it has seen", Marks, "set", wrong_ledger.marks_of_all_seen
    ),
    "era-forgotten": Mutant("a purge ends no era", Eras, "_next", wrong_ledger.no_next_era),
    "purge-unrecorded": Mutant("a purge does not wait for SQL", Asked, "may_purge", lambda *_: True),
    "published-first": Mutant(
        "the journal publishes records before they are written", JournalWriter, "append", wrong_ledger.publish_first
    ),
    "slots-at-once": Mutant(
        "the ledger reads a slot as if all of its words were of one moment",
        slots,
        "read",
        wrong_ledger.read_slots_at_once,
    ),
    "recorded-late": Mutant(
        "the end of a request is recorded after the books have it", History, "answered", wrong_ledger.answered_late
    ),
    "open-for-ever": Mutant(
        "a new ledger process does not know what SQL has as open", Carrier, "_find_open", lambda *_: None
    ),
}
