"""Every event that a process writes: its name, and what it says to people. ``docs/operations.md`` has the same table.

A text names the event's fields in braces; all of them are fields of the line in JSON. ``by``: the fields, of closed
sets, that tell apart what is counted together when there are too many lines (:mod:`engine.logs.limit`).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Event(NamedTuple):
    """What an event says."""

    text: str
    by: tuple[str, ...] = ()


EVENTS: Final = {
    # any process
    "cannot_go_on": Event("{reason}"),
    "crashed": Event("{error}"),
    "memory_lost": Event("{reason}: stopping"),
    "old_name": Event("{old} is called {new} now", ("new",)),
    "metrics_off": Event("{segment}: it cannot be made, so nothing is counted: {reason}"),
    "segment_replaced": Event("{segment}: {reason}; it begins anew"),
    "ids_replaced": Event("{segment}: {reason}; it is made anew and knows what the rings remember"),
    "payments_lost": Event("{segment}: the disk has lost {payments} payments, none of which had its 202"),
    "library": Event("{logger}: {said}", ("logger",)),
    "more": Event("and {count} more like {of} in {seconds} s"),
    # up
    "serving": Event("serving on {url} ({processes})"),
    "not_ready": Event("not ready, see /readyz: {sockets}"),
    "process_ended": Event("{child} ended with {code}; starts again in {in_ms} ms", ("child",)),
    "process_goes_on": Event("{child} {complaint}; it is let go on", ("child",)),
    "process_renewed": Event("{child} {complaint}; starts anew", ("child",)),
    "process_killed": Event("{child} did not stop within {seconds} s: killed", ("child",)),
    "stopping": Event("stopping{what}"),
    "stop_can_hurry": Event("Ctrl-C again ends it at once: {left}"),
    "stopped": Event("stopped{what}"),
    "nginx_said": Event("nginx: {said}", ("kind",)),
    "nginx_refused": Event("nginx itself has answered {status} to {method} {path}", ("status",)),
    "access": Event("{method} {path} {status} in {took_ms} ms"),
    # API processes
    "api_serves": Event("api {index} on {socket}"),
    "api_stopped": Event("api {index} stopped"),
    "fast_path_off": Event("every payment takes the way through Python, at four times the CPU: {reason}"),
    "package_missing": Event("{package} is not installed, so this process cannot read what is kept in SQL: see {lock}"),
    "request_broke": Event("{path}: {error} at {place}", ("path",)),
    "request_refused": Event("{path} has {status}: {detail}", ("path", "status", "detail")),
    "payment_refused": Event("payment {correlation_id} is refused: {reason}", ("reason",)),
    "question_broke": Event("a question could not be answered"),
    "disk_failed": Event("the ring or the id memory cannot be brought to disk: {reason}"),
    # dispatcher
    "processor": Event("{processor} is {url} (fee {fee})", ("processor",)),
    "few_descriptors": Event("at most {allowed} descriptors are allowed; ENGINE_IN_FLIGHT_MAX asks for {wanted}"),
    "dispatcher_ready": Event("dispatcher ready"),
    "dispatcher_stopped": Event("dispatcher stopped, {left}"),
    "rings_seen": Event("looked through the rings: {payments} payments to settle"),
    "processor_changed": Event("{news}", ("processor", "condition")),
    "routing_changed": Event("now {news}", ("why",)),
    "dead_letter": Event("payment {correlation_id} becomes a dead letter"),
    "payment_unreadable": Event("{processor}: the answer with status {status} cannot be read", ("processor", "status")),
    "query_unreadable": Event("{processor}: the answer with status {status} cannot be read", ("processor", "status")),
    # a cell's agent
    "agent_ready": Event("the agent of cell {cell} is at work"),
    "agent_stopped": Event("agent stopped"),
    "cell_stands": Event("this cell {standing} (epoch {epoch}, {living} live, {ahead_ms} ms ahead)", ("standing",)),
    "store_away": Event("{reason}"),
    "store_broke": Event("a call to the store could not be made"),
    # ledger, and who reads it
    "memory_renewed": Event("the engine's memory was made anew; the ledger follows it"),
    "database_away": Event("{reason}; trying again"),
    "database_back": Event("the ledger's database is back"),
    "rows_rejected": Event("{rows} rows cannot be written and were set apart (table rejected)"),
    "gap": Event("{source}, {first} to {last}: {why}", ("source",)),
    "ledger_stopped": Event("ledger stopped"),
    "reconciled": Event("{summary}"),
    # console
    "console_serves": Event("console on {url}"),
    "wrong_key": Event("a wrong key from {address}; {wrong} wrong ones so far"),
    "keys_unreadable": Event("{reason}"),
    "acted": Event("{act} by {who}: {results}"),
    "act_broke": Event("{act} was not carried out"),
    "overview_broke": Event("the first screen could not be made"),
}  # fmt: skip


def markdown() -> str:
    """All events as a table in Markdown."""
    rows = ["| Event | What it says |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {event.text} |" for name, event in EVENTS.items())])
