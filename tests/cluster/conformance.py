"""What every store that cells share must do (engine/cluster/store.py).

A store's own test module inherits the tests, and has a fixture ``place``.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from engine.cluster.store import Store
from engine.cluster.values import (
    NO_PROCESSOR,
    ROWS_MAX,
    Adoption,
    Call,
    Epoch,
    Kept,
    Kind,
    NoAnswerError,
    Offer,
    Outcome,
    Pin,
    Row,
    StaleEpochError,
    StaleEraError,
    Sum,
    TakenError,
    Verdict,
)

LONG_MS, SHORT_MS = 600_000, 1
LIMIT_S = 30.0  # nothing that should be answered may fail on a busy machine
REQUESTED_MS = 1_795_766_430_000
MINUTE_MS = 1_795_766_400_000


class Place(Protocol):
    """An empty store."""

    def store(self, limit_s: float = LIMIT_S) -> Store:
        """Another way to it, on which an answer is waited for so long; the place closes it."""

    def pass_time(self, milliseconds: int) -> None:
        """Lets so much time go by at the store."""


class Cell:
    """A cell that lives at the store, and calls it as its epoch."""

    def __init__(
        self, place: Place, name: str, lease_ms: int = LONG_MS, replaces: int = 0, limit_s: float = LIMIT_S
    ) -> None:
        self.store = place.store(limit_s)
        self.name, self.life = name, identity(next(_lives))
        self.by = self.store.join(name, identity(0), self.life, replaces, lease_ms)

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self.store, operation)
        return lambda *arguments: method(self.by, *arguments)

    def accepts(self, *numbers: int, cents: int = 1990) -> tuple[Verdict, ...]:
        """What becomes of payments of these numbers."""
        return verdicts(self.accept([Offer(identity(number), cents, number) for number in numbers]))

    def pins(self, number: int, count: int = 1, processor: int = 0) -> Verdict:
        """What becomes of a pin of this payment."""
        return verdicts(self.pin([Pin(identity(number), count, processor, REQUESTED_MS)]))[0]

    def ends(self, number: int, kind: Kind = Kind.SETTLED, processor: int = 0, pins: int = 0) -> Verdict:
        """What becomes of an outcome of this payment."""
        return verdicts(self.conclude([outcome(number, kind, processor, pins)]))[0]

    def finds(self, number: int) -> Kept:
        """What is kept of this payment."""
        kept = self.find([identity(number)])[0]
        assert isinstance(kept, Kept)
        return kept

    def holds(self) -> set[bytes]:
        """The ids that it holds."""
        return {kept.id for kept in self.held(bytes(16), ROWS_MAX)}

    def sequence(self, cell: int = 0, since: int = 0) -> list[tuple[int, Kind]]:
        """Sequences and kinds of a cell's entries, its own by default."""
        page = self.follow(cell or self.by.cell, since, ROWS_MAX)
        return [(entry.sequence, entry.outcome.kind) for entry in page.entries]


_lives = itertools.count(1 << 64)


def identity(number: int) -> bytes:
    """The id of this number."""
    return number.to_bytes(16, "big")


def outcome(number: int, kind: Kind = Kind.SETTLED, processor: int = 0, pins: int = 0) -> Outcome:
    """An outcome of the payment of this number."""
    if kind == Kind.GIVEN_UP:
        return Outcome(identity(number), kind, NO_PROCESSOR, 0, REQUESTED_MS + 5, 2, pins)
    return Outcome(identity(number), kind, processor, REQUESTED_MS, REQUESTED_MS + 5, 0, pins)


def verdicts(rows: tuple[Row, ...]) -> tuple[Verdict, ...]:
    """What became of a batch's rows."""
    return tuple(row.verdict for row in rows)


NEW, SAME, ABSENT = Verdict.NEW, Verdict.SAME, Verdict.ABSENT


class Conformance:
    """The tests. Numbers are of payments, or of cells' entries."""

    @pytest.fixture
    def one(self, place: Place) -> Cell:
        """A cell."""
        return Cell(place, "one")

    @pytest.fixture
    def two(self, one: Cell, place: Place) -> Cell:
        """Another one."""
        return Cell(place, "two")

    # Accepting.

    def test_an_id_is_accepted_once_over_all_cells(self, one: Cell, two: Cell) -> None:
        assert one.accepts(1, 2) == (NEW, NEW)
        assert two.accepts(2, 3) == (SAME, NEW)
        assert two.accepts(1, cents=5) == (Verdict.CONFLICT,)
        kept = two.accept([Offer(identity(1), 5, 99)])[0].kept
        assert kept == Kept(identity(1), 1990, 1, one.by.number, one.by.number)

    def test_an_id_may_be_in_a_batch_twice_and_the_first_counts(self, one: Cell) -> None:
        offers = [Offer(identity(1), cents, 7) for cents in (20, 10, 20)]
        assert verdicts(one.accept(offers)) == (NEW, Verdict.CONFLICT, SAME)
        assert one.finds(1).cents == 20

    def test_whoever_had_no_answer_learns_by_repeating_that_a_payment_is_its_own(self, one: Cell) -> None:
        one.accepts(1)
        (row,) = one.accept([Offer(identity(1), 1990, 8)])
        assert row.verdict == SAME and row.kept is not None and row.kept.holder == one.by.number

    def test_a_whole_batch_is_accepted(self, one: Cell) -> None:
        offers = [Offer(identity(number), number, 5) for number in range(1, ROWS_MAX + 1)]
        assert set(verdicts(one.accept(offers))) == {NEW}
        assert set(verdicts(one.accept(offers))) == {SAME}

    # Pins.

    def test_a_pin_counts_when_its_number_is_higher(self, one: Cell) -> None:
        one.accepts(1)
        assert one.finds(1).pin is None
        assert one.pins(1, 2) == NEW
        assert one.pins(1, 2) == SAME
        assert one.pins(1, 2, processor=1) == Verdict.BEHIND
        assert one.pins(1, 1) == Verdict.BEHIND
        assert one.pins(1, 3, processor=1) == NEW
        kept = one.finds(1)
        assert kept.pin == Pin(identity(1), 3, 1, REQUESTED_MS) and kept.pin_epoch == one.by.number and kept.pins == 3

    def test_a_pin_after_an_outcome_changes_nothing(self, one: Cell) -> None:
        one.accepts(1)
        one.ends(1)
        assert one.pins(1) == Verdict.ENDED
        assert one.finds(1).pin is None

    def test_only_who_holds_a_payment_pins_it(self, one: Cell, two: Cell) -> None:
        one.accepts(1)
        assert two.pins(1) == Verdict.NOT_HELD
        assert two.pins(2) == ABSENT
        assert one.finds(1).pins == 0

    def test_rows_of_a_batch_of_pins_stand_alone(self, one: Cell) -> None:
        one.accepts(1, 2, 3)
        one.pins(2)
        one.ends(3)
        pins = [Pin(identity(number), 1, 0, REQUESTED_MS) for number in (4, 3, 2, 1)]
        assert verdicts(one.pin(pins)) == (ABSENT, Verdict.ENDED, SAME, NEW)

    # Outcomes.

    def test_the_first_outcome_counts_and_a_second_is_kept_as_a_discrepancy(self, one: Cell) -> None:
        one.accepts(1)
        assert one.ends(1) == NEW
        assert one.ends(1) == SAME
        assert one.ends(1, processor=1) == Verdict.DISCREPANCY
        assert one.ends(1, processor=1) == Verdict.DISCREPANCY
        (found,) = one.discrepancies(0, 10)
        assert (found.epoch, found.outcome, found.first) == (one.by.number, outcome(1, processor=1), outcome(1))
        assert one.discrepancies(found.number, 10) == ()
        assert one.finds(1).outcome == outcome(1)
        assert one.sequence() == [(1, Kind.SETTLED)]

    def test_what_was_declared_or_charged_before_counts_first_too(self, one: Cell) -> None:
        one.accepts(1, 2)
        nothing = Outcome(identity(1), Kind.DECLARED, NO_PROCESSOR, 0, 5, 10)
        assert verdicts(one.conclude([nothing, outcome(2, Kind.CHARGED_BEFORE)])) == (NEW, NEW)
        assert one.ends(1) == Verdict.DISCREPANCY
        assert one.ends(2) == Verdict.DISCREPANCY
        assert [found.number for found in one.discrepancies(0, 10)] == [1, 2]
        assert one.finds(1).outcome == nothing

    def test_an_outcome_of_an_unknown_id_is_absent(self, one: Cell) -> None:
        one.accepts(2)
        assert verdicts(one.conclude([outcome(1), outcome(2)])) == (ABSENT, NEW)
        assert one.sequence() == [(1, Kind.SETTLED)]

    def test_any_epoch_that_lives_may_tell_that_a_payment_was_charged(self, one: Cell, two: Cell) -> None:
        one.accepts(1)
        assert two.ends(1) == NEW
        assert one.ends(1) == SAME
        assert (one.sequence(), two.sequence()) == ([], [(1, Kind.SETTLED)])

    def test_only_who_holds_a_payment_and_made_its_pin_gives_it_up(self, one: Cell, two: Cell) -> None:
        one.accepts(1, 2)
        one.pins(1)
        assert two.ends(1, Kind.GIVEN_UP, pins=1) == Verdict.NOT_HELD
        assert one.ends(1, Kind.GIVEN_UP, pins=0) == Verdict.BEHIND
        assert one.ends(1, Kind.GIVEN_UP, pins=1) == NEW
        assert one.ends(2, Kind.GIVEN_UP) == NEW
        assert one.finds(1).outcome == outcome(1, Kind.GIVEN_UP, pins=1)

    # Reopening.

    def test_a_payment_is_reopened_once_for_each_act(self, one: Cell, two: Cell) -> None:
        one.accepts(1)
        one.pins(1, 4)
        one.ends(1, Kind.GIVEN_UP, pins=4)
        assert two.reopen(identity(1), identity(70)).verdict == Verdict.NOT_HELD
        row = one.reopen(identity(1), identity(70))
        assert row.verdict == NEW and row.kept == one.finds(1)
        assert (row.kept.pins, row.kept.pin, row.kept.pin_epoch, row.kept.outcome) == (5, None, 0, None)
        assert one.holds() == {identity(1)}
        assert one.reopen(identity(1), identity(71)).verdict == Verdict.NOT_GIVEN_UP
        assert one.pins(1, 5) == Verdict.BEHIND
        assert one.pins(1, 6) == NEW
        assert one.ends(1) == NEW
        assert one.reopen(identity(1), identity(70)).verdict == SAME
        assert one.reopen(identity(1), identity(71)).verdict == Verdict.NOT_GIVEN_UP
        assert one.reopen(identity(2), identity(71)).verdict == ABSENT
        assert one.sequence() == [(1, Kind.GIVEN_UP), (2, Kind.REOPENED), (3, Kind.SETTLED)]
        assert one.discrepancies(0, 10) == ()

    def test_what_arrives_late_from_before_a_reopening_changes_nothing(self, one: Cell) -> None:
        one.accepts(1)
        one.pins(1)
        one.ends(1, Kind.GIVEN_UP, pins=1)
        one.reopen(identity(1), identity(70))
        assert one.ends(1, Kind.GIVEN_UP, pins=1) == Verdict.BEHIND
        assert one.pins(1) == Verdict.BEHIND
        one.ends(1)
        assert one.ends(1, Kind.GIVEN_UP, pins=1) == Verdict.BEHIND
        assert one.discrepancies(0, 10) == ()

    # Following.

    def test_a_cells_sequence_is_followed_in_pages_over_its_epochs(self, one: Cell, two: Cell, place: Place) -> None:
        one.accepts(*range(1, 8))
        for number in range(1, 6):
            one.ends(number)
        later = Cell(place, "one", replaces=one.by.number)
        later.conclude([outcome(6), outcome(7)])
        since, seen = 0, []
        while entries := (page := two.follow(one.by.cell, since, 2)).entries:
            assert (page.begin, page.end) == (0, 7) and len(entries) <= 2
            seen += [(entry.sequence, entry.outcome, entry.cents) for entry in entries]
            since = entries[-1].sequence
        assert seen == [(number, outcome(number), 1990) for number in range(1, 8)]
        assert two.sequence() == []
        with pytest.raises(ValueError, match="no cell 9"):
            two.follow(9, 0, 1)

    def test_the_greatest_word_of_a_cell_counts(self, one: Cell, two: Cell) -> None:
        one.lease(LONG_MS, 500)
        one.lease(LONG_MS, 400)
        assert [member.told_ms for member in two.lease(LONG_MS, 0).members] == [500, 0]

    def test_the_earliest_open_pin_is_told_adopted_or_not(self, place: Place, one: Cell, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        assert two.lease(LONG_MS, 0).open_ms is None
        for number, cell in enumerate((dead, one, two), 1):
            cell.accepts(number)
            cell.pin([Pin(identity(number), 1, 0, 100 * number)])
        place.pass_time(SHORT_MS + 1)
        one.adopt(dead.by.number)
        assert two.lease(LONG_MS, 0).open_ms == 100
        one.ends(1)
        assert two.lease(LONG_MS, 0).open_ms == 200
        one.pin([Pin(identity(2), 2, 0, 250)])
        assert two.lease(LONG_MS, 0).open_ms == 250
        one.ends(2, Kind.GIVEN_UP, pins=2)
        assert two.lease(LONG_MS, 0).open_ms == 300

    # Membership.

    def test_a_repeated_join_is_the_same_epoch(self, one: Cell) -> None:
        assert one.store.join("one", identity(0), one.life, 0, LONG_MS) == one.by
        assert len(one.store.members()) == 1

    def test_a_join_that_arrives_late_ends_no_newer_epoch(self, one: Cell, place: Place) -> None:
        later = Cell(place, "one", replaces=one.by.number)
        assert later.by.cell == one.by.cell and later.by.number > one.by.number
        with pytest.raises(TakenError):
            one.store.join("one", identity(0), one.life, 0, LONG_MS)
        assert later.accepts(1) == (NEW,)

    def test_a_cell_that_lives_in_another_place_keeps_its_name(self, one: Cell) -> None:
        with pytest.raises(TakenError):
            one.store.join("one", identity(9), identity(8), one.by.number, LONG_MS)
        assert one.accepts(1) == (NEW,)
        one.leave()
        moved = one.store.join("one", identity(9), identity(8), one.by.number, LONG_MS)
        assert moved.cell == one.by.cell

    def test_a_new_epoch_holds_what_its_cell_held_and_moves_no_pin_of_it(self, one: Cell, place: Place) -> None:
        one.accepts(1, 2)
        one.pins(1)
        later = Cell(place, "one", replaces=one.by.number)
        assert later.holds() == {identity(1), identity(2)}
        assert later.pins(1, 2) == Verdict.ADOPTED
        assert later.pins(2) == NEW

    def test_a_living_cell_is_not_adopted(self, one: Cell, two: Cell) -> None:
        one.accepts(1)
        adoption = two.adopt(one.by.number)
        assert adoption.holder == one.by.number and adoption.until_ms > 0
        assert two.holds() == set() and one.accepts(2) == (NEW,)
        assert two.adopt(12345) == Adoption(0)
        with pytest.raises(ValueError, match="itself"):
            two.adopt(two.by.number)

    def test_what_a_dead_cell_holds_is_adopted_and_its_pins_never_move(self, place: Place, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        dead.accepts(1, 2, 3)
        dead.pins(1)
        dead.ends(3)
        place.pass_time(SHORT_MS + 1)
        assert two.adopt(dead.by.number) == Adoption(two.by.number)
        assert two.adopt(dead.by.number) == Adoption(two.by.number)
        assert two.holds() == {identity(1), identity(2)}
        pinned = two.finds(1)
        assert (pinned.epoch, pinned.pin_epoch, pinned.holder) == (dead.by.number, dead.by.number, two.by.number)
        assert two.pins(1) == two.pins(1, 2) == two.ends(1, Kind.GIVEN_UP, pins=1) == Verdict.ADOPTED
        assert two.finds(1) == pinned
        assert (two.pins(2), two.ends(1)) == (NEW, NEW)

    def test_a_dead_adopters_payments_are_adopted_with_its_own(self, place: Place, one: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        dead.accepts(1)
        place.pass_time(SHORT_MS + 1)
        heir = Cell(place, "heir", SHORT_MS + 1)
        heir.adopt(dead.by.number)
        heir.accepts(2)
        place.pass_time(SHORT_MS + 2)
        assert one.adopt(heir.by.number) == Adoption(one.by.number)
        assert one.adopt(dead.by.number) == Adoption(one.by.number)
        assert one.holds() == {identity(1), identity(2)}
        members = {member.name: (member.epoch, member.holder) for member in one.store.members()}
        assert members["dead"] == (dead.by.number, one.by.number) and members["heir"] == (heir.by.number, one.by.number)

    def test_one_of_two_adopts(self, place: Place, one: Cell, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        place.pass_time(SHORT_MS + 1)
        assert one.adopt(dead.by.number) == Adoption(one.by.number)
        assert two.adopt(dead.by.number) == Adoption(one.by.number)

    def test_a_lease_that_is_over_but_not_adopted_goes_on(self, place: Place, two: Cell) -> None:
        slow = Cell(place, "slow", SHORT_MS)
        place.pass_time(SHORT_MS + 1)
        renewed = slow.lease(LONG_MS, 0)
        assert renewed.until_ms >= renewed.now_ms + LONG_MS
        assert slow.lease(SHORT_MS, 0).until_ms == renewed.until_ms
        assert two.adopt(slow.by.number) == Adoption(slow.by.number, renewed.until_ms)

    def test_who_leaves_is_adopted_at_once(self, one: Cell, two: Cell) -> None:
        one.accepts(1)
        one.leave()
        with pytest.raises(StaleEpochError):
            one.leave()
        assert next(member.until_ms for member in two.store.members()) == 0
        assert two.adopt(one.by.number) == Adoption(two.by.number)
        assert two.holds() == {identity(1)}

    def test_an_adopted_cell_comes_back_and_holds_nothing(self, place: Place, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        dead.accepts(1)
        place.pass_time(SHORT_MS + 1)
        two.adopt(dead.by.number)
        back = Cell(place, "dead", replaces=dead.by.number)
        assert back.by.cell == dead.by.cell and back.holds() == set()
        assert back.pins(1) == Verdict.NOT_HELD

    def test_nothing_of_a_stale_epoch_is_done(self, place: Place, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        dead.accepts(1)
        place.pass_time(SHORT_MS + 1)
        two.adopt(dead.by.number)
        before = two.finds(1)
        with contextlib.suppress(NoAnswerError):  # the adopter may have ended its session
            dead.store.members()
        for call in calls(dead.by, two.by):
            (answer,) = dead.store.perform([call])
            assert isinstance(answer, StaleEpochError), call
            with pytest.raises(StaleEpochError):
                getattr(dead.store, call.operation)(*call.arguments)
        assert two.finds(1) == before and two.find([identity(5)]) == (None,)
        assert two.sequence(dead.by.cell) == [] and two.questions() == () and two.accepts(6) == (NEW,)

    def test_held_comes_in_pages_by_id(self, one: Cell, two: Cell) -> None:
        one.accepts(*range(1, 10))
        two.accepts(20)
        one.ends(4)
        one.pins(5)
        after, seen = bytes(16), []
        while page := one.held(after, 3):
            assert len(page) <= 3
            seen += [int.from_bytes(kept.id, "big") for kept in page]
            assert all(kept.outcome is None and kept == one.find([kept.id])[0] for kept in page)
            after = page[-1].id
        assert seen == [1, 2, 3, 5, 6, 7, 8, 9]

    # Questions.

    def test_one_cell_asks_for_all(self, place: Place, one: Cell, two: Cell) -> None:
        granted = one.ask(3, 50)
        assert granted.asker == one.by.number and granted.asked_ms > 0
        assert one.ask(3, 50_000) == granted
        place.pass_time(60)
        assert two.ask(3, 50) == granted
        again = one.ask(3, 50)
        assert again.asked_ms >= granted.asked_ms + 50
        one.answer(3, again.asked_ms, 200, b"fine")
        one.answer(3, granted.asked_ms, 500, b"late")
        two.answer(3, again.asked_ms + 1, 500, b"never asked")
        assert two.questions() == (again._replace(answered_ms=again.asked_ms, status=200, body=b"fine"),)

    def test_another_cell_asks_when_the_asker_is_over(self, place: Place, two: Cell) -> None:
        dead = Cell(place, "dead", SHORT_MS)
        first = dead.ask(3, 50)
        place.pass_time(SHORT_MS + 1)
        assert two.ask(3, 50_000) == first
        place.pass_time(60)
        second = two.ask(3, 50)
        assert second.asker == two.by.number and second.asked_ms >= first.asked_ms + 50

    # Purging and forgetting.

    def test_a_purge_begins_a_new_era_for_all(self, one: Cell, two: Cell) -> None:
        one.accepts(1, 2)
        one.conclude([outcome(1)])
        one.ends(1, processor=1)
        two.forget(one.by.cell, REQUESTED_MS * 2, 10)
        era = two.purge()
        assert era == two.by.era + 1
        for call in calls(one.by, two.by, but="leave"):
            (answer,) = one.store.perform([call])
            assert isinstance(answer, StaleEraError) and answer.era == era, call
        one.by, two.by = (cell.by._replace(era=era) for cell in (one, two))
        assert one.find([identity(1), identity(2)]) == (None, None)
        assert one.holds() == set() and one.discrepancies(0, 10) == ()
        page = two.follow(one.by.cell, 0, 10)
        assert (page.entries, page.begin, page.end) == ((), 1, 1) and two.folded(one.by.cell) == (1, ())
        assert two.accepts(1) == (NEW,) and two.ends(1) == NEW
        assert two.sequence() == [(1, Kind.SETTLED)]
        assert one.accepts(3) == (NEW,) and one.ends(3) == NEW
        assert one.sequence() == [(2, Kind.SETTLED)]

    def test_a_cell_that_joins_after_a_purge_knows_its_era(self, one: Cell, place: Place) -> None:
        era = one.purge()
        assert Cell(place, "later").by.era == era

    def test_what_is_old_is_forgotten_and_its_sums_are_kept(self, one: Cell, two: Cell) -> None:
        one.accepts(1, 2, 3, 4, 5)
        one.conclude([outcome(1), outcome(2), outcome(3, Kind.GIVEN_UP), outcome(4, processor=1)])
        one.reopen(identity(3), identity(70))
        one.ends(1, processor=1)
        assert two.forget(one.by.cell, 1, 100) == 0
        assert len(two.discrepancies(0, 10)) == 1
        assert two.forget(one.by.cell, REQUESTED_MS * 2, 3) == 3
        assert two.discrepancies(0, 10) == ()
        page = two.follow(one.by.cell, 0, 100)
        assert (page.begin, page.end, [entry.sequence for entry in page.entries]) == (3, 5, [4, 5])
        assert one.sequence(since=4) == [(5, Kind.REOPENED)]
        assert two.folded(one.by.cell).begin == 3
        assert two.forget(one.by.cell, REQUESTED_MS * 2, 3) == 2
        settled = Sum(Kind.SETTLED, 0, MINUTE_MS, 2, 3980), Sum(Kind.SETTLED, 1, MINUTE_MS, 1, 1990)
        undone = Sum(Kind.GIVEN_UP, NO_PROCESSOR, 0, 1, 1990), Sum(Kind.REOPENED, NO_PROCESSOR, 0, 1, 1990)
        assert two.folded(one.by.cell) == (5, (*settled, *undone))
        gone = [kept is None for kept in one.find([identity(number) for number in range(1, 6)])]
        assert gone == [True, True, False, True, False]
        assert one.reopen(identity(3), identity(70)).verdict == SAME
        assert two.accepts(1, 3) == (NEW, SAME)
        one.ends(3)
        assert one.forget(one.by.cell, REQUESTED_MS * 2, 100) == 1
        assert one.accepts(3) == (NEW,) and one.reopen(identity(3), identity(70)).verdict == Verdict.NOT_GIVEN_UP

    # Calls.

    def test_several_operations_go_in_one_round_trip(self, one: Cell, two: Cell) -> None:
        answers = one.store.perform(
            [
                Call("accept", (one.by, [Offer(identity(1), 5, 6)])),
                Call("pin", (one.by, [Pin(identity(1), 1, 0, 7)])),
                Call("conclude", (one.by, [outcome(1)])),
                Call("find", (one.by, [identity(1)])),
                Call("follow", (one.by, one.by.cell, 0, 9)),
            ]
        )
        assert [verdicts(rows) for rows in answers[:3]] == [(NEW,)] * 3
        assert answers[3] == (one.finds(1),) and answers[4] == one.follow(one.by.cell, 0, 9)

    def test_an_operation_that_is_refused_stops_no_other(self, one: Cell, two: Cell) -> None:
        old = one.by._replace(era=7)
        first, second = Call("accept", (one.by, [Offer(identity(1), 5, 6)])), Call("find", (one.by, [identity(1)]))
        answers = one.store.perform([first, Call("accept", (old, [Offer(identity(2), 5, 6)])), second])
        assert verdicts(answers[0]) == (NEW,) and isinstance(answers[1], StaleEraError)
        assert answers[2] == (one.finds(1),) and one.find([identity(2)]) == (None,)

    def test_a_call_that_is_not_well_formed_is_a_mistake(self, one: Cell) -> None:
        pin, own = Pin(identity(1), 1, 0, 5), outcome(1)
        for operation, rows in (
            ("accept", []), ("accept", [Offer(b"short", 1, 1)]), ("accept", [Offer(identity(1), 0, 1)]),
            ("accept", [Offer(identity(1), 1 << 63, 1)]), ("accept", [Offer(identity(1), 1, 1)] * (ROWS_MAX + 1)),
            ("pin", [pin, pin]), ("pin", [pin._replace(number=0)]), ("pin", [pin._replace(processor=NO_PROCESSOR)]),
            ("conclude", [own, own]), ("conclude", [own._replace(kind=Kind.REOPENED)]),
            ("conclude", [own._replace(processor=NO_PROCESSOR)]), ("conclude", [own._replace(kind=Kind.GIVEN_UP)]),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"."):
                getattr(one, operation)(rows)
        for name in ("", "a b", "ü", "-", "x" * 33):
            with pytest.raises(ValueError, match="name"):
                one.store.join(name, identity(0), identity(1), 0, LONG_MS)
        for lease_ms in (0, LONG_MS + 1):
            with pytest.raises(ValueError, match="lease_ms"):
                one.lease(lease_ms, 0)


def calls(by: Epoch, other: Epoch, but: str = "") -> Iterator[Call]:
    """Every operation that an epoch may call, about payment 1, or 5, which nobody knows."""
    operations: dict[str, tuple[Any, ...]] = {
        "lease": (LONG_MS, 5),
        "adopt": (other.number,),
        "held": (bytes(16), 5),
        "accept": ([Offer(identity(5), 5, 6)],),
        "pin": ([Pin(identity(1), 9, 0, 7)],),
        "conclude": ([outcome(1)],),
        "reopen": (identity(1), identity(70)),
        "find": ([identity(1)],),
        "follow": (by.cell, 0, 5),
        "folded": (by.cell,),
        "discrepancies": (0, 5),
        "ask": (3, 0),
        "answer": (3, 5, 200, b""),
        "questions": (),
        "purge": (),
        "forget": (by.cell, REQUESTED_MS * 2, 5),
        "leave": (),
    }
    return (Call(name, (by, *arguments)) for name, arguments in operations.items() if name != but)
