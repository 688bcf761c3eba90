"""The processors, asked as the dispatcher asks them: name, connection, certificate, clock, protocol, token."""

from __future__ import annotations

import email.utils
import secrets
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pycurl

from engine.addresses import normalized
from engine.authorities import trust
from engine.connectors.answers import Verdict
from engine.connectors.connector import Connector, Request
from engine.connectors.registry import CONNECTORS, CONTEST
from engine.doctor.finding import Finding, good, note, wrong
from engine.processors import Processor
from engine.settings import Settings

CLOCK_MS_MAX = 2500  # a clock that differs by more is wrong; the Date header of an answer has whole seconds
ANSWER_MS_MAX = 10_000
BODY_BYTES_MAX = 1 << 20
# What libcurl says about certificates and TLS (curl/curl.h).
_TLS = (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE)


class Said(NamedTuple):
    """The answer to a request; ``code`` is libcurl's and ``error`` its words, 0 and "" where there was an answer.

    ``clock_ms``: by how much the clock of the processor is ahead of this machine's; None: it does not say its time.
    """

    code: int
    error: str
    status: int
    body: bytes
    clock_ms: int | None


def look(settings: Settings, is_asking: bool) -> list[Finding]:
    """What is found of every processor.

    ``is_asking``: the engine runs and asks for health itself; a processor answers one such query in 5 s.
    """
    found: list[Finding] = []
    for processor in settings.processors.all:
        found += _look(processor, settings, is_asking)
    return [*found, *same_place(settings.processors.all)]


def ask(url: str, request: Request, *, connect_ms: int) -> Said:
    """Sends a request and waits for its answer, ANSWER_MS_MAX at most."""
    handle, body, headers = pycurl.Curl(), bytearray(), bytearray()
    try:
        for option, value in (
            (pycurl.URL, url + request.path),
            (pycurl.CUSTOMREQUEST, request.method),
            (pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers]),
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROXY, ""),
            (pycurl.CONNECTTIMEOUT_MS, connect_ms),
            (pycurl.TIMEOUT_MS, ANSWER_MS_MAX),
            (pycurl.MAXFILESIZE, BODY_BYTES_MAX),
            (pycurl.WRITEFUNCTION, body.extend),
            (pycurl.HEADERFUNCTION, headers.extend),
        ):
            handle.setopt(option, value)
        trust(handle, url)
        began = time.time()
        try:
            handle.perform()
        except pycurl.error as error:
            return Said(error.args[0], error.args[1], 0, b"", None)
        middle_ms = round((began + time.time()) * 500)
        return Said(0, "", handle.getinfo(pycurl.RESPONSE_CODE), bytes(body), _clock_ms(bytes(headers), middle_ms))
    finally:
        handle.close()


def same_place(processors: Sequence[Processor]) -> list[Finding]:
    """Processors of different names that are at one and the same address of the network."""
    places: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for one in processors:
        parts = urlsplit(normalized(one.url))
        try:
            addresses = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
        except OSError:
            continue  # said elsewhere
        for place in {(address[4][:2], parts.path) for address in addresses}:
            places[place].append(one.name)
    return [
        wrong(
            "addresses",
            f"{' and '.join(names)} are both at {place[0][0]} port {place[0][1]}{place[1]}: what is refused by one "
            "and sent to the other comes to the same processor",
            "give each processor its own address",
        )
        for place, names in places.items()
        if len(names) > 1
    ] or [good("addresses", "each processor has its own")]


def _look(processor: Processor, settings: Settings, is_asking: bool) -> list[Finding]:
    name, url = processor.name, processor.url
    connector = CONNECTORS[CONTEST](settings.processors.token)
    connect_ms = settings.dispatch.connect_timeout_ms
    identity = secrets.randbits(64), secrets.randbits(64)
    said = ask(url, connector.lookup(*identity), connect_ms=connect_ms)
    if said.code:
        return [_unreached(name, url, said)]
    if connector.read_lookup(said.status, said.body, *identity).verdict is not Verdict.ABSENT:
        return [
            wrong(
                name,
                f"{url} answers a lookup of a payment that nobody has sent with {said.status}, and not with 404: it "
                "is no processor, or the address lacks its path",
                "correct its address (docs/connectors.md says what a processor must answer)",
            )
        ]
    found = [_clock(name, said)]
    if is_asking:
        found.append(good(name, f"{url} answers as a processor does"))
    else:
        found.append(_health(name, url, connector, ask(url, connector.health, connect_ms=connect_ms)))
    if settings.processors.fee_query:
        found.append(_token(name, connector, ask(url, connector.fee, connect_ms=connect_ms)))
    return found


def _unreached(name: str, url: str, said: Said) -> Finding:
    host = urlsplit(url).hostname
    if said.code == pycurl.E_COULDNT_RESOLVE_HOST:
        return wrong(name, f"the name {host} is not found", "correct the name, or the name server (/etc/resolv.conf)")
    if said.code in _TLS:
        return wrong(
            name,
            f"{url} has no TLS that can be trusted: {said.error}",
            "renew its certificate, or make its authority known to this machine (ca-certificates, SSL_CERT_FILE)",
        )
    if said.code == pycurl.E_COULDNT_CONNECT:
        return wrong(
            name, f"cannot connect to {url}: {said.error}", "start it, correct its address, or open the way there"
        )
    return wrong(
        name, f"nothing that can be used comes from {url}: {said.error}", "look at the processor and the way there"
    )


def _clock(name: str, said: Said) -> Finding:
    if said.clock_ms is None:
        return note(f"{name} clock", "the processor does not say its time, so it cannot be compared")
    if abs(said.clock_ms) <= CLOCK_MS_MAX:
        return good(f"{name} clock", f"within {CLOCK_MS_MAX / 1000:g} s of this machine's")
    way = "ahead of" if said.clock_ms > 0 else "behind"
    return wrong(
        f"{name} clock",
        f"the processor's clock is {abs(said.clock_ms) / 1000:.1f} s {way} this machine's: its books by time will "
        "differ from the engine's",
        "have both machines follow a time server (chrony, systemd-timesyncd)",
    )


def _health(name: str, url: str, connector: Connector, said: Said) -> Finding:
    if said.status == 429:
        return good(name, f"{url} answers as a processor does; it was asked for its health just before")
    if said.status == 404:
        return note(name, f"{url} answers as a processor does, has no health to ask for, and is judged by its payments")
    health = None if said.code else connector.read_health(0, said.status, said.body)
    if health is None:
        told = said.error or f"status {said.status}"
        return wrong(name, f"{url} does not tell its health ({told})", "correct its address (docs/connectors.md)")
    if health.failing:
        return wrong(
            name, f"{url} says that it fails", "look at the processor; payments go elsewhere or wait meanwhile"
        )
    return good(name, f"{url} answers as a processor does, and takes {health.min_response_ms} ms at least")


def _token(name: str, connector: Connector, said: Said) -> Finding:
    title = f"{name} token"
    if not said.code and connector.read_fee(0, said.status, said.body) is not None:
        return good(title, "the processor tells its fee")
    if said.status in (401, 403):
        return wrong(title, f"the processor refuses the token ({said.status})", "correct ENGINE_PROCESSOR_TOKEN")
    told = said.error or f"status {said.status}"
    return wrong(title, f"the processor does not tell its fee ({told})", "set ENGINE_FEE_QUERY=0 and ENGINE_FEES_PPM")


def _clock_ms(headers: bytes, now_ms: int) -> int | None:
    """By how much the Date in ``headers`` is ahead of ``now_ms``; a Date means any moment of its second."""
    for line in headers.decode("latin-1").split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() != "date":
            continue
        try:
            moment_ms = round(email.utils.parsedate_to_datetime(value.strip()).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError):
            return None
        return moment_ms + 500 - now_ms
    return None
