"""What nginx says: its own words, refusals of its own, and requests that it has chosen at random.

Under `up` its errors come through a pipe that never blocks it: what does not fit is lost. The rest is a file, read
twice a second and renewed when it is long, so that refusals are counted to the last one. All becomes lines of the
engine (:mod:`engine.logs`), limited like any other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
from collections.abc import Callable
from typing import Any, Final

from engine.logs.chain import utc
from engine.logs.logger import Logger
from engine.memory import metrics_layout
from engine.memory.words import Words

FILE: Final = "nginx.log"
RENEW_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 20  # of each of the two at a look
SLOWED: Final = 429  # what clients get that come too often, or have too many requests open
_LEVELS: Final = {
    "emerg": logging.CRITICAL, "alert": logging.CRITICAL, "crit": logging.ERROR, "error": logging.ERROR,
    "warn": logging.WARNING,
}  # fmt: skip
# What its words are counted under; they have addresses and numbers in them.
KINDS: Final = (
    "connect() ", "upstream timed out", "upstream prematurely closed", "no live upstreams", "recv() failed",
    "send() failed", "worker_connections are not enough", "worker process", "bind() ", "open() ",
)  # fmt: skip
_SAID: Final = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?P<level>\w+)\] \d+#\d+: (?:\*\d+ )?(?P<words>.*)")
_QUERY: Final = re.compile(r"\?[^ \"]*")  # of an address in its words: clients may put anything there
_PAYMENT: Final = re.compile(r"^/payments/([0-9A-Fa-f-]{36})/")

log = Logger("engine.up")


class NginxLog:
    """Reads both.

    Parameters:
      path: of the file; ``""``: nginx writes none.
      counts: the engine's metrics, where refusals are counted; None: nowhere.
      pid: the process id of nginx's master while it runs; None: nginx opens the file for each line, and is not this
        process's. Then the file is renewed at each look, and one that is there at the start is read.
    """

    def __init__(self, path: str, counts: Words | None, pid: Callable[[], int | None] | None) -> None:
        self._path = path
        self._counts = counts
        self._pid = pid
        self._pipe, self.stderr = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._file: int | None = None
        self._is_at_end = True  # nothing was left to read at the last look
        self._is_renewed = False  # nginx was asked to open another file; the last one is read to its end
        self._rest = {"words": b"", "file": b""}
        if path:
            for old in (f"{path}.old", *([path] if pid else [])):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(old)

    def look(self) -> None:
        """Takes what has come since the last look."""
        for line in self._lines("words", self._pipe):
            _say(line)
        if self._path:
            # A file that cannot be opened or renamed now (no descriptor is free, somebody has changed its rights) is
            # looked at again: what is counted of refusals is no reason to end an engine that accepts payments.
            with contextlib.suppress(OSError):
                self._look_at_file()

    def close(self) -> None:
        """The last look."""
        self.look()
        for descriptor in (self._pipe, self.stderr, self._file):
            if descriptor is not None:
                os.close(descriptor)

    def _look_at_file(self) -> None:
        if self._file is None:
            with contextlib.suppress(FileNotFoundError):
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        if self._file is None:
            return
        has_new = os.path.exists(self._path)
        for line in self._lines("file", self._file):
            self._request(line)
        if self._is_renewed and has_new and self._is_at_end:  # since the last look nginx writes to the new one
            os.close(self._file)
            self._file, self._is_renewed = None, False
            self._rest["file"] = b""  # a line that the disk had no room for is none of the next file's
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._path}.old")
        elif not self._is_renewed and (not has_new or os.fstat(self._file).st_size > (RENEW_BYTES if self._pid else 0)):
            self._renew()

    def _renew(self) -> None:
        """Has nginx write to a new file."""
        pid = self._pid() if self._pid else 0
        if pid is None:
            return
        with contextlib.suppress(FileNotFoundError):  # a cleaner of /tmp has taken it
            os.rename(self._path, f"{self._path}.old")
        if pid:
            os.kill(pid, signal.SIGUSR1)
        self._is_renewed = True

    def _lines(self, name: str, descriptor: int) -> list[str]:
        """The whole lines that have come; the rest is kept."""
        try:
            read = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return []
        self._is_at_end = len(read) < READ_BYTES
        *lines, self._rest[name] = (self._rest[name] + read).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _request(self, line: str) -> None:
        try:
            seen = json.loads(line)
        except ValueError:
            return  # cut short: the disk was full
        fields: dict[str, Any] = {"method": seen["method"], "path": seen["path"], "status": seen["status"]}
        fields["request_id"] = seen["request"]
        payment = _PAYMENT.match(seen["path"])
        if payment is not None:
            fields["correlation_id"] = payment[1]
        if seen["own"]:
            self._count(seen["status"])
            log.log(logging.INFO if seen["status"] == SLOWED else logging.WARNING, "nginx_refused", **fields)
        if seen["sampled"]:
            log.info("access", **fields, took_ms=round(float(seen["seconds"]) * 1000), ended=utc(float(seen["at"])))

    def _count(self, status: int) -> None:
        if self._counts is None:
            return
        at = metrics_layout.NGINX_STATUSES.get(status)
        if at is not None:
            self._counts[metrics_layout.NGINX_AT + at] += 1
        elif status == SLOWED:
            self._counts[metrics_layout.NGINX_AT + metrics_layout.NGINX_SLOWED] += metrics_layout.NGINX_SLOWED_OF


def kind(words: str) -> str:
    """What nginx's words are counted under."""
    return next((known.strip() for known in KINDS if words.startswith(known)), "other")


def _say(line: str) -> None:
    if not line.strip():
        return
    match = _SAID.fullmatch(line)
    words = _QUERY.sub("?...", match["words"] if match else line)
    level = _LEVELS.get(match["level"], logging.INFO) if match else logging.WARNING
    if words.startswith("client "):  # whatever a client sends, nobody here has to look at it
        level = logging.INFO
    log.log(level, "nginx_said", kind=kind(words), said=words)
