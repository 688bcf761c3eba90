"""A real dispatcher's memory and a real database, where slots, parked places and purges wait for the ledger."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.books import parked
from engine.books.writer import BooksWriter
from engine.connectors import answers
from engine.ledger import schema
from engine.ledger.rows import PURGED, UNKNOWN_GAP
from engine.memory import layout
from engine.payment import Payment
from engine.ring.ring import RingReader, RingWriter
from engine.storage import mapping
from tests.dispatch.recorded import WALL_MS, Place
from tests.ledger.test_carrier import Ledger, charge_all, identity, outcomes, trouble

SLOTS = 64


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, ENGINE_PARK_SECONDS="10", ENGINE_PARKED_SLOTS="8")
    yield made
    mapping.remove_all(made.settings)


@pytest.fixture
def ledger(place: Place, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(place, tmp_path)
    yield made
    made.database.close()


def writer(place: Place) -> RingWriter:
    return RingWriter(place.ring.words, waits_for_ledger=True)


def accept(place: Place, number: int) -> bool:
    """The payment comes in where slots wait for the ledger."""
    return writer(place).put(number, number, 1990, place.now.wall_ms, place.now_ms)


def park(place: Place, number: int) -> None:
    """A payment comes in, and its processor is silent about it for so long that it is parked."""
    assert place.accept(number)
    for attempt in place.step():
        place.network.end(attempt, answers.UNKNOWN)
    for later_ms in (10_000, 1000, 1000, 1000):
        for attempt in place.step(later_ms):
            place.network.end(attempt, answers.UNKNOWN)
    place.step(1000)
    found = RingReader(place.ring.words).find(number, number)
    assert found is not None and found.state == layout.PARKED


def test_a_ring_is_full_until_its_oldest_payments_are_in_sql(place: Place, ledger: Ledger) -> None:
    for number in range(SLOTS):
        assert accept(place, number)
    charge_all(place)
    assert not accept(place, SLOTS) and writer(place).is_full_of_unrecorded
    ledger.look()
    assert place.ring.words[layout.RING_LEDGER_AT] == SLOTS
    for number in range(SLOTS, 2 * SLOTS):
        assert accept(place, number)
    assert not accept(place, 2 * SLOTS)


def test_a_parked_payment_does_not_keep_its_ring_waiting(place: Place, ledger: Ledger) -> None:
    park(place, 1)
    for number in range(2, 2 + SLOTS - 1):
        assert accept(place, number)
    charge_all(place)
    ledger.look()
    assert place.ring.words[layout.RING_LEDGER_AT] == SLOTS, "its slot says no more of it"
    assert place.books.words[layout.BOOKS_LEDGER_AT] == place.books.words[layout.BOOKS_PARKED_SEQUENCE_AT] + 1


def test_a_parked_payment_is_open_in_sql_until_its_place_tells_its_end(place: Place, ledger: Ledger) -> None:
    park(place, 1)
    ledger.look()
    ((state, position),) = ledger.payments("state", "position")
    assert state == layout.PROCESSING and position == 0
    ledger.restart()
    for _ in range(5):
        place.now_ms += 4000
        charge_all(place)
    ledger.look()
    assert ledger.payments("state", "position") == [(layout.COMPLETED, 0)]
    assert ledger.rows(schema.gap, "source") == []


@pytest.mark.parametrize("is_slot_gone", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_place_that_was_given_away_before_its_end_was_seen_is_a_counted_gap_unless_the_slot_still_tells(
    place: Place, ledger: Ledger, is_slot_gone: bool, restarts: bool
) -> None:
    park(place, 1)
    ledger.look()
    for _ in range(5):
        place.now_ms += 4000
        charge_all(place)
    if is_slot_gone:
        for number in range(1000, 1000 + 2 * SLOTS):
            assert place.accept(number)
            charge_all(place)
    shape = mapping.books_shape(place.settings)
    books = BooksWriter(place.books.words, shape, [place.ring.words])
    books.begin(place.now.wall_ms)
    for number in range(2, 10):  # the table has eight places, and gives the one away that is over
        other = Payment(0, number, number, 1, 1, layout.PROCESSING, 0, 1, 1, 0, 0, 1, 1)
        assert parked.put(books, shape, other) is not None
    books.commit()
    if restarts:
        ledger.restart()
    ledger.look()
    state = dict(ledger.payments("id", "state"))[identity(1)]
    assert state == (UNKNOWN_GAP if is_slot_gone else layout.COMPLETED)
    gaps = [source for (source,) in ledger.rows(schema.gap, "source")]
    assert gaps.count("parked") == (1 if is_slot_gone else 0)


def test_what_is_parked_when_a_purge_comes_keeps_what_had_become_of_it(place: Place, ledger: Ledger) -> None:
    park(place, 1)
    park(place, 2)
    ledger.look()
    for _ in range(5):
        for attempt in place.step(4000):
            is_first = attempt.id_low == 1
            found = answers.found(attempt.requested_ms, attempt.cents) if attempt.lookup else answers.CHARGED
            place.network.end(attempt, found if is_first else answers.UNKNOWN)
    place.step()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    assert place.ring.words[layout.RING_FORGOTTEN_AT] == 2
    ledger.look()
    assert ledger.payments("id", "state", "era") == [
        (identity(1), layout.COMPLETED, 1), (identity(2), PURGED, 1),
    ]  # fmt: skip


def test_what_was_open_when_its_era_ended_is_purged_also_when_it_is_carried_later(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ledger.carrier.PAYMENTS_MAX", 10)
    for number in range(SLOTS // 2):
        assert place.accept(number)
    ledger.look()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    for _ in range(5):
        ledger.look()
    assert ledger.payments("state", "era") == [(PURGED, 1)] * (SLOTS // 2)


def test_what_is_not_ready_is_not_carried_because_it_may_be_taken_back(place: Place, ledger: Ledger) -> None:
    own = RingWriter(place.ring.words, is_synced=True)
    assert own.put(1, 1, 1990, WALL_MS, 1) and own.put(2, 2, 1990, WALL_MS, 1)
    own.release(1)
    ledger.look()
    assert ledger.payments("id") == [(identity(1),)]
    own.release(2)
    ledger.look()
    assert ledger.payments("id") == [(identity(1),), (identity(2),)]


def test_a_purge_is_covered_only_by_a_look_at_everything(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.ledger.carrier.PAYMENTS_MAX", 20)
    monkeypatch.setattr("engine.ledger.follow.OPEN_LOOKED_AT", 5)
    for number in range(SLOTS):
        assert place.accept(number)
    place.ring.words[layout.RING_PURGE_ASKED_AT] = 7
    covered = []
    for _ in range(4):
        ledger.look()
        covered.append(place.ring.words[layout.RING_LEDGER_PURGE_AT])
    assert covered == [0, 0, 0, 7]


def test_after_a_restore_of_an_older_copy_the_marks_go_back_and_what_memory_has_is_carried_again(
    place: Place, ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(10):
        assert accept(place, number)
    charge_all(place)
    ledger.look()
    copy = tmp_path / "copy.db"
    ledger.database.backup(str(copy))
    for number in range(10, 30):
        assert accept(place, number)
    charge_all(place)
    ledger.look()
    assert place.ring.words[layout.RING_LEDGER_AT] == 30
    ledger.database.close()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    copy.rename(tmp_path / "ledger.db")
    again = Ledger(place, tmp_path)
    assert place.ring.words[layout.RING_LEDGER_AT] == 10, "SQL has no more than that"
    again.look()
    assert place.ring.words[layout.RING_LEDGER_AT] == 30
    assert again.payments("id", "state") == [(identity(number), layout.COMPLETED) for number in range(30)]
    assert again.rows(schema.gap, "source") == []
    again.database.close()


def test_memory_that_got_other_sizes_more_than_once_goes_on_in_its_era(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ledger = Ledger(place, tmp_path)
    assert place.accept(1) and place.accept(2)
    ledger.look()
    sizes = (128, 256, 64)
    for slots in sizes:
        for segment in (place.books, place.ring, place.journal):
            segment.close()
        place = Place(tmp_path, ENGINE_NAME=place.settings.host.name, ENGINE_RING_SLOTS=str(slots))
    charge_all(place)
    ledger.place = place
    ledger.restart()
    assert place.ring.words[layout.RING_LEDGER_AT] == 0, "it does not know this memory yet"
    ledger.look()
    assert ledger.payments("era", "id", "state") == [
        (1, identity(1), layout.COMPLETED), (1, identity(2), layout.COMPLETED),
    ]  # fmt: skip
    assert place.ring.words[layout.RING_LEDGER_AT] == 2
    ledger.database.close()
    mapping.remove_all(place.settings)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_dies_nothing_is_unseen_where_slots_and_places_wait(seed: int, tmp_path: Path) -> None:
    place = Place(tmp_path, ENGINE_LEDGER="require", ENGINE_PARK_SECONDS="10", ENGINE_PARKED_SLOTS="8")
    ledger = Ledger(place, tmp_path)
    chance, number, refused, purged = random.Random(seed), 0, 0, 0
    accepted = set[int]()
    eras = [accepted]
    for _ in range(400):
        for _ in range(chance.randrange(8)):
            number += 1
            if accept(place, number):
                accepted.add(number)
            else:
                refused += 1
        for attempt in place.step(chance.choice((1, 50, 400, 3000))):
            if chance.random() < 0.8:
                found = answers.found(attempt.requested_ms, attempt.cents)
                charged = found if chance.random() < 0.7 else answers.ABSENT
                place.network.end(attempt, charged if attempt.lookup else outcomes(chance))
        trouble(chance, place, ledger)
        if chance.random() < 0.3:
            ledger.look()
        if seed % 2 == 0 and chance.random() < 0.01:
            asked = place.ring.words[layout.RING_PURGE_ASKED_AT] = place.ring.words[layout.RING_PURGE_ASKED_AT] + 1
            while place.ring.words[layout.RING_PURGE_DONE_AT] != asked:
                place.step(100)
                if chance.random() < 0.1:
                    ledger.look()
            if place.ring.words[layout.RING_PURGED_AT] == asked:
                purged += 1
                accepted = set()
                eras.append(accepted)
    for _ in range(400):
        for attempt in place.step(200):
            found = answers.found(attempt.requested_ms, attempt.cents)
            place.network.end(attempt, found if attempt.lookup else answers.CHARGED)
        ledger.look()
        if not place.loop.dispatcher.has_work:
            break
    place.step()
    ledger.look()
    rows = ledger.payments("era", "id", "state")
    for era, numbers in enumerate(eras, 1):
        assert {row[1] for row in rows if row[0] == era} == {identity(one) for one in numbers}
    assert len(rows) == sum(map(len, eras)) and ledger.rows(schema.gap, "source") == []
    assert refused, "slots have waited for the ledger"
    assert seed % 2 or purged or seed > 4
    ended = {layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE}
    assert {row[2] for row in rows if row[0] == len(eras)} <= ended
    assert {row[2] for row in rows} <= ended | {PURGED}
    ledger.database.close()
    mapping.remove_all(place.settings)
