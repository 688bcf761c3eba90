"""Cells as processes: `up` with a store, real rings, a real dispatcher, and PostgreSQL."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from engine.lab.ledger.server import Server
from tests.lab.simulate.processes import Processors, processors
from tests.system.client import Client, Payment, client, new_payments, wait_until
from tests.system.running import Engine, engine_in, place

SECONDS_MAX = 60.0  # the machine may be busy
LEASE_MS = 1000


@pytest.fixture(scope="module")
def both() -> Iterator[Processors]:
    with processors() as running:
        yield running


@contextlib.contextmanager
def cell(url: str, both: Processors, name: str) -> Iterator[tuple[Engine, Client]]:
    """A cell that accepts, and a customer of it."""
    settings = {
        "ENGINE_DURABILITY": "cluster", "ENGINE_CLUSTER_URL": url, "ENGINE_CELL": name,
        "ENGINE_CLUSTER_LEASE_MS": str(LEASE_MS), "ENGINE_API_PROCESSES": "1", "ENGINE_RING_SLOTS": "1024",
    }  # fmt: skip
    with (
        place(both.default.base_url, both.fallback.base_url, **settings) as here,
        engine_in(here) as engine,
        client(engine.port) as shop,
    ):
        yield engine, shop


def accepted(shop: Client, payments: list[Payment]) -> None:
    """Hands them in until each has its 202."""
    for payment in payments:
        wait_until(lambda payment=payment: shop.pay(payment).status == 202, SECONDS_MAX, "a 202")  # type: ignore[misc]


def counts(shop: Client, payments: int) -> bool:
    """Whether the books have so many."""
    return sum(total.count for total in shop.summary().values()) == payments


def test_a_killed_cells_payments_are_paid_once_by_another_and_its_books_have_them(
    postgresql: Server, both: Processors
) -> None:
    url = postgresql.new_database("cells_up")
    both.reset()
    with cell(url, both, "south") as (_, shop), cell(url, both, "north") as (north, dying):
        first, second = new_payments(3), new_payments(3)
        accepted(dying, first)
        wait_until(lambda: counts(dying, 3) and counts(shop, 3), SECONDS_MAX, "books of all")
        both.default.set_delay(3000)
        both.fallback.set_delay(3000)
        accepted(dying, second)
        for process in north.processes().values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        north.process.wait()
        both.default.set_delay(0)
        both.fallback.set_delay(0)
        accepted(shop, second)  # again, at the other cell
        wait_until(lambda: counts(shop, 6), SECONDS_MAX, "what the dead cell had accepted")
        assert shop.status(first[0]).json()["status"] == "completed"
        assert not both.charged_twice()
