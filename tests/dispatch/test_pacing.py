"""How long the dispatcher rests."""

from __future__ import annotations

import pytest

from engine.dispatch.pacing import BUSY_REST_MS, WATCHFUL_REST_MS, Pass, rest_ms

PAUSE_MS, GATHERED, BATCH = 60, 12, 64
AUDITS_MS = 4  # a rest is better longer by this


def _rest_ms(
    begun: int, ended: int, after_ms: int, is_calm: bool, *, pause_ms: int = PAUSE_MS, audit_delay_ms: int = 0
) -> int:
    return rest_ms(pause_ms, GATHERED, BATCH, Pass(begun, ended, after_ms, is_calm, is_calm), lambda _: audit_delay_ms)


def test_a_backlog_leaves_no_rest_but_for_those_who_answer_clients() -> None:
    assert _rest_ms(BATCH, BATCH, 20, True) == BUSY_REST_MS
    assert _rest_ms(BATCH // 2, 0, 20, False) == BUSY_REST_MS


def test_when_all_is_as_usual_it_rests_until_enough_have_gathered() -> None:
    per_ms = 0.25
    after_ms = WATCHFUL_REST_MS
    for _ in range(3):
        after_ms = _rest_ms(round(per_ms * after_ms), 0, after_ms, True)
    assert GATHERED - 1 <= per_ms * after_ms <= GATHERED + 1


@pytest.mark.parametrize("begun", [0, 1])
def test_nobody_waits_longer_than_the_longest_rest(begun: int) -> None:
    assert _rest_ms(begun, 0, 50_000, True) == PAUSE_MS


def test_many_payments_do_not_make_it_look_all_the_time() -> None:
    assert _rest_ms(2 * GATHERED, 0, 20, True) == WATCHFUL_REST_MS


def test_what_is_not_as_usual_is_looked_at_soon() -> None:
    assert _rest_ms(1, 0, 60, False) == WATCHFUL_REST_MS


@pytest.mark.parametrize("is_calm", [False, True])
@pytest.mark.parametrize("begun", [0, 5, BATCH])
def test_a_shorter_pause_is_kept_always(begun: int, is_calm: bool) -> None:
    assert _rest_ms(begun, begun, 20, is_calm, pause_ms=1) == 1


def test_it_keeps_off_audits_but_a_backlog_only_while_a_processor_is_not_well() -> None:
    assert _rest_ms(1, 0, 60, True, audit_delay_ms=AUDITS_MS) == PAUSE_MS + AUDITS_MS
    assert _rest_ms(1, 0, 60, False, audit_delay_ms=AUDITS_MS) == WATCHFUL_REST_MS + AUDITS_MS
    assert _rest_ms(BATCH, 0, 20, True, audit_delay_ms=AUDITS_MS) == BUSY_REST_MS
    assert _rest_ms(BATCH, 0, 20, False, audit_delay_ms=AUDITS_MS) == BUSY_REST_MS + AUDITS_MS


def test_how_far_it_keeps_off_is_asked_for_the_end_of_the_rest() -> None:
    asked_ms: list[int] = []

    def audit_delay(for_ms: int) -> int:
        asked_ms.append(for_ms)
        return AUDITS_MS

    rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(1, 0, 60, False, False), audit_delay)
    assert asked_ms == [WATCHFUL_REST_MS]
