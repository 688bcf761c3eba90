"""What another engine on this machine must set, as a line that can be copied."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

from engine.settings import PROCESSOR_URL_NAMES, Settings
from engine.storage import mapping, names
from engine.wording import line

PORT_MAX = 65_535


def hint(settings: Settings, words: str, *, simulate: bool) -> str:
    """How to start a second engine beside whatever is in the way of one with ``settings``.

    Parameters:
      words: how the command was called, such as ``up --simulate``.
      simulate: whether it starts processors too: then these need ports of their own.
    """
    return f"A second engine on this machine, as one line:\n\n{line(variables(settings, simulate=simulate), words)}\n"


def variables(settings: Settings, *, simulate: bool) -> dict[str, str]:
    """The variables in which a second engine must differ, with values that are free now."""
    host = settings.host
    number = next(number for number in itertools.count(2) if _is_unused(settings, number))
    ports = _free_ports(host.port + 1)
    chosen = {
        "ENGINE_NAME": f"{host.name}-{number}",
        "ENGINE_RUN_DIR": f"{host.run_dir}-{number}",
        "ENGINE_PORT": str(next(ports)),
    }
    if settings.storage.durability != "memory" and not os.access(settings.storage.data_dir, os.W_OK):
        chosen["ENGINE_DATA_DIR"] = f"{settings.storage.data_dir}-{number}"
    if settings.console.console:
        chosen["ENGINE_CONSOLE_PORT"] = str(next(_free_ports(settings.console.port + 1)))
    if simulate:
        chosen |= _processors(settings)
    return chosen


def _processors(settings: Settings) -> dict[str, str]:
    ports = _free_ports(8003)
    urls = [f"http://127.0.0.1:{next(ports)}" for _ in settings.processors.all]
    if not settings.processors.listed:
        return dict(zip(PROCESSOR_URL_NAMES, urls, strict=True))
    pairs = zip(settings.processors.names, urls, strict=True)
    return {"ENGINE_PROCESSORS": ",".join(f"{name}={url}" for name, url in pairs)}


def _is_unused(settings: Settings, number: int) -> bool:
    """Whether there is neither memory nor a directory of an engine with this number."""
    lock = names.lock_name(f"{settings.host.name}-{number}")
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = mapping.store(settings).names()
    return lock not in there and not os.path.lexists(f"{settings.host.run_dir}-{number}")


def _free_ports(lowest: int) -> Iterator[int]:
    """Ports from ``lowest`` on at which nobody listens."""
    for port in itertools.chain(range(lowest, PORT_MAX + 1), range(1024, lowest)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
            yield port
