"""Every metric: its name, kind, labels and meaning, described once. ``docs/metrics.md`` has the same table.

Names and units are as Prometheus wants them: base units (seconds, bytes), counters that end with ``_total``. Money is
whole cents, because a number there is a float, and cents are exact up to 2^53. Labels come from closed sets: processors
of the settings, processes, words of this file. No id is ever a label.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(NamedTuple):
    """A metric; ``name``: as it is scraped, without the ``_bucket``, ``_sum`` and ``_count`` of a histogram."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


def _counter(name: str, help_text: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, labels, help_text)


def _gauge(name: str, help_text: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, labels, help_text)


def _histogram(name: str, help_text: str, *labels: str) -> Family:
    return Family(name, Kind.HISTOGRAM, labels, help_text)


P: Final = "processor"
FAMILIES: Final = (
    _gauge("engine_up", "1 while a dispatcher works: its heartbeat is younger than 3 s"),
    _gauge("engine_build_info", "1; its labels say what runs", "version", "python", "layout"),
    _gauge("engine_setting", "The value of each variable that is a number", "name"),
    # intake
    _counter("engine_payments_accepted_total", "Payments accepted (202) into a ring, ever", "ring"),
    _counter("engine_payments_duplicate_total", "Payments that came again with the same amount, and had 202", "ring"),
    _counter("engine_payments_refused_total", "Requests that were not accepted, by reason", "ring", "reason"),
    _histogram("engine_accepting_seconds", "From a request's first byte in the process until its 202 was handed over"),
    _gauge("engine_ring_slots", "Slots of a ring", "ring"),
    _gauge("engine_ring_unfinished_ratio", "Share of a ring's slots with unfinished payments, of 64 looked at", "ring"),
    _gauge("engine_ring_full", "1 while a ring refuses payments until its oldest is settled", "ring"),
    # what waits
    _gauge("engine_payments_pending", "Payments accepted and not over: waiting, in flight, unknown or parked"),
    _gauge("engine_backlog_payments", "Payments that may be sent anywhere and are not in flight"),
    _gauge("engine_backlog_oldest_age_seconds", "Age of the oldest of them; 0 without one"),
    _gauge("engine_delayed_payments", "Payments with a back-off of their own"),
    _gauge("engine_parked_payments", "Payments in the parking table that are not over"),
    _gauge("engine_parked_slots", "Places of the parking table"),
    _gauge("engine_dead_letters", "Parked payments whose outcome only a person can find out"),
    # what became of payments
    _counter("engine_payments_settled_total", "Payments charged, by the books", P),
    _counter("engine_settled_cents_total", "Cents charged, by the books", P),
    _gauge("engine_fee_ratio", "Share of an amount that a processor keeps, as routing believes it", P),
    _gauge("engine_fee_cents", "Fees of all that was charged, at that share", P),
    _gauge("engine_net_cents", "Cents charged less these fees", P),
    _counter("engine_payments_failed_total", "Payments given up, certainly not charged"),
    _counter("engine_failed_cents_total", "Cents of payments given up"),
    _counter("engine_payments_charged_before_total", "Payments whose id a processor had before they were accepted"),
    _counter("engine_charged_before_cents_total", "Cents of these"),
    _counter("engine_payments_amount_differs_total", "Payments of which a processor has stored another amount"),
    _counter("engine_payments_unconfirmed_total", "Payments settled without a lookup that shows them"),
    # processors
    _counter("engine_requests_total", "Requests for payments that have ended, by outcome", P, "outcome"),
    _counter("engine_lookups_total", "Lookups that have ended, by outcome", P, "outcome"),
    _histogram("engine_sending_seconds", "From a payment's acceptance until the request left that charged it", P),
    _histogram("engine_answer_seconds", "From the sending of a payment's request to its end, whatever the outcome", P),
    _histogram("engine_settling_seconds", "From a payment's acceptance until the books have it", P),
    _gauge("engine_in_flight_requests", "Requests for payments in flight", P),
    _gauge("engine_capacity_requests", "Most requests that may be in flight now", P),
    _gauge("engine_probes_in_flight", "Probes in flight, of a processor that is not healthy", P),
    _gauge("engine_expected_answer_seconds", "How long a request is expected to take", P),
    _gauge("engine_processor_state", "1 for the state in which routing sees a processor, 0 for the others", P, "state"),
    _gauge("engine_breaker_open", "1 while a processor's breaker is open", P),
    _gauge("engine_health_failing", "1 if a processor says that it fails", P),
    _gauge("engine_health_age_seconds", "Age of its last health answer", P),
    _gauge("engine_unknown_payments", "Payments whose outcome at a processor is unknown, dead letters included", P),
    _gauge("engine_unknown_cents", "Cents of these", P),
    _gauge("engine_unknown_oldest_age_seconds", "Age of the oldest of these; 0 without one", P),
    # journal and ledger
    _counter("engine_journal_records_total", "Records written to the journal"),
    _gauge("engine_journal_slots", "Records that the journal holds"),
    _gauge("engine_ledger_lag_seconds", "Age of the oldest change that SQL may not have"),
    _counter("engine_ledger_payments_total", "Rows of payments that the ledger has written"),
    _counter("engine_ledger_attempts_total", "Rows of attempts that the ledger has written"),
    _counter("engine_ledger_gaps_total", "Gaps that the ledger has recorded"),
    _counter("engine_ledger_missing_total", "Records and payments that these gaps lack"),
    _counter("engine_ledger_rejected_total", "Rows that could not be written, and were set apart"),
    # a cell
    _gauge("engine_cell_state", "1 for the state in which a cell is, 0 for the others", "state"),
    _gauge("engine_cell_agent_age_seconds", "Time since the last pass of the cell's agent"),
    _gauge("engine_cell_heard_age_seconds", "Time since the store has answered this cell"),
    _gauge("engine_cell_books_age_seconds", "How far the books of all cells are behind: what is older is complete"),
    _gauge("engine_cell_clock_ahead_seconds", "How far this cell's clock is ahead of the store's"),
    _gauge("engine_cells_living", "Cells whose lease runs, as this one was told"),
    _gauge("engine_cell_held_payments", "Open payments that this cell holds"),
    _gauge("engine_cell_adopted_payments", "Of these, those that another life or cell has pinned: they never move"),
    # reconciliation
    _counter("engine_reconcile_runs_total", "Comparisons with the processors that came to their end"),
    _counter("engine_reconcile_unended_total", "Comparisons that did not: a processor or the ledger did not answer"),
    _gauge("engine_reconcile_age_seconds", "Time since the last one that came to its end, or since the first start"),
    _gauge("engine_reconcile_exceptions", "Open exceptions: differences that somebody must look at", "state"),
    _gauge("engine_reconcile_differing_cents", "Cents by which these differ, each without its sign"),
    _gauge("engine_charged_twice_payments", "Payments that two processors have charged, by open exceptions"),
    # processes
    _gauge("engine_dispatcher_heartbeat_age_seconds", "Time since the dispatcher's last pass"),
    _counter("engine_dispatcher_errors_total", "Decisions that have raised since the dispatcher started"),
    _counter("engine_process_starts_total", "Starts of a process", "process"),
    _gauge("engine_process_seen_age_seconds", "Time since a process last said what it uses", "process"),
    _counter("engine_process_cpu_seconds_total", "CPU time of a process since its start", "process"),
    _gauge("engine_process_resident_bytes", "Memory of a process, and shared pages that it touched", "process"),
    _gauge("engine_process_descriptors", "Descriptors that a process has open", "process"),
    # machine
    _gauge("engine_disk_free_bytes", "Room that is left where the engine keeps something", "place"),
    _gauge("engine_disk_size_bytes", "Size of the file system there", "place"),
    _gauge("engine_machine_start_seconds", "When this machine started, by its wall clock: it moves if that is set"),
    # who knocks
    _counter("engine_console_wrong_keys_total", "Keys that were none of the console's, since it started"),
    _counter("engine_console_slowed_requests_total", "Requests with keys not looked at: too many wrong ones before"),
    # nginx
    _gauge("engine_nginx_up", "1 if nginx has told its state"),
    _gauge("engine_nginx_connections", "Connections of nginx with clients, by what they do", "state"),
    _counter("engine_nginx_connections_accepted_total", "Connections that nginx has accepted"),
    _counter("engine_nginx_connections_handled_total", "Of these, those that nginx had room for"),
    _counter("engine_nginx_requests_total", "Requests that nginx has got"),
    _counter("engine_nginx_refused_total", "5xx that nginx has answered by itself, no API process", "status"),
    _counter("engine_nginx_slowed_total", "Requests of clients that came too often (429), counted in sixteens"),
)  # fmt: skip
BY_NAME: Final = {family.name: family for family in FAMILIES}


def markdown() -> str:
    """All metrics as a table in Markdown."""
    rows = ["| Metric | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{family.name}` | {family.kind.value} | {labels} | {family.help} |")
    return "\n".join(rows)
