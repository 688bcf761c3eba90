"""What a start says to people: where the engine serves, its processors, what it remembers, and what to try."""

from __future__ import annotations

import ipaddress
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from engine.invocation import command
from engine.processors import FEE_UNKNOWN_PPM, Processor
from engine.settings import Settings
from engine.storage.remembered import Remembered
from engine.wording import counted, money, percent

CONNECT_SECONDS = 0.2  # longest wait for a connection that only finds out whether a processor is there
_PORTS = {"http": 80, "https": 443}


def text(settings: Settings, before: Remembered, *, simulate: bool, is_there: Callable[[Processor], bool]) -> str:
    """All of it, in 80 columns unless names and addresses are long.

    Parameters:
      before: what the engine remembered when it was started.
      simulate: whether the processors are simulated ones that were started with it.
      is_there: whether a processor takes connections.
    """
    url = f"http://127.0.0.1:{settings.host.port}"
    parts = [
        f"The engine serves on {url}. Its processors:\n",
        *_processors(settings, simulate, is_there),
        "",
        *_memory(settings, before, simulate),
        "Try:\n",
        *_examples(f"localhost:{settings.host.port}"),
        *([f"  {command('report', 'payments')}"] if settings.ledger.is_on else []),
        *(_console(settings) if settings.console.console else []),
        f"\n{url}/openapi.json describes every call. Ctrl-C stops it.",
    ]
    return "\n".join(parts)


def _console(settings: Settings) -> list[str]:
    place = f"localhost:{settings.console.port}"
    key = command("console", "key", "add", "NAME", "--role", "viewer")
    return [f"  curl {place}/metrics", f"\nThe console is at http://{place}; a key for it:\n", f"  {key}"]


def _processors(settings: Settings, simulate: bool, is_there: Callable[[Processor], bool]) -> list[str]:
    rows = []
    for one in settings.processors.all:
        fee = "fee not known" if one.fee_ppm == FEE_UNKNOWN_PPM else f"fee {percent(one.fee_ppm)}"
        note = "simulated" if simulate else "" if is_there(one) else "does not answer"
        rows.append((one.name, one.url, fee, note))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _memory(settings: Settings, before: Remembered, simulate: bool) -> list[str]:
    """What was there before, and how to forget it; nothing for an engine that is new."""
    if before.is_nothing:
        return []
    rows = [
        f"  {counted(one.payments, 'payment')} settled at {name}, {money(one.cents)} together"
        for name, one in zip(settings.processors.names, before.settled, strict=True)
        if one.payments
    ]
    if before.failed:
        rows.append(f"  {counted(before.failed, 'payment')} failed, or charged before")
    if before.pending:
        rows.append(f"  {counted(before.pending, 'payment')} not settled yet")
    both = "It remembers, and so do its processors, from before:" if simulate else "It remembers from before:"
    words = "up --simulate --discard" if simulate else "up --discard"
    return [f"{both}\n", *rows, "", f"To forget that, start it with `{command(*words.split())}`.", ""]


def _examples(place: str) -> list[str]:
    payment = uuid.uuid4()
    today = datetime.now(UTC).date()
    return [
        f"  curl -i {place}/payments -H 'Content-Type: application/json' \\",
        f"""    -d '{{"correlationId":"{payment}","amount":19.90}}'""",
        f"  curl {place}/payments/{payment}/status",
        f"  curl {place}/payments-summary",
        f"  curl '{place}/payments-summary?from={today}&to={today + timedelta(days=1)}'",
        f"  curl {place}/health",
    ]


def is_there(processor: Processor) -> bool:
    """Whether a processor takes connections. One with a name is believed: the dispatcher finds out, and says so."""
    parts = urlsplit(processor.url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    try:
        socket.create_connection((host, parts.port or _PORTS[parts.scheme]), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
