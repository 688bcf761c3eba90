"""What the dispatcher's loop tells the journal: with a network and a clock of the test's own, over real segments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.connectors import answers
from engine.connectors.answers import Health, Outcome, Query, Silence
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.loop import Loop, Ports, loop_over
from engine.dispatch.ports import Word
from engine.journal.reader import JournalReader, Record
from engine.memory import journal_layout, layout
from engine.memory.doorbell import Doorbell
from engine.memory.journal_layout import DROPPED, STATUS_NO_ANSWER, TOOK_BITS, TOOK_MASK, Kind, Sent
from engine.ring.ring import RingWriter
from engine.storage import journals, mapping, names
from tests.dispatch.ports import NoBell, NoDurability, NoWaker, SetClock

WALL_MS = 1_784_203_200_000
_NUMBERS = itertools.count()


class Network:
    """Keeps what was sent, and ends it as the test says."""

    def __init__(self) -> None:
        self.sent: list[Attempt] = []
        self._ended: list[tuple[Attempt, Outcome]] = []
        self.words: list[Word] = []

    def send(self, attempt: Attempt) -> None:
        self.sent.append(attempt)

    def end(self, attempt: Attempt, outcome: Outcome, status: int = 200, took_us: int = 4321) -> None:
        self.sent.remove(attempt)
        attempt.status, attempt.took_us = status, took_us
        self._ended.append((attempt, outcome))

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Word]]:
        ended, words, self._ended, self.words = self._ended, self.words, [], []
        return ended, words

    def ask_health(self, processor: int) -> None:
        pass

    def ask_fee(self, processor: int) -> None:
        pass

    def kick(self) -> None:
        pass

    def wait_ms(self) -> float | None:
        return None

    def drop(self, attempt: Attempt) -> None:
        self.sent.remove(attempt)

    def abandon(self) -> None:
        self.sent.clear()


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
        self.start()

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def start(self) -> None:
        """The dispatcher is killed, and another one takes over."""
        journal = journals.open_to_write(self.settings, self.books)
        assert journal is not None
        self.reader = JournalReader(journal.words)
        self.network = Network()
        books = self.books.words
        ports = Ports(SetClock(self.now), self.network, NoDurability(), NoWaker(), Doorbell(NoBell(), books))
        self.loop: Loop = loop_over(self.settings, books, [self.ring.words], ports, journal.words)
        self.loop.begin(self.now)

    def accept(self, number: int) -> None:
        assert RingWriter(self.ring.words).put(number, number, 1990, self.now.wall_ms, self.now_ms)

    def step(self, later_ms: int = 1) -> list[Attempt]:
        """A pass; returns what is in flight then."""
        self.now_ms += later_ms
        self.loop.step(self.now)
        return list(self.network.sent)

    def told(self, *kinds: Kind) -> list[Record]:
        """The records since the last call; with ``kinds`` only those."""
        missed, records = self.reader.read(self._read, 10_000)
        assert not missed
        self._read += len(records)
        return [one for one in records if not kinds or one.kind in kinds]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    mapping.remove_all(made.settings)


def test_a_payment_that_is_charged_at_once_has_one_record(place: Place) -> None:
    place.accept(7)
    (attempt,) = place.step()
    assert place.told(Kind.SENT, Kind.ANSWERED) == [] and attempt.requested_ms == place.now.wall_ms
    place.network.end(attempt, answers.CHARGED, 200, 12_345)
    place.step(3)
    (record,) = place.told(Kind.SENT, Kind.ANSWERED, Kind.ENDED)
    assert record == Record(
        record.sequence, Kind.ANSWERED, attempt.processor, answers.CHARGED.verdict, 1, 1, 200, place.now.wall_ms, 7, 7,
        attempt.requested_ms, 0, 12_345,
    )  # fmt: skip


def test_a_lookup_and_a_repeated_request_are_recorded_before_they_leave_and_their_ends_name_them(place: Place) -> None:
    place.accept(7)
    (attempt,) = place.step()
    place.network.end(attempt, answers.UNKNOWN, STATUS_NO_ANSWER + 28)
    (lookup, *_) = place.step()
    answer, sent = place.told(Kind.ANSWERED, Kind.SENT)
    assert (answer.status, answer.code) == (STATUS_NO_ANSWER + 28, answers.UNKNOWN.verdict)
    assert lookup.lookup and (sent.code, sent.number, sent.second) == (Sent.BESIDE, 1, 1990)
    place.network.end(lookup, answers.found(attempt.requested_ms, 1990))
    place.step()
    found, ended = place.told(Kind.LOOKED_UP, Kind.ENDED)
    assert (found.second >> TOOK_BITS, found.second & TOOK_MASK) == (sent.sequence + 1, 4321)
    assert found.first == attempt.requested_ms
    assert (ended.code, ended.status, ended.second) == (layout.COMPLETED, layout.REASON_NONE, 1990)


def test_what_a_killed_dispatcher_had_begun_is_recorded_by_the_next_one(place: Place) -> None:
    place.accept(7)
    place.accept(8)
    first, second = place.step()
    place.network.end(first, answers.CHARGED)
    place.step()
    place.told()
    place.start()
    place.step()
    started, left = place.told(Kind.STARTED, Kind.LEFT)
    assert started.kind == Kind.STARTED
    assert (left.id_high, left.number, left.first, left.processor, left.ring, left.position) == (
        8, 1, second.requested_ms, second.processor, 1, 1,
    )  # fmt: skip


def test_an_answer_that_is_not_waited_for_is_recorded_as_dropped(place: Place) -> None:
    place.accept(7)
    (request,) = place.step()
    while not (lookups := [one for one in place.step(100) if one.lookup]):
        assert place.now_ms < 20_000
    place.told()
    place.network.end(lookups[0], answers.found(request.requested_ms, 1990))
    place.step()
    dropped = place.told(Kind.ANSWERED)[-1]
    assert (dropped.code, dropped.id_high, dropped.number) == (DROPPED, 7, 1)


def test_a_purge_says_what_was_forgotten_and_drops_what_is_in_flight(place: Place) -> None:
    place.accept(7)
    place.step()
    place.told()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    dropped, purged = place.told(Kind.ANSWERED, Kind.PURGED)
    assert (dropped.code, dropped.id_high) == (DROPPED, 7)
    assert (purged.ring, purged.position) == (1, 1)
    assert purged.first == place.books.words[layout.BOOKS_PARKED_ERA_AT]


def test_health_and_changes_of_a_state_are_recorded_once(place: Place) -> None:
    place.step()
    assert [(one.processor, one.code) for one in place.told(Kind.STATE)] == [(0, 0), (1, 0)]
    place.network.words = [Health(0, True, 100), Silence(1, Query.HEALTH), Silence(1, Query.FEE)]
    place.step()
    place.step()
    *health, state = place.told(Kind.HEALTH, Kind.STATE)
    assert [(one.processor, one.code, one.first) for one in health] == [
        (0, journal_layout.Health.FAILING, 100), (1, journal_layout.Health.SILENT, 0),
    ]  # fmt: skip
    assert (state.kind, state.processor, state.code) == (Kind.STATE, 0, 3)


def test_a_dispatcher_goes_on_with_the_journal_and_begins_anew_when_it_does_not_fit(place: Place) -> None:
    place.step()
    number, head = place.reader.number, place.reader.head
    place.start()
    assert (place.reader.number, place.reader.head) == (number, head)
    place.settings = settings_module.read(
        settings_module.as_environment(place.settings) | {"ENGINE_JOURNAL_SLOTS": "2048"}
    )
    place.start()
    assert place.reader.number != number and place.reader.head == 0


def test_where_nothing_is_recorded_there_is_no_journal(place: Place) -> None:
    store, name = mapping.store(place.settings), names.journal_name(place.settings.host.name)
    assert name in store.names()
    place.settings = settings_module.read(settings_module.as_environment(place.settings) | {"ENGINE_LEDGER": "off"})
    assert journals.open_to_write(place.settings, place.books) is None
    assert name not in store.names() and journals.open_to_read(place.settings) is None
