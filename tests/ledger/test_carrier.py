"""The ledger's carrier between a real dispatcher's memory and a real database, with crashes of both anywhere."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.books import parked
from engine.books.reader import BooksBusyError, BooksReader
from engine.connectors import answers
from engine.connectors.answers import Fee, Outcome
from engine.dispatch.backlog import Backlog
from engine.journal.reader import JournalReader
from engine.ledger import carrier as carrier_module
from engine.ledger import follow, queries, schema
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry, open_payments
from engine.ledger.database import Database, open_ledger
from engine.ledger.gaps import SLOT_GONE
from engine.ledger.marks import Marks
from engine.ledger.process import Process, to_next_second_s
from engine.ledger.rows import DROPPED, PURGED, UNKNOWN_GAP
from engine.ledger.view import View
from engine.memory import layout
from engine.memory.acts_layout import Act, Carried, Command, Result, pack_result
from engine.memory.journal_layout import STATUS_NO_ANSWER, Kind
from engine.payment import Payment
from engine.storage import mapping
from tests.dispatch.recorded import Place

FEES_PPM = [50_000, None]


class Ledger:
    """A ledger over the memory of ``place``; it can be killed, and started anew."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place = place
        self.fees_ppm: list[int | None] = list(FEES_PPM)
        self.database: Database = open_ledger(
            f"sqlite:///{directory}/ledger.db", name="engine", processors=("default", "fallback"), is_full=False
        )
        self.restart()

    def restart(self) -> None:
        """Another process goes on from what the database has."""
        place = self.place
        shape = mapping.books_shape(place.settings)
        reader = JournalReader(place.journal.words)
        view = View(place.books.words, shape, [place.ring.words], reader)
        self.marks = Marks(place.books.words, [place.ring.words])
        cursor = self.database.cursor()
        self.marks.begin(cursor)
        rows = open_payments(self.database)
        self.carrier = Carrier(view, cursor, list(self.fees_ppm), place.now.wall_ms, rows, queries.fees(self.database))

    def look(self) -> None:
        """One look, carried, and said in shared memory."""
        asked, is_waiting = self.marks.asked(), self.marks.is_purge_waiting
        assert carry(self.database, self.carrier.look(self.place.now.wall_ms, is_waiting)) == 0
        self.carrier.carried()
        self.marks.set(self.carrier.cursor)
        if self.carrier.is_whole:
            self.marks.cover(asked)

    def rows(self, table: sa.Table, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of all rows, in order."""
        query = sa.select(*(table.c[name] for name in columns)).order_by(*(table.c[name] for name in columns))
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def payments(self, *columns: str) -> list[tuple[Any, ...]]:
        return self.rows(schema.payment, *columns)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    mapping.remove_all(made.settings)


@pytest.fixture
def ledger(place: Place, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(place, tmp_path)
    yield made
    made.database.close()


def identity(number: int) -> bytes:
    return (number << 64 | number).to_bytes(16, "big")


def charge_all(place: Place) -> None:
    for attempt in place.step():
        if attempt.lookup:
            place.network.end(attempt, answers.found(attempt.requested_ms, attempt.cents))
        else:
            place.network.end(attempt, answers.CHARGED)
    place.step()


def test_a_payment_is_seen_open_and_then_settled_with_its_fee_and_its_attempt(place: Place, ledger: Ledger) -> None:
    assert place.accept(7)
    ledger.look()
    columns = ("id", "state", "processor", "attempts", "fee_cents", "requested_ms", "era", "ring", "position")
    assert ledger.payments(*columns) == [(identity(7), layout.QUEUED, None, 0, None, None, 1, 0, 0)]
    (attempt,) = place.step()
    requested_ms = attempt.requested_ms
    place.network.end(attempt, answers.CHARGED, 200, 12_345)
    place.step()
    ledger.look()
    settled = (identity(7), layout.COMPLETED, attempt.processor, 1, 100, requested_ms, 1, 0, 0)
    assert ledger.payments(*columns) == [settled]
    attempt_row = ledger.rows(
        schema.attempt, "id", "number", "is_lookup", "outcome", "status", "error", "latency_us", "requested_ms"
    )
    assert attempt_row == [(identity(7), 1, 0, answers.CHARGED.verdict, 200, None, 12_345, requested_ms)]
    ledger.look()
    assert ledger.payments("state") == [(layout.COMPLETED,)] and ledger.rows(schema.gap, "source") == []


def test_a_payment_has_the_fee_that_was_valid_when_it_was_sent(place: Place, ledger: Ledger) -> None:
    ledger.look()
    assert place.accept(1)
    charge_all(place)  # nobody has carried it when the settings get another fee
    place.now_ms += 1000
    ledger.fees_ppm = [70_000, None]
    ledger.restart()
    assert place.accept(2)
    charge_all(place)
    ledger.look()
    assert ledger.payments("position", "processor", "fee_ppm") == [(0, 0, 50_000), (1, 0, 70_000)]
    assert [ppm for _, _, ppm in queries.fees(ledger.database)] == [50_000, 70_000]
    ledger.restart()
    ledger.look()
    assert len(queries.fees(ledger.database)) == 2, "a fee that is known already is no other one"


def test_a_fee_that_a_processor_tells_is_the_fee_of_its_payments(place: Place, ledger: Ledger) -> None:
    ledger.fees_ppm = [None, None]
    ledger.restart()
    assert place.accept(1)
    charge_all(place)
    place.network.words.append(Fee(0, 65_000))
    place.step()
    place.step()
    assert place.accept(2)
    charge_all(place)
    ledger.look()
    assert ledger.payments("position", "fee_ppm", "fee_cents") == [(0, 65_000, 129), (1, 65_000, 129)]


def test_a_request_without_an_answer_and_the_lookup_that_finds_it_are_attempts(place: Place, ledger: Ledger) -> None:
    assert place.accept(7)
    (attempt,) = place.step()
    place.network.end(attempt, answers.UNKNOWN, STATUS_NO_ANSWER + 28)
    (lookup, *_) = place.step()
    ledger.look()
    columns = ("is_lookup", "outcome", "status", "error")
    unanswered = (0, answers.UNKNOWN.verdict, None, "timed out")
    assert ledger.rows(schema.attempt, *columns) == [unanswered, (1, None, None, None)]
    place.network.end(lookup, answers.found(attempt.requested_ms, 1990))
    place.step()
    ledger.restart()  # it does not remember the sending, and completes its row all the same
    ledger.look()
    assert ledger.rows(schema.attempt, *columns) == [unanswered, (1, answers.Verdict.FOUND, 200, None)]
    assert ledger.payments("state", "requested_ms") == [(layout.COMPLETED, attempt.requested_ms)]


def test_what_a_killed_dispatcher_had_sent_has_an_attempt_without_an_end(place: Place, ledger: Ledger) -> None:
    assert place.accept(7)
    place.step()
    place.start()
    place.step()
    ledger.look()
    first = ledger.rows(schema.attempt, "number", "is_lookup", "outcome", "error")[0]
    assert first == (1, 0, None, "the dispatcher ended")


def test_a_purge_ends_the_era_and_the_same_id_is_another_payment_in_the_next(place: Place, ledger: Ledger) -> None:
    assert place.accept(7) and place.accept(8)
    charge_all(place)
    assert place.accept(9)
    ledger.look()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    assert place.accept(7)
    ledger.look()
    charge_all(place)
    ledger.look()
    found = ledger.payments("era", "id", "state")
    assert found == [
        (1, identity(7), layout.COMPLETED), (1, identity(8), layout.COMPLETED), (1, identity(9), PURGED),
        (2, identity(7), layout.COMPLETED),
    ]  # fmt: skip
    eras = ledger.rows(schema.era, "number", "why", "ended_ms")
    assert [(number, why, ended is None) for number, why, ended in eras] == [
        (1, "the ledger was made", False), (2, "purge", True),
    ]  # fmt: skip
    ledger.restart()
    ledger.look()
    assert ledger.payments("era", "id", "state") == found and len(ledger.rows(schema.era, "number")) == 2


def test_what_is_accepted_while_a_purge_is_decided_is_a_payment_of_the_new_era_alone(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = Backlog.forget

    def forget_and_accept(backlog: Backlog) -> list[int]:
        below = forget(backlog)
        assert place.accept(2)
        with pytest.raises(BooksBusyError):
            ledger.look()
        return below

    monkeypatch.setattr(Backlog, "forget", forget_and_accept)
    assert place.accept(1)
    ledger.look()
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    ledger.restart()
    ledger.look()
    assert ledger.payments("era", "id") == [(1, identity(1)), (2, identity(2))]


def test_what_was_over_before_a_purge_is_seen_though_no_look_has_come_to_it(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3, 4):
        assert place.accept(number)
    ledger.look()
    monkeypatch.setattr(carrier_module, "RECORDS_MAX", 1)  # the journal's hints come later
    monkeypatch.setattr(follow, "OPEN_LOOKED_AT", 1)
    charge_all(place)
    place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
    place.step()
    for _ in range(20):
        ledger.look()
    assert ledger.payments("era", "state") == [(1, layout.COMPLETED)] * 4


def test_what_was_given_away_unseen_is_a_counted_gap(place: Place, ledger: Ledger) -> None:
    assert place.accept(1)
    ledger.look()
    for number in range(2, 200):
        assert place.accept(number)
        charge_all(place)
    ledger.look()
    seen = ledger.payments("id", "state")
    missing = sum(count for source, count in ledger.rows(schema.gap, "source", "missing") if source == "ring 0")
    assert len(seen) + missing == 199 and len(seen) == 1 + 64
    assert seen[0] == (identity(1), UNKNOWN_GAP)


def test_an_id_that_comes_again_hides_no_gap_of_the_payment_that_had_it_before(place: Place, ledger: Ledger) -> None:
    assert place.accept(1)
    ledger.look()
    for number in range(2, 80):
        assert place.accept(number)
        charge_all(place)
    assert place.accept(1)
    ledger.restart()
    ledger.look()
    assert (SLOT_GONE, 0, 0) in ledger.rows(schema.gap, "why", "first", "missing")


def test_an_id_that_comes_again_hides_no_gap_from_the_next_carrier(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.accept(1)
    ledger.look()
    for number in range(2, 80):
        assert place.accept(number)
        charge_all(place)
    assert place.accept(1)
    with monkeypatch.context() as little:
        little.setattr(follow, "OPEN_LOOKED_AT", 0)
        little.setattr(carrier_module, "RECORDS_MAX", 0)
        ledger.look()  # it carries the second payment, whose row replaces the first one's, and does not look at that
    assert not [why for (why,) in ledger.rows(schema.gap, "why") if why == SLOT_GONE]
    ledger.restart()
    ledger.look()
    assert (SLOT_GONE, 0, 0) in ledger.rows(schema.gap, "why", "first", "missing")


def test_a_parked_payment_hides_no_gap_of_the_payment_that_had_its_id_before(tmp_path: Path) -> None:
    place = Place(tmp_path, ENGINE_PARK_SECONDS="1")
    ledger = Ledger(place, tmp_path)
    try:
        assert place.accept(1)
        ledger.look()
        for number in range(2, 80):
            assert place.accept(number)
            charge_all(place)
        assert place.accept(1)
        while not place.told(Kind.PARKED):
            for attempt in place.step(100):
                place.network.end(attempt, answers.UNKNOWN)
            assert place.now_ms < 20_000
        ledger.look()
        assert (SLOT_GONE, 0, 0) in ledger.rows(schema.gap, "why", "first", "missing")
    finally:
        ledger.database.close()
        mapping.remove_all(place.settings)


def test_what_is_tried_again_is_what_it_is_now_though_sql_has_refused_that_before(place: Place, ledger: Ledger) -> None:
    books, shape = place.loop.dispatcher.work.books, mapping.books_shape(place.settings)
    wall_ms, reason = place.now.wall_ms, layout.REASON_TOO_OLD
    payment = Payment(0, 7, 7, 1990, wall_ms, layout.FAILED, 0, 1, wall_ms, wall_ms, reason, 1000, wall_ms, True)
    books.begin(wall_ms)
    parking_place = parked.put(books, shape, payment)
    assert parking_place is not None
    books.commit()
    ledger.look()
    books.begin(wall_ms)
    parked.reopen(books, shape, parking_place, payment.origin)
    again = payment._replace(state=layout.PROCESSING, attempts=2, settled_ms=0, reason=layout.REASON_NONE)
    parked.change(books, shape, parking_place, again)
    books.commit()
    ledger.look()  # the journal does not tell of the act yet
    assert ledger.payments("state") == [(layout.FAILED,)]
    assert place.loop.dispatcher.work.history is not None
    carried = Carried(Result.DONE, layout.FAILED, reason, layout.QUEUED, layout.REASON_NONE)
    place.loop.dispatcher.work.history.acted(place.now, Command(Act.RETRY, 1, 2, 7, 7), pack_result(carried))
    place.step()
    ledger.look()
    assert ledger.payments("state", "attempts") == [(layout.PROCESSING, 2)]


def test_a_look_that_is_cut_short_loses_no_payment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.accept(7)
    busy, looks = iter([True]), iter([False, False])

    def parked_since(_: View, sequence: int) -> tuple[int, list[Any]]:
        if next(busy, False):
            raise BooksBusyError("after the rings were looked at")
        return sequence, []

    monkeypatch.setattr(View, "parked_since", parked_since)
    process = Process(place.settings, lambda: next(looks, True), lambda _: None)
    process.run()
    url = place.settings.ledger_url
    with closing(open_ledger(url, name=place.settings.host.name, reads_only=True)) as database:
        assert queries.find(database, identity(7)) is not None


def test_little_is_carried_at_the_end_of_each_second(place: Place) -> None:
    assert to_next_second_s(1_795_766_400_001) == 0.999
    assert to_next_second_s(1_795_766_400_000) == 1.0
    pauses = list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert place.accept(len(pauses))

    Process(place.settings, lambda: len(pauses) >= 3, sleep).run()
    # It is asked to stop in the third: then it carries until nothing is left, without a pause.
    assert len(pauses) == 3 and all(0 < seconds <= 1 for seconds in pauses)


def outcomes(chance: random.Random) -> Outcome:
    return chance.choice(
        [answers.CHARGED] * 6 + [answers.UNKNOWN, answers.FAILED, answers.ALREADY, answers.REFUSED, answers.REJECTED]
    )


def trouble(chance: random.Random, place: Place, ledger: Ledger) -> None:
    """A crash of the dispatcher, of the ledger, or of the ledger between the database and what it holds."""
    what = chance.random()
    if what < 0.02:
        place.start()
        ledger.restart()
    elif what < 0.10:
        ledger.restart()
    elif what < 0.20:
        carry(ledger.database, ledger.carrier.look(place.now.wall_ms))
        ledger.restart()
    elif what < 0.22:
        ledger.carrier.look(place.now.wall_ms)
        ledger.restart()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_dies_every_payment_is_there_once_and_sums_are_those_of_the_books(
    seed: int, place: Place, ledger: Ledger
) -> None:
    chance, number, purges = random.Random(seed), 0, 0
    accepted = dict[int, set[int]]({1: set()})
    for _ in range(250):
        for _ in range(chance.randrange(4)):
            number += 1
            if place.accept(number):
                accepted[1 + purges].add(number)
        for attempt in place.step(chance.randrange(1, 400)):
            if chance.random() < 0.8:
                charged = (
                    answers.found(attempt.requested_ms, attempt.cents) if chance.random() < 0.7 else answers.ABSENT
                )
                place.network.end(attempt, charged if attempt.lookup else outcomes(chance))
        trouble(chance, place, ledger)
        if chance.random() < 0.5:
            ledger.look()
        if seed % 3 == 0 and chance.random() < 0.01:
            ledger.look()  # a purge is no gap if nothing was unseen
            place.ring.words[layout.RING_PURGE_ASKED_AT] += 1
            place.step()
            purges += 1
            accepted[1 + purges] = set()
    for _ in range(400):
        for attempt in place.step(200):
            found = answers.found(attempt.requested_ms, attempt.cents)
            place.network.end(attempt, found if attempt.lookup else answers.CHARGED)
        ledger.look()
        if not place.loop.dispatcher.has_work:
            break
    place.step()
    ledger.look()
    rows = ledger.payments("era", "id", "state", "processor", "cents")
    by_era = {era: {row[1] for row in rows if row[0] == era} for era in accepted}
    assert by_era == {era: {identity(one) for one in numbers} for era, numbers in accepted.items()}
    assert len(rows) == sum(map(len, accepted.values())) and ledger.rows(schema.gap, "source") == []
    books = BooksReader(place.books.words, mapping.books_shape(place.settings)).totals()
    for processor, total in enumerate(books.settled):
        mine = [row for row in rows if row[0] == 1 + purges and row[2:4] == (layout.COMPLETED, processor)]
        assert (len(mine), sum(row[4] for row in mine)) == total
    states = {row[2] for row in rows if row[0] == 1 + purges}
    assert states <= {layout.COMPLETED, layout.FAILED}, "nothing is open any more"
    ended = [outcome for (outcome,) in ledger.rows(schema.attempt, "outcome") if outcome not in (None, DROPPED)]
    assert len(ended) == place.heard, "every answer that the dispatcher has heard is an attempt"
