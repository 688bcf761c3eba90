"""A dispatcher's loop with a journal: real segments, a network and a clock of the test's own."""

from __future__ import annotations

import itertools
from pathlib import Path

from engine import settings as settings_module
from engine.connectors.answers import Outcome
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.loop import Loop, Ports, loop_over
from engine.dispatch.ports import Word
from engine.journal.reader import JournalReader, Record
from engine.memory.doorbell import Doorbell
from engine.memory.journal_layout import Kind
from engine.ring.ring import RingWriter
from engine.storage import journals, mapping
from tests.dispatch.ports import NoBell, NoDurability, NoWaker, SetClock

WALL_MS = 1_784_203_200_000
_NUMBERS = itertools.count()


class Network:
    """Keeps what was sent, and ends it as the test says."""

    def __init__(self) -> None:
        self.sent: list[Attempt] = []
        self._ended: list[tuple[Attempt, Outcome]] = []
        self.words: list[Word] = []
        self.heard = 0  # ends that the loop has taken
        self.asked: list[int] = []  # queries for health

    def send(self, attempt: Attempt) -> None:
        self.sent.append(attempt)

    def end(self, attempt: Attempt, outcome: Outcome, status: int = 200, took_us: int = 4321) -> None:
        self.sent.remove(attempt)
        attempt.status, attempt.took_us = status, took_us
        self._ended.append((attempt, outcome))

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Word]]:
        ended, words, self._ended, self.words = self._ended, self.words, [], []
        self.heard += len(ended)
        return ended, words

    def ask_health(self, processor: int) -> None:
        self.asked.append(processor)

    def ask_fee(self, processor: int) -> None:
        pass

    def kick(self) -> None:
        pass

    def wait_ms(self) -> float | None:
        return None

    def drop(self, attempt: Attempt) -> None:
        self.sent = [one for one in self.sent if one is not attempt]
        self._ended = [(one, outcome) for one, outcome in self._ended if one is not attempt]

    def abandon(self) -> None:
        self.sent.clear()
        self._ended.clear()


class Place:
    """An engine's memory with its journal, and one dispatcher after the other."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.settings = settings_module.read(
            {
                "ENGINE_NAME": f"test-history-{next(_NUMBERS)}-{id(directory)}",
                "ENGINE_RUN_DIR": str(directory),
                "ENGINE_RING_SLOTS": "64",
                "ENGINE_API_PROCESSES": "1",
                "ENGINE_LEDGER": "best",
                "ENGINE_JOURNAL_SLOTS": "1024",
                **environment,
            }
        )
        self.books, self.ring = mapping.open_books(self.settings), mapping.open_rings(self.settings)[0]
        self.now_ms = 1000
        self._read = 0
        self._heard = 0  # by dispatchers that were killed
        self.network = Network()
        self.start()

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def start(self) -> None:
        """The dispatcher is killed, and another one takes over."""
        journal = journals.open_to_write(self.settings, self.books)
        assert journal is not None
        self.reader = JournalReader(journal.words)
        self._heard += self.network.heard
        self.network = Network()
        books = self.books.words
        self.journal = journal
        ports = Ports(SetClock(self.now), self.network, NoDurability(), NoWaker(), Doorbell(NoBell(), books))
        self.loop: Loop = loop_over(self.settings, books, [self.ring.words], ports, journal.words)
        self.loop.begin(self.now)

    def accept(self, number: int) -> bool:
        """The payment with the id (``number``, ``number``) comes in; False: the ring is full."""
        return RingWriter(self.ring.words).put(number, number, 1990, self.now.wall_ms, self.now_ms)

    def step(self, later_ms: int = 1) -> list[Attempt]:
        """A pass; returns what is in flight then."""
        self.now_ms += later_ms
        self.loop.step(self.now)
        return list(self.network.sent)

    @property
    def heard(self) -> int:
        """How many requests and lookups have ended, for any dispatcher."""
        return self._heard + self.network.heard

    def told(self, *kinds: Kind) -> list[Record]:
        """The records since the last call; with ``kinds`` only those."""
        missed, records = self.reader.read(self._read, 10_000)
        assert not missed
        self._read += len(records)
        return [one for one in records if not kinds or one.kind in kinds]
