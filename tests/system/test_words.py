"""What the whole engine makes of words that a processor should not say: nothing is charged twice, booked that was not
charged, or kept from the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system import running, scripted
from tests.system.client import Client, Payment, client, new_payments, wait_until
from tests.system.scripted import Request, Said, Scripted, charge, insert, marked, only, packed, says, show

SECONDS_MAX = 30.0
POISON_CENTS = 666


@dataclass(frozen=True)
class World:
    """An engine between two scripted processors."""

    default: Scripted
    fallback: Scripted
    shop: Client
    here: running.Place

    def pay(self, payment: Payment) -> None:
        assert self.shop.pay(payment).status == 202

    def status(self, payment: Payment) -> Any:
        return self.shop.status(payment).json()

    def wait(self, payment: Payment, status: str) -> Any:
        """Waits until ``payment`` has this status."""
        wait_until(lambda: self.status(payment)["status"] == status, SECONDS_MAX, f"{payment} is {status}")
        return self.status(payment)

    def health(self) -> Any:
        return self.shop.request("GET", "/health").json()

    def empty(self) -> None:
        """Everybody forgets everything."""
        self.default.reset()
        self.fallback.reset()
        assert self.shop.request("POST", "/purge-payments").status == 200

    def booked(self) -> tuple[int, int]:
        """How many payments the summary has at default and at fallback."""
        document = self.shop.request("GET", "/payments-summary").json()
        return document["default"]["totalRequests"], document["fallback"]["totalRequests"]

    def wait_for_books(self) -> None:
        """Waits until the books have what the processors have charged, and checks that nothing is charged at both."""
        wait_until(
            lambda: self.booked() == (len(self.default.ledger), len(self.fallback.ledger)), SECONDS_MAX, "equal books"
        )
        assert not self.default.ledger.keys() & self.fallback.ledger.keys()


@pytest.fixture(scope="module")
def engine() -> Iterator[World]:
    with (
        scripted.scripted() as default,
        scripted.scripted() as fallback,
        running.place(default.url, fallback.url) as here,
        running.engine_in(here, "--discard") as made,
        client(made.port) as shop,
    ):
        yield World(default, fallback, shop, here)


@pytest.fixture
def world(engine: World) -> World:
    """The engine, after everything was forgotten, with both processors healthy."""

    def are_healthy() -> bool:
        """Whether payments go to default."""
        (payment,) = new_payments(1)
        engine.pay(payment)
        return bool(engine.wait(payment, "completed")["processor"] == "default") and not engine.health()["reasons"]

    engine.empty()
    wait_until(are_healthy, SECONDS_MAX, "payments go to default")
    engine.empty()
    return engine


@pytest.mark.parametrize("status", [502, 503, 504, 408])
def test_a_gateways_word_after_the_insert_charges_nothing_twice(world: World, status: int) -> None:
    world.default.pay = says(status, b"<html>gateway</html>", inserts=True)
    payments = new_payments(4)
    for payment in payments:
        world.pay(payment)
    for payment in payments:
        assert world.wait(payment, "completed")["processor"] == "default"
    world.wait_for_books()
    assert world.booked() == (4, 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [(202, b'{"status":"pending"}'), (200, b'{"error":{"code":"declined"}}'), (200, b'{"message":"declined"}'),
     (204, b""), (302, b""), (409, b"{}"), (501, b"")],
)  # fmt: skip
def test_foreign_words_book_nothing_and_the_payment_stays_where_it_is(world: World, status: int, body: bytes) -> None:
    world.default.pay = says(status, body)
    (payment,) = new_payments(1)
    world.pay(payment)
    wait_until(lambda: len(world.default.requests) >= 3, SECONDS_MAX, "it is sent again")
    assert world.status(payment)["status"] == "processing"
    assert world.booked() == (0, 0) and not world.fallback.requests
    world.default.pay = charge
    assert world.wait(payment, "completed")["processor"] == "default"
    world.wait_for_books()


def test_a_refusal_that_says_already_there_and_404_is_a_dead_letter_and_never_completed(world: World) -> None:
    world.default.pay = says(422, b'{"message":"amount above the limit of this account"}')
    (payment,) = new_payments(1)
    world.pay(payment)
    wait_until(lambda: world.health()["queues"]["deadLetters"] == 1, SECONDS_MAX, "it is a dead letter")
    shown = world.status(payment)
    assert (shown["status"], shown["reason"]) == ("processing", "contradictory answers")
    assert world.booked() == (0, 0) and world.health()["queues"]["pending"] == 1


def test_a_lookup_that_is_refused_for_ever_ends_unconfirmed_and_opens_no_breaker(world: World) -> None:
    def lost(processor: Scripted, request: Request) -> Said | None:
        return None if insert(processor, request) else Said(422, scripted.EXISTS)

    world.default.pay, world.default.look_up = lost, says(403, b'{"error":"forbidden"}')
    (payment,) = new_payments(1)
    world.pay(payment)
    assert world.wait(payment, "completed")["reason"] == "unconfirmed"
    asked = len(world.default.lookups)
    assert asked < 20 and not world.health()["reasons"]
    world.wait_for_books()
    assert len(world.default.lookups) == asked


@pytest.mark.parametrize("amount", [b"9999999999999999999999999999999999", b"1e300", b"-5", b"true", b'"1"', b"0.001"])
def test_an_absurd_amount_in_a_record_kills_nothing_and_is_not_booked(world: World, amount: bytes) -> None:
    def hang_up(processor: Scripted, request: Request) -> Said | None:
        return None

    def absurd(processor: Scripted, request: Request) -> Said | None:
        record = b'{"correlationId":"%s","amount":%s,"requestedAt":"2026-11-26T23:00:00.000Z"}'
        return Said(200, record % (request.correlation_id.encode(), amount))

    world.default.pay = only(lambda request: request.document["amount"] == 6.66, hang_up)
    world.default.look_up = absurd
    bad, good = Payment(new_payments(1)[0].correlation_id, POISON_CENTS), new_payments(1)[0]
    world.pay(bad)
    wait_until(lambda: len(world.default.lookups) >= 2, SECONDS_MAX, "it is looked up")
    world.default.look_up = show
    world.pay(good)
    world.wait(good, "completed")
    assert world.status(bad)["status"] == "processing"
    assert "dispatcher ended" not in world.here.said()


def test_another_payments_record_settles_nothing(world: World) -> None:
    record = b'{"correlationId":"%s","amount":1.00,"requestedAt":"2026-11-26T20:00:00Z"}'
    other = record % new_payments(1)[0].correlation_id.encode()
    world.default.pay, world.default.look_up = lambda *_: None, says(200, other)
    (payment,) = new_payments(1)
    world.pay(payment)
    wait_until(lambda: len(world.default.lookups) >= 3, SECONDS_MAX, "it is looked up")
    assert world.status(payment)["status"] == "processing" and world.booked() == (0, 0)


def test_another_amount_at_the_processor_is_shown_and_booked_as_the_processor_has_it(world: World) -> None:
    def other_amount(processor: Scripted, request: Request) -> Said | None:
        insert(processor, request._replace(body=request.body.replace(b'"amount":5.00', b'"amount":19.90')))
        return None

    world.default.pay = other_amount
    payment = Payment(new_payments(1)[0].correlation_id, 500)
    world.pay(payment)
    shown = world.wait(payment, "completed")
    assert (float(shown["amount"]), float(shown["settledAmount"])) == (5.0, 19.9)
    assert shown["reason"] == "amount differs"
    summary = world.shop.request("GET", "/payments-summary").json()
    assert float(summary["default"]["totalAmount"]) == 19.9
    assert world.health()["discrepancies"]["amountDiffers"] == 1


def test_what_the_processor_had_before_is_beside_the_books(world: World) -> None:
    (payment,) = new_payments(1)
    record = b'{"correlationId":"%s","amount":19.90,"requestedAt":"2026-01-01T00:00:00.000Z"}'
    world.default.ledger[payment.correlation_id] = record % payment.correlation_id.encode()
    world.pay(payment)
    shown = world.wait(payment, "completed")
    assert shown["chargedBefore"] is True
    assert world.booked() == (0, 0) and not world.fallback.ledger
    assert world.health()["queues"] | {"parked": 0} == {
        "pending": 0, "failed": 0, "parked": 0, "deadLetters": 0, "chargedBefore": 1,
        "declared": 0, "failedInLedgerOnly": 0,
    }  # fmt: skip


@pytest.mark.parametrize("shape", [packed, marked])
def test_answers_in_a_content_coding_or_with_a_byte_order_mark_are_understood(world: World, shape: Any) -> None:
    world.default.pay, world.default.look_up = shape(charge), shape(show)
    payments = new_payments(5)
    for payment in payments:
        world.pay(payment)
    for payment in payments:
        world.wait(payment, "completed")
    world.wait_for_books()


@pytest.mark.parametrize("status", [400, 402, 404, 405, 413, 414, 415])
def test_what_default_refuses_is_sent_to_fallback(world: World, status: int) -> None:
    world.default.pay = says(status, b'{"message":"this amount is not allowed"}')
    (payment,) = new_payments(1)
    world.pay(payment)
    shown = world.wait(payment, "completed")
    assert (shown["processor"], shown["attempts"]) == ("fallback", 2)
    world.wait_for_books()


@pytest.mark.parametrize("status", [400, 500])
def test_payments_that_nobody_takes_do_not_keep_the_good_ones_from_being_settled(world: World, status: int) -> None:
    refuse = only(lambda request: request.document["amount"] == 6.66, says(status, b'{"message":"no"}'))
    world.default.pay = world.fallback.pay = refuse
    bad = [Payment(payment.correlation_id, POISON_CENTS) for payment in new_payments(60)]
    for payment in bad:
        world.pay(payment)
    good = []
    began = time.monotonic()
    while time.monotonic() - began < 8:
        (payment,) = new_payments(1)
        good.append(payment)
        world.pay(payment)
        time.sleep(0.05)
    for payment in good:
        world.wait(payment, "completed")
    # All is said by requests that become rarer: without a back-off they would be thousands.
    assert sum(name in {payment.correlation_id for payment in bad} for name in world.default.requests) < 60 * 20
    if status == 400:
        for payment in bad:
            assert world.wait(payment, "failed")["reason"] == "refused"
        answer = world.shop.pay(bad[0])
        assert answer.status == 409 and b"refused" in answer.body
    else:
        assert {world.status(payment)["status"] for payment in bad} <= {"queued", "processing"}
    assert world.booked()[0] + world.booked()[1] == len(good)
