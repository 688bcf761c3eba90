"""A whole engine's memory for tests, real API processes on it, and the test in the dispatcher's place."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from engine import settings as settings_module
from engine.books.reader import BooksReader
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.processors import DEFAULT
from engine.ring.ring import RingReader
from engine.settings import Settings
from engine.storage import mapping
from tests.storage.places import on_disk

WAIT_SECONDS = 10.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Returns as soon as ``condition()`` holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.005)


@dataclass
class Engine:
    """Shared memory under a name of its own."""

    environment: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings: Settings = settings_module.read(self.environment)
        self.segments = mapping.open_rings(self.settings)
        self.books = mapping.open_books(self.settings)
        self.rings = [RingReader(segment.words) for segment in self.segments]
        shape = mapping.books_shape(self.settings)
        self.reader = BooksReader(self.books.words, shape)
        self.writer = BooksWriter(self.books.words, shape, [segment.words for segment in self.segments])

    def start(self, index: int = 0) -> subprocess.Popen[str]:
        """Starts an API process and waits until it answers."""
        process = self.launch(index)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert f"api {index} on" in line, line
        with self.client(index) as client:
            wait_until(lambda: is_up(client), "the API process")
        return process

    def launch(self, index: int, **environment: str) -> subprocess.Popen[str]:
        """Starts an API process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "api", "--index", str(index)],
            env={**os.environ, **self.environment, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def client(self, index: int = 0) -> httpx.Client:
        """A client of API process ``index``, with one connection."""
        transport = httpx.HTTPTransport(
            uds=self.settings.host.api_socket(index), limits=httpx.Limits(max_connections=1)
        )
        return httpx.Client(transport=transport, base_url="http://engine", timeout=WAIT_SECONDS)

    def settle(self, ring: int, position: int, processor: int = DEFAULT) -> int:
        """Completes a payment as the dispatcher does; returns its requestedAt."""
        now_ms = time.time_ns() // 1_000_000
        payment = self.rings[ring].read(position)
        assert payment is not None
        at = self.rings[ring].offset(position)
        self.writer.begin(now_ms)
        self.writer.settle(processor, now_ms, payment.cents)
        self.writer.put(ring + 1, at + layout.SLOT_REQUESTED_MS, now_ms)
        self.writer.put(ring + 1, at + layout.SLOT_SETTLED, now_ms)
        word = layout.pack_progress(position, layout.COMPLETED, processor, 1)
        self.writer.put(ring + 1, at + layout.SLOT_PROGRESS, word)
        self.writer.commit()
        return now_ms

    def end(self) -> None:
        """Ends the processes and removes the memory."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for segment in (*self.segments, self.books):
            segment.close()
        mapping.remove_all(self.settings)


@contextlib.contextmanager
def engine(run_dir: str, **environment: str) -> Iterator[Engine]:
    """An engine of two small rings, gone afterwards."""
    with contextlib.ExitStack() as held:
        data_dir = ""
        if environment.get("ENGINE_DURABILITY", "memory") != "memory":
            data_dir = str(held.enter_context(on_disk()) / "data")
        yield from _engine(run_dir, data_dir, environment)


def _engine(run_dir: str, data_dir: str, environment: dict[str, str]) -> Iterator[Engine]:
    made = Engine(
        {
            "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}",
            "ENGINE_RUN_DIR": run_dir,
            "ENGINE_DATA_DIR": data_dir,
            "ENGINE_RING_SLOTS": "64",
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            **environment,
        }
    )
    try:
        yield made
    finally:
        made.end()


@contextlib.contextmanager
def purging(made: Engine) -> Iterator[None]:
    """Carries out purges as the dispatcher does, for as long as the block takes."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.005):
            for ring in made.rings:
                asked = ring.words[layout.RING_PURGE_ASKED_AT]
                if asked != ring.words[layout.RING_PURGE_DONE_AT]:
                    ring.words[layout.RING_FORGOTTEN_AT] = ring.head
                    ring.words[layout.RING_PURGED_AT] = asked
                    ring.words[layout.RING_PURGE_DONE_AT] = asked

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").status_code == 200
    except httpx.TransportError:
        return False


def pay(client: httpx.Client, identity: str, amount: float = 19.9) -> httpx.Response:
    return client.post("/payments", json={"correlationId": identity, "amount": amount})


def new_id() -> str:
    return str(uuid.uuid4())
