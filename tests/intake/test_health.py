"""What /health shows to operators and load balancers."""

from __future__ import annotations

from typing import Any

import pytest

from engine import settings as settings_module
from engine.books.reader import Sum, Totals
from engine.intake.acceptor import Usage
from engine.intake.health import report, unready
from engine.memory import layout
from engine.memory.status import HEARTBEAT_MS_MAX, LedgerState, LedgerStatus, StatusBlock
from engine.memory.words import Words, zeros
from engine.processors import DEFAULT, FALLBACK
from engine.situation import Condition, Flow, Situation, conditions_word

NOW_MS = 1_784_203_200_000
CLOCK_MS = 500_000  # the engine's clock
SETTINGS = settings_module.read({})
NOTHING = Totals((Sum(0, 0), Sum(0, 0)), Sum(0, 0), Sum(0, 0))
IDLE = [Usage(0, 0, False)]


@pytest.fixture
def books() -> Words:
    words = zeros(layout.REDO_AT)
    StatusBlock(words).heartbeat_ms = NOW_MS - 100
    return words


def show(books: Words, totals: Totals = NOTHING, rings: list[Usage] = IDLE) -> dict[str, Any]:
    return report(books, totals, rings, SETTINGS, NOW_MS, CLOCK_MS)


def test_an_engine_that_runs_well_is_ok(books: Words) -> None:
    shown = show(books)
    assert (shown["status"], shown["reasons"]) == ("ok", [])
    assert shown["dispatcher"] == {"alive": True, "heartbeatAgeMs": 100, "errors": 0}


def test_a_dispatcher_that_is_silent_or_was_never_there_is_down(books: Words) -> None:
    for heartbeat_ms, age_ms in ((NOW_MS - HEARTBEAT_MS_MAX - 1, HEARTBEAT_MS_MAX + 1), (0, None)):
        StatusBlock(books).heartbeat_ms = heartbeat_ms
        shown = show(books)
        assert (shown["status"], shown["reasons"]) == ("degraded", ["dispatcher is down"])
        assert shown["dispatcher"] == {"alive": False, "heartbeatAgeMs": age_ms, "errors": 0}


def test_a_clock_that_was_set_back_does_not_make_the_dispatcher_look_dead(books: Words) -> None:
    StatusBlock(books).heartbeat_ms = NOW_MS + 5000
    assert show(books)["dispatcher"] == {"alive": True, "heartbeatAgeMs": 0, "errors": 0}


def test_every_word_of_a_processor_is_shown_under_its_name(books: Words) -> None:
    status = StatusBlock(books).processor(FALLBACK)
    status.failing, status.min_response_ms, status.breaker_open = 1, 120, 1
    status.in_flight, status.expected_ms, status.unresolved = 7, 150, 3
    status.health_ms = CLOCK_MS - 4200
    shown = show(books)
    assert shown["processors"]["fallback"] == {
        "state": "unknown",
        "failing": True,
        "minResponseTime": 120,
        "healthAgeMs": 4200,
        "breaker": "open",
        "inFlight": 7,
        "expectedMs": 150,
        "unresolved": 3,
    }
    assert shown["processors"]["default"]["failing"] is False
    assert shown["processors"]["default"]["healthAgeMs"] is None  # it has not said anything
    assert shown["status"] == "degraded"
    assert shown["reasons"] == ["fallback is failing", "breaker of fallback is open"]


def test_what_the_dispatcher_knows_and_what_it_means_for_payments_is_shown(books: Words) -> None:
    status = StatusBlock(books)
    status.conditions = conditions_word([Condition.SILENT, Condition.HEALTHY])
    status.situation = Situation(Flow.WAIT, DEFAULT, FALLBACK, 9_000).word()
    shown = show(books)
    assert [shown["processors"][name]["state"] for name in ("default", "fallback")] == ["silent", "healthy"]
    assert shown["payments"] == "payments wait for default, 9 s at most, and then go to fallback"
    assert (shown["status"], shown["reasons"]) == ("degraded", ["default does not answer"])


@pytest.mark.parametrize(
    ("condition", "reasons"),
    [
        (Condition.UNKNOWN, []),
        (Condition.HEALTHY, []),
        (Condition.SLOW, ["fallback is slow"]),
        (Condition.LATE, ["fallback is late"]),
        (Condition.FAILING, []),  # its breaker says so
    ],
)
def test_a_condition_is_a_reason_where_nothing_else_says_it(
    books: Words, condition: Condition, reasons: list[str]
) -> None:
    StatusBlock(books).conditions = conditions_word([Condition.HEALTHY, condition])
    assert show(books)["reasons"] == reasons


def test_without_a_dispatcher_payments_wait_whatever_the_last_one_has_said(books: Words) -> None:
    status = StatusBlock(books)
    status.situation = Situation(Flow.TO_FIRST, DEFAULT).word()
    assert show(books)["payments"] == "payments go to default"
    status.heartbeat_ms = 0
    assert show(books)["payments"] == "payments wait until a dispatcher is back; none is lost"


def test_before_a_dispatcher_has_said_anything_it_is_not_known(books: Words) -> None:
    assert show(books)["payments"] == "not known yet"


def test_pending_is_what_was_accepted_less_what_is_settled_or_failed(books: Words) -> None:
    books[layout.BOOKS_PARKED_KEPT_AT] = 2
    totals = Totals((Sum(10, 1), Sum(5, 1)), Sum(3, 1), Sum(1, 1), Sum(2, 1))
    shown = show(books, totals, [Usage(20, 0, False), Usage(8, 4, True)])
    assert shown["queues"] == {
        "pending": 7, "failed": 3, "parked": 2, "deadLetters": 0, "chargedBefore": 1, "declared": 2,
        "failedInLedgerOnly": 0,
    }  # fmt: skip
    assert shown["rings"] == [{"full": False, "refused": 0}, {"full": True, "refused": 4}]
    assert shown["reasons"] == ["ring 1 is full"]


def test_a_ring_that_waits_for_the_ledger_says_so(books: Words) -> None:
    ring = Usage(8, 4, full=True, unrecorded=True)
    assert show(books, rings=[ring])["reasons"] == ["ring 0 is full until the ledger has recorded more"]
    StatusBlock(books).heartbeat_ms = NOW_MS
    assert unready(books, "", ring, NOW_MS) == ["the ring is full until the ledger has recorded more"]


@pytest.mark.parametrize(
    ("state", "age_ms", "shown", "reasons"),
    [
        (LedgerState.STARTING, None, {"state": "starting", "lagMs": None}, []),
        (LedgerState.CARRYING, 200, {"state": "carrying", "lagMs": 1200}, []),
        (LedgerState.AWAY, 4000, {"state": "away", "lagMs": 1200}, ["the ledger's database is away"]),
        (LedgerState.CARRYING, 15_001, {"state": "silent", "lagMs": 1200}, ["the ledger process is down"]),
        (LedgerState.STOPPED, 15_001, {"state": "stopped", "lagMs": 1200}, ["the ledger process is down"]),
    ],
)
def test_where_a_ledger_is_on_its_state_and_lag_are_shown(
    books: Words, state: LedgerState, age_ms: int | None, shown: dict[str, Any], reasons: list[str]
) -> None:
    ledger = LedgerStatus(books)
    ledger.state = state
    if age_ms is not None:
        ledger.heartbeat_ms, ledger.complete_ms = CLOCK_MS - age_ms, CLOCK_MS - 1200
    for mode in ("best", "require"):
        settings = settings_module.read({"ENGINE_LEDGER": mode})
        document = report(books, NOTHING, IDLE, settings, NOW_MS, CLOCK_MS)
        assert (document["ledger"], document["reasons"]) == (shown, reasons)
    assert "ledger" not in show(books), "without a ledger the document is what it was"


def test_what_only_a_person_can_resolve_is_a_reason(books: Words) -> None:
    books[layout.BOOKS_DEAD_AT] = 3
    books[layout.BOOKS_DISCREPANCIES_AT] = 2
    books[layout.BOOKS_UNCONFIRMED_AT] = 1
    shown = show(books)
    assert shown["status"] == "degraded" and shown["queues"]["deadLetters"] == 3
    assert shown["reasons"] == ["dead letters: 3", "payments with another amount at their processor: 2"]
    assert shown["discrepancies"] == {"amountDiffers": 2, "unconfirmed": 1}


def test_every_limit_is_shown(books: Words) -> None:
    assert show(books, rings=IDLE * 2)["limits"] == {
        "ringSlots": SETTINGS.storage.ring_slots,
        "pendingMax": 2 * SETTINGS.storage.ring_slots,
        "inFlightMax": SETTINGS.routing.in_flight_max,
        "bodyBytesMax": SETTINGS.intake.body_bytes_max,
        "amountCentsMax": SETTINGS.intake.amount_cents_max,
        "parkedMax": SETTINGS.storage.parked_slots,
        "giveUpSeconds": SETTINGS.dispatch.give_up_seconds,
        "refusalsMax": SETTINGS.dispatch.refusals_max,
        "deadLetterSeconds": SETTINGS.dispatch.dead_letter_seconds,
    }


def test_routing_says_where_payments_go_since_when_and_why(books: Words) -> None:
    status = StatusBlock(books)
    status.situation = Situation(Flow.TO_OTHER, DEFAULT, FALLBACK).word()
    status.conditions = conditions_word([Condition.FAILING, Condition.HEALTHY])
    status.situation_ms = CLOCK_MS - 61_500
    assert show(books)["routing"] == {"to": ["fallback"], "since": "2026-07-16T11:58:58.500Z", "why": "cheaper_failing"}
    status.situation_ms = 0  # written by an older program
    assert show(books)["routing"]["since"] is None
    status.heartbeat_ms = NOW_MS - HEARTBEAT_MS_MAX - 1
    assert show(books)["routing"] == {"to": [], "since": "2026-07-16T11:59:56.999Z", "why": "dispatcher_down"}
