"""The layout of the metrics: a page of counters and times for each process, in one segment, ``NAME-metrics``.

====================  ===========================================================================================
words                 content
====================  ===========================================================================================
0 .. 63               header: magic, layout version
64 ..                 a page for each of API_PROCESSES_MAX API processes, API_WORDS each; written by that process
DISPATCHER_AT ..      the dispatcher's page; written by the dispatcher
LEDGER_AT ..          the ledger's page; written by the ledger
RECONCILE_AT ..       the page of reconciliation; written by `reconcile --again`
NGINX_AT ..           what nginx has refused; written by `up`, in containers by `nginx-log`
====================  ===========================================================================================

Each word has one writer, and counts for as long as the segment exists: a process that starts again goes on counting.
The segment is an aid. It is always in shared memory, never on disk, and whatever does not fit is made anew. What rings,
books and status block have is not counted here a second time: accepted payments are a ring's head, full rings count
what they refuse, and the books have the money.

*Times* are log-linear histograms: a bucket for what took less than 64 us, then 8 buckets for each doubling up to 67 s,
one for all that took longer, and the sum. A bit scan finds the bucket of a duration (:mod:`engine.metrics.times`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.memory.words import Words
from engine.processors import PROCESSORS_MAX

METRICS_MAGIC: Final = int.from_bytes(b"eng-metr", "little")
METRICS_LAYOUT_VERSION: Final = 2
MAGIC_AT: Final = 0  # written last when the segment is made
LAYOUT_AT: Final = 1
HEADER_WORDS: Final = 64

API_PROCESSES_MAX: Final = 16

# --- times -----------------------------------------------------------------------------------------------------------

TIMES_LOW_BITS: Final = 6  # what takes less than 2^6 us is in bucket 0
TIMES_HIGH_BITS: Final = 26  # what takes 2^26 us or more is in the last bucket
TIMES_STEP_BITS: Final = 3  # 2^3 buckets for each doubling in between
TIMES_BUCKETS: Final = 2 + (TIMES_HIGH_BITS - TIMES_LOW_BITS << TIMES_STEP_BITS)
TIMES_SUM: Final = TIMES_BUCKETS  # the word behind the buckets: the sum of all that was counted, in us
TIMES_WORDS: Final = TIMES_SUM + 2  # even, so that a page is a multiple of cache lines

# --- every page begins with what its process says of itself ----------------------------------------------------------

PROCESS_STARTS: Final = 0  # how often a process of this page has started
PROCESS_SEEN_MS: Final = 1  # CLOCK_BOOTTIME when it last wrote these words; 0: it has never run
PROCESS_CPU_US: Final = 2  # CPU time of the process that runs now, or ran last
PROCESS_RESIDENT_BYTES: Final = 3  # its memory, shared pages that it has touched included
PROCESS_DESCRIPTORS: Final = 4  # descriptors that it has open
PROCESS_WORDS: Final = 8


class Count(NamedTuple):
    """A counter: its word in the page, the value of its label, and what is counted."""

    at: int
    label: str
    help: str


# --- the page of an API process --------------------------------------------------------------------------------------

API_DUPLICATES: Final = PROCESS_WORDS  # payments that came again with the same amount, and had 202 again
REFUSALS: Final = tuple(
    Count(API_DUPLICATES + 1 + index, label, text)
    for index, (label, text) in enumerate(
        (
            ("conflict", "409: the correlationId was accepted with another amount"),
            ("failed", "409: the payment with this correlationId has failed"),
            ("invalid", "400: no payment can be read from the body"),
            ("content_type", "415: the body is not called JSON"),
            ("too_large", "413: the body is longer than ENGINE_BODY_BYTES_MAX"),
            ("busy", "503: the books changed during each of several readings"),
            ("stuck", "503: another process stands still with a lock that was needed"),
            ("lost", "503: the disk has refused what it should keep"),
            ("stopping", "503: the process was stopping"),
            ("error", "500: the code has raised an exception"),
        )
    )
)
API_ACCEPTING: Final = 24  # TIMES of payments that were answered with 202, from the request's first byte in the process
API_WORDS: Final = 192

# --- the dispatcher's page -------------------------------------------------------------------------------------------

VERDICTS: Final = (  # as engine.connectors.answers.Verdict: their order is that of the words
    "charged", "already", "rejected", "failed", "refused", "unknown", "found", "absent",
)  # fmt: skip
# For each processor of the list, OF_PROCESSOR_WORDS from DISPATCHER_PROCESSORS on:
REQUESTS: Final = 0  # requests that have ended, a word for each of VERDICTS
LOOKUPS: Final = 8  # lookups that have ended, a word for each of VERDICTS
WAITED: Final = 16  # TIMES from a payment's acceptance to the sending of the request that charged it
ANSWERED: Final = WAITED + TIMES_WORDS  # TIMES from the sending of a request to its end
SETTLED: Final = ANSWERED + TIMES_WORDS  # TIMES from a payment's acceptance to its end in the books
OF_PROCESSOR_WORDS: Final = 512
# Shown once a second, for each processor, SHOWN_WORDS from DISPATCHER_SHOWN on:
SHOWN_CAPACITY: Final = 0  # most requests that may be in flight there now
SHOWN_STATE: Final = 1  # engine.routing.state.ProcessorState
SHOWN_PROBES: Final = 2  # probes in flight there
SHOWN_UNKNOWN_CENTS: Final = 3  # cents of the payments whose outcome there is unknown
SHOWN_UNKNOWN_OLDEST_MS: Final = 4  # the engine's clock at the acceptance of the oldest of them; 0: there is none
SHOWN_WORDS: Final = 8

DISPATCHER_WAITING: Final = PROCESS_WORDS  # payments that may be sent anywhere and are not in flight
DISPATCHER_OLDEST_MS: Final = PROCESS_WORDS + 1  # the engine's clock at the acceptance of the oldest; 0: there is none
DISPATCHER_DELAYED: Final = PROCESS_WORDS + 2  # payments with a back-off of their own
DISPATCHER_SHOWN: Final = 24
DISPATCHER_PROCESSORS: Final = DISPATCHER_SHOWN + SHOWN_WORDS * PROCESSORS_MAX
DISPATCHER_WORDS: Final = DISPATCHER_PROCESSORS + OF_PROCESSOR_WORDS * PROCESSORS_MAX

# --- the ledger's page -----------------------------------------------------------------------------------------------

LEDGER_PAYMENTS: Final = PROCESS_WORDS  # rows of payments that were written, again and again as they change
LEDGER_ATTEMPTS: Final = PROCESS_WORDS + 1  # rows of attempts that were written
LEDGER_GAPS: Final = PROCESS_WORDS + 2  # gaps that were recorded
LEDGER_MISSING: Final = PROCESS_WORDS + 3  # records of the journal, and payments, that these gaps lack
LEDGER_REJECTED: Final = PROCESS_WORDS + 4  # rows that could not be written, and were set apart
LEDGER_WORDS: Final = 16

# --- the page of reconciliation --------------------------------------------------------------------------------------

RECONCILE_RUNS: Final = PROCESS_WORDS  # runs that came to their end
RECONCILE_UNENDED: Final = PROCESS_WORDS + 1  # runs that did not: somebody could not be asked
RECONCILE_ENDED_MS: Final = PROCESS_WORDS + 2  # CLOCK_BOOTTIME at the end of the last whole run, or of the start
RECONCILE_CENTS: Final = PROCESS_WORDS + 3  # cents by which open exceptions differ, each without its sign
RECONCILE_TWICE: Final = PROCESS_WORDS + 4  # payments of open exceptions that the ledger has charged elsewhere
RECONCILE_OPEN: Final = PROCESS_WORDS + 8  # open exceptions, a word for each of EXCEPTIONS
EXCEPTIONS: Final = (  # as engine.reconcile.finding.OPEN: their order is that of the words
    "missing_there", "missing_here", "amount_differs", "time_differs", "neither_half_differs",
)  # fmt: skip
# The window that is compared just now; zero in memory of before, and then nothing is said:
RECONCILE_NOW: Final = PROCESS_WORDS + 16  # the number of its processor plus one; 0: nothing is compared
RECONCILE_NOW_FROM_MS: Final = PROCESS_WORDS + 17  # ms since 1970 UTC
RECONCILE_NOW_TO_MS: Final = PROCESS_WORDS + 18  # included
RECONCILE_RUN_FROM_MS: Final = PROCESS_WORDS + 19  # the stretch of the whole run
RECONCILE_RUN_TO_MS: Final = PROCESS_WORDS + 20
RECONCILE_WORDS: Final = 32
# --- what nginx has refused by itself, counted by who reads its log ---
NGINX_STATUSES: Final = {500: 0, 501: 1, 503: 2, 504: 3}  # the status that clients got: its place
NGINX_SLOWED: Final = 4  # 429: clients that came too often, or had too many requests open
NGINX_SLOWED_OF: Final = 16  # of so many of these one is told
NGINX_WORDS: Final = 8

# --- where the pages are ---------------------------------------------------------------------------------------------

API_AT: Final = HEADER_WORDS
DISPATCHER_AT: Final = API_AT + API_WORDS * API_PROCESSES_MAX
LEDGER_AT: Final = DISPATCHER_AT + DISPATCHER_WORDS
RECONCILE_AT: Final = LEDGER_AT + LEDGER_WORDS
NGINX_AT: Final = RECONCILE_AT + RECONCILE_WORDS
METRICS_WORDS: Final = NGINX_AT + NGINX_WORDS


def api_at(index: int) -> int:
    """Where the page of API process ``index`` begins."""
    return API_AT + index * API_WORDS


def lay_out_metrics(words: Words) -> None:
    """Turns zeroed memory into pages on which nothing was counted."""
    words[LAYOUT_AT] = METRICS_LAYOUT_VERSION
    words[MAGIC_AT] = METRICS_MAGIC


def is_usable(words: Words) -> bool:
    """Whether these are finished pages of this layout."""
    if len(words) != METRICS_WORDS:
        return False
    return words[MAGIC_AT] == METRICS_MAGIC and words[LAYOUT_AT] == METRICS_LAYOUT_VERSION


assert REFUSALS[-1].at < API_ACCEPTING and API_ACCEPTING + TIMES_WORDS <= API_WORDS
assert len(VERDICTS) <= LOOKUPS - REQUESTS and len(VERDICTS) <= WAITED - LOOKUPS
assert SETTLED + TIMES_WORDS <= OF_PROCESSOR_WORDS and DISPATCHER_DELAYED < DISPATCHER_SHOWN
assert LEDGER_REJECTED < LEDGER_WORDS and PROCESS_DESCRIPTORS < PROCESS_WORDS
assert RECONCILE_TWICE < RECONCILE_OPEN and RECONCILE_OPEN + len(EXCEPTIONS) <= RECONCILE_NOW
assert RECONCILE_RUN_TO_MS < RECONCILE_WORDS
assert all(
    at % 8 == 0
    for at in (API_AT, API_WORDS, DISPATCHER_AT, DISPATCHER_PROCESSORS, LEDGER_AT, RECONCILE_AT, METRICS_WORDS)
)
