"""What each ENGINE_DURABILITY promises of real processes: kill -9 of all of them, and a machine that has gone down."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.memory import layout
from tests.intake.engine import engine as memory_of
from tests.intake.engine import wait_until as wait_until_soon
from tests.lab.simulate.processes import Processors, processors
from tests.system.checks import World
from tests.system.client import AMOUNT_CENTS, Payment, burst, client, new_payments, wait_until
from tests.system.running import Place, engine_in, place

COUNT = 400
SMALL = {
    "ENGINE_RING_SLOTS": "1024",
    "ENGINE_BOOKS_RECENT_SECONDS": "60",
    "ENGINE_BOOKS_HORIZON_HOURS": "1",
}


@pytest.fixture(scope="module")
def both() -> Iterator[Processors]:
    with processors() as made:
        yield made


@pytest.fixture
def here(both: Processors, request: pytest.FixtureRequest) -> Iterator[Place]:
    both.reset()
    settings = SMALL | {"ENGINE_DURABILITY": request.param}
    with place(both.default.base_url, both.fallback.base_url, **settings) as made:
        yield made


def pay_and_kill(here: Place, both: Processors) -> list[Payment]:
    """Payments with a 202, some of them settled, when every process of the engine is killed at once."""
    payments = new_payments(COUNT, lambda number: AMOUNT_CENTS + number)
    both.default.set_delay(50)  # so that many are under way
    with engine_in(here) as running:
        statuses = burst(running.port, payments)
        assert set(statuses.values()) == {202}
        wait_until(lambda: both.default.summary().count > 0, 20, "some are settled")
        running.kill()
    both.default.set_delay(0)
    return payments


def reboot(here: Place) -> None:
    """The machine went down: the files are of another boot."""
    for path in Path(here.settings["ENGINE_DATA_DIR"]).iterdir():
        at = layout.BOOKS_BOOT_AT if path.name.endswith("-books") else layout.RING_BOOT_AT
        with open(path, "r+b") as file:
            file.seek(8 * at)
            file.write((12345).to_bytes(8, "little"))


def check(here: Place, both: Processors, payments: list[Payment]) -> None:
    """A new engine settles everything once, and says so."""
    with engine_in(here) as running:
        World(running, both).check_settled_once(payments)
        with client(running.port) as shop:
            for payment in payments[::40]:
                assert shop.status(payment).json()["status"] == "completed"


@pytest.mark.parametrize("here", ["memory", "disk", "sync"], indirect=True)
def test_kill_9_of_every_process_loses_and_doubles_nothing(here: Place, both: Processors) -> None:
    check(here, both, pay_and_kill(here, both))


@pytest.mark.parametrize("here", ["sync"], indirect=True)
def test_sync_carries_on_after_the_machine_went_down(here: Place, both: Processors) -> None:
    payments = pay_and_kill(here, both)
    reboot(here)
    check(here, both, payments)


@pytest.mark.parametrize("here", ["disk"], indirect=True)
def test_disk_is_refused_after_the_machine_went_down(here: Place, both: Processors) -> None:
    pay_and_kill(here, both)
    reboot(here)
    for mode in ("disk", "sync"):
        code, said = here.refused(ENGINE_DURABILITY=mode)
        assert code == 1
        assert "the machine went down while the engine ran" in said
        assert "`./engine.sh reset --force`" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("here", ["disk"], indirect=True)
def test_disk_carries_on_after_the_machine_went_down_if_the_engine_was_stopped(here: Place, both: Processors) -> None:
    payments = new_payments(COUNT)
    with engine_in(here) as running:
        burst(running.port, payments)
    reboot(here)
    check(here, both, payments)


@pytest.mark.parametrize("here", ["disk"], indirect=True)
def test_between_disk_and_sync_one_may_change_also_after_kill_9(here: Place, both: Processors) -> None:
    payments = pay_and_kill(here, both)
    here.settings["ENGINE_DURABILITY"] = "sync"
    check(here, both, payments)
    here.settings["ENGINE_DURABILITY"] = "disk"
    check(here, both, payments)


def test_an_api_process_says_in_its_ring_whether_it_runs(tmp_path: Path) -> None:
    with memory_of(str(tmp_path), ENGINE_DURABILITY="disk") as made:
        words = made.segments[0].words
        assert words[layout.RING_CLOSED_AT] == layout.CLEAN
        process = made.start(0)
        assert words[layout.RING_CLOSED_AT] == layout.UNCLEAN
        process.send_signal(signal.SIGTERM)
        wait_until_soon(lambda: process.poll() == 0, "its end")
        assert words[layout.RING_CLOSED_AT] == layout.CLEAN
