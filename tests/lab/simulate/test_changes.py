"""What a processor tells of each change between failing and not failing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.changes import CHANGES_MAX, Onset, Recovery
from engine.lab.simulate.faults import parse_faults
from engine.lab.simulate.routes import Request, answer
from tests.lab.simulate.payments import payment_body

MS = 1000  # µs


def new_processor(handled_max: int = 800) -> Processor[int]:
    return Processor(ProcessorSettings("default", Decimal("0.05"), handled_max=handled_max))


def pay(processor: Processor[int], number: int, now_us: int) -> None:
    processor.pay(number, payment_body(number), now_us)


def test_attempts_on_a_failing_processor_are_told_apart_by_when_they_arrived() -> None:
    processor = new_processor()
    processor.delay_ms = 100
    pay(processor, 1, 1_899 * MS)  # it ends before the change, and well
    pay(processor, 2, 1_950 * MS)
    processor.due(1_999 * MS)
    processor.set_failing(True, 2_000 * MS)
    pay(processor, 3, 2_000 * MS)
    pay(processor, 4, 2_999 * MS)
    pay(processor, 5, 3_000 * MS)
    processor.due(4_000 * MS)
    assert list(processor.changes.kept) == [Onset("default", 2.0, caught=1, sent_soon=2, sent_later=1)]


def test_one_that_had_to_wait_its_turn_counts_from_when_it_arrived() -> None:
    processor = new_processor(handled_max=1)
    processor.delay_ms = 100
    pay(processor, 1, 0)
    pay(processor, 2, 10 * MS)
    processor.set_failing(True, 50 * MS)
    for now_us in (100 * MS, 200 * MS):
        processor.due(now_us)
    assert list(processor.changes.kept) == [Onset("default", 0.05, caught=2)]


def test_a_recovery_tells_when_the_first_payment_was_inserted_and_no_other() -> None:
    processor = new_processor()
    processor.set_failing(True, 0)
    processor.set_failing(False, 1_000 * MS)
    processor.delay_ms = 30
    pay(processor, 1, 1_200 * MS)
    pay(processor, 2, 1_201 * MS)
    processor.due(1_230 * MS)
    processor.due(1_231 * MS)
    assert list(processor.changes.kept) == [Onset("default", 0.0), Recovery("default", 1.0, 230.0)]


def test_neither_a_duplicate_nor_one_that_is_inserted_while_failing_is_a_first_payment() -> None:
    processor = new_processor()
    pay(processor, 1, 0)
    processor.faults = parse_faults({"next": {"late_insert": 1}, "late_ms": 500})
    pay(processor, 2, 0)
    processor.set_failing(True, 100 * MS)
    processor.set_failing(False, 200 * MS)
    pay(processor, 1, 300 * MS)
    processor.set_failing(True, 400 * MS)
    processor.due(500 * MS)
    assert (processor.stats.inserted, processor.stats.duplicate) == (2, 1)
    assert list(processor.changes.kept) == [Onset("default", 0.1), Recovery("default", 0.2), Onset("default", 0.4)]


def test_setting_what_is_set_already_is_no_change() -> None:
    processor = new_processor()
    processor.set_failing(False, 0)
    assert not processor.changes.kept
    processor.set_failing(True, 1)
    pay(processor, 1, 2)
    processor.set_failing(True, 3)
    assert list(processor.changes.kept) == [Onset("default", 0.000001, sent_soon=1)]


def test_a_purge_forgets_the_changes_and_what_fails_after_it_belongs_to_none() -> None:
    processor = new_processor()
    processor.set_failing(True, 0)
    processor.purge()
    pay(processor, 1, 1)
    assert processor.stats.failed == 1
    assert not processor.changes.kept


def test_only_the_latest_are_kept() -> None:
    processor = new_processor()
    for number in range(CHANGES_MAX + 10):
        processor.set_failing(number % 2 == 0, number)
    assert [round(change.at_s * 1_000_000) for change in processor.changes.kept] == list(range(10, CHANGES_MAX + 10))


def test_the_listing_gives_ages_and_durations_in_ms() -> None:
    processor = new_processor()

    def ask(method: str, path: str, body: bytes, now_us: int, token: str | None = "123") -> tuple[int, Any]:
        reply = answer(processor, Request(method, path, "", token, body), now_us)
        return reply.status, json.loads(reply.body)

    for failing, at_us in ((True, 1_000), (False, 2_000_000), (True, 3_000_000), (False, 4_000_000)):
        body = json.dumps({"failure": failing}).encode()
        assert ask("PUT", "/admin/configurations/failure", body, at_us)[0] == 200
        pay(processor, at_us, at_us + 250)
    processor.set_failing(True, 5_000_000)
    processor.set_failing(False, 5_000_000)
    assert ask("GET", "/admin/changes", b"", 6_000_000, token=None)[0] == 401
    status, content = ask("GET", "/admin/changes", b"", 6_000_000)
    assert status == 200
    assert content["changes"] == [
        {"kind": "onset", "ago_ms": 5_999.0, "caught": 0, "sent_soon": 1, "sent_later": 0},
        {"kind": "recovery", "ago_ms": 4_000.0, "first_ms": 0.25},
        {"kind": "onset", "ago_ms": 3_000.0, "caught": 0, "sent_soon": 1, "sent_later": 0},
        {"kind": "recovery", "ago_ms": 2_000.0, "first_ms": 0.25},
        {"kind": "onset", "ago_ms": 1_000.0, "caught": 0, "sent_soon": 0, "sent_later": 0},
        {"kind": "recovery", "ago_ms": 1_000.0, "first_ms": None},
    ]
