"""The running engine, from inside (its memory) and from outside (its port)."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from engine.client.api import Api, ApiError
from engine.doctor.finding import Finding, good, note, wrong
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.memory.status import HEARTBEAT_MS_MAX, StatusBlock
from engine.settings import Settings
from engine.storage import mapping, names, opening, sizes

PAY_SECONDS_MAX = 30.0
PAY_AMOUNT = "0.01"
LAG_SECONDS_MAX = 60
_PAUSE_SECONDS = 0.1


def look_inside(settings: Settings, wall_ms: Callable[[], int]) -> list[Finding]:
    """What the engine's memory says: its version, its sizes, and whether the dispatcher moves."""
    kept = mapping.store(settings)
    try:
        there = names.find(settings.host.name, kept.names())
    except OSError as error:
        return [wrong("memory", f"it cannot be looked at: {error.strerror}", "run this as the engine's user")]
    if there.is_empty:
        return [note("memory", f"there is none of an engine called {settings.host.name}", "the first start makes it")]
    try:
        with opening.opened(kept, settings.host.name) as segments:
            if not segments.is_current:
                return [_other_version(segments.version)]
            found = [good("memory", f"it has layout version {segments.version}, as this program")]
            has = sizes.read(segments.books.words, [ring.words for ring in segments.rings])
            differences = has.differences(sizes.asked(settings))
            if differences:
                found.append(note("sizes", differences, "the next start of the whole engine takes that over"))
            return [*found, dispatcher(StatusBlock(segments.books.words).heartbeat_ms, wall_ms())]
    except SegmentError as error:
        return [wrong("memory", str(error), "look at docs/memory.md before anything is removed")]


def dispatcher(heartbeat_ms: int, now_ms: int) -> Finding:
    """Whether the dispatcher moves: when it last said so, and the wall clock, in ms."""
    name = "dispatcher"
    if not heartbeat_ms:
        return wrong(name, "none has run yet: what is accepted is not settled", "start it (`up`, or its service)")
    age_ms = now_ms - heartbeat_ms
    if age_ms <= HEARTBEAT_MS_MAX:
        return good(name, "it moves")
    return wrong(
        name,
        f"it has not moved for {age_ms / 1000:,.0f} s: payments are accepted and none is settled",
        "look at its log, and whether its process is there or stopped (state T); `up` starts it anew by itself",
    )


def look_outside(settings: Settings, host: str, pays: bool) -> Iterator[Finding]:
    """What the engine says on its port. ``pays``: whether to send a payment of PAY_AMOUNT that is really charged."""
    with Api(settings.host.port, host) as api:
        try:
            health = api.health()
        except ApiError as error:
            yield wrong("serving", str(error), "start the engine, or say where it is: --host, ENGINE_PORT")
            return
        yield _health(api.url, health)
        yield from _ledger_lag(health)
        yield _purge(settings, host, api)
        if pays:
            yield _pay(api)


def _health(url: str, health: dict[str, Any]) -> Finding:
    reasons = health.get("reasons", [])
    if not reasons:
        return good("serving", f"{url} answers, and all is well")
    return wrong("serving", f"{url} answers, and says: {'; '.join(reasons)}", "docs/ledger.md and /health say more")


def _ledger_lag(health: dict[str, Any]) -> Iterator[Finding]:
    ledger = health.get("ledger")
    if not isinstance(ledger, dict) or ledger.get("lagMs") is None:
        return
    seconds = ledger["lagMs"] / 1000
    if seconds <= LAG_SECONDS_MAX:
        yield good("ledger lag", f"SQL is {seconds:.1f} s behind")
    else:
        yield wrong("ledger lag", f"SQL is {seconds:,.0f} s behind", "look at the ledger's log and its database's disk")


def _purge(settings: Settings, host: str, api: Api) -> Finding:
    """Whether anybody can have everything forgotten. It is read in the API's own description, and never tried."""
    name = "purge"
    try:
        security = api.openapi()["paths"]["/purge-payments"]["post"]["security"]
    except (ApiError, KeyError, TypeError) as error:
        return note(name, f"the engine does not describe its API ({error})")
    if {} not in security:
        return good(name, "it needs the admin token")
    addresses = [one for one in _own_addresses() if _listens(one, settings.host.port)]
    where = f", and {', '.join(addresses)} port {settings.host.port} can be reached from elsewhere" if addresses else ""
    if not addresses and host in ("127.0.0.1", "localhost", "::1"):
        return note(name, "everybody on this machine may have all payments forgotten", "set ENGINE_PURGE=0")
    return wrong(
        name,
        f"ENGINE_PURGE=1: everybody may have all payments forgotten{where}",
        "set ENGINE_PURGE=0 (not for a contest)",
    )


def _pay(api: Api) -> Finding:
    """A payment of a cent, from the 202 to its charge."""
    name, identity = "payment", str(uuid.uuid4())
    began = time.monotonic()
    try:
        status, detail = api.pay(identity, PAY_AMOUNT)
        if status != 202:
            return wrong(name, f"a payment of {PAY_AMOUNT} was answered with {status}: {detail}", "see docs/api.md")
        while True:
            became = api.status(identity)
            if became["status"] in ("completed", "failed"):
                break
            if time.monotonic() - began > PAY_SECONDS_MAX:
                return wrong(
                    name, f"{identity} was accepted, and is {became['status']} after {PAY_SECONDS_MAX:.0f} s",
                    "see what is said of the processors; the payment is not lost",
                )  # fmt: skip
            time.sleep(_PAUSE_SECONDS)
    except ApiError as error:
        return wrong(name, str(error), "see what is said of the engine above")
    took_ms = (time.monotonic() - began) * 1000
    if became["status"] == "failed":
        return wrong(name, f"{identity} has failed: {json.dumps(became, default=str)}", "see docs/api.md")
    return good(name, f"{PAY_AMOUNT} was charged at {became.get('processor')} after {took_ms:,.0f} ms ({identity})")


def _other_version(version: int) -> Finding:
    return wrong(
        "memory",
        f"it has layout version {version}, and this program writes {layout.LAYOUT_VERSION}: program and memory are "
        "not of one version",
        "start the whole engine with this program, which takes the memory over, or go back to the one that wrote it",
    )


def _own_addresses() -> list[str]:
    """The address that this machine has towards others. No packet is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737)
        address = towards.getsockname()[0]
        return [] if address.startswith("127.") else [address]
    return []


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1.0):
        return True
    return False
