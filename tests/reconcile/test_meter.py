"""What is open is shown on the page of reconciliation, and read from there by a scrape."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from engine import settings as settings_module
from engine.console.looking import Looking
from engine.console.recorded import Recorded, at
from engine.console.scrape import Scrape
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.rows import Batch
from engine.memory import metrics_layout
from engine.memory.words import zeros
from engine.reconcile.check import WINDOW_MS
from engine.reconcile.driver import Driver
from engine.reconcile.finding import OPEN
from engine.reconcile.meter import Meter
from engine.reconcile.span import Span
from engine.settings import Settings
from engine.storage import mapping, pages
from engine.storage.viewing import seen
from tests.ledger import making
from tests.ledger.making import attempt
from tests.reconcile.world import NAMES, STRETCH, NoBooks, World


@pytest.fixture
def settings() -> Iterator[Settings]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    made = settings_module.read({"ENGINE_NAME": name, "ENGINE_LEDGER": "best", "ENGINE_RECONCILE_SECONDS": "60"})
    yield made
    pages.remove(made)
    mapping.remove_all(made)


def scraped(settings: Settings) -> dict[tuple[str, ...], object]:
    with seen(settings) as memory:
        samples = Scrape(settings, memory, zeros(metrics_layout.PROCESS_WORDS), None).samples()
        return {(one.name, *one.labels): one.value for one in samples}


def charge_at_the_other_one_too(world: World, number: int) -> None:
    row = world.rows[number]
    other = 1 - (row.processor or 0)
    world.charge(row._replace(processor=other))
    world.apply()
    before = world.database.cursor()
    sent = attempt(0, number + 1, id=row.id, processor=other, began_ms=row.requested_ms, requested_ms=row.requested_ms)
    carry(world.database, Batch(before, before._replace(journal=before.journal + 1), attempts=(sent,)))


def test_states_have_the_same_order_in_ledger_and_metrics() -> None:
    assert tuple(state.replace(" ", "_") for state in OPEN) == metrics_layout.EXCEPTIONS


def test_what_is_open_and_what_was_charged_twice_is_shown(ledger: Database, settings: Settings) -> None:
    world = World(ledger, 30)
    charge_at_the_other_one_too(world, 7)
    removed = world.rows[9]
    del world.charged[removed.processor or 0][removed.id]
    world.apply()
    meter = Meter(settings)
    run, count = world.reconcile()
    meter.ended(is_whole=not run.failure)
    meter.show(ledger)
    shown = scraped(settings)
    assert count == 2 and shown["engine_reconcile_runs_total",] == 1 and shown["engine_reconcile_unended_total",] == 0
    by_state = {state: shown["engine_reconcile_exceptions", state] for state in metrics_layout.EXCEPTIONS}
    assert by_state == dict.fromkeys(metrics_layout.EXCEPTIONS, 0) | {"missing_there": 1, "missing_here": 1}
    assert shown["engine_reconcile_differing_cents",] == world.rows[7].cents + removed.cents
    assert shown["engine_charged_twice_payments",] == 1
    assert shown["engine_process_starts_total", "reconcile"] == 1


def test_a_run_without_an_end_is_counted_apart_and_new_memory_is_followed(ledger: Database, settings: Settings) -> None:
    meter = Meter(settings)
    meter.ended(is_whole=False)
    assert scraped(settings)["engine_reconcile_unended_total",] == 1
    pages.remove(settings)
    meter.ended(is_whole=True)
    meter.show(ledger)
    shown = scraped(settings)
    assert shown["engine_reconcile_runs_total",] == 1 and shown["engine_reconcile_unended_total",] == 0


def test_the_window_that_is_compared_is_shown_until_the_run_is_over(settings: Settings) -> None:
    hour = Span(making.NOW_MS + 5, making.NOW_MS + 3_600_000)
    first, *_, last = hour.windows(WINDOW_MS)
    meter, looking = Meter(settings), Looking(settings, Recorded(settings))
    assert looking.comparing() is None
    for processor, window, is_half in ((0, first, False), (1, first.halves()[0], True), (0, last, False)):
        meter.comparing(hour, processor, window)
        found = looking.comparing()
        assert found == {
            "processor": settings.processors.names[processor], "from": at(window.from_ms), "to": at(window.to_ms),
            "runFrom": at(hour.from_ms), "runTo": at(hour.to_ms), "isHalf": is_half,
        }  # fmt: skip
    meter.ended(is_whole=True)
    assert looking.comparing() is None
    meter.comparing(hour, 0, first)
    Meter(settings)  # another process goes on, for the one before was killed in the midst of it
    assert looking.comparing() is None


def test_every_window_and_half_is_told_before_it_is_compared(ledger: Database) -> None:
    world = World(ledger, 30)
    removed = world.rows[9]
    del world.charged[removed.processor or 0][removed.id]
    world.apply()
    told = list[tuple[int, Span]]()
    driver = Driver(ledger, NoBooks(), world.client, NAMES, lambda _: None, comparing=lambda *one: told.append(one))
    driver.reconcile(STRETCH, is_deep=False)
    halves = [window for processor, window in told if processor == removed.processor]
    assert halves[0].has(removed.requested_ms or 0) and halves[-1].length_ms == 1
    assert [window.length_ms for window in halves[:3]] == sorted((one.length_ms for one in halves[:3]), reverse=True)
