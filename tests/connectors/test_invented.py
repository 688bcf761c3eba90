"""Transport and dispatcher with a connector of another protocol: they do not depend on the protocol."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.connectors import answers
from engine.connectors.answers import Fee, Health, Outcome, Query, Silence, Verdict
from engine.connectors.connector import Connector, Request
from engine.dispatch.attempt import Attempt
from engine.dispatch.transport import Transport
from tests.connectors import invented
from tests.connectors.invented import Invented
from tests.dispatch.world import World

SECONDS_MAX = 10.0
NAME = b"00000000000000070000000000000007"
Word = Health | Fee | Silence


class Network:
    """A transport to ``processor``, which is both of the list."""

    def __init__(self, processor: Invented, connector: Connector) -> None:
        self._epoll = select.epoll()
        self.transport = Transport(
            [processor.url] * 2,
            [connector] * 2,
            connect_timeout_ms=500,
            request_timeout_ms=5000,
            in_flight_max=8,
            epoll=self._epoll,
        )

    def close(self) -> None:
        self.transport.close()
        self._epoll.close()

    def end(self) -> tuple[list[tuple[Attempt, Outcome]], list[Word]]:
        """The next ends."""
        deadline = time.monotonic() + SECONDS_MAX
        self.transport.kick()
        while True:
            assert time.monotonic() < deadline
            wait_ms = self.transport.wait_ms()
            self.transport.act(self._epoll.poll(0.2 if wait_ms is None else min(wait_ms / 1000, 0.2)))
            payments, words = self.transport.results()
            if payments or words:
                return payments, words

    def pay(self, *, lookup: bool = False, cents: int = 1990) -> Outcome:
        """How a payment, or the lookup of it, ends."""
        self.transport.send(Attempt(1, 0, 1, 0, 7, 7, cents, 1_751_718_896_789, 1, lookup, 0))
        [(_, outcome)], _ = self.end()
        return outcome

    def ask_health(self) -> Word:
        self.transport.ask_health(0)
        return self.end()[1][0]

    def ask_fee(self) -> Word:
        self.transport.ask_fee(0)
        return self.end()[1][0]


@pytest.fixture
def processor() -> Iterator[Invented]:
    with invented.invented() as made:
        yield made


@pytest.fixture
def network(processor: Invented) -> Iterator[Network]:
    with contextlib.closing(Network(processor, invented.connector("secret"))) as made:
        yield made


def test_a_payment_is_sent_and_read_as_its_connector_says(processor: Invented, network: Network) -> None:
    assert network.pay() == answers.CHARGED
    assert network.pay(cents=5) == answers.ALREADY
    assert [(seen.method, seen.path, seen.body) for seen in processor.requests] == [
        ("PUT", "/v2/charges", NAME + b" 1990 1751718896789"),
        ("PUT", "/v2/charges", NAME + b" 5 1751718896789"),
    ]
    for seen in processor.requests:
        assert seen.headers.keys() == {"host", "content-type", "api-key", "content-length"}
        assert seen.headers["content-type"] == "text/plain" and seen.headers["api-key"] == "secret"


def test_a_lookup_may_have_a_body_of_its_own(processor: Invented, network: Network) -> None:
    assert network.pay(lookup=True) == answers.ABSENT
    network.pay()
    assert network.pay(lookup=True) == Outcome(Verdict.FOUND, 1_751_718_896_789, 1990)
    assert [seen.body for seen in processor.requests if seen.path == "/v2/search"] == [NAME] * 2


def test_nothing_of_one_request_goes_with_the_next_one(processor: Invented, network: Network) -> None:
    """Lookups and queries use the same handles by turns."""
    for _ in range(2):
        assert network.pay(lookup=True) == answers.ABSENT
        assert network.ask_health() == Health(0, False, 0)
        assert network.ask_fee() == Fee(0, 29_000)
        assert network.ask_health() == Health(0, False, 0)
    kinds = [(seen.method, seen.path, seen.body) for seen in processor.requests]
    assert kinds[:4] == kinds[4:]
    assert kinds[:4] == [
        ("POST", "/v2/search", NAME),
        ("GET", "/v2/up", b""),
        ("GET", "/v2/terms?unit=bps", b""),
        ("GET", "/v2/up", b""),
    ]
    own = [seen.headers.keys() & {"content-type", "purpose", "api-key"} for seen in processor.requests]
    assert own == [{"content-type", "purpose"}, set(), {"api-key"}, set()] * 2


def test_a_reading_that_raises_says_nothing(processor: Invented, network: Network) -> None:
    processor.record, processor.terms = b"one two", b"none of your business"
    assert network.pay(lookup=True) == answers.UNKNOWN
    assert network.ask_fee() == Silence(0, Query.FEE)
    assert network.pay() == answers.CHARGED


def live(world: World, network: Network, rounds: int) -> None:
    """Runs the dispatcher and its network for ``rounds`` rounds of 100 ms."""
    for _ in range(rounds):
        world.mono_ms += 100
        attempts = world.dispatcher.start(world.now)
        for attempt in attempts:
            network.transport.send(attempt)
        left = len(attempts)
        while left:
            ended, _ = network.end()
            world.dispatcher.finish(world.now, ended)
            left -= len(ended)


def test_a_dispatcher_settles_what_such_a_processor_has_charged(processor: Invented, network: Network) -> None:
    world = World()
    for number in (1, 2, 3):
        world.accept(number, 1000 + number)
    live(world, network, 3)
    default, fallback, failed = world.totals()
    assert default == (3, 3006)
    assert fallback == failed == (0, 0)
    assert len(processor.ledger) == 3


def test_a_payment_without_an_answer_is_settled_by_what_such_a_processor_has_stored(
    processor: Invented, network: Network
) -> None:
    world = World()
    processor.unanswered = 1
    world.accept(1, 1234)
    live(world, network, 5)
    assert world.totals()[0] == (1, 1234)
    assert [seen.path for seen in processor.requests].count("/v2/charges") <= 2
    assert processor.ledger[b"%032x" % (1 << 64 | 1)].split()[2] == b"%d" % world.payment(1).requested_ms


def test_a_connector_that_sends_payments_without_a_body_cannot_be_made() -> None:
    with pytest.raises(AssertionError):
        replace(invented.connector(""), payments=Request("GET", "/v2/charges"))
    with pytest.raises(AssertionError):
        replace(invented.connector(""), payments=Request("POST", "/v2/charges", (), b"the same for all"))
