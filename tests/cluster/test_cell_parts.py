"""Membership, calls, following and health, each by itself."""

from __future__ import annotations

from engine.cluster.calls import ANSWER_MS_MAX, Calls, Operation, Said
from engine.cluster.following import Following
from engine.cluster.health import LOOK_MS, Asking
from engine.cluster.membership import CLOCK_APART_MS, CLOCK_TRIP_MS, Membership
from engine.cluster.values import NO_PROCESSOR, Entry, Epoch, Kind, Lease, Member, Outcome, Page, Question

BY = Epoch(1, 10, 1)
LEASE_MS = 5000
STORE_MS = 1_795_000_000_000


def member(cell: int, end: int = 0, told_ms: int = 0, holder: int | None = None) -> Member:
    epoch = 10 * cell
    return Member(cell, f"cell-{cell}", epoch, 0, epoch if holder is None else holder, end, told_ms)


def lease(*members: Member, now_ms: int = STORE_MS, open_ms: int | None = None) -> Lease:
    return Lease(now_ms, now_ms + LEASE_MS, "stub:1", members or (member(1),), open_ms)


def entry(sequence: int) -> Entry:
    return Entry(sequence, 1, Outcome(sequence.to_bytes(16, "big"), Kind.GIVEN_UP, NO_PROCESSOR, 0, 0))


def page(*sequences: int, begin: int = 0) -> Page:
    return Page(tuple(map(entry, sequences)), begin, max(sequences, default=begin))


def test_a_lease_is_counted_from_before_it_was_asked_for() -> None:
    membership = Membership(LEASE_MS)
    membership.joined(BY)
    assert not membership.holds(1000)
    membership.renewed(1000, 1900, STORE_MS, lease())
    assert membership.holds(1000 + LEASE_MS - 1) and not membership.holds(1000 + LEASE_MS)


def is_apart(membership: Membership) -> bool:
    return membership.is_apart


def test_a_clock_is_judged_by_quick_answers_only() -> None:
    membership = Membership(LEASE_MS)
    membership.joined(BY)
    membership.renewed(1000, 1010, STORE_MS + CLOCK_APART_MS + 5, lease())
    assert not is_apart(membership)  # ten ms were on the way
    membership.renewed(2000, 2000, STORE_MS - CLOCK_APART_MS - 1, lease())
    assert is_apart(membership) and not membership.may_begin(2000)
    membership.renewed(3000, 3001 + CLOCK_TRIP_MS, STORE_MS, lease())
    assert is_apart(membership)
    membership.renewed(4000, 4000, STORE_MS, lease())
    assert membership.may_begin(4000)


def test_nobody_is_adopted_before_the_store_has_answered_for_as_long_as_a_lease() -> None:
    membership = Membership(LEASE_MS)
    membership.joined(BY)
    for at_ms in range(1000, 1000 + LEASE_MS, 500):
        assert not membership.may_adopt(at_ms)
        membership.renewed(at_ms, at_ms, STORE_MS, lease())
    assert membership.may_adopt(1000 + LEASE_MS)
    back_ms = 1000 + 3 * LEASE_MS  # the store was away
    membership.renewed(back_ms, back_ms, STORE_MS, lease())
    assert membership.holds(back_ms) and not membership.may_adopt(back_ms)


def test_a_pin_has_no_earlier_time_than_was_told_by_anybody_before_the_cell_came() -> None:
    membership = Membership(LEASE_MS)
    membership.joined(BY)
    membership.renewed(1000, 1000, STORE_MS, lease(member(1), member(2, told_ms=STORE_MS + 70)))
    assert membership.requested_ms(STORE_MS) == STORE_MS + 70
    told_ms = membership.tell(6000, None)
    assert told_ms == STORE_MS + 5000 - CLOCK_APART_MS
    assert membership.requested_ms(STORE_MS) == told_ms


def test_what_is_told_waits_for_pins_that_are_on_their_way() -> None:
    membership = Membership(LEASE_MS)
    membership.joined(BY)
    membership.renewed(1000, 1000, STORE_MS, lease())
    assert membership.tell(9000, STORE_MS + 3) == STORE_MS + 3
    assert membership.tell(9000, STORE_MS + 1) == STORE_MS + 3  # it never goes back


def test_the_shares_of_a_capacity_make_the_whole_and_nobody_has_none() -> None:
    for living in range(1, 9):
        cells = [member(cell)._replace(until_ms=STORE_MS + 1) for cell in range(1, living + 1)]
        memberships = [Membership(LEASE_MS) for _ in cells]
        for cell, membership in enumerate(memberships, 1):
            membership.joined(Epoch(cell, 10 * cell, 1))
            membership.renewed(1000, 1000, STORE_MS, lease(*cells, member(9)))  # the lease of cell 9 is over
        shares = [membership.share(100) for membership in memberships]
        assert sum(shares) == 100 and max(shares) - min(shares) <= 1
        assert all(membership.share(2) >= 1 for membership in memberships)


def test_a_call_without_an_answer_is_said_again_and_only_the_newest_counts() -> None:
    calls = Calls()
    calls.want(Operation.ACCEPT, "a", 1)
    (first,) = calls.due(0)
    calls.want(Operation.ACCEPT, "b", 2)
    assert calls.due(ANSWER_MS_MAX - 1) == []
    (second,) = calls.due(ANSWER_MS_MAX)
    assert second.rows == {"a": 1, "b": 2} and second.is_repeated and not first.is_repeated
    assert calls.answered(first.number) is None
    assert calls.answered(second.number) == second
    assert calls.answered(second.number) is None


def test_calls_that_are_no_batch_are_said_one_by_one() -> None:
    calls = Calls()
    calls.want(Operation.FOLLOW, 1)
    calls.want(Operation.FOLLOW, 2)
    assert [list(said.rows) for said in calls.due(0)] == [[1], [2]]
    calls.done(Operation.FOLLOW, 1)
    assert [list(said.rows) for said in calls.due(ANSWER_MS_MAX)] == [[2]]


def test_an_entry_is_counted_once_and_nothing_beyond_a_gap() -> None:
    following = Following()
    following.heard(lease(member(1, end=4)))
    assert [one.sequence for one in following.next(1, page(1, 2, 4))] == [1, 2]
    assert [one.sequence for one in following.next(1, page(1, 2, 3, 4))] == [3, 4]
    assert following.next(1, page(3, 4)) == []


def test_folded_entries_are_replaced_by_their_sums() -> None:
    following = Following()
    following.heard(lease(member(1, end=4)))
    assert following.must_begin_anew(1, page(3, 4, begin=2))
    following.begin_anew(1, 2)
    assert [one.sequence for one in following.next(1, page(3, 4, begin=2))] == [3, 4]


def test_sums_are_complete_until_the_earliest_of_what_can_still_come() -> None:
    following = Following()
    following.heard(lease(member(1, end=1, told_ms=500), member(2, told_ms=300), member(3, told_ms=100, holder=10)))
    assert following.complete_ms == 0  # an entry of cell 1 is not read yet
    following.next(1, page(1))
    assert following.complete_ms == 300  # cell 3 was adopted: it makes no new pins
    following.heard(lease(member(1, end=1, told_ms=900), member(2, told_ms=900), open_ms=400))
    assert following.complete_ms == 400


def question(asked_ms: int, asker: int = BY.number) -> Question:
    return Question(0, asked_ms, asker)


def said(asked_ms: int, is_repeated: bool = False) -> Said:
    return Said(1, Operation.ASK, {0: None}, asked_ms, is_repeated)


def test_health_is_asked_by_whom_the_store_says_and_at_once_or_not_at_all() -> None:
    asking = Asking(1)
    assert asking.due(0) == [0] and asking.due(LOOK_MS - 1) == []
    assert not asking.is_granted(1, said(0), question(1), BY.number)  # perhaps it was asked before
    assert asking.is_granted(2, said(0), question(2), BY.number)
    assert not asking.is_granted(2, said(0), question(2), BY.number)
    assert not asking.is_granted(3, said(0), question(3, asker=20), BY.number)
    assert not asking.is_granted(4 + ANSWER_MS_MAX, said(0), question(4), BY.number)  # of a call that was done late
    assert not asking.is_granted(5, said(0, is_repeated=True), question(5), BY.number)
