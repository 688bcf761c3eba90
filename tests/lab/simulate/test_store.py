from __future__ import annotations

import random
import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from engine.lab.simulate.store import PaymentStore, Totals
from engine.lab.simulate.wire import Payment
from tests.lab.simulate.payments import NOON_MS

BYTES_PER_PAYMENT_MAX = 64

payments = st.builds(
    Payment,
    key=st.integers(min_value=0, max_value=40).map(lambda number: number.to_bytes(16, "big")),
    amount_cents=st.integers(min_value=1, max_value=10**15),
    requested_at_ms=st.integers(min_value=NOON_MS - 2500, max_value=NOON_MS + 2500) | st.integers(0, 2**40),
)
bounds = st.none() | st.integers(min_value=NOON_MS - 3000, max_value=NOON_MS + 3000) | st.integers(-1, 2**40)


@given(st.lists(payments, max_size=60), bounds, bounds)
def test_each_id_is_charged_once_and_every_window_is_exact(
    asked: list[Payment], from_ms: int | None, to_ms: int | None
) -> None:
    store = PaymentStore()
    charged: dict[bytes, Payment] = {}
    for payment in asked:
        assert store.insert(payment) is (payment.key not in charged)
        charged.setdefault(payment.key, payment)
    within = [
        payment.amount_cents
        for payment in charged.values()
        if (from_ms is None or from_ms <= payment.requested_at_ms)
        and (to_ms is None or payment.requested_at_ms <= to_ms)
    ]
    assert store.totals(from_ms, to_ms) == Totals(len(within), sum(within))
    assert store.page(0, 100) == list(charged.values())
    for number in range(41):
        key = number.to_bytes(16, "big")
        assert store.find(key) == charged.get(key)


def _filled(count: int, per_second: int) -> PaymentStore:
    store = PaymentStore()
    keys = random.Random(1)
    for number in range(count):
        store.insert(Payment(keys.randbytes(16), 1990, NOON_MS + number * 1000 // per_second))
    return store


def test_pages_hold_every_payment_once_in_the_order_of_the_charges() -> None:
    store = _filled(1000, per_second=100)
    rows = [payment.key.hex() for after in range(0, 1000, 300) for payment in store.page(after, 300)]
    ids = "\n".join(store.page_of_ids(after, 300) for after in range(0, 1000, 300)).split("\n")
    assert len(set(rows)) == 1000
    assert rows == ids


def test_the_index_grows_and_still_finds_everything() -> None:
    store = _filled(60_000, per_second=5000)
    assert all(store.find(store[row].key) == store[row] for row in range(len(store)))
    assert store.find(bytes(16)) is None


def test_a_payment_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        store = _filled(60_000, per_second=5000)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(store) < BYTES_PER_PAYMENT_MAX


def test_a_window_is_summed_without_looking_at_all_that_is_stored() -> None:
    store = _filled(100_000, per_second=1000)
    started = time.process_time()
    for number in range(20):
        assert store.totals(NOON_MS + 500 + number, NOON_MS + 15_499 + number) == Totals(15_000, 15_000 * 1990)
    assert (time.process_time() - started) / 20 < 0.005
