"""Far more than the contest asks, and processors that are down, slow, refusing or gone: all is settled, once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import AMOUNT_CENTS, Payment, burst, client, new_payments, wait_until
from tests.system.running import engine_in, free_port, place

SMALL_SLOTS = 256


@pytest.fixture(scope="module")
def simulated() -> Iterator[processes.Processors]:
    with processes.processors() as running_processors:
        yield running_processors


@pytest.fixture(scope="module")
def large(simulated: processes.Processors) -> Iterator[World]:
    """An engine with the settings that it has by itself."""
    with running.engine(simulated) as engine:
        yield World(engine, simulated)


@pytest.fixture(scope="module")
def small(simulated: processes.Processors) -> Iterator[World]:
    """An engine with rings that are soon full."""
    with running.engine(simulated, ENGINE_RING_SLOTS=str(SMALL_SLOTS)) as engine:
        yield World(engine, simulated)


def cents(number: int) -> int:
    """Amounts that differ, so that one that was mixed up with another one shows."""
    return 1 + number * 7919 % 1_000_003


def fail(simulated: processes.Processors, failing: bool) -> None:
    simulated.default.set_failing(failing)
    simulated.fallback.set_failing(failing)


def test_a_burst_of_10000_is_settled_once(large: World) -> None:
    large.empty()
    payments = new_payments(10_000, cents)
    assert set(burst(large.engine.port, payments, 32).values()) == {202}
    large.check_settled_once(payments)


def test_a_summary_is_always_of_one_moment_and_never_goes_back(large: World) -> None:
    large.empty()
    large.processors.default.set_delay(20)  # both processors get some
    over = threading.Event()

    def ask(where: int | str, from_: str | None) -> set[int]:
        """Asks all the time; the counts that were seen."""
        seen = [(0, 0)]
        with client(where) as shop:
            while not over.is_set():
                totals = shop.summary(from_)
                for total in totals.values():
                    assert total.cents == total.count * AMOUNT_CENTS
                count = totals["default"].count, totals["fallback"].count
                assert count[0] >= seen[-1][0]
                assert count[1] >= seen[-1][1]
                seen.append(count)
        return {sum(count) for count in seen}

    payments = new_payments(4_000)
    here = large.engine.place
    with ThreadPoolExecutor(4) as threads:
        asked = [
            threads.submit(ask, where, from_)
            for where in (here.api_socket(0), here.api_socket(1))
            for from_ in (None, "2020-01-01T00:00:00.000Z")
        ]
        try:
            assert set(burst(large.engine.port, payments, 4).values()) == {202}
            large.check_settled_once(payments)
        finally:
            over.set()
    for seen in asked:
        assert len(seen.result()) > 10, "summaries were asked while payments settled"


def test_while_both_processors_fail_payments_wait_and_then_are_settled_once(large: World) -> None:
    large.empty()
    fail(large.processors, True)
    payments = new_payments(5_000, cents)
    assert set(burst(large.engine.port, payments).values()) == {202}
    both = (large.processors.default, large.processors.fallback)
    # An outage of some seconds: each has been tried in vain again and again.
    wait_until(lambda: min(processor.stats()["failed"] for processor in both) >= 20, 20, "20 probes of each")
    with client(large.engine.port) as shop:
        assert (shop.pending(), shop.summary().count) == (len(payments), 0)
    fail(large.processors, False)
    large.check_settled_once(payments)


def test_a_slow_default_is_left_for_fallback_and_taken_again(large: World) -> None:
    large.empty()
    large.processors.default.set_delay(2_000)
    payments = new_payments(3_000, cents)  # default may have 800 before anybody can know
    assert set(burst(large.engine.port, payments, 4).values()) == {202}
    large.check_settled_once(payments)
    with client(large.engine.port) as shop:
        totals = shop.summary()
        assert totals["fallback"].count > totals["default"].count
        large.processors.default.set_delay(0)
        more: list[Payment] = []

        def is_default_again() -> bool:
            (payment,) = new_payments(1, cents)
            more.append(payment)
            assert shop.pay(payment).status == 202
            wait_until(lambda: shop.status(payment).json()["status"] == "completed", 10, "completed")
            return bool(shop.status(payment).json()["processor"] == "default")

        # One alone would go to an idle default in any case; several in a row show that it is preferred.
        wait_until(lambda: all(is_default_again() for _ in range(5)), 20, "default is taken again")
    large.check_settled_once([*payments, *more])


def insist(port: int, payments: list[Payment], wait: Callable[[], None]) -> int:
    """Hands payments in until each has its 202; those that had a 503 again, after ``wait``. How many 503 there were."""
    refused = 0
    while payments:
        statuses = burst(port, payments)
        assert set(statuses.values()) <= {202, 503}
        payments = [payment for payment, status in statuses.items() if status == 503]
        refused += len(payments)
        if payments:
            wait()
    return refused


def test_rings_that_come_round_many_times_lose_and_double_nothing(small: World) -> None:
    small.empty()
    payments = new_payments(SMALL_SLOTS * 2 * 8, cents)
    with client(small.engine.port) as shop:
        for begin in range(0, len(payments), 2 * SMALL_SLOTS):
            part = payments[begin : begin + 2 * SMALL_SLOTS]
            insist(small.engine.port, part, lambda: wait_until(lambda: shop.pending() < SMALL_SLOTS, 20, "room"))
    small.check_settled_once(payments)
    with client(small.engine.port) as shop:
        known = [payment for payment in payments if shop.status(payment).status == 200]
        assert set(known) <= set(payments[-3 * 2 * SMALL_SLOTS :]), "old payments are forgotten, the last ones known"
        assert len(known) == 2 * SMALL_SLOTS


def test_a_full_ring_refuses_with_retry_after_and_keeps_what_it_accepted(small: World) -> None:
    small.empty()
    fail(small.processors, True)
    accepted, refused = [], []
    for index in (0, 1):
        with client(small.engine.place.api_socket(index)) as api:
            for payment in new_payments(SMALL_SLOTS, cents):
                assert api.pay(payment).status == 202
                accepted.append(payment)
            (payment,) = new_payments(1, cents)
            answer = api.pay(payment)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert api.status(payment).status == 404
            assert api.pay(accepted[-1]).status == 202, "what was accepted is, as ever"
            refused.append(payment)
    with client(small.engine.port) as shop:
        health = shop.request("GET", "/health").json()
        assert health["status"] == "degraded"
        assert {"ring 0 is full", "ring 1 is full"} <= set(health["reasons"])
        assert shop.pending() == 2 * SMALL_SLOTS == health["limits"]["pendingMax"]
        fail(small.processors, False)
        wait_until(lambda: {shop.pay(payment).status for payment in refused} == {202}, 20, "room")
    small.check_settled_once([*accepted, *refused])


def test_more_than_a_processor_handles_at_once_is_sent_again() -> None:
    with (
        processes.processors(["--handled-max", "4", "--waiting-max", "2"]) as narrow,
        running.engine(narrow) as engine,
    ):
        narrow.default.set_delay(10)
        narrow.fallback.set_delay(10)
        payments = new_payments(150, cents)
        assert set(burst(engine.port, payments).values()) == {202}
        World(engine, narrow).check_settled_once(payments)
        assert narrow.default.stats()["rejected"] > 0


def test_processors_that_are_not_there_are_waited_for() -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    where = ["--default-port", str(ports[0]), "--fallback-port", str(ports[1])]
    with place(urls[0], urls[1]) as here, engine_in(here, "--discard") as engine:
        waiting = new_payments(500, cents)
        assert set(burst(engine.port, waiting).values()) == {202}
        with client(engine.port) as shop:
            tried = waiting[:3]  # one after the other: a probe is for a payment that was not tried yet
            wait_until(lambda: all(shop.status(one).json()["attempts"] for one in tried), 20, "three attempts")
            assert shop.pending() == len(waiting)
        with processes.processors(where) as first:
            World(engine, first).check_settled_once(waiting)
        # They are gone again, and those that come in their place know nothing of what the first ones charged.
        later = new_payments(500, cents)
        assert set(burst(engine.port, later).values()) == {202}
        with client(engine.port) as shop:
            before = shop.summary()
            assert (before.count, shop.pending()) == (len(waiting), len(later))
            with processes.processors(where) as second:
                wait_until(lambda: shop.pending() == 0, 30, "everything is settled")
                assert second.charged_twice() == set()
                charged = [*second.default.charged(), *second.fallback.charged()]
                assert {Payment(row.correlation_id, row.amount_cents) for row in charged} == set(later)
            assert shop.summary().cents == sum(payment.cents for payment in (*waiting, *later))
