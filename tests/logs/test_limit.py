"""An outage does not write a line for each payment. The time is given in."""

from __future__ import annotations

from engine.logs.limit import AT_ONCE, EVERY_MS, KINDS_MAX, OTHERS, Limits, More

MINUTE_MS = 60_000


def test_a_minute_of_500_lines_a_second_of_a_kind_is_a_handful_and_counts_of_all_the_rest() -> None:
    limits, written, left_out = Limits(), 0, 0
    for now_ms in range(0, MINUTE_MS, 2):
        more = limits.due(now_ms)
        written += limits.admits("payment_unreadable", now_ms) + len(more)
        left_out += sum(one.lines for one in more)
    last = limits.due(MINUTE_MS, at_once=True)
    written += len(last)
    left_out += sum(one.lines for one in last)
    assert written <= AT_ONCE + 2 * MINUTE_MS // EVERY_MS
    assert left_out == MINUTE_MS // 2 - (written - MINUTE_MS // EVERY_MS), "each line is written or counted"


def test_kinds_do_not_hush_each_other() -> None:
    limits = Limits()
    for _ in range(100):
        limits.admits("a", 0)
    assert limits.admits("b", 0)


def test_what_was_left_out_is_said_though_no_further_line_comes() -> None:
    limits = Limits()
    for number in range(AT_ONCE + 3):
        assert limits.admits("a", 100) == (number < AT_ONCE)
    assert limits.due(100 + EVERY_MS - 1) == []
    assert limits.due(100 + EVERY_MS) == [More("a", 3, EVERY_MS)]
    assert limits.due(10 * EVERY_MS) == []


def test_after_a_quiet_time_a_few_come_at_once_again() -> None:
    limits = Limits()
    for _ in range(AT_ONCE + 1):
        limits.admits("a", 0)
    assert limits.admits("a", EVERY_MS) and not limits.admits("a", EVERY_MS)
    later_ms = (AT_ONCE + 1) * EVERY_MS
    assert [limits.admits("a", later_ms) for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]


def test_lines_that_come_more_slowly_than_the_limit_are_all_written() -> None:
    limits = Limits()
    assert all(limits.admits("a", number * EVERY_MS) for number in range(100))


def test_the_kinds_that_are_told_apart_are_bounded_and_quiet_ones_make_room() -> None:
    limits = Limits()
    for number in range(KINDS_MAX):
        assert limits.admits(f"kind {number}", 0)
    admitted = sum(limits.admits(f"new {number}", 0) for number in range(1_000))
    assert admitted == AT_ONCE
    assert [one.kind for one in limits.due(EVERY_MS)] == [OTHERS]
    quiet_ms = 10 * AT_ONCE * EVERY_MS
    assert all(limits.admits(f"late {number}", quiet_ms) for number in range(KINDS_MAX // 2))
