"""What a running engine answers from its ledger, through nginx: payments that its small rings have long forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import Answer, Client, client, new_payments, wait_until

SECONDS_MAX = 60.0
NEW_ID = "00000000-0000-4000-8000-000000000000"
SLOTS = 64


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    settings = {"ENGINE_LEDGER": "best", "ENGINE_RING_SLOTS": str(SLOTS), "ENGINE_ID_MEMORY": "200000"}
    with processes.processors() as simulated, running.engine(simulated, **settings) as engine:
        yield World(engine, simulated)


def told(shop: Client, path: str) -> Answer:
    """The answer, once the ledger has caught up and has time."""
    found: list[Answer] = []

    def is_told() -> bool:
        found.append(shop.request("GET", path))
        return found[-1].status != 503

    wait_until(is_told, SECONDS_MAX, f"an answer to {path}")
    return found[-1]


def has_attempts(shop: Client, path: str) -> bool:
    return len(told(shop, path).json()["attempts"]) > 0


def test_a_payment_that_the_rings_have_forgotten_is_known_with_its_attempts(world: World) -> None:
    (first,) = new_payments(1)
    path = f"/payments/{first.correlation_id}"
    with client(world.engine.port) as shop:
        assert shop.pay(first).status == 202
        wait_until(lambda: told(shop, f"{path}/status").json()["status"] == "completed", SECONDS_MAX, "it is settled")
        before = told(shop, f"{path}/status").json()

        def is_complete() -> bool:
            document = told(shop, f"{path}/attempts").json()
            until = document["completeUntil"]
            return len(document["attempts"]) == 1 and until is not None and until >= before["settledAt"]

        wait_until(is_complete, SECONDS_MAX, "its attempt is carried")
        for _ in range(12):  # in parts that the rings hold, until both have gone round
            some = new_payments(SLOTS // 4)
            assert {shop.pay(payment).status for payment in some} == {202}
            last = f"/payments/{some[-1].correlation_id}/attempts"
            wait_until(partial(has_attempts, shop, last), SECONDS_MAX, "they are carried")
        assert told(shop, f"{path}/status").json() == before
        (attempt,) = told(shop, f"{path}/attempts").json()["attempts"]
        assert (attempt["kind"], attempt["outcome"], attempt["number"], attempt["status"]) == (
            "request", "charged", 1, 200,
        )  # fmt: skip
        assert attempt["processor"] == before["processor"] and attempt["latencyMs"] > 0
        missing = told(shop, f"/payments/{NEW_ID}/status")
        assert missing.status == 404 and missing.json()["certain"] is True
        assert told(shop, f"/payments/{NEW_ID}/attempts").status == 404
        assert shop.pay(first).status == 202  # whether the ledger answered in time or the processors are asked
    charged = [*world.processors.default.charged(), *world.processors.fallback.charged()]
    assert len(charged) == 12 * (SLOTS // 4) + 1
    assert world.engine.place.said().count("Traceback") == 0
