"""What an engine of the laboratory is started with: nothing that it shares with another, and the processors' fees."""

from __future__ import annotations

import os
import socket
from decimal import Decimal
from pathlib import Path

import pytest

from engine import settings
from engine.lab import launch
from engine.lab.launch import LaunchError
from engine.lab.services.addresses import Addresses

ADDRESSES = Addresses(
    "http://127.0.0.1:9001", {"default": "http://127.0.0.1:9002", "fallback": "http://127.0.0.1:9003"}
)
FEES = {"default": Decimal("0.07"), "fallback": Decimal("0.1")}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("ENGINE_", "PAYMENT_PROCESSOR_")):
            monkeypatch.delenv(name)


def test_the_engine_is_told_where_it_is_and_what_the_processors_keep() -> None:
    variables = launch.engine_variables("bench", ADDRESSES, FEES, "/tmp/x", {"ENGINE_RING_SLOTS": "131072"})
    told = settings.read(variables)
    assert [(one.name, one.url, one.fee_ppm) for one in told.processors.all] == [
        ("default", "http://127.0.0.1:9002", 70_000),
        ("fallback", "http://127.0.0.1:9003", 100_000),
    ]
    assert (told.host.name, told.host.port, told.host.run_dir) == (f"bench-{os.getpid()}-9001", 9001, "/tmp/x")
    assert (told.storage.ring_slots, told.storage.data_dir) == (131_072, "/tmp/x/data")


def test_fees_and_a_data_directory_that_are_set_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINE_FEE_DEFAULT_PPM", "1")
    monkeypatch.setenv("ENGINE_DATA_DIR", "/var/tmp/y")
    given = {"ENGINE_FEE_FALLBACK_PPM": "2", "ENGINE_NAME": "theirs"}
    variables = launch.engine_variables("soak", ADDRESSES, FEES, "/tmp/x", given)
    told = settings.read(os.environ | variables)
    assert [one.fee_ppm for one in told.processors.all] == [1, 2]
    assert told.storage.data_dir == "/var/tmp/y"
    assert told.host.name == f"soak-{os.getpid()}-9001", "two engines of one name would share their memory"


def test_a_command_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LaunchError, match="something listens already at"):
            launch.check_free(Addresses(origin, {}))
    child = launch.Child("simulate", ["--nonsense"], {}, tmp_path)
    with pytest.raises(LaunchError, match=r"(?s)simulate`: ended with 2\n.*--nonsense"):
        child.await_ready(lambda: False)
    with pytest.raises(LaunchError, match=r"like http://127\.0\.0\.1:9999"):
        launch.host_and_port("http://127.0.0.1")


def test_any_number_of_processors_is_started_with_their_fees(tmp_path: Path) -> None:
    from engine.lab.services.processors import Processors

    fees = {name: Decimal(number) / 100 for number, name in enumerate(("north", "south", "east"), 1)}
    addresses = launch.free_addresses(fees)
    with launch.processors(addresses, fees, tmp_path):
        processors = Processors(addresses)
        assert {name: processor.summary().fee for name, processor in processors.items()} == fees
        assert (list(processors.totals()), processors.totals().count) == (["north", "south", "east"], 0)
        processors.close()
    assert not any(map(launch.listens, addresses.processors.values()))
