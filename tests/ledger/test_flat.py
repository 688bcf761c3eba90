"""What the ledger process holds does not grow with what it has carried."""

from __future__ import annotations

import contextlib
import gc
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine import settings as settings_module
from engine.books import levels
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter, lay_out_journal
from engine.ledger import carrier as carrier_module
from engine.ledger import carry as carry_module
from engine.ledger import process as process_module
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry
from engine.ledger.database import open_ledger
from engine.ledger.marks import Marks
from engine.ledger.process import Memory, Process
from engine.ledger.rows import Batch, Cursor, PaymentRow
from engine.ledger.view import View
from engine.memory import journal_layout, layout
from engine.memory.words import Words, zeros
from engine.ring.ring import RingWriter

SLOTS = 4096
RINGS = 2
NOW_MS = 1_795_766_400_000
OPEN = 100  # payments of a ring that wait
TRIES = 20
A_LOOK = 20  # payments of a ring that are accepted, and as many that are charged, from one look to the next


class Flow:
    """Memory through which payments flow: each is charged when OPEN others have come after it."""

    def __init__(self) -> None:
        shape = levels.shape(30, 1, 64, 2)
        books = zeros(shape.words)
        levels.lay_out_books(books, shape, 7)
        self.rings = [zeros(layout.ring_words(SLOTS)) for _ in range(RINGS)]
        for ring in self.rings:
            layout.lay_out_ring(ring, SLOTS, 5, 7)
        journal = zeros(journal_layout.journal_words(4096))
        lay_out_journal(journal, 4096, 77, 1, 0)
        self.books = books
        self.view = View(books, shape, self.rings, JournalReader(journal))
        self._writers = [RingWriter(ring) for ring in self.rings]
        self._journal = JournalWriter(journal)
        self._ids = itertools.count(1)
        self._charged = 0

    def go_on(self, count: int, now_ms: int) -> None:
        """``count`` payments come to each ring, and those before the last OPEN are charged."""
        for writer in self._writers:
            for _ in range(count):
                number = next(self._ids)
                writer.fill(number << 32, number, 1990, now_ms, 0)
        begin, self._charged = self._charged, max(self._charged, self._writers[0].head - OPEN)
        for number, ring in enumerate(self.rings):
            for position in range(begin, self._charged):
                self._charge(number, ring, position, now_ms)

    def _charge(self, number: int, ring: Words, position: int, now_ms: int) -> None:
        at = layout.slot_offset(SLOTS, position)
        ring[at + layout.SLOT_REQUESTED_MS] = ring[at + layout.SLOT_SETTLED] = now_ms
        ring[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, layout.COMPLETED, 0, 1)
        identity = ring[at + layout.SLOT_ID_HIGH], ring[at + layout.SLOT_ID_LOW]
        answered = journal_layout.Kind.ANSWERED, 0, 0, 1 + number, 1, 200, now_ms, *identity, now_ms, position, 4321
        self._journal.append([answered])


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Callable[[Flow, int], Batch]]:
    """Carries what one look finds."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(open_ledger(url, name="engine", is_full=False)) as database:
        begun: list[Carrier] = []

        def look(flow: Flow, now_ms: int) -> Batch:
            if not begun:
                begun.append(Carrier(flow.view, database.cursor(), [50_000, None], now_ms))
            batch = begun[0].look(now_ms)
            assert carry(database, batch) == 0
            begun[0].carried()
            return batch

        yield look


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_what_it_holds_is_that_of_the_open_payments(carried: Callable[[Flow, int], Batch]) -> None:
    flow, held = Flow(), list[int]()
    flow.go_on(OPEN, NOW_MS)
    with traced():
        for number in range(60):
            flow.go_on(A_LOOK, NOW_MS + 1000 * number)
            carried(flow, NOW_MS + 1000 * number)
            if number % 20 == 19:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    assert held[2] - held[1] < 20_000, held  # bytes, after 800 payments more


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is collected by itself, as in the ledger process; and what other tests hold is not looked at."""
    gc.collect()
    gc.disable()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.enable()


def rows() -> int:
    """How many rows of payments this test has in memory, also those that a cycle holds."""
    return sum(type(one) is PaymentRow for one in gc.get_objects())


@pytest.mark.usefixtures("uncollected")
def test_no_row_is_kept_that_was_carried(carried: Callable[[Flow, int], Batch]) -> None:
    """A batch that is kept until the next one is made is there twice."""
    flow = Flow()
    flow.go_on(SLOTS - 8, NOW_MS)
    assert len(carried(flow, NOW_MS).payments) > SLOTS // 2
    assert rows() == 0


@pytest.mark.usefixtures("uncollected")
def test_no_row_is_kept_that_could_not_be_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database fails when all rows have been written, TRIES times one after the other."""
    flow, tried, kept = Flow(), list[int](), list[int]()
    flow.go_on(OPEN, NOW_MS)

    def fail(connection: sa.Connection, cursor: Cursor, now_ms: int) -> None:
        tried.append(rows())
        raise OSError("no space left on device")

    monkeypatch.setattr(carry_module, "write_cursor", fail)
    monkeypatch.setattr(process_module, "LAST_LOOKS_S", 0.0)
    settings = settings_module.read({"ENGINE_RUN_DIR": str(tmp_path), "ENGINE_LEDGER": "best"})
    process = Process(settings, lambda: len(kept) >= TRIES, lambda _: kept.append(rows()))
    process._carry_from(Memory(flow.view, Marks(flow.books, flow.rings), flow.books, ()))
    assert len(tried) > TRIES and set(tried) == {RINGS * OPEN}
    assert kept == [0] * TRIES


def test_a_batch_is_bounded_when_much_has_happened(
    carried: Callable[[Flow, int], Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "PAYMENTS_MAX", 100)
    monkeypatch.setattr(carrier_module, "RECORDS_MAX", 200)
    flow, sizes = Flow(), list[int]()
    for number in range(4):
        flow.go_on(1000, NOW_MS + number)
    for number in range(80):
        batch = carried(flow, NOW_MS + number)
        sizes.append(len(batch.payments))
        assert len(batch.attempts) <= 200
    assert max(sizes) <= RINGS * 100 + 200 and sum(sizes) >= RINGS * 4000
