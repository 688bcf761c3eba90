"""What the dispatcher does between two passes."""

from __future__ import annotations

import pytest

from engine.dispatch.pacing import (
    AWAKE_MS,
    BUSY_PAUSE_MS,
    WATCHFUL_PAUSE_MS,
    Listen,
    Pass,
    Pause,
    Rhythm,
    Sleep,
    decide,
    pause_ms,
)

PAUSE_MS, TARGET, BATCH = 60, 12, 64
RHYTHM = Rhythm(PAUSE_MS, TARGET, BATCH)
END_MS = 1000
DUE_MS = 1234
AUDITS_MS = 4  # to avoid audits, a pause should be longer by this


def passed(
    begun: int,
    ended: int,
    after_ms: int,
    is_calm: bool,
    *,
    quiet_ms: int = 0,
    in_flight: int = 0,
    listens: bool = False,
) -> Pass:
    return Pass(begun, ended, after_ms, quiet_ms, in_flight, is_calm, is_calm, listens)


def _pause_ms(
    begun: int, ended: int, after_ms: int, is_calm: bool, *, longest_ms: int = PAUSE_MS, audit_delay_ms: int = 0
) -> int:
    rhythm = RHYTHM._replace(pause_ms=longest_ms)
    return pause_ms(rhythm, passed(begun, ended, after_ms, is_calm), END_MS, lambda _: audit_delay_ms)


def test_a_backlog_leaves_no_pause_but_for_those_who_answer_clients() -> None:
    assert _pause_ms(BATCH, BATCH, 20, True) == BUSY_PAUSE_MS
    assert _pause_ms(BATCH // 2, 0, 20, False) == BUSY_PAUSE_MS


def test_when_all_is_as_usual_it_pauses_until_enough_have_gathered() -> None:
    per_ms = 0.25
    after_ms = WATCHFUL_PAUSE_MS
    for _ in range(3):
        after_ms = _pause_ms(round(per_ms * after_ms), 0, after_ms, True)
    assert TARGET - 1 <= per_ms * after_ms <= TARGET + 1


@pytest.mark.parametrize("begun", [0, 1])
def test_nobody_waits_longer_than_the_longest_pause(begun: int) -> None:
    assert _pause_ms(begun, 0, 50_000, True) == PAUSE_MS


def test_many_payments_do_not_make_it_look_all_the_time() -> None:
    assert _pause_ms(2 * TARGET, 0, 20, True) == WATCHFUL_PAUSE_MS


def test_what_is_not_as_usual_is_looked_at_soon() -> None:
    assert _pause_ms(1, 0, 60, False) == WATCHFUL_PAUSE_MS


@pytest.mark.parametrize("is_calm", [False, True])
@pytest.mark.parametrize("begun", [0, 5, BATCH])
def test_a_shorter_pause_is_kept_always(begun: int, is_calm: bool) -> None:
    assert _pause_ms(begun, begun, 20, is_calm, longest_ms=1) == 1


def test_it_avoids_audits_but_with_a_backlog_only_while_a_processor_is_not_healthy() -> None:
    assert _pause_ms(1, 0, 60, True, audit_delay_ms=AUDITS_MS) == PAUSE_MS + AUDITS_MS
    assert _pause_ms(1, 0, 60, False, audit_delay_ms=AUDITS_MS) == WATCHFUL_PAUSE_MS + AUDITS_MS
    assert _pause_ms(BATCH, 0, 20, True, audit_delay_ms=AUDITS_MS) == BUSY_PAUSE_MS
    assert _pause_ms(BATCH, 0, 20, False, audit_delay_ms=AUDITS_MS) == BUSY_PAUSE_MS + AUDITS_MS


def test_how_far_it_avoids_audits_is_asked_for_the_end_of_the_pause() -> None:
    asked_ms: list[int] = []

    def audit_delay(at_ms: int) -> int:
        asked_ms.append(at_ms - END_MS)
        return AUDITS_MS

    pause_ms(RHYTHM, passed(1, 0, 60, False), END_MS, audit_delay)
    assert asked_ms == [WATCHFUL_PAUSE_MS]


def decided(done: Pass) -> Pause | Listen | Sleep:
    return decide(RHYTHM, done, END_MS, lambda _: 0, lambda: DUE_MS)


IDLE = passed(0, 0, 20, False, quiet_ms=AWAKE_MS)


def test_soon_after_a_payment_it_only_pauses() -> None:
    assert decided(IDLE._replace(quiet_ms=AWAKE_MS - 1)) == Pause(WATCHFUL_PAUSE_MS)
    assert decided(passed(1, 0, 20, False, in_flight=1)) == Pause(WATCHFUL_PAUSE_MS)


def test_when_nothing_has_happened_for_a_while_it_sleeps_until_something_is_due() -> None:
    assert decided(IDLE) == Sleep(0, DUE_MS)


def test_while_something_is_in_flight_it_pauses_before_it_sleeps() -> None:
    assert decided(IDLE._replace(in_flight=1)) == Sleep(WATCHFUL_PAUSE_MS, DUE_MS)


@pytest.mark.parametrize("quiet_ms", [0, AWAKE_MS])
def test_while_an_audit_may_see_an_answer_any_answer_ends_the_pause(quiet_ms: int) -> None:
    done = IDLE._replace(in_flight=1, quiet_ms=quiet_ms, must_listen=True)
    assert decided(done) == Listen(WATCHFUL_PAUSE_MS)


def test_what_is_due_is_only_asked_for_when_it_matters() -> None:
    def due() -> float:
        raise AssertionError("it costs something")

    decide(RHYTHM, passed(1, 0, 20, False), END_MS, lambda _: 0, due)
