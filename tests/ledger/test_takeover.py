"""What a ledger process goes on from when it was away: slots that were given away, and memory of other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.ledger import carrier, schema
from engine.ledger.rows import PURGED, UNKNOWN_GAP, RingCursor
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.storage import mapping
from tests.dispatch.recorded import Place
from tests.ledger import making
from tests.ledger.making import payment
from tests.ledger.test_carrier import Ledger, charge_all, identity

SLOTS, FEWER = 128, 64


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, ENGINE_RING_SLOTS=str(SLOTS))
    yield made
    mapping.remove_all(made.settings)


@pytest.fixture
def ledger(place: Place, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(place, tmp_path)
    yield made
    made.database.close()


def pay(place: Place, numbers: range) -> None:
    """These payments come in, and are charged."""
    for number in numbers:
        assert place.accept(number)
        charge_all(place)


def resize(place: Place, **environment: str) -> None:
    """The engine is stopped, and started with other sizes."""
    for segment in (place.books, place.ring):
        segment.close()
    changed = settings_module.as_environment(place.settings) | environment
    place.settings = settings_module.read(changed)
    place.books, place.ring = mapping.open_books(place.settings), mapping.open_rings(place.settings)[0]
    place.start()


def gaps(ledger: Ledger) -> list[tuple[str, int]]:
    """Gaps of payments."""
    return [row for row in ledger.rows(schema.gap, "source", "missing") if row[0] != "journal"]


def states(ledger: Ledger) -> dict[bytes, int]:
    return dict(ledger.payments("id", "state"))


def test_an_open_payment_whose_slot_is_gone_when_the_ledger_comes_back_is_unknown(place: Place, ledger: Ledger) -> None:
    assert place.accept(1)
    ledger.look()
    charge_all(place)
    pay(place, range(2, 2 + SLOTS))
    ledger.restart()
    ledger.look()
    assert states(ledger)[identity(1)] == UNKNOWN_GAP
    assert gaps(ledger) == [("ring 0", 0)]


def test_memory_of_other_sizes_is_no_gap_where_everything_was_carried(place: Place, ledger: Ledger) -> None:
    pay(place, range(1, 3 * SLOTS))
    ledger.look()
    before = states(ledger), gaps(ledger)
    resize(place, ENGINE_RING_SLOTS=str(2 * SLOTS))
    ledger.restart()
    ledger.look()
    assert (states(ledger), gaps(ledger)) == before
    pay(place, range(1000, 1002))
    ledger.look()
    assert len(states(ledger)) == len(before[0]) + 2 and gaps(ledger) == before[1]


def test_what_memory_of_other_sizes_had_no_room_for_is_counted(place: Place, ledger: Ledger) -> None:
    pay(place, range(1, 11))
    assert place.accept(11)
    ledger.look()
    charge_all(place)
    pay(place, range(12, 112))  # 100 that the ledger does not see
    resize(place, ENGINE_RING_SLOTS=str(FEWER))
    ledger.restart()
    ledger.look()
    found = states(ledger)
    assert found[identity(11)] == UNKNOWN_GAP
    assert len(found) == 11 + FEWER and gaps(ledger) == [("memory", 100 - FEWER)]


def test_a_row_that_names_a_slot_of_the_memory_of_before_is_not_lost(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "PAYMENTS_MAX", 10)
    pay(place, range(1, 5))
    assert place.accept(5)
    ledger.look()
    charge_all(place)
    pay(place, range(6, 40))
    resize(place, ENGINE_RING_SLOTS=str(FEWER))
    for _ in range(8):  # the ledger is killed after each look
        ledger.restart()
        ledger.look()
    assert set(states(ledger).values()) == {layout.COMPLETED} and gaps(ledger) == []


def test_a_purge_before_other_sizes_ends_the_era(place: Place, ledger: Ledger) -> None:
    assert place.accept(1)
    ledger.look()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    assert place.accept(1)
    resize(place, ENGINE_RING_SLOTS=str(2 * SLOTS))
    ledger.restart()
    ledger.look()
    assert ledger.payments("era", "state") == [(1, PURGED), (2, layout.QUEUED)]
    assert gaps(ledger) == [("memory", 0)]


def test_where_the_ledger_is_required_other_sizes_have_room_for_all_that_it_lacks(tmp_path: Path) -> None:
    place = Place(tmp_path, ENGINE_LEDGER="require", ENGINE_RING_SLOTS=str(SLOTS))
    try:
        pay(place, range(1, 81))
        with pytest.raises(SegmentError, match="80 payments are unfinished, or not in the ledger"):
            resize(place, ENGINE_RING_SLOTS=str(FEWER))
        place.settings = settings_module.read(
            settings_module.as_environment(place.settings) | {"ENGINE_RING_SLOTS": str(SLOTS)}
        )
        place.books, place.ring = mapping.open_books(place.settings), mapping.open_rings(place.settings)[0]
        place.ring.words[layout.RING_LEDGER_AT] = 20
        resize(place, ENGINE_RING_SLOTS=str(FEWER))
        slots = (layout.slot_offset(FEWER, position) for position in range(80 - FEWER, 80))
        assert [place.ring.words[at + layout.SLOT_ID_LOW] for at in slots] == list(range(81 - FEWER, 81))
    finally:
        mapping.remove_all(place.settings)


def test_where_the_ledger_is_required_a_purge_is_carried_before_sizes_change(tmp_path: Path) -> None:
    place = Place(tmp_path, ENGINE_LEDGER="require", ENGINE_RING_SLOTS=str(SLOTS))
    try:
        pay(place, range(1, 3))
        place.ring.words[layout.RING_FORGOTTEN_AT] = 2
        with pytest.raises(SegmentError, match="a purge has ended are not in the ledger yet"):
            resize(place, ENGINE_RING_SLOTS=str(FEWER))
    finally:
        mapping.remove_all(place.settings)


def test_a_second_purge_does_not_move_payments_that_were_not_carried_yet(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "PAYMENTS_MAX", 2)
    ledger.look()
    pay(place, range(1, 7))
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    pay(place, range(7, 9))
    for _ in range(6):  # the ledger is killed after each look
        ledger.look()
        ledger.restart()
    eras = [(era, int.from_bytes(one, "big") & 0xFF) for era, one in ledger.payments("era", "id")]
    assert eras == [(1, number) for number in range(1, 7)] + [(2, 7), (2, 8)]


def test_a_payment_that_has_left_its_slot_to_be_parked_is_not_open_in_it() -> None:
    """If it was tried again, it is in another slot now, which SQL has not seen: it would be counted twice."""
    rings = RingCursor(0, 4, 9, ((6, 8),)), RingCursor(2, 0, 3)
    cursor = making.cursor()._replace(rings=rings)
    seen = [*((0, at) for at in range(9)), (1, 0), *((2, at) for at in range(3))]
    found = [(ring, at) for ring, at in seen if cursor.has_open(payment(0, ring=ring, position=at))]
    assert found == [(0, 4), (0, 5), (0, 8), (2, 0), (2, 1), (2, 2)]
