"""What a start says: processors, memory and what to try, in 80 columns."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from engine import settings as settings_module
from engine.books.reader import Sum
from engine.intake import window
from engine.lab.launch import free_ports
from engine.processors import Processor
from engine.settings import Settings
from engine.storage.remembered import Remembered
from engine.supervise import greeting

NOTHING = Remembered((Sum(0, 0), Sum(0, 0)), 0, 0)
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def said(
    before: Remembered = NOTHING, *, simulate: bool = False, there: bool = True, settings: Settings | None = None
) -> str:
    return greeting.text(
        settings or settings_module.read({}), before, simulate=simulate, is_there=lambda _: there
    )  # fmt: skip


def test_every_processor_has_its_name_address_and_fee() -> None:
    settings = settings_module.read({"ENGINE_FEE_DEFAULT_PPM": "72500", "PAYMENT_PROCESSOR_URL_FALLBACK": "http://b"})
    lines = [line.split() for line in said(settings=settings).splitlines()]
    assert ["default", "http://127.0.0.1:8001", "fee", "7.25", "%"] in lines
    assert ["fallback", "http://b", "fee", "not", "known"] in lines


def test_a_processor_that_is_not_there_is_marked() -> None:
    assert said(there=False).count("does not answer") == 2
    assert "does not answer" not in said()
    assert said(there=False, simulate=True).count("simulated") == 2


def test_the_payment_of_the_example_is_another_one_each_time() -> None:
    first, second = (set(UUID.findall(said())) for _ in range(2))
    assert len(first) == len(second) == 1
    assert first != second


def test_the_window_of_the_example_is_today() -> None:
    now_ms = datetime.now(UTC).timestamp() * 1000
    (query,) = [urlsplit(one).query for one in re.findall(r"'(localhost\S+)'", said())]
    assert set(parse_qs(query)) == {"from", "to"}
    from_ms, to_ms = window.parse(query)
    assert from_ms is not None and to_ms is not None
    assert from_ms - 86_400_000 <= now_ms <= to_ms + 86_400_000 and to_ms - from_ms == 86_400_000


def test_what_is_remembered_is_told_with_how_to_forget_it() -> None:
    text = said(Remembered((Sum(1, 1990), Sum(1234, 123_456)), 2, 1))
    assert "It remembers from before:" in text
    assert "1 payment settled at default, 19.90 together" in text
    assert "1,234 payments settled at fallback, 1,234.56 together" in text
    assert "2 payments failed, or charged before" in text
    assert "1 payment not settled yet" in text
    assert "up --discard`" in text
    assert "remembers" not in said() and "--discard" not in said()


def test_simulated_processors_are_said_to_remember_as_much() -> None:
    text = said(Remembered((Sum(0, 0), Sum(2, 3980)), 0, 0), simulate=True)
    assert "It remembers, and so do its processors, from before:" in text
    assert "up --simulate --discard`" in text
    assert "settled at default" not in text, "there is nothing to say of it"


@pytest.mark.parametrize("simulate", [False, True])
def test_it_fits_into_80_columns(simulate: bool) -> None:
    before = Remembered((Sum(123_456, 1_234_567_890), Sum(5, 9950)), 3, 17)
    long = [line for line in said(before, simulate=simulate, there=False).splitlines() if len(line) > 80]
    assert long == []


def test_who_is_there_is_found_out_for_addresses_and_believed_for_names() -> None:
    free, taken = free_ports(2)
    with socket.create_server(("127.0.0.1", taken)):
        assert greeting.is_there(Processor("x", f"http://127.0.0.1:{taken}/base"))
        assert greeting.is_there(Processor("x", f"http://localhost:{taken}"))
        assert not greeting.is_there(Processor("x", f"http://127.0.0.1:{free}"))
        assert not greeting.is_there(Processor("x", f"http://[::1]:{free}"))
    assert greeting.is_there(Processor("x", "http://payment-processor-default:8080"))
