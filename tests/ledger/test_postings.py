"""Double entry: of every payment that was charged, what the processor owes is parted into its fee and the profit."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.rows import RANKS, Batch, EraRow, PaymentRow
from engine.memory import layout
from tests.ledger.making import NOW_MS, payment

STATES = (layout.QUEUED, layout.PROCESSING, layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE)
CENTS_MAX = 10**12


def whole(database: Database) -> dict[tuple[bytes, int], dict[str, int]]:
    """The whole table: the microcents of each account, by payment and era."""
    found: dict[tuple[bytes, int], dict[str, int]] = defaultdict(dict)
    with database.transaction() as connection:
        for row in connection.execute(sa.select(schema.posting)):
            accounts = found[bytes(row.id), row.era]
            assert row.account not in accounts, "an account has one entry of a payment"
            assert isinstance(row.microcents, int)
            accounts[row.account] = row.microcents
    return found


def put(database: Database, rows: list[PaymentRow], **changes: Any) -> None:
    before = database.cursor()
    after = before._replace(journal=before.journal + 1, era=changes.get("era", before.era))
    assert carry(database, Batch(before, after, tuple(rows), eras=tuple(changes.get("eras", ())))) == 0


def test_the_entries_of_every_payment_sum_to_zero_whatever_became_of_it(ledger: Database) -> None:
    draw = random.Random(16)
    last: dict[tuple[bytes, int], PaymentRow] = {}
    for turn in range(30):
        rows = []
        for number in draw.sample(range(200), 40):
            row = payment(
                number, era=draw.choice((1, 2)), state=draw.choice(STATES), processor=draw.randrange(2),
                cents=draw.choice((1, 1990, draw.randrange(1, CENTS_MAX), CENTS_MAX)),
                fee_ppm=draw.choice((None, 0, 1, 50_000, 123_457, 1_000_000)),
            )  # fmt: skip
            rows.append(row if row.state == layout.COMPLETED else row._replace(fee_ppm=None))
            key = row.id, row.era
            if key not in last or row.rank >= last[key].rank:
                last[key] = rows[-1]
        put(ledger, rows, eras=[EraRow(1, 0, NOW_MS, 1, "purge")] if turn == 20 else [], era=2 if turn == 20 else 1)
    found = whole(ledger)
    assert found.keys() == {key for key, row in last.items() if row.state == layout.COMPLETED}
    for key, accounts in found.items():
        assert sum(accounts.values()) == 0
        assert accounts["receivable"] == last[key].cents * 1_000_000
        assert accounts.keys() in ({"receivable", "fee", "profit"}, {"receivable", "fee not known"})
    assert RANKS[layout.COMPLETED] == max(RANKS.values()), "what was charged stays charged"


def test_the_largest_amount_is_parted_exactly(ledger: Database) -> None:
    put(ledger, [payment(1, cents=CENTS_MAX, fee_ppm=999_999), payment(2, cents=1, fee_ppm=1)])
    assert whole(ledger)[payment(1).id, 1] == {
        "receivable": 10**18, "fee": -(10**12) * 999_999, "profit": -(10**12),
    }  # fmt: skip
    assert whole(ledger)[payment(2).id, 1] == {"receivable": 1_000_000, "fee": -1, "profit": -999_999}


def test_a_payment_that_is_carried_again_keeps_the_fee_that_it_was_booked_with(ledger: Database) -> None:
    put(ledger, [payment(1, fee_ppm=50_000), payment(2, fee_ppm=None), payment(3, fee_ppm=50_000)])
    put(ledger, [payment(1, fee_ppm=70_000), payment(2, fee_ppm=70_000), payment(3, processor=1, fee_ppm=150_000)])
    with ledger.transaction() as connection:
        own = schema.payment.c
        rows = connection.execute(sa.select(own.id, own.fee_ppm, own.fee_cents))
        found = {bytes(row.id): (row.fee_ppm, row.fee_cents) for row in rows}
    assert found[payment(1).id] == (50_000, 100)
    assert found[payment(2).id] == (70_000, 139), "a fee that becomes known is booked"
    assert found[payment(3).id] == (150_000, 299), "another processor has another fee"


def test_a_restated_amount_is_parted_by_the_fee_of_before(ledger: Database) -> None:
    put(ledger, [payment(1, fee_ppm=50_000)])
    put(ledger, [payment(1, cents=5010, fee_ppm=70_000)])
    assert whole(ledger)[payment(1).id, 1] == {
        "receivable": 5010 * 1_000_000, "fee": -5010 * 50_000, "profit": -5010 * 950_000,
    }  # fmt: skip
    with ledger.transaction() as connection:
        assert connection.execute(sa.select(schema.payment.c.fee_cents)).scalar() == 251  # half up, as fee_cents()
