"""The engine's dashboard for Grafana, made from code: ``.venv/bin/python -m ops.grafana.dashboard`` writes engine.json.

Money comes first, then the objectives, then the way of a payment, then what it stands on. Processors are a variable:
nothing here names one. A test holds the committed file against what this makes, and every metric against those that
the engine has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).with_name("engine.json")
COLUMNS: Final = 24  # of Grafana's grid
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
ALL: Final = 'instance=~"$instance"'
OF_PROCESSOR: Final = f'{ALL}, processor=~"$processor"'
GREEN, YELLOW, RED = "green", "yellow", "red"


class Query(NamedTuple):
    """A query and what its lines are called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """What one panel shows.

    Parameters:
      kind: a panel of Grafana's: ``stat``, ``timeseries``, ``state-timeline``.
      unit: Grafana's name of the unit of all queries.
      about: what a reader should know; shown at the panel's corner.
      steps: values from which on another colour holds; the first colour is for all below.
      width, height: in cells of the grid.
    """

    title: str
    kind: str
    unit: str
    about: str
    queries: Sequence[Query]
    steps: Sequence[tuple[float, str]] = ()
    below: str = GREEN
    width: int = 6
    height: int = 7
    decimals: int | None = None
    stacked: bool = False


def stat(title: str, expr: str, unit: str, about: str, *steps: tuple[float, str], **more: Any) -> Panel:
    """One number, in the colour that it deserves."""
    return Panel(title, "stat", unit, about, [Query(expr)], steps, **({"width": 3, "height": 4} | more))


def lines(title: str, unit: str, about: str, *queries: Query, **more: Any) -> Panel:
    """Lines over time."""
    return Panel(title, "timeseries", unit, about, queries, **more)


def share_bad(what: str, window: str) -> str:
    """The share of events that missed an objective in a window."""
    return (
        f"engine:{what}_bad:increase{window}{{{ALL}}} / engine:{what}_all:increase{window}{{{ALL}}}"
    )  # fmt: skip


def burn(what: str) -> list[Query]:
    """How many times as fast as allowed the budget of 0.1 % goes, by window."""
    return [Query(f"({share_bad(what, window)}) / 0.001", window) for window in ("5m", "1h", "6h", "3d")]


def quantiles(metric: str, labels: str = ALL, by: str = "le") -> list[Query]:
    """p50, p99 and p99.9 of a histogram."""
    rate = f"sum by ({by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return [
        Query(f"histogram_quantile({q}, {rate})", name) for q, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
    ]


MONEY: Final = (
    stat("Charged", f"sum(engine_settled_cents_total{{{ALL}}}) / 100", "none",
         "All that was charged since the last purge, by the books.", decimals=2, width=4),
    stat("Net", f"sum(engine_net_cents{{{ALL}}}) / 100", "none",
         "Charged less the processors' fees, as routing believes them.", decimals=2, width=4),
    stat("Fees", f"sum(engine_fee_cents{{{ALL}}}) / sum(engine_settled_cents_total{{{ALL}}})", "percentunit",
         "What processors keep of what was charged.", decimals=2, width=4),
    stat("Charged twice", f"sum(engine_charged_twice_payments{{{ALL}}})", "none",
         "Payments that two processors have charged, as the last reconciliation found them. Runbook: ChargedTwice.",
         (1, RED)),
    stat("Books differ", f"sum(engine_reconcile_exceptions{{{ALL}}})", "none",
         "Open exceptions: `./engine.sh reconcile list`. Runbook: BooksDiffer.", (1, RED)),
    stat("Unknown", f"sum(engine_unknown_cents{{{ALL}}}) / 100", "none",
         "Sent, and nobody knows yet whether it was charged. It stays with its processor.", (0.01, YELLOW), decimals=2),
    stat("Dead letters", f"sum(engine_dead_letters{{{ALL}}})", "none",
         "Payments that a person must decide: `./engine.sh dead-letters list`.", (1, RED)),
    lines("Charged a minute", "none", "By processor, in the currency of the amounts.",
          Query(f"60 * rate(engine_settled_cents_total{{{OF_PROCESSOR}}}[$__rate_interval]) / 100", "{{processor}}"),
          width=12, stacked=True, decimals=2),
    lines("Given up, charged before, other amounts", "none", "Payments in an hour that did not end as they should.",
          Query(f"increase(engine_payments_charged_before_total{{{ALL}}}[1h])", "charged before they were accepted"),
          Query(f"increase(engine_payments_amount_differs_total{{{ALL}}}[1h])", "the processor has another amount"),
          Query(f"increase(engine_payments_unconfirmed_total{{{ALL}}}[1h])", "settled unconfirmed"),
          Query(f"engine_payments_failed_total{{{ALL}}}", "given up, in all"), width=12),
)  # fmt: skip
OBJECTIVES: Final = (
    stat("Accepted within 10 ms, 3 days", f"1 - {share_bad('accepting', '3d')}", "percentunit",
         "Objective: 99.9 %. Refusals of our own count as bad.", (0.999, GREEN), below=RED, decimals=3, width=4),
    stat("Settled within 70 s, 3 days", f"1 - {share_bad('settling', '3d')}", "percentunit",
         "Objective: 99.9 %. What has waited for longer now counts as bad.", (0.999, GREEN), below=RED, decimals=3,
         width=4),
    stat("Overdue now", f"sum(engine:payments_overdue{{{ALL}}})", "none",
         "At least so many payments have waited for more than 70 s.", (1, RED), width=4),
    stat("Accepted a second", f"sum(engine:payments_accepted:rate1m{{{ALL}}})", "reqps", "In the last minute.",
         width=4),
    stat("Settled a second", f"sum(engine:payments_settled:rate1m{{{ALL}}})", "reqps", "In the last minute.", width=4),
    stat("Works", f"min(engine_up{{{ALL}}})", "bool_yes_no", "A dispatcher's heartbeat is younger than 3 s.",
         (1, GREEN), below=RED, width=4),
    lines("Budget of accepting: times as fast as allowed", "none",
          "14.4 for an hour and 6 for six hours wake somebody.", *burn("accepting"),
          steps=((1, YELLOW), (6, RED)), width=12),
    lines("Budget of settling: times as fast as allowed", "none",
          "14.4 for an hour and 6 for six hours wake somebody.", *burn("settling"),
          steps=((1, YELLOW), (6, RED)), width=12),
)  # fmt: skip
FLOW: Final = (
    lines("Accepted and settled", "reqps", "Settled, by processor, and what came.",
          Query(f"sum(rate(engine_payments_accepted_total{{{ALL}}}[$__rate_interval]))", "accepted"),
          Query(f"rate(engine_payments_settled_total{{{OF_PROCESSOR}}}[$__rate_interval])", "settled at {{processor}}"),
          width=8),
    lines("Accepting", "s", "In the API process, from a request's first byte to its 202.",
          *quantiles("engine_accepting_seconds"), steps=((0.01024, RED),), width=8),
    lines("Refused", "reqps", "By reason. invalid, conflict, content_type and too_large are the shop's doing.",
          Query(f"sum by (reason) (rate(engine_payments_refused_total{{{ALL}}}[$__rate_interval]))", "{{reason}}"),
          Query(f"sum(rate(engine_payments_duplicate_total{{{ALL}}}[$__rate_interval]))", "sent again, 202"),
          width=8, stacked=True),
    lines("What waits", "none", "Pending is all that is not over.",
          Query(f"engine_payments_pending{{{ALL}}}", "pending"),
          Query(f"engine_backlog_payments{{{ALL}}}", "may go anywhere"),
          Query(f"engine_delayed_payments{{{ALL}}}", "back-off of their own"),
          Query(f"engine_parked_payments{{{ALL}}}", "parked"), width=8),
    lines("Oldest that waits", "s", "A wait of up to ENGINE_WAIT_MAX_MS is by choice: for the cheaper processor.",
          Query(f"engine_backlog_oldest_age_seconds{{{ALL}}}", "may go anywhere"),
          Query(f"max by (instance) (engine_unknown_oldest_age_seconds{{{ALL}}})", "unknown outcome"),
          Query(f'engine_setting{{{ALL}, name="ENGINE_WAIT_MAX_MS"}} / 1000', "longest wait by choice"), width=8),
    lines("From acceptance to the books", "s", "All processors together.",
          *quantiles("engine_settling_seconds"), width=8),
)  # fmt: skip
PROCESSOR: Final = (
    Panel("State", "state-timeline", "none", "Healthy and slow are usable; suspect and open get probes alone.",
          [Query(f'engine_processor_state{{{OF_PROCESSOR}, state="{state}"}} * {number} > 0', state)
           for number, state in enumerate(("healthy", "slow", "suspect", "open"), 1)],
          ((1, GREEN), (2, YELLOW), (3, "orange"), (4, RED)), width=12, height=5),
    stat("Breaker", f"max(engine_breaker_open{{{OF_PROCESSOR}}})", "bool_on_off", "On: it fails.", (1, RED)),
    stat("It says that it fails", f"max(engine_health_failing{{{OF_PROCESSOR}}})", "bool_yes_no",
         "Its own health answer.", (1, RED)),
    stat("Health answer", f"max(engine_health_age_seconds{{{OF_PROCESSOR}}})", "s", "Age of the last one.",
         (30, YELLOW)),
    stat("Fee", f"avg(engine_fee_ratio{{{OF_PROCESSOR}}})", "percentunit", "As routing believes it.", decimals=2),
    lines("Answers", "s", "Every request for a payment, whatever its outcome; and what is expected now.",
          *quantiles("engine_answer_seconds", OF_PROCESSOR),
          Query(f"engine_expected_answer_seconds{{{OF_PROCESSOR}}}", "expected"), width=8),
    lines("Outcomes", "reqps", "Failed, refused and rejected are certainly not charged.",
          Query(f"sum by (outcome) (rate(engine_requests_total{{{OF_PROCESSOR}}}[$__rate_interval]))", "{{outcome}}"),
          width=8, stacked=True),
    lines("Lookups", "reqps", "Asking for single payments, whose outcome is unknown.",
          Query(f"sum by (outcome) (rate(engine_lookups_total{{{OF_PROCESSOR}}}[$__rate_interval]))", "{{outcome}}"),
          width=8, stacked=True),
    lines("In flight", "none", "And the most that may be now.",
          Query(f"engine_in_flight_requests{{{OF_PROCESSOR}}}", "in flight"),
          Query(f"engine_capacity_requests{{{OF_PROCESSOR}}}", "may be"),
          Query(f"engine_probes_in_flight{{{OF_PROCESSOR}}}", "probes"), width=8),
    lines("Unknown outcomes", "none", "Dead letters included.",
          Query(f"engine_unknown_payments{{{OF_PROCESSOR}}}", "payments"), width=8),
    lines("From acceptance to sending", "s", "Of the requests that charged.",
          *quantiles("engine_sending_seconds", OF_PROCESSOR), width=8),
)  # fmt: skip
RECORDS: Final = (
    lines("How far SQL is behind", "s", "Age of the oldest change that SQL may not have.",
          Query(f"engine_ledger_lag_seconds{{{ALL}}}", "lag"), steps=((60, RED),), width=8),
    lines("Rows into SQL", "wps", "Payments again and again, as they change.",
          Query(f"rate(engine_ledger_payments_total{{{ALL}}}[$__rate_interval])", "payments"),
          Query(f"rate(engine_ledger_attempts_total{{{ALL}}}[$__rate_interval])", "attempts"),
          Query(f"rate(engine_journal_records_total{{{ALL}}}[$__rate_interval])", "journal records"), width=8),
    lines("What SQL lacks", "none", "In an hour.",
          Query(f"increase(engine_ledger_missing_total{{{ALL}}}[1h])", "missing"),
          Query(f"increase(engine_ledger_gaps_total{{{ALL}}}[1h])", "gaps"),
          Query(f"increase(engine_ledger_rejected_total{{{ALL}}}[1h])", "rejected rows"), steps=((1, RED),), width=8),
    lines("Open exceptions", "none", "By what differs, as the last run of `reconcile --again` found it.",
          Query(f"engine_reconcile_exceptions{{{ALL}}}", "{{state}}"), steps=((1, RED),), width=8, stacked=True),
    lines("Amount of open exceptions", "none", "Without their signs, in the currency of the amounts.",
          Query(f"engine_reconcile_differing_cents{{{ALL}}} / 100", "amount"), width=8, decimals=2),
    lines("Runs of reconciliation", "s", "Time since the last whole one.",
          Query(f"engine_reconcile_age_seconds{{{ALL}}}", "age"),
          Query(f"increase(engine_reconcile_unended_total{{{ALL}}}[1h])", "runs without an end, in an hour"),
          Query(f"increase(engine_reconcile_runs_total{{{ALL}}}[1h])", "runs, in an hour"), width=8),
)  # fmt: skip
ROOM: Final = (
    lines("Rings", "percentunit", "Share of the slots with payments that are not over. At 1 payments are refused.",
          Query(f"engine_ring_unfinished_ratio{{{ALL}}}", "ring {{ring}}"),
          Query(f"engine_ring_full{{{ALL}}}", "{{ring}} full"),
          steps=((0.7, RED),), width=8),
    lines("Parking table", "percentunit", "Share of its places that are taken.",
          Query(f"engine_parked_payments{{{ALL}}} / engine_parked_slots{{{ALL}}}", "taken"),
          steps=((0.8, RED),), width=8),
    lines("Disks", "percentunit", "What is left where the engine keeps something.",
          Query(f"engine_disk_free_bytes{{{ALL}}} / engine_disk_size_bytes{{{ALL}}}", "{{place}}"), width=8),
)  # fmt: skip
PROCESSES: Final = (
    lines("CPU", "percentunit", "Of one core.",
          Query(f"rate(engine_process_cpu_seconds_total{{{ALL}}}[$__rate_interval])", "{{process}}"), width=8),
    lines("Memory", "bytes", "With shared pages that the process has touched.",
          Query(f"engine_process_resident_bytes{{{ALL}}}", "{{process}}"), width=8),
    lines("Descriptors", "none", "Open files and sockets.",
          Query(f"engine_process_descriptors{{{ALL}}}", "{{process}}"), width=8),
    lines("Starts in an hour", "none", "One each is a deployment.",
          Query(f"increase(engine_process_starts_total{{{ALL}}}[1h])", "{{process}}"), width=6),
    lines("Last seen", "s", "Each process says something once a second or two; reconcile after each run.",
          Query(f"engine_process_seen_age_seconds{{{ALL}}}", "{{process}}"),
          Query(f"engine_dispatcher_heartbeat_age_seconds{{{ALL}}}", "dispatcher's pass"), width=6),
    lines("nginx", "none", "Connections with clients, by what they do.",
          Query(f"engine_nginx_connections{{{ALL}}}", "{{state}}"), width=6),
    lines("Errors of the program", "none", "Decisions that have raised; the clock, when it was set.",
          Query(f"engine_dispatcher_errors_total{{{ALL}}}", "decisions"),
          Query(f"delta(engine_machine_start_seconds{{{ALL}}}[5m])", "seconds by which the clock was set"), width=6),
    lines("Refused by nginx itself", "reqps", "No API process was there, or answered; 429: clients came too often.",
          Query(f"rate(engine_nginx_refused_total{{{ALL}}}[$__rate_interval])", "{{status}}"),
          Query(f"rate(engine_nginx_slowed_total{{{ALL}}}[$__rate_interval])", "429"), width=12),
    lines("Wrong keys at the console", "none", "In ten minutes: somebody guesses, or goes on with a key that is gone.",
          Query(f"increase(engine_console_wrong_keys_total{{{ALL}}}[10m])", "wrong"),
          Query(f"increase(engine_console_slowed_requests_total{{{ALL}}}[10m])", "not looked at"), width=12),
)  # fmt: skip
CELL: Final = (
    Panel("State of the cell", "state-timeline", "none", "Only one that lives accepts payments.",
          [Query(f"engine_cell_state{{{ALL}}} == 1", "{{instance}} {{state}}")], width=8),
    lines("Cells that live", "none", "As each of them was told by the store.",
          Query(f"engine_cells_living{{{ALL}}}", "{{instance}}"), width=8),
    lines("How far a cell is behind", "s", "The store's last answer, the agent's last pass, books, clock.",
          Query(f"engine_cell_heard_age_seconds{{{ALL}}}", "heard"),
          Query(f"engine_cell_agent_age_seconds{{{ALL}}}", "agent"),
          Query(f"engine_cell_books_age_seconds{{{ALL}}}", "books"),
          Query(f"engine_cell_clock_ahead_seconds{{{ALL}}}", "clock"), width=8),
    lines("Payments of a cell", "none", "Open ones that it holds, and those among them that never move.",
          Query(f"engine_cell_held_payments{{{ALL}}}", "held"),
          Query(f"engine_cell_adopted_payments{{{ALL}}}", "adopted pins"), width=8),
)  # fmt: skip
ROWS: Final = (
    ("Money", MONEY, False),
    ("Objectives", OBJECTIVES, False),
    ("The way of a payment", FLOW, False),
    ("Processor $processor", PROCESSOR, True),
    ("The record, and its comparison with processors", RECORDS, False),
    ("Cells (ENGINE_DURABILITY=cluster)", CELL, False),
    ("Room", ROOM, False),
    ("Processes", PROCESSES, False),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = [_alerts()]
    top = 5
    for title, row, is_repeated in ROWS:
        panels.append(_row(title, top, is_repeated))
        top += 1
        left, height = 0, 0
        for one in row:
            if left + one.width > COLUMNS:
                top, left, height = top + height, 0, 0
            panels.append(_panel(one, left, top))
            left, height = left + one.width, max(height, one.height)
        top += height
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "uid": "payment-engine",
        "title": "Payment engine",
        "description": "Runbooks: docs/operations.md. Metrics: docs/metrics.md.",
        "tags": ["payments"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [_variable("instance", "engine_build_info"), _variable("processor", "engine_fee_ratio")]
        },
        "annotations": {"list": [_annotation()]},
        "panels": panels,
    }


def text() -> str:
    """What engine.json has in it."""
    return json.dumps(dashboard(), indent=1) + "\n"


def _variable(name: str, metric: str) -> dict[str, Any]:
    query = f"label_values({metric}, {name})"
    return {
        "name": name, "type": "query", "datasource": SOURCE, "definition": query, "multi": True, "includeAll": True,
        "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def _annotation() -> dict[str, Any]:
    return {
        "name": "Alerts", "datasource": SOURCE, "enable": True, "iconColor": RED, "step": "15s",
        "expr": 'ALERTS{alertstate="firing", job="engine"}', "titleFormat": "{{alertname}}", "tagKeys": "severity",
    }  # fmt: skip


def _alerts() -> dict[str, Any]:
    hidden = dict.fromkeys(("Time", "Value", "__name__"), True)
    return {
        "type": "table", "title": "Alerts", "description": "What fires now; docs/operations.md has a runbook for each.",
        "datasource": SOURCE, "gridPos": {"x": 0, "y": 0, "w": COLUMNS, "h": 5},
        "targets": [{"refId": "A", "expr": 'ALERTS{alertstate="firing"}', "instant": True, "format": "table"}],
        "transformations": [{"id": "organize", "options": {"excludeByName": hidden}}],
        "options": {"showHeader": True}, "fieldConfig": {"defaults": {"noValue": "None"}, "overrides": []},
    }  # fmt: skip


def _row(title: str, top: int, is_repeated: bool) -> dict[str, Any]:
    row = {
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
    }
    return row | ({"repeat": "processor"} if is_repeated else {})


def _panel(one: Panel, left: int, top: int) -> dict[str, Any]:
    steps = [{"color": one.below, "value": None}, *({"color": colour, "value": value} for value, colour in one.steps)]
    defaults: dict[str, Any] = {"unit": one.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if one.decimals is not None:
        defaults["decimals"] = one.decimals
    options: dict[str, Any] = {}
    if one.kind == "stat":
        defaults["noValue"] = "-"
        options = {"colorMode": "background" if one.steps else "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
    elif one.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "fillOpacity": 20 if one.stacked else 0,
            "stacking": {"mode": "normal" if one.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if one.steps else "off"},
            "showPoints": "never",
        }
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    else:
        defaults["color"] = {"mode": "thresholds"}
        options = {"showValue": "never", "mergeValues": True}
    targets = [
        {"refId": chr(ord("A") + number), "expr": query.expr, "legendFormat": query.legend or "__auto"}
        for number, query in enumerate(one.queries)
    ]
    return {
        "type": one.kind, "title": one.title, "description": one.about, "datasource": SOURCE,
        "gridPos": {"x": left, "y": top, "w": one.width, "h": one.height},
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options, "targets": targets,
    }  # fmt: skip


if __name__ == "__main__":
    FILE.write_text(text())
