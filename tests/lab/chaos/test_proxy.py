"""The proxy passes everything on, and each trouble is what its name says, for the client and for the processor."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from engine.lab.chaos import proxy as proxy_module
from engine.lab.chaos.plan import Trouble
from engine.lab.chaos.proxy import Proxy
from engine.lab.launch import free_ports
from engine.lab.services.processor import Processor
from tests.lab.simulate import processes


@pytest.fixture(scope="module")
def processor() -> Iterator[Processor]:
    with processes.processors() as running:
        yield running.default


@pytest.fixture
def proxy(processor: Processor) -> Iterator[Proxy]:
    processor.reset()
    port = free_ports(1)[0]
    target_port = int(processor.base_url.rpartition(":")[2])
    with Proxy(port, target_port, seed=1) as made:
        yield made


class Payer:
    """Pays through the proxy, on a kept connection as long as it lasts."""

    def __init__(self, proxy: Proxy) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", proxy._port, timeout=5)

    def pay(self) -> int:
        """The status; raises OSError when there is none."""
        body = f'{{"correlationId": "{uuid.uuid4()}", "amount": 19.9, "requestedAt": "2026-01-01T00:00:00.000Z"}}'
        try:
            self._connection.request("POST", "/payments", body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            response.read()
        except OSError:
            self._connection.close()
            raise
        return response.status


@pytest.fixture
def payer(proxy: Proxy) -> Payer:
    return Payer(proxy)


def test_what_is_sent_arrives_and_is_answered(proxy: Proxy, payer: Payer, processor: Processor) -> None:
    assert [payer.pay() for _ in range(50)] == [200] * 50
    assert processor.summary().count == 50
    assert proxy.resets == 0


def test_a_cut_resets_what_is_connected_and_nothing_else(proxy: Proxy, payer: Payer) -> None:
    other = Payer(proxy)
    assert (payer.pay(), other.pay()) == (200, 200)
    proxy.set(Trouble.CUT)
    for cut in (payer, other):
        with pytest.raises(ConnectionError):
            cut.pay()
        assert cut.pay() == 200
    assert proxy.resets == 2


def test_a_refusing_one_takes_no_connection_until_it_is_healthy(proxy: Proxy, payer: Payer) -> None:
    assert payer.pay() == 200
    proxy.set(Trouble.REFUSE)
    with pytest.raises(ConnectionError):
        payer.pay()
    with pytest.raises(ConnectionRefusedError):
        payer.pay()
    proxy.set(Trouble.NONE)
    assert payer.pay() == 200


def test_a_late_one_is_late_both_ways(proxy: Proxy, payer: Payer) -> None:
    proxy.set(Trouble.DELAY)
    begin_s = time.monotonic()
    assert payer.pay() == 200
    assert time.monotonic() - begin_s >= 2 * proxy_module.DELAY_S


def test_a_stalled_one_moves_nothing_and_then_everything(proxy: Proxy, payer: Payer, processor: Processor) -> None:
    assert payer.pay() == 200
    proxy.set(Trouble.STALL)
    statuses: list[int] = []
    paying = threading.Thread(target=lambda: statuses.append(payer.pay()))
    paying.start()
    time.sleep(0.3)
    assert (statuses, processor.summary().count) == ([], 1)
    proxy.set(Trouble.NONE)
    paying.join()
    assert (statuses, processor.summary().count) == ([200], 2)


def test_a_resetting_one_resets_some_before_and_some_after_the_charge(
    proxy: Proxy, payer: Payer, processor: Processor
) -> None:
    proxy.set(Trouble.RESET)
    answered = 0
    for _ in range(200):
        with contextlib.suppress(ConnectionError):
            answered += payer.pay() == 200
    charged, reset = processor.summary().count, 200 - answered
    assert proxy.resets == reset
    assert 0 < charged - answered < reset, "some were charged without an answer, and some were not charged"


def test_a_processor_that_is_not_there_looks_like_a_reset(payer: Payer) -> None:
    port, nobody = free_ports(2)
    with Proxy(port, nobody, seed=1) as before_nobody, pytest.raises(ConnectionError):
        Payer(before_nobody).pay()
