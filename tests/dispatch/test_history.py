"""What the dispatcher's loop tells the journal: with a network and a clock of the test's own, over real segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.books.writer import BooksWriter
from engine.connectors import answers
from engine.connectors.answers import Health, Query, Silence
from engine.dispatch import dispatcher, loop, work
from engine.dispatch.settlement import Settlement
from engine.journal.reader import Record
from engine.memory import journal_layout, layout
from engine.memory.journal_layout import DROPPED, STATUS_NO_ANSWER, TOOK_BITS, TOOK_MASK, Kind, Sent
from engine.storage import journals, mapping, names
from tests.dispatch.recorded import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    mapping.remove_all(made.settings)


def test_a_payment_that_is_charged_at_once_has_one_record(place: Place) -> None:
    assert place.accept(7)
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
    assert place.accept(7)
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
    assert place.accept(7)
    assert place.accept(8)
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
    assert place.accept(7)
    (request,) = place.step()
    while not (lookups := [one for one in place.step(100) if one.lookup]):
        assert place.now_ms < 20_000
    place.told()
    place.network.end(lookups[0], answers.found(request.requested_ms, 1990))
    place.step()
    dropped = place.told(Kind.ANSWERED)[-1]
    assert (dropped.code, dropped.id_high, dropped.number) == (DROPPED, 7, 1)


def test_a_purge_says_what_was_forgotten_and_drops_what_is_in_flight(place: Place) -> None:
    assert place.accept(7)
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
    assert (place.reader.number, place.reader.head) == (number, head + 1)  # it says at once that it has started
    place.settings = settings_module.read(
        settings_module.as_environment(place.settings) | {"ENGINE_JOURNAL_SLOTS": "2048"}
    )
    place.start()
    assert place.reader.number != number and place.reader.head == 1


def test_where_nothing_is_recorded_there_is_no_journal(place: Place) -> None:
    store, name = mapping.store(place.settings), names.journal_name(place.settings.host.name)
    assert name in store.names()
    place.settings = settings_module.read(settings_module.as_environment(place.settings) | {"ENGINE_LEDGER": "off"})
    assert journals.open_to_write(place.settings, place.books) is None
    assert name not in store.names() and journals.open_to_read(place.settings) is None


class KilledError(Exception):
    """A dispatcher dies here."""


def killed_before_the_commit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that dies just before the books have what it has taken in, and another dispatcher."""

    def die(_: BooksWriter) -> None:
        raise KilledError

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(BooksWriter, "commit", die)
        place.step()


def test_an_end_is_recorded_before_the_books_have_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.accept(7)
    (attempt,) = place.step()
    place.network.end(attempt, answers.CHARGED)
    killed_before_the_commit(place, monkeypatch)
    assert [(one.id_high, one.number) for one in place.told(Kind.ANSWERED)] == [(7, 1)]


def test_an_end_is_recorded_before_its_slot_says_that_the_payment_waits_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.accept(7)
    (attempt,) = place.step()
    store_state = Settlement.store_state

    def store_and_die(self: Settlement, ring: int, position: int, state: int, processor: int, attempts: int) -> None:
        store_state(self, ring, position, state, processor, attempts)
        raise KilledError

    place.network.end(attempt, answers.FAILED, 500)
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(Settlement, "store_state", store_and_die)
        place.step()
    place.start()
    place.step()  # another dispatcher, and no slot shows the request any more
    assert [(one.code, one.number) for one in place.told(Kind.ANSWERED, Kind.LEFT)] == [(answers.FAILED.verdict, 1)]


def test_each_end_is_recorded_once_however_many_come_in_one_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "SETTLEMENTS_MAX", 2)  # of one transaction
    numbers = [1, 2, 3, 4, 5]
    for number in numbers:
        assert place.accept(number)
    in_flight = place.step()
    assert len(in_flight) == len(numbers)
    for attempt in in_flight:
        place.network.end(attempt, answers.CHARGED)
    place.step()
    assert [one.id_high for one in place.told(Kind.ANSWERED)] == numbers


def test_a_request_that_another_answer_has_decided_is_recorded_before_the_books_have_that(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.accept(7)
    (request,) = place.step()
    while not (lookups := [one for one in place.step(100) if one.lookup]):
        assert place.now_ms < 20_000
    place.network.end(lookups[0], answers.found(request.requested_ms, 1990))
    killed_before_the_commit(place, monkeypatch)
    assert [(one.code, one.id_high) for one in place.told(Kind.ANSWERED)] == [(DROPPED, 7)]


def test_what_a_purge_takes_away_is_recorded_before_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.accept(7)
    place.step()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    killed_before_the_commit(place, monkeypatch)
    assert [(one.code, one.id_high) for one in place.told(Kind.ANSWERED, Kind.PURGED)] == [(DROPPED, 7)]


def test_what_was_begun_is_recorded_before_its_slot_shows_another_request(place: Place) -> None:
    assert place.accept(7)
    place.step()
    place.told()
    place.start()  # and this dispatcher dies before its first pass
    place.start()
    assert [one.number for one in place.told(Kind.LEFT)] == [1, 1]


def test_a_purge_waits_until_all_that_was_begun_is_known(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 9):
        assert place.accept(number)
    begun = len(place.step())
    place.told()
    monkeypatch.setattr(loop, "Limits", lambda *words, **named: work.Limits(*words, **named | {"look": 2}))
    place.start()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    for _ in range(10):
        place.step()
    kinds = [one.kind for one in place.told(Kind.LEFT, Kind.PURGED)]
    assert kinds == [Kind.LEFT] * begun + [Kind.PURGED]


def test_what_is_parked_is_not_recorded_again_by_each_dispatcher(tmp_path: Path) -> None:
    place = Place(tmp_path, ENGINE_PARK_SECONDS="1")
    try:
        assert place.accept(7)
        (attempt,) = place.step()
        place.network.end(attempt, answers.UNKNOWN)
        while not place.told(Kind.PARKED):
            for one in place.step(100):
                place.network.end(one, answers.UNKNOWN)
            assert place.now_ms < 20_000
        place.start()
        place.step()
        assert place.told(Kind.LEFT) == []
    finally:
        mapping.remove_all(place.settings)
