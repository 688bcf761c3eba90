"""Hundreds of dead letters of all kinds, while payments come: what is safe is done once, everything else is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.acts import rules
from engine.books import parked
from engine.books.reader import Sum
from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt
from engine.ledger.errors import AwayError
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Result
from engine.operate import carrying
from engine.operate.selection import Selection, plan
from engine.payment import Payment
from tests.dispatch.world import World as Engine
from tests.operate.world import Operator, offered

LETTERS = 500
CENTS = 100
KINDS = ("unknown long", "contradiction", "no lookup", "too old", "refused", "worked on")


class Shop:
    """Dead letters of all kinds by their id, and payments that come all the time."""

    def __init__(self) -> None:
        self.engine = Engine(
            slots=8192, in_flight_max=4096, give_up_ms=300_000, dead_letter_ms=120_000, parked_slots=16_384
        )
        self.kinds = {number: KINDS[number % len(KINDS)] for number in range(1, LETTERS + 1)}
        self.next = 100_000
        self.sent: Counter[int] = Counter()  # requests for each of them since they are dead letters

    def make(self) -> None:
        """All of them become what they are."""
        for number, kind in self.kinds.items():
            if kind != "worked on":
                self.engine.accept(number, cents=CENTS)
        for _ in range(3000):
            self.pass_by(200)
            if self.engine.word(layout.BOOKS_DEAD_AT) + self.engine.books.totals().failed.payments >= sum(
                kind != "worked on" for kind in self.kinds.values()
            ):
                break
        for number, kind in self.kinds.items():
            if kind == "worked on":
                self.engine.accept(number, cents=CENTS)
        for _ in range(300):
            self.pass_by(100)
        self.sent.clear()

    def pass_by(self, ms: int = 20) -> None:
        """A pass of the dispatcher, with a payment of the shop."""
        self.engine.accept(self.next, cents=CENTS)
        self.next += 1
        attempts, beside = self.engine.start_all(later_ms=ms)
        for one in (*attempts, *beside):
            if not one.lookup:
                self.sent[one.id_low] += 1
            self.engine.end([one], self.answer(one), later_ms=0)

    def answer(self, one: Attempt) -> Outcome:
        """What its processor says to a request or a lookup."""
        kind = self.kinds.get(one.id_low, "")
        if one.lookup:
            return outcome.UNKNOWN if kind == "no lookup" else outcome.ABSENT
        if kind in ("contradiction", "no lookup"):
            return outcome.ALREADY
        return {
            "unknown long": outcome.UNKNOWN,
            "worked on": outcome.UNKNOWN,
            "too old": outcome.FAILED,
            "refused": outcome.REFUSED,
        }.get(kind, outcome.CHARGED)

    def known(self) -> list[Payment]:
        """What is parked."""
        get, shape = self.engine.words.__getitem__, self.engine.shape
        read = [parked.read(get, shape, place) for place in range(shape.parked_slots)]
        return [one for one in read if one is not None and one.id_low in self.kinds]

    def check(self) -> None:
        """Conservation, as anybody can see it."""
        totals, accepted = self.engine.books.totals(), self.engine.writers[0].head
        assert accepted == totals.payments + self.engine.dispatcher.open_payments()


@pytest.fixture(scope="module")
def shop() -> Shop:
    made = Shop()
    made.make()
    return made


def test_500_dead_letters_of_all_kinds(shop: Shop) -> None:
    engine = shop.engine
    operator = Operator(engine, shop.pass_by)
    kinds = Counter(shop.kinds.values())
    failed = [number for number, kind in shop.kinds.items() if kind in ("too old", "refused")]
    unknown = [number for number, kind in shop.kinds.items() if kind in ("unknown long", "contradiction", "no lookup")]
    by_id = {one.id_low: one for one in shop.known()}
    assert len(by_id) == LETTERS and engine.word(layout.BOOKS_FAILED_DROPPED_AT) == 0
    assert {by_id[number].state for number in failed} == {layout.FAILED}
    assert {by_id[number].reason for number in unknown} == {
        layout.REASON_UNKNOWN, layout.REASON_CONTRADICTION, layout.REASON_NO_LOOKUP,
    }  # fmt: skip
    everything = Selection(ids=frozenset((number, number) for number in shop.kinds))

    # Nothing that is unsafe is planned, and what is put all the same is refused with the same reason.
    for act in offered():
        dry = plan(act, by_id.values(), everything, engine.now.wall_ms)
        for payment, why in dry.refused:
            assert rules.decide(act, payment, engine.now.wall_ms) is why
        forced = dry._replace(eligible=tuple(payment for payment, _ in dry.refused), refused=())
        done = operator.act(forced, identity=bytes([act] * 16)).done
        expected = {(one.id_low): why for one, why in dry.refused}
        assert {command.id_low: Result(carried.result) for command, carried in done} == expected
        shop.check()
    assert engine.books.totals().declared == Sum(0, 0) and not any(shop.sent[number] for number in unknown)

    # What is safe is done, as the dry run has said, and once.
    for one in unknown:
        shop.kinds[one] = "contradiction"
    while engine.now.wall_ms - max(by_id[number].settled_ms for number in unknown) < rules.UNDER_WAY_MS:
        shop.pass_by(5000)
    half = frozenset((number, number) for number in unknown[::2])
    for number, (act, selection) in enumerate(
        (
            (Act.CHARGED, Selection(ids=half)),
            (Act.CANCEL, Selection(state="unknown")),
            (Act.RETRY, Selection(state="failed")),
        )
    ):
        if act == Act.RETRY:
            shop.kinds = dict.fromkeys(shop.kinds, "paid") | {n: k for n, k in shop.kinds.items() if n not in failed}
        dry = plan(act, shop.known(), selection, engine.now.wall_ms)
        outcome_ = operator.act(dry, identity=bytes([100 + number] * 16))
        assert not outcome_.unheard and len(outcome_.done) == len(dry.eligible) > 0
        assert {carried.result for _, carried in outcome_.done} == {Result.DONE}
        again = operator.act(dry, identity=bytes([200 + number] * 16))
        assert Result.DONE not in {carried.result for _, carried in again.done}
        shop.check()
    assert engine.books.totals().declared == Sum(len(unknown), CENTS * len(unknown))
    for _ in range(200):
        shop.pass_by()
    assert engine.books.totals().failed == Sum(0, 0)
    assert engine.word(layout.BOOKS_DEAD_AT) == kinds["worked on"]  # their time is over too by now
    assert all(shop.sent[number] == 1 for number in failed) and not any(shop.sent[number] for number in unknown)
    assert engine.books.totals().payments == engine.writers[0].head - kinds["worked on"]
    assert len(operator.rows) == 10  # an action for each act


def test_without_its_row_nothing_is_asked_for(shop: Shop) -> None:
    def away(*_: object) -> None:
        raise AwayError("the ledger is away")

    operator = Operator(shop.engine, shop.pass_by, record=away)
    head = shop.engine.commands[acts_layout.HEAD_AT]
    with pytest.raises(AwayError):
        operator.act(plan(Act.ASK, shop.known(), Selection(), shop.engine.now.wall_ms))
    assert shop.engine.commands[acts_layout.HEAD_AT] == head


def test_an_act_is_limited_in_rate_and_a_dispatcher_that_is_away_is_not_waited_for_for_ever() -> None:
    engine = Engine(dead_letter_ms=120_000)
    operator = Operator(engine)
    letters = [Payment(0, n, n, 1, 5, layout.FAILED, 0, 0, 0, 1, layout.REASON_TOO_OLD) for n in range(1, 101)]
    asked = plan(Act.RETRY, letters, Selection(), engine.now.wall_ms)
    began_ms = engine.mono_ms
    assert len(operator.act(asked, rate=10).done) == 100
    assert 9_500 <= engine.mono_ms - began_ms <= 12_000

    def waits() -> None:
        engine.mono_ms += 100

    absent = Operator(engine, waits)
    result = absent.act(asked, identity=bytes(15) + b"x")
    assert not result.done and len(result.unheard) == 100
    assert absent.ring.waiting == carrying.OUT_MAX


def test_a_lookup_that_an_operator_asked_for_settles_what_it_finds() -> None:
    engine = Engine(dead_letter_ms=120_000)
    engine.accept(1, cents=CENTS)
    (attempt,) = engine.start()
    engine.end([attempt], outcome.UNKNOWN)
    for _ in range(140):
        for one in engine.start(later_ms=1000):
            engine.end([one], outcome.ABSENT if one.lookup else outcome.UNKNOWN, later_ms=0)
    known = engine.books.parked(1, 1)
    assert known is not None and known.reason == layout.REASON_UNKNOWN

    def found() -> None:
        _, lookups = engine.start_all(later_ms=20)
        engine.end(lookups, Outcome(Verdict.FOUND, attempt.requested_ms, CENTS), later_ms=0)

    done = Operator(engine, found).act(plan(Act.ASK, [known], Selection(), engine.now.wall_ms)).done
    assert [carried.result for _, carried in done] == [Result.DONE]
    assert engine.books.totals().settled[0] == Sum(1, CENTS)
