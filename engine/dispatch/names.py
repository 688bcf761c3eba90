"""Addresses of the processors' names, found in threads: nobody waits for a name server.

libcurl resolves in a few threads of its own that all names share, so a silent name server of one processor holds up the
connections to the other, and closing; and what it has found it keeps for a minute. So it is told every address
(CURLOPT_RESOLVE), and resolves nothing but ``localhost``. Here each name has one thread for each family of addresses:
one that is silent delays no other one. A name is resolved again every few seconds, and at once when a request to it has
failed. An address is forgotten when a name server says that there is none, and kept while it says nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

REFRESH_S = 5.0  # a name is resolved again after this ...
AGAIN_S = 0.1  # ... or, when a request has failed, as soon as this after it was asked for last
FIRST_S = 0.5  # so long a start waits for the first addresses
# Nobody can connect to it, and the kernel says so at once: what is told of a name that has no address.
NOWHERE = "255.255.255.255"
FAMILIES = (socket.AF_INET, socket.AF_INET6)
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_PORTS = {"http": 80, "https": 443}


class Names:
    """The names in ``urls``, each of which belongs to the processor with this number.

    ``changed``: numbers of processors whose :meth:`entry` is another one since they were taken from here.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.changed: deque[int] = deque()
        self._names = [_Name(url, number, self.changed) if _is_name(url) else None for number, url in enumerate(urls)]
        deadline = time.monotonic() + FIRST_S
        while time.monotonic() < deadline and any(name.is_waited_for for name in self._names if name is not None):
            time.sleep(AGAIN_S / 20)
        self.changed.clear()

    def entry(self, processor: int) -> str:
        """What CURLOPT_RESOLVE is to be told of a processor; "": its address needs no name server."""
        name = self._names[processor]
        return name.entry if name is not None else ""

    def doubt(self, processor: int) -> None:
        """A request there has failed: its address may be another one by now."""
        name = self._names[processor]
        if name is not None:
            name.doubt()

    def close(self) -> None:
        """Lets the threads end. One that a name server keeps waiting ends later, and nobody waits for it."""
        for name in self._names:
            if name is not None:
                name.close()


class _Name:
    def __init__(self, url: str, processor: int, changed: deque[int]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._processor = processor
        self._changed = changed
        self._found: dict[int, list[str] | None] = dict.fromkeys(FAMILIES)  # None: nothing was heard yet
        self._asked = {family: threading.Event() for family in FAMILIES}
        self._lock = threading.Lock()
        self._is_closed = False
        self.entry = self._entry()
        for family in FAMILIES:
            # A daemon: a process that ends does not wait for a name server.
            threading.Thread(
                target=self._run, args=(family, self._asked[family]), daemon=True, name=f"resolve {self._host}"
            ).start()

    @property
    def is_waited_for(self) -> bool:
        """Whether there is no address, and one may come."""
        return not any(self._found.values()) and None in self._found.values()

    def doubt(self) -> None:
        for asked in self._asked.values():
            asked.set()

    def close(self) -> None:
        self._is_closed = True
        self.doubt()

    def _run(self, family: int, asked: threading.Event) -> None:
        while not self._is_closed:
            asked.clear()
            found = _resolve(self._host, self._port, family)
            if found is not None:
                self._take(family, found)
            time.sleep(AGAIN_S)
            asked.wait(REFRESH_S)

    def _take(self, family: int, found: list[str]) -> None:
        with self._lock:
            self._found[family] = found
            entry = self._entry()
            if entry != self.entry:
                self.entry = entry
                self._changed.append(self._processor)

    def _entry(self) -> str:
        addresses = [address for family in FAMILIES for address in self._found[family] or ()]
        return f"{self._host}:{self._port}:{','.join(addresses or [NOWHERE])}"


def _resolve(host: str, port: int, family: int) -> list[str] | None:
    """The addresses of a name, as libcurl reads them; None when no name server has said anything."""
    try:
        answers = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return [] if error.errno in _NO_SUCH_NAME else None
    except (OSError, UnicodeError):
        return None
    addresses = sorted({str(answer[4][0]) for answer in answers})
    return [f"[{address}]" if family == socket.AF_INET6 else address for address in addresses]


def _is_name(url: str) -> bool:
    """Whether a name server may have to be asked for the address in ``url``."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost"
    return False
