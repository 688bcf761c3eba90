"""What the ledger answers, in both databases: one payment, its attempts, windows to the cent, pages."""

from __future__ import annotations

import itertools

import pytest

from engine.books.reader import Sum
from engine.ledger import queries
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.queries import Place
from engine.ledger.rows import Batch, EraRow
from engine.memory import layout
from tests.ledger.making import NOW_MS, attempt, cursor, payment

STATES = (layout.COMPLETED,) * 6 + (layout.FAILED, layout.CHARGED_BEFORE, layout.QUEUED, layout.PROCESSING)


def various(number: int) -> dict[str, int | None]:
    """What the payments of these tests differ in."""
    state = STATES[number % len(STATES)]
    return {"state": state, "processor": None if state == layout.QUEUED else number % 3, "cents": 100 + number}


@pytest.fixture
def filled(ledger: Database) -> Database:
    """A ledger with 300 payments, five of which share a millisecond."""
    rows = [payment(number, accepted_ms=NOW_MS + number // 5, **various(number)) for number in range(300)]
    attempts = [attempt(number, number) for number in range(300)]
    carry(ledger, Batch(cursor(), cursor(300, 300), tuple(rows), tuple(attempts)))
    return ledger


def expected(number: int) -> object:
    return payment(number, accepted_ms=NOW_MS + number // 5, **various(number))


def test_a_payment_is_found_by_its_id(filled: Database) -> None:
    assert queries.find(filled, payment(17).id) == expected(17)
    assert queries.find(filled, bytes(16)) is None


def test_a_payment_of_an_era_that_is_over_is_history(filled: Database) -> None:
    before = filled.cursor()
    eras = (EraRow(1, 0, NOW_MS, 1, "purge"), EraRow(2, NOW_MS, None, 1, "purge"))
    again = payment(17, era=2, state=layout.QUEUED, processor=None)
    carry(filled, Batch(before, before._replace(era=2, journal=400), payments=(again,), eras=eras))
    assert queries.find(filled, payment(17).id) == again
    assert queries.find(filled, payment(18).id) is None
    assert queries.history(filled, payment(17).id) == [again, expected(17)]


def test_the_attempts_of_a_payment_are_in_their_order(filled: Database) -> None:
    before = filled.cursor()
    more = (
        attempt(17, 500, number=3, began_ms=NOW_MS + 900, is_lookup=True),
        attempt(17, 499, number=2, began_ms=NOW_MS + 900),
        attempt(17, 498, began_ms=NOW_MS + 86_400_000 * 3, ended_ms=None, outcome=None),
        attempt(17, 497, era=9),
    )
    carry(filled, Batch(before, before._replace(journal=600), attempts=more))
    found = queries.attempts(filled, payment(17).id, 1)
    assert found == [attempt(17, 17), more[1], more[0], more[2]]
    assert found[2].is_lookup is True
    assert queries.attempts(filled, bytes(16), 1) == []


@pytest.mark.parametrize(("begin", "end"), [(0, 1 << 62), (NOW_MS + 40, NOW_MS + 90), (NOW_MS + 7, NOW_MS + 7), (9, 3)])
def test_a_window_is_exact_at_both_ends(filled: Database, begin: int, end: int) -> None:
    sums = [[0, 0] for _ in range(3)]
    for number in range(300):
        row = payment(number, **various(number))
        assert row.requested_ms is not None
        if row.state == layout.COMPLETED and row.processor is not None and begin <= row.requested_ms <= end:
            sums[row.processor][0] += 1
            sums[row.processor][1] += row.cents
    found = queries.window(filled, begin, end, 3)
    assert found.sums == tuple(Sum(*one) for one in sums)
    assert found.is_whole


def test_a_window_is_of_the_current_era(filled: Database) -> None:
    before = filled.cursor()
    carry(filled, Batch(before, before._replace(era=2), payments=(payment(500, era=2, processor=1),)))
    assert queries.window(filled, 0, 1 << 62, 2).sums == (Sum(0, 0), Sum(1, 1990))


def test_sums_beyond_63_bits_are_exact(ledger: Database) -> None:
    before = ledger.cursor()
    rows = tuple(payment(number, cents=(1 << 62) - 1) for number in range(2))
    carry(ledger, Batch(before, before._replace(journal=1), payments=rows))
    assert queries.window(ledger, 0, 1 << 62, 1).sums == (Sum(2, (1 << 63) - 2),)


FILTERS = [
    {}, {"states": (layout.COMPLETED,)}, {"states": (layout.FAILED,)}, {"processor": 1},
    {"states": (layout.QUEUED, layout.PROCESSING)}, {"states": (layout.COMPLETED,), "processor": 2},
    {"states": (layout.FAILED, layout.COMPLETED), "from_ms": NOW_MS + 9, "to_ms": NOW_MS + 33},
]  # fmt: skip


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_pages_have_every_payment_once_the_newest_first(filled: Database, asked: dict[str, object]) -> None:
    states, processor = asked.get("states", ()), asked.get("processor")
    assert isinstance(states, tuple)
    wanted = []
    for number in range(300):
        row = payment(number, accepted_ms=NOW_MS + number // 5, **various(number))
        if (states and row.state not in states) or (processor is not None and row.processor != processor):
            continue
        if int(str(asked.get("from_ms", 0))) <= row.accepted_ms <= int(str(asked.get("to_ms", 1 << 62))):
            wanted.append(row)
    wanted.sort(key=lambda row: (row.accepted_ms, row.id), reverse=True)

    found, behind = [], None
    for _ in itertools.count():
        some = queries.page(filled, behind=behind, limit=17, **asked)  # type: ignore[arg-type]
        found += some
        if len(some) < 17:
            break
        behind = Place(some[-1].accepted_ms, some[-1].id, some[-1].era)
    assert found == wanted and len(wanted) > 5


def test_the_processors_have_their_names(ledger: Database) -> None:
    assert queries.processor_names(ledger) == {0: "default", 1: "fallback"}
