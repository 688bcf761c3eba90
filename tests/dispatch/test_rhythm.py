"""How long the dispatcher rests."""

from __future__ import annotations

import pytest

from engine.dispatch.rhythm import BUSY_REST_MS, WATCHFUL_REST_MS, Pass, rest_ms

PAUSE_MS, GATHERED, BATCH = 60, 12, 64


def test_a_backlog_leaves_no_rest_but_for_those_who_answer_clients() -> None:
    assert rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(BATCH, BATCH, 20, True)) == BUSY_REST_MS
    assert rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(BATCH // 2, 0, 20, False)) == BUSY_REST_MS


def test_when_all_is_as_usual_it_rests_until_enough_have_gathered() -> None:
    per_ms = 0.25
    after_ms = WATCHFUL_REST_MS
    for _ in range(3):
        after_ms = rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(round(per_ms * after_ms), 0, after_ms, True))
    assert GATHERED - 1 <= per_ms * after_ms <= GATHERED + 1


@pytest.mark.parametrize("begun", [0, 1])
def test_nobody_waits_longer_than_the_longest_rest(begun: int) -> None:
    assert rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(begun, 0, 50_000, True)) == PAUSE_MS


def test_many_payments_do_not_make_it_look_all_the_time() -> None:
    assert rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(2 * GATHERED, 0, 20, True)) == WATCHFUL_REST_MS


def test_what_is_not_as_usual_is_looked_at_soon() -> None:
    assert rest_ms(PAUSE_MS, GATHERED, BATCH, Pass(1, 0, 60, False)) == WATCHFUL_REST_MS


@pytest.mark.parametrize("is_calm", [False, True])
@pytest.mark.parametrize("begun", [0, 5, BATCH])
def test_a_shorter_pause_is_kept_always(begun: int, is_calm: bool) -> None:
    assert rest_ms(1, GATHERED, BATCH, Pass(begun, begun, 20, is_calm)) == 1
