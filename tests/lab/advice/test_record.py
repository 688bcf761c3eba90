"""A window is read as the ledger has it, and one of which nothing can be said in money is refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.lab.advice.record import LEAD_MS, WINDOW_MS_MAX, Paid, Pause, Record, RecordError, Said, read
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.rows import PURGED, ActRow, Batch, FeeRow, HealthRow
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from tests.lab.advice.recording import opened
from tests.ledger import making
from tests.ledger.making import NOW_MS, attempt, payment

FEES = (FeeRow(0, 0, 50_000), FeeRow(1, 0, 150_000))
ATTEMPTS = (attempt(0, 1), attempt(1, 3, processor=1, outcome=3, status=500))
TO_MS = NOW_MS + 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = opened(f"sqlite:///{tmp_path}/ledger.db")
    yield one
    one.close()


def written(database: Database, *payments: Any, **more: Any) -> Record:
    """What is read of a window that begins at NOW_MS, after these rows were carried."""
    before = database.cursor()
    more = {"fees": FEES, "attempts": ATTEMPTS} | more
    carry(database, Batch(before, before._replace(journal=before.journal + 1), tuple(payments), **more))
    return read(database, NOW_MS, TO_MS)


def test_payments_that_a_setting_can_change_are_replayed_and_others_counted(database: Database) -> None:
    record = written(
        database,
        payment(0), payment(1, state=layout.QUEUED, processor=None, requested_ms=None, settled_ms=None, fee_ppm=None),
        payment(2, state=layout.FAILED, reason=layout.REASON_TOO_OLD), payment(3, state=layout.CHARGED_BEFORE),
        payment(4, state=PURGED), payment(5, state=layout.PARKED, reason=layout.REASON_UNKNOWN),
        payment(6, accepted_ms=NOW_MS - LEAD_MS), payment(7, accepted_ms=NOW_MS - LEAD_MS - 1),
        payment(8, accepted_ms=NOW_MS - 1, state=PURGED), payment(9, accepted_ms=TO_MS),
    )  # fmt: skip
    assert record.payments == (
        Paid(NOW_MS - LEAD_MS, 1990, 0, NOW_MS + 26, 50_000),
        Paid(NOW_MS, 1990, 0, NOW_MS + 20, 50_000),
        Paid(NOW_MS + 1, 1990, None, None, None),
    )
    assert record.left_out == 4
    assert (record.from_ms, record.to_ms, record.begin_ms) == (NOW_MS, TO_MS, NOW_MS - LEAD_MS)
    assert record.names == ("default", "fallback")


def test_requests_and_health_are_read_and_lookups_are_not(database: Database) -> None:
    told = HealthRow(9, 1, NOW_MS - LEAD_MS - 500, True, 100, 200)
    silent = HealthRow(11, 1, NOW_MS, None, None, None)
    lookup = attempt(2, 5, is_lookup=True)
    record = written(database, payment(0), attempts=(*ATTEMPTS, lookup), health=(told, silent))
    assert [(one.processor, one.outcome, one.latency_us) for one in record.requests] == [(0, 0, 15_000), (1, 3, 15_000)]
    assert record.said == (Said(1, told.at_ms, True, 100),)


def test_pauses_hold_from_before_the_window_and_refused_acts_do_nothing(database: Database) -> None:
    def act(number: int, kind: Act, at_ms: int, processor: int = 0, result: Result = Result.DONE) -> ActRow:
        return ActRow(bytes([number] * 16), bytes(16), kind, processor, result, 0, 0, 0, 0, at_ms)

    record = written(
        database,
        payment(0),
        acts=(
            act(1, Act.PAUSE, NOW_MS - 10 * LEAD_MS), act(2, Act.RESUME, NOW_MS - 9 * LEAD_MS),
            act(3, Act.PAUSE, NOW_MS - 8 * LEAD_MS), act(4, Act.PAUSE, NOW_MS + 5, 1),
            act(5, Act.RESUME, NOW_MS + 6, 1, Result.AS_IT_IS), act(6, Act.RESUME, NOW_MS + 7),
            act(7, Act.RESUME, TO_MS, 1),
        ),
    )  # fmt: skip
    assert record.pauses == (
        Pause(NOW_MS - LEAD_MS, 0, True), Pause(NOW_MS + 5, 1, True), Pause(NOW_MS + 7, 0, False),
    )  # fmt: skip


def test_fees_that_change_are_known_with_their_times(database: Database) -> None:
    record = written(database, payment(0), fees=(*FEES, FeeRow(0, NOW_MS + 500, 70_000), FeeRow(0, TO_MS, 80_000)))
    assert record.fee_changes_ms == (NOW_MS + 500,)
    assert [record.fees.at(0, at_ms) for at_ms in (NOW_MS, NOW_MS + 500)] == [50_000, 70_000]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fees": FEES[:1]}, "the fee of fallback is not known"),
        ({"attempts": ATTEMPTS[:1]}, "nothing was sent to fallback"),
        ({"payments": ()}, "no payment of this time"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_sentence(
    database: Database, more: dict[str, Any], said: str
) -> None:
    payments = more.pop("payments", (payment(0),))
    with pytest.raises(RecordError, match=said):
        written(database, *payments, **more)


@pytest.mark.parametrize("length_ms", [0, -1, WINDOW_MS_MAX + 1])
def test_a_window_has_bounds(database: Database, length_ms: int) -> None:
    with pytest.raises(RecordError, match="at most 60 minutes"):
        read(database, NOW_MS, NOW_MS + length_ms)


def test_a_ledger_of_other_processors_is_refused(tmp_path: Path) -> None:
    other = open_ledger(
        f"sqlite:///{tmp_path}/three.db", name="engine", engine=making.ENGINE, processors=("a", "b", "c")
    )
    with pytest.raises(RecordError, match="names 3 processors, and the replay routes between 2"):
        read(other, NOW_MS, TO_MS)
    other.close()
