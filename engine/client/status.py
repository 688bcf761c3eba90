"""``./engine.sh status``: how the engine is, in words."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from engine.client.api import Api, ApiError, port

HELP = "Say how the engine of this machine is, in words; /health has all of it for machines."

Json = dict[str, Any]


def configure(_: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(_: argparse.Namespace) -> int:
    """Prints how the engine is; 0 if it answers, well or not, 1 if it does not, 2 for bad settings."""
    listens_on = port()
    if listens_on is None:
        return 2
    with Api(listens_on) as api:
        try:
            lines = words(api.url, api.health(), api.summary())
        except ApiError as error:
            print(f"engine: {error}", file=sys.stderr)
            return 1
    print("\n".join(lines))
    return 0


def words(url: str, health: Json, summary: Json) -> list[str]:
    """``/health`` and ``/payments-summary`` for people, in lines."""
    queues = health["queues"]
    is_ok = health["status"] == "ok"
    lines = [f"The engine on {url} is {'ok' if is_ok else 'in trouble'}."]
    lines += [f"  ! {reason}" for reason in health["reasons"]]
    lines += [health["payments"]] if "payments" in health else []
    lines.append("")
    for name, processor in health["processors"].items():
        settled = summary.get(name, {"totalRequests": 0, "totalAmount": 0})
        count, amount = settled["totalRequests"], settled["totalAmount"]
        lines.append(f"{name:10} {count:9,} settled, {amount:,.2f} in all; {_state(processor)}")
    lines.append("")
    waiting = queues["pending"]
    parked = f", {queues['parked']:,} of them parked" if queues["parked"] else ""
    lines.append(f"{'waiting':10} {waiting:9,} accepted and not yet settled{parked}")
    lines.append(f"{'failed':10} {queues['failed']:9,} given up, and certainly not charged")
    if "ledger" in health:
        lines.append(f"{'ledger':10} {_ledger(health['ledger'])}")
    if queues["deadLetters"]:
        lines.append(f"{'dead':10} {queues['deadLetters']:9,} whose outcome only a person can find out")
    return lines


def _ledger(ledger: Json) -> str:
    """How the ledger is, in words."""
    if ledger["lagMs"] is None:
        return ledger["state"] if ledger["state"] != "carrying" else "begins"
    return f"{ledger['state']}: SQL has what happened up to {ledger['lagMs'] / 1000:,.1f} s ago"


def _state(processor: Json) -> str:
    """What is known of a processor, in words."""
    if processor["breaker"] == "open":
        known = "takes nothing just now: only probes are sent"
    elif processor["failing"]:
        known = "says that it fails"
    elif processor["state"] == "silent":
        known = "does not answer"
    else:
        known = "takes payments" + (f", in about {processor['expectedMs']:,} ms" if processor["expectedMs"] else "")
    parts = [known]
    if processor["inFlight"]:
        parts.append(f"{processor['inFlight']:,} in flight")
    if processor["unresolved"]:
        parts.append(f"{processor['unresolved']:,} with an unknown outcome")
    return ", ".join(parts)
