"""The store in PostgreSQL with several sessions at once, and with sessions and servers that end at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from engine.cluster import postgres_calls, postgres_schema
from engine.cluster.postgres import Postgres
from engine.cluster.values import (
    Adoption,
    Call,
    Epoch,
    Kind,
    NoAnswerError,
    Offer,
    Pin,
    StaleEpochError,
    StaleEraError,
    UnusableError,
    Verdict,
)
from engine.lab.ledger import server
from engine.lab.ledger.server import Server
from tests.cluster.conformance import LONG_MS, REQUESTED_MS, SHORT_MS, Cell, identity, outcome, verdicts
from tests.cluster.pg import PostgresPlace
from tests.system.client import wait_until

NEW, SAME, CONFLICT = Verdict.NEW, Verdict.SAME, Verdict.CONFLICT
WAIT_S = 60.0


@pytest.fixture
def place(postgresql: Server) -> Iterator[PostgresPlace]:
    made = PostgresPlace(postgresql)
    yield made
    made.close()


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def dead_cell(place: PostgresPlace) -> Cell:
    """A cell whose lease is over, and which holds payment 1."""
    cell = Cell(place, "dead", SHORT_MS)
    assert cell.accepts(1) == (NEW,)
    place.pass_time(SHORT_MS + 1)
    return cell


def writes(by: Epoch) -> list[Call]:
    """What must not be done by an epoch that is over."""
    return [
        Call("accept", (by, [Offer(identity(5), 5, 6)])),
        Call("pin", (by, [Pin(identity(1), 1, 0, REQUESTED_MS)])),
        Call("conclude", (by, [outcome(1)])),
    ]


def begin(session: psycopg.Connection[Any], call: Call) -> None:
    """Says a call to PostgreSQL in a transaction that stays open."""
    ((sql, arguments),) = getattr(postgres_calls, call.operation)(*call.arguments).statements
    session.execute(sql.encode(), arguments).fetchall()


def wait_for_lock(place: PostgresPlace, epoch: int) -> None:
    """Waits until a session of this epoch waits for a lock."""

    def waits() -> bool:
        with place.raw() as session:
            query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
            return session.execute(query, (f"{place.schema} epoch {epoch}",)).fetchone() is not None

    wait_until(waits, WAIT_S, "it waits for a lock")


@pytest.mark.parametrize("kind", range(3), ids=["accept", "pin", "conclude"])
def test_what_stands_still_in_a_transaction_when_its_epoch_is_adopted_is_never_done(
    place: PostgresPlace, kind: int
) -> None:
    dead, two = dead_cell(place), Cell(place, "two")
    before = two.finds(1)
    with place.raw() as session:
        session.execute("SELECT set_config('application_name', %s, false)", (f"{place.schema} epoch {dead.by.number}",))
        begin(session, writes(dead.by)[kind])
        assert two.adopt(dead.by.number) == Adoption(two.by.number)
        with pytest.raises(psycopg.OperationalError):
            session.commit()
        session.close()
    assert two.finds(1) == before._replace(holder=two.by.number)
    assert two.find([identity(5)]) == (None,) and two.sequence(dead.by.cell) == []


@pytest.mark.parametrize("kind", range(3), ids=["accept", "pin", "conclude"])
def test_what_waits_while_its_epoch_is_adopted_is_stale(
    place: PostgresPlace, aside: ThreadPoolExecutor, kind: int
) -> None:
    """The locking statement itself must see what it has waited for, and not what was true when it began."""
    dead, two = dead_cell(place), Cell(place, "two")
    with place.raw() as session:
        begin(session, Call("adopt", (two.by, dead.by.number)))
        with contextlib.suppress(NoAnswerError):
            dead.store.members()  # its session was ended
        late = aside.submit(dead.store.perform, [writes(dead.by)[kind]])
        wait_for_lock(place, dead.by.number)
        session.commit()
    assert isinstance(late.result()[0], StaleEpochError)
    assert two.finds(1).pins == 0 and two.finds(1).outcome is None and two.find([identity(5)]) == (None,)


def test_what_waits_while_everything_is_purged_is_of_the_old_era(
    place: PostgresPlace, aside: ThreadPoolExecutor
) -> None:
    one, two = Cell(place, "one"), Cell(place, "two")
    with place.raw() as session:
        begin(session, Call("purge", (two.by,)))
        late = aside.submit(one.store.perform, writes(one.by)[:1])
        wait_for_lock(place, one.by.number)
        session.commit()
    assert isinstance(late.result()[0], StaleEraError)
    two.by = two.by._replace(era=two.by.era + 1)
    assert two.find([identity(5)]) == (None,)


def test_an_adoption_looks_at_the_lease_again_after_it_has_waited(
    place: PostgresPlace, aside: ThreadPoolExecutor
) -> None:
    slow, two = dead_cell(place), Cell(place, "two")
    with place.raw() as session:
        session.execute("SELECT own(%s::smallint, %s::bigint, %s::bigint)", slow.by)
        adopting = aside.submit(two.adopt, slow.by.number)
        wait_for_lock(place, two.by.number)
        session.execute("UPDATE cell SET until_ms = now_ms() + %s WHERE number = %s", (LONG_MS, slow.by.cell))
        session.commit()
    assert adopting.result().holder == slow.by.number
    assert slow.holds() == {identity(1)}


def test_an_adopted_epochs_sessions_are_ended(place: PostgresPlace) -> None:
    dead, two = dead_cell(place), Cell(place, "two")
    dead.lease(SHORT_MS, 0)
    assert len(place.sessions(dead.by.number)) == 1
    place.pass_time(SHORT_MS + 1)
    two.adopt(dead.by.number)
    wait_until(lambda: not place.sessions(dead.by.number), WAIT_S, "they are ended")
    assert len(place.sessions(two.by.number)) == 1


def test_a_sequence_has_no_gap_where_a_transaction_was_undone(place: PostgresPlace, aside: ThreadPoolExecutor) -> None:
    one, two = Cell(place, "one"), Cell(place, "two")
    one.accepts(1, 2)
    with place.raw() as session:
        begin(session, Call("conclude", (one.by, [outcome(1)])))
        waiting = aside.submit(one.ends, 2)
        wait_for_lock(place, one.by.number)
        assert two.sequence(one.by.cell) == []
        session.rollback()
    assert waiting.result() == NEW
    assert [entry.outcome for entry in two.follow(one.by.cell, 0, 9).entries] == [outcome(2)]
    assert two.sequence(one.by.cell) == [(1, Kind.SETTLED)]


def test_a_sequence_is_followed_whole_while_many_write_it(place: PostgresPlace, aside: ThreadPoolExecutor) -> None:
    one, reader = Cell(place, "one"), Cell(place, "reader")
    numbers = list(range(1, 601))
    one.accepts(*numbers)

    def write(own: Sequence[int]) -> None:
        store = place.store()
        for first in range(0, len(own), 10):
            rows = store.conclude(one.by, [outcome(number) for number in own[first : first + 10]])
            assert set(verdicts(rows)) == {NEW}

    writers = [aside.submit(write, numbers[at::3]) for at in range(3)]
    seen: list[bytes] = []
    while not (done := all(writer.done() for writer in writers)) or len(seen) < len(numbers):
        page = reader.follow(one.by.cell, len(seen), 64)
        assert [entry.sequence for entry in page.entries] == list(
            range(len(seen) + 1, len(seen) + 1 + len(page.entries))
        )
        assert page.end >= len(seen) + len(page.entries) and not (done and not page.entries)
        seen += [entry.outcome.id for entry in page.entries]
    assert sorted(seen) == [identity(number) for number in numbers]
    for writer in writers:
        writer.result()


def test_the_same_ids_at_three_cells_at_once_are_accepted_once(place: PostgresPlace, aside: ThreadPoolExecutor) -> None:
    cells = [Cell(place, name) for name in ("one", "two", "three")]
    numbers, barrier = list(range(1, 601)), threading.Barrier(3)

    def offer(cell: Cell, seed: int, amount: Callable[[int], int], shift: int) -> dict[int, Verdict]:
        mine = [number + shift for number in numbers]
        found: dict[int, Verdict] = {}
        random.Random(seed).shuffle(mine)
        barrier.wait()
        for first in range(0, len(mine), 100):
            batch = mine[first : first + 100]
            found |= dict(zip(batch, cell.accepts(*batch, cents=amount(seed)), strict=True))
        return found

    def at_once(amount: Callable[[int], int], shift: int) -> list[dict[int, Verdict]]:
        running: list[Future[dict[int, Verdict]]] = [
            aside.submit(offer, cell, seed, amount, shift) for seed, cell in enumerate(cells)
        ]
        return [one.result() for one in running]

    for verdict, amount, shift in ((SAME, lambda _: 100, 0), (CONFLICT, lambda seed: 100 + seed, 1000)):
        found = at_once(amount, shift)
        assert all(sorted(one[number + shift] for one in found) == [NEW, verdict, verdict] for number in numbers)
    assert sum(len(cell.holds()) for cell in cells) == 2 * len(numbers)


def until_answered(operation: Callable[[], Any]) -> Any:
    """Repeats until there is an answer."""
    while True:
        with contextlib.suppress(NoAnswerError):
            return operation()


def is_unanswered(operation: Callable[[], Any]) -> bool:
    try:
        operation()
    except NoAnswerError:
        return True
    return False


def test_whatever_moment_a_session_is_ended_at_repeating_does_each_thing_once(
    place: PostgresPlace, aside: ThreadPoolExecutor
) -> None:
    one, draw = Cell(place, "one"), random.Random()
    batches = [list(range(first, first + 20)) for first in range(1, 201, 20)]

    def work() -> None:
        for batch in batches:
            pins = [Pin(identity(number), 1, 0, REQUESTED_MS) for number in batch]
            outcomes = [outcome(number) for number in batch]
            for operation in (
                lambda batch=batch: one.accepts(*batch),
                lambda pins=pins: verdicts(one.pin(pins)),
                lambda outcomes=outcomes: verdicts(one.conclude(outcomes)),
            ):
                assert set(until_answered(operation)) in ({NEW}, {SAME})

    working = aside.submit(work)
    with place.raw() as killer:
        while not working.done():
            killer.execute("SELECT end_sessions(%s), pg_sleep(%s)", (one.by.number, draw.random() * 0.1))
            killer.commit()
    working.result()
    page = until_answered(lambda: one.follow(one.by.cell, 0, 4096))
    assert [entry.sequence for entry in page.entries] == list(range(1, 201))
    assert {entry.outcome.id for entry in page.entries} == {identity(number) for number in range(1, 201)}
    assert one.holds() == set() and one.discrepancies(0, 10) == ()


def test_a_server_that_stands_still_gives_no_answer(place: PostgresPlace) -> None:
    one = Cell(place, "one")
    short = place.store(limit_s=0.2)
    until_answered(lambda: short.find(one.by, [identity(1)]))
    stopped = place.sessions(one.by.number)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(NoAnswerError):
            short.accept(one.by, [Offer(identity(1), 1990, 1)])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert until_answered(lambda: one.accepts(1)) in ((NEW,), (SAME,))
    assert one.holds() == {identity(1)}


@pytest.fixture
def new_place(postgresql: Server) -> Iterator[PostgresPlace]:
    made = PostgresPlace(postgresql, is_new=True)
    yield made
    made.close()


def test_several_that_come_first_make_one_schema(new_place: PostgresPlace, aside: ThreadPoolExecutor) -> None:
    stores = [new_place.store() for _ in range(4)]
    assert list(aside.map(lambda store: store.members(), stores)) == [()] * 4


def test_a_schema_of_a_newer_program_is_not_used(new_place: PostgresPlace) -> None:
    Cell(new_place, "one")
    with new_place.raw() as session:
        session.execute("UPDATE version SET number = %s", (postgres_schema.VERSION + 1,))
    with pytest.raises(UnusableError, match="version"):
        new_place.store().members()


def test_a_server_that_is_not_there_gives_no_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(NoAnswerError):
        Postgres(f"postgresql://nobody@/nothing?host={tmp_path_factory.mktemp('pg')}").members()


def test_a_name_of_a_schema_is_plain() -> None:
    with pytest.raises(ValueError, match="schema"):
        Postgres("postgresql:///", schema='x"; DROP')


def test_what_waits_for_a_standby_is_told_to_nobody(aside: ThreadPoolExecutor) -> None:
    """A server of its own, with a standby that never comes; and then a server that is killed."""
    with server.running() as own:
        place = PostgresPlace(own)
        one, two = Cell(place, "one"), Cell(place, "two")
        one.accepts(1)
        set_standbys(own, "nobody")
        call = Call("accept", (one.by, [Offer(identity(2), 1990, 2)]))
        waiting = aside.submit(place.store(limit_s=WAIT_S).perform, [call])
        wait_until(lambda: waits_for_standby(own), WAIT_S, "it waits for a standby")
        impatient = Postgres(place.url, schema=place.schema, limit_s=0.3)
        for call in (Call("members", ()), Call("find", (two.by, [identity(1)])), Call("follow", (two.by, 1, 0, 5))):
            assert isinstance(impatient.perform([call])[0], NoAnswerError), call
        with psycopg.connect(own.url, autocommit=True) as session:
            session.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        # It is committed and visible, and the standby has not got it: a success with a warning.
        assert isinstance(waiting.result()[0], NoAnswerError)
        set_standbys(own, "")
        assert until_answered(lambda: one.accepts(2)) == (SAME,)
        own.kill()
        # The process of a session may outlive the one that was killed for a moment, and answer.
        wait_until(lambda: is_unanswered(lambda: one.accepts(3)), WAIT_S, "nobody answers")
        own.start()
        assert until_answered(lambda: one.accepts(3)) in ((NEW,), (SAME,))
        assert one.holds() == {identity(1), identity(2), identity(3)}
        impatient.close()
        place.close()


def set_standbys(own: Server, names: str) -> None:
    with psycopg.connect(own.url, autocommit=True, options="-c synchronous_commit=local") as session:
        session.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        session.execute("SELECT pg_reload_conf()")

        def is_set() -> bool:
            row = session.execute("SHOW synchronous_standby_names").fetchone()
            return row is not None and row[0] == names

        wait_until(is_set, WAIT_S, "the setting is read")


def waits_for_standby(own: Server) -> bool:
    with psycopg.connect(own.url) as session:
        return session.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone() is not None
