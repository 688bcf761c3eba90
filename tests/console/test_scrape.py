"""A scrape says what there is, and nothing of what there is not."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.books.writer import BooksWriter
from engine.console.scrape import Sample, Scrape, unfinished_ratio
from engine.memory import metrics_layout
from engine.memory.words import zeros
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings
from engine.storage import mapping
from engine.storage.disks import rooms
from engine.storage.viewing import seen
from tests.ring.test_ring import SPREAD, fill, finish, make_ring

NOW_MS = 1_800_000_000_000
FEES = "default=50000,fallback=150000"
MACHINE = {"engine_machine_start_seconds", "engine_disk_free_bytes", "engine_disk_size_bytes"}


@pytest.fixture
def settings() -> Iterator[Settings]:
    made = settings_module.read({"ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}", "ENGINE_RING_SLOTS": "64"})
    yield made
    mapping.remove_all(made)


def scraped(settings: Settings) -> list[Sample]:
    with seen(settings) as memory:
        return list(Scrape(settings, memory, zeros(metrics_layout.PROCESS_WORDS), None).samples())


def test_without_an_engine_only_the_console_speaks_of_itself(settings: Settings) -> None:
    names = {sample.name for sample in scraped(settings)}
    assert names == {"engine_build_info", "engine_setting", "engine_process_starts_total", "engine_nginx_up"} | MACHINE


def test_without_metrics_money_is_shown_and_with_no_dispatcher_the_engine_is_down(settings: Settings) -> None:
    for segment in (mapping.open_books(settings), *mapping.open_rings(settings)):
        segment.close()
    values = {(sample.name, *sample.labels): sample.value for sample in scraped(settings)}
    assert values["engine_settled_cents_total", "default"] == values["engine_payments_pending",] == 0
    assert values["engine_up",] == 0 and ("engine_accepting_seconds",) not in values


@pytest.mark.parametrize(("cents", "fee_cents"), [(10, 0), (11, 1), (30, 2), (50, 2), (1990, 100), (5970, 298)])
def test_a_fee_is_rounded_as_the_processors_round_theirs(settings: Settings, cents: int, fee_cents: int) -> None:
    settings = dataclasses.replace(settings, processors=settings_module.read({"ENGINE_FEES_PPM": FEES}).processors)
    with closing(mapping.open_books(settings)) as books:
        writer = BooksWriter(books.words, mapping.books_shape(settings), [])
        writer.recover()
        writer.begin(NOW_MS)
        writer.settle(0, NOW_MS, cents)
        writer.commit()
        values = {(sample.name, *sample.labels): sample.value for sample in scraped(settings)}
    assert (values["engine_fee_cents", "default"], values["engine_net_cents", "default"]) == (
        fee_cents,
        cents - fee_cents,
    )


def test_room_is_shown_where_the_engine_keeps_something_and_only_there(tmp_path: Path) -> None:
    read = settings_module.read(
        {
            "ENGINE_LEDGER": "best",
            "ENGINE_LEDGER_URL": f"sqlite:///{tmp_path}/l.db",
            "ENGINE_DURABILITY": "disk",
            "ENGINE_DATA_DIR": f"{tmp_path}/none",
            "ENGINE_RUN_DIR": str(tmp_path),
        }
    )
    found = dict(rooms(read))
    assert found.keys() == {"memory", "run", "ledger"}, "where nothing is, nothing is told"
    assert all(0 < one.free <= one.size for one in found.values())
    assert dict(rooms(settings_module.read({"ENGINE_RUN_DIR": str(tmp_path)}))).keys() == {"memory", "run"}


def test_no_secret_is_a_setting_that_is_shown() -> None:
    secret = settings_module.read({"ENGINE_ADMIN_TOKEN": "secret-1", "ENGINE_PROCESSOR_TOKEN": "secret-2"})
    assert "secret" not in str(scraped(secret))


def test_the_share_of_unfinished_slots_is_that_of_the_payments_that_are_not_over() -> None:
    ring = make_ring(256, SPREAD)
    fill(RingWriter(ring), 128)  # type: ignore[arg-type]
    reader = RingReader(ring)  # type: ignore[arg-type]
    assert unfinished_ratio(reader, 0) == 0 and unfinished_ratio(reader, 128) == 0.5
    for position in range(64):
        finish(ring, position)  # type: ignore[arg-type]
    assert unfinished_ratio(reader, reader.head) == 0.25
    for position in range(64, 128):
        finish(ring, position)  # type: ignore[arg-type]
    assert unfinished_ratio(reader, reader.head) == 0
