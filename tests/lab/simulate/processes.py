"""Real simulated processors for a test: started on free ports, waited for, and ended."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import engine
from engine.lab.services.processor import Processor
from engine.lab.services.processors import charged_twice

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
REPOSITORY = Path(engine.__file__).parents[1]
_LISTENING = re.compile(r"^(\S+) processor on (http://\S+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Processors:
    """The processors that run, and the process of ``engine simulate`` whose children they are."""

    default: Processor
    fallback: Processor
    process: subprocess.Popen[bytes]

    def charged_twice(self) -> set[bytes]:
        """Ids (16 bytes each) that were charged more than once, at one or at both."""
        return charged_twice((self.default, self.fallback))

    def reset(self) -> None:
        """Both as just started, but for the health window."""
        self.default.reset()
        self.fallback.reset()


@contextmanager
def processors(options: Sequence[str] = ()) -> Iterator[Processors]:
    """Both processors, on free loopback ports, with more ``options`` of ``engine simulate``.

    Raises `RuntimeError` when they do not start, or did not end by themselves on SIGTERM.
    """
    process = start("--default-port", "0", "--fallback-port", "0", *options)
    try:
        urls = wait_listening(process, 2)
        with (
            contextlib.closing(Processor("default", urls["default"])) as default,
            contextlib.closing(Processor("fallback", urls["fallback"])) as fallback,
        ):
            yield Processors(default, fallback, process)
    finally:
        stop(process)


def start(*options: str) -> subprocess.Popen[bytes]:
    """Starts ``engine simulate``; its output is a pipe for `wait_listening`."""
    command = [sys.executable, "-m", "engine", "simulate", *options]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)


def wait_listening(process: subprocess.Popen[bytes], count: int) -> dict[str, str]:
    """The addresses, by name, once ``count`` processors have said that they listen; raises `RuntimeError`."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS_MAX
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            chunk = os.read(process.stdout.fileno(), 65_536)  # not readline: it may keep a line back from select
            output += chunk
            urls = dict(_LISTENING.findall(output.decode()))
            if len(urls) == count:
                return urls
            if not chunk:
                break
    raise RuntimeError(f"the processors did not start: {output.decode()!r}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends it by SIGTERM; raises `RuntimeError` when that takes too long."""
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise RuntimeError("engine simulate did not end on SIGTERM") from None
