"""After an outage every payment is found by its id: ``python -m tests.operate.outage [--seconds 60]``.

Payments come all the time, about 150 a second on each connection. For a third of the outage both processors hang, half
of the times after they have charged; then both fail. So some payments become unknown, and most are given up: more than
there are parking places for. Each that was accepted must be found, by its status or in the ledger, and what is said of
it must be so: one that has failed is charged nowhere, one that is completed is charged there. All that the engine has
written meanwhile are a few lines.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

from engine.ledger import queries
from engine.ledger.database import Database
from engine.ledger.rows import STATE_NAMES
from tests.lab.simulate import processes
from tests.lab.simulate.processes import Processors
from tests.system import running
from tests.system.client import Client, Payment, client, steady, wait_until
from tests.system.ledgers import opened
from tests.system.running import Engine

HANGS = {"hang_after_insert": 0.5, "hang_before_insert": 0.5}
SETTINGS = {
    "ENGINE_LEDGER": "best", "ENGINE_PARKED_SLOTS": "64", "ENGINE_REQUEST_TIMEOUT_MS": "500",
    "ENGINE_GIVE_UP_SECONDS": "2", "ENGINE_DEAD_LETTER_SECONDS": "2", "ENGINE_PARK_SECONDS": "1",
}  # fmt: skip
WAIT_S = 90.0
LINES_MAX = 200  # of an outage of a minute, however many payments come


def outage(seconds: float, connections: int) -> tuple[Counter[str], int]:
    """Plays it; how many accepted payments were found as what, and where, and the lines of the engine's log. Fails
    when a payment is not found, or is wrong, or there are too many lines.
    """
    with processes.processors() as simulated, running.engine(simulated, **SETTINGS) as engine:
        accepted = _paid(engine, simulated, seconds, connections)
        with client(engine.port) as shop, closing(opened(engine, WAIT_S)) as ledger:
            found = {payment: _found(shop, ledger, payment) for payment in accepted}
        _check(found.items(), simulated)
        lines = len(engine.place.said().splitlines())
        assert lines < LINES_MAX, engine.place.said()
        return Counter(found.values()), lines


def _paid(engine: Engine, simulated: Processors, seconds: float, connections: int) -> list[Payment]:
    """What was accepted during the outage, when all of it is old enough to be given up."""
    both = (simulated.default, simulated.fallback)
    for number, one in enumerate(both):
        one.set_faults(probabilities=HANGS, seed=number, hang_ms=2000)
    with steady(engine.port, connections) as told:
        time.sleep(seconds / 3)
        for one in both:
            one.set_failing(True)
        time.sleep(seconds * 2 / 3)
    with client(engine.port) as shop:
        wait_until(lambda: _is_decided(shop), WAIT_S, "what waits is unknown")
    return told.accepted


def _is_decided(shop: Client) -> bool:
    """Whether nothing waits but what is unknown."""
    content = shop.request("GET", "/health").json()
    return bool(content["queues"]["pending"] <= sum(one["unresolved"] for one in content["processors"].values()))


def _found(shop: Client, ledger: Database, payment: Payment) -> str:
    """What is said of it, and where."""
    answer = shop.status(payment)
    if answer.status == 200:
        return f"{answer.json()['status']} by its status"
    assert answer.status == 404, answer
    key = uuid.UUID(payment.correlation_id).bytes
    wait_until(lambda: queries.find(ledger, key) is not None, WAIT_S, f"the ledger has {payment}")
    row = queries.find(ledger, key)
    assert row is not None and row.cents == payment.cents
    return f"{STATE_NAMES[row.state]} in the ledger"


def _check(found: Iterable[tuple[Payment, str]], simulated: Processors) -> None:
    charged = {one.correlation_id for some in (simulated.default, simulated.fallback) for one in some.charged()}
    for payment, said in found:
        assert not said.startswith("failed") or payment.correlation_id not in charged, (payment, said)
        assert not said.startswith("completed") or payment.correlation_id in charged, (payment, said)
    assert simulated.charged_twice() == set()


def main() -> None:
    """Prints what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    found, lines = outage(options.seconds, options.connections)
    told = ", ".join(f"{count:,} {what}" for what, count in found.most_common())
    print(f"{found.total():,} payments accepted in {options.seconds:g} s, {lines} lines, each found: {told}")


if __name__ == "__main__":
    main()
