"""The simulated processors that ``up --simulate`` starts: where, with which fees, and what they remember.

They listen where the dispatcher looks for its processors. They keep what they have charged beside the engine's memory,
and begin empty when that memory is empty, so that the summary stays equal to their books across a restart.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.processors import PPM, Processor
from engine.settings import PROCESSOR_URL_NAMES, Settings
from engine.supervise.others import memory_directory
from engine.supervise.place import InTheWayError, UpError

FEES_PPM = (50_000, 150_000)  # of the first, and of each after it, where no fee is set: the contest's preview
FREE_SECONDS = 2.0  # how long those of an engine that was killed may hold their ports
CONNECT_SECONDS = 0.2


class Spot(NamedTuple):
    """Where a simulated processor listens; ``variable``: what says so."""

    name: str
    host: str
    port: int
    fee_ppm: int
    variable: str


def with_fees(settings: Settings) -> Settings:
    """The same settings, in which every fee is known: what is not set is what the simulated processors keep."""
    fees = (
        f"{one.name}={one.fee_ppm if one.fee_ppm >= 0 else FEES_PPM[min(number, 1)]}"
        for number, one in enumerate(settings.processors.all)
    )
    return replace(settings, processors=replace(settings.processors, fees_ppm=",".join(fees)))


def spots(settings: Settings) -> list[Spot]:
    """Where they are to listen. Raises UpError for an address at which this machine cannot start one."""
    return [_spot(settings, number, one) for number, one in enumerate(settings.processors.all)]


def _spot(settings: Settings, number: int, processor: Processor) -> Spot:
    parts = urlsplit(processor.url)
    variable = _variable(settings, number)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    if parts.scheme != "http" or parts.path or not _is_loopback(host):
        raise UpError(
            f"{variable} is {processor.url}. --simulate starts processors on this machine alone, at addresses like "
            "http://127.0.0.1:8001: leave out --simulate, or that variable"
        )
    if processor.fee_ppm >= PPM:
        raise UpError(f"the fee of {processor.name} is the whole amount: no simulated processor keeps that much")
    return Spot(processor.name, host, parts.port or 80, processor.fee_ppm, variable)


def _variable(settings: Settings, number: int) -> str:
    if settings.processors.listed:
        return f"{settings.processors.names[number]} in ENGINE_PROCESSORS"
    return PROCESSOR_URL_NAMES[number]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_free(wanted: Iterable[Spot]) -> None:
    """Waits a little for the ports to be free. Raises InTheWayError, which names the variable of one that is taken."""
    deadline = time.monotonic() + FREE_SECONDS
    while True:
        try:
            with contextlib.ExitStack() as held:
                for spot in wanted:
                    _listen(held, spot)
            return
        except InTheWayError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _listen(held: contextlib.ExitStack, spot: Spot) -> None:
    probe = held.enter_context(socket.socket(_family(spot)))
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((spot.host, spot.port))
        probe.listen(1)
    except OSError as error:
        raise InTheWayError(
            f"port {spot.port}, where the simulated {spot.name} is to listen ({spot.variable}): {error.strerror}"
        ) from error


def listens(spot: Spot) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket(_family(spot)) as probe:
        probe.settimeout(CONNECT_SECONDS)
        return probe.connect_ex((spot.host, spot.port)) == 0


def _family(spot: Spot) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in spot.host else socket.AF_INET


def commands(settings: Settings, wanted: Iterable[Spot]) -> dict[str, list[str]]:
    """The command for those of each host, by the name of its process."""
    by_host: dict[str, list[Spot]] = {}
    for spot in wanted:
        by_host.setdefault(spot.host, []).append(spot)
    names = ["processors"] if len(by_host) == 1 else [f"processors on {host}" for host in by_host]
    return {name: _command(settings, one) for name, one in zip(names, by_host.values(), strict=True)}


def _command(settings: Settings, wanted: list[Spot]) -> list[str]:
    options = [f"--host={wanted[0].host}", f"--token={settings.processors.token}", f"--keep={_kept(settings)}"]
    options += [f"--processor={spot.name}={spot.port}:{Decimal(spot.fee_ppm) / PPM:f}" for spot in wanted]
    return [sys.executable, "-m", "engine", "simulate", *options]


def forget(settings: Settings) -> None:
    """Removes what they have kept, of processors that are no longer listed too."""
    directory, begins = os.path.split(f"{_kept(settings)}-")
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            if name.startswith(begins):
                os.unlink(f"{directory}/{name}")


def _kept(settings: Settings) -> str:
    """How the paths of their files begin. An engine's name has no dot, so no segment is called so."""
    return f"{memory_directory(settings)}/{settings.host.name}.simulated"
