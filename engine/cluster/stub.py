"""The store in memory, for tests and the simulation: the same semantics, no time of its own, nothing left to chance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from engine.cluster import rules, values
from engine.cluster.stub_state import CellState, EpochState, PaymentState, State
from engine.cluster.values import (
    Adoption,
    Call,
    Discrepancy,
    Epoch,
    Folded,
    Kept,
    Kind,
    Lease,
    Member,
    NoAnswerError,
    Offer,
    Outcome,
    Page,
    Pin,
    Question,
    Row,
    StaleEpochError,
    StaleEraError,
    StoreError,
    Sum,
    TakenError,
    Verdict,
)


class Stub:
    """A whole store. Each operation happens at once and as a whole; see :class:`engine.cluster.store.Store`.

    ``clock_ms`` says what the store's clock shows. ``identity`` is the server's. While ``is_away`` every operation
    raises NoAnswerError and does nothing. :class:`engine.cluster.line.Line` loses, repeats and delays what is said.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._state = State()
        self.identity = "stub:1"
        self.is_away = False

    def backup(self) -> object:
        """All that is kept now, for :meth:`fail_over`. What happens later does not change it."""
        return copy.deepcopy(self._state)

    def fail_over(self, backup: object | None = None) -> None:
        """Another server takes over: the identity changes. With a backup, all that came after that is lost."""
        if backup is not None:
            assert isinstance(backup, State)
            self._state = copy.deepcopy(backup)
        self.identity = f"stub:{int(self.identity.removeprefix('stub:')) + 1}"

    # Membership.

    def join(self, name: str, place: bytes, life: bytes, replaces: int, lease_ms: int) -> Epoch:
        """See Store."""
        self._answers()
        rules.check_join(name, place, life, lease_ms)
        state, now_ms = self._state, self._clock_ms()
        cell = next((one for one in state.cells.values() if one.name == name), None)
        if cell is not None and cell.life == life:
            if state.epochs[cell.epoch].is_over:
                raise StaleEpochError(f"epoch {cell.epoch} of the cell {name} is over")
            return Epoch(cell.number, cell.epoch, state.era)
        newest = cell.epoch if cell is not None else 0
        if newest != replaces:
            raise TakenError(f"the cell {name} is in epoch {newest}, not {replaces}")
        if cell is not None and place != cell.place and state.epochs[newest].until_ms > now_ms:
            raise TakenError(f"the cell {name} lives in another place")
        if cell is None and len(state.cells) == values.CELLS_MAX:
            raise TakenError(f"{values.CELLS_MAX} cells have joined already")
        return self._begin(cell, name, place, life, now_ms + lease_ms)

    def _begin(self, cell: CellState | None, name: str, place: bytes, life: bytes, until_ms: int) -> Epoch:
        state = self._state
        number = max(max(state.epochs, default=0) + 1, self._clock_ms())
        if cell is None:
            cell = CellState(len(state.cells) + 1, name, place, life, number)
            state.cells[cell.number] = cell
        else:
            state.take_over(cell.epoch, number)
        cell.place, cell.life, cell.epoch = place, life, number
        state.epochs[number] = EpochState(number, cell.number, until_ms, number)
        return Epoch(cell.number, number, state.era)

    def lease(self, by: Epoch, lease_ms: int, told_ms: int) -> Lease:
        """See Store."""
        own = self._check(by)
        rules.check_lease(lease_ms, told_ms)
        now_ms = self._clock_ms()
        own.until_ms = max(own.until_ms, now_ms + lease_ms)
        cell = self._state.cells[own.cell]
        cell.told_ms = max(cell.told_ms, told_ms)
        kept = (payment.kept for payment in self._state.payments.values())
        open_ms = min((one.pin.requested_ms for one in kept if one.pin and not one.outcome), default=None)
        return Lease(now_ms, own.until_ms, self.identity, self.members(), open_ms)

    def members(self) -> tuple[Member, ...]:
        """See Store."""
        self._answers()
        epochs = self._state.epochs
        return tuple(
            Member(cell.number, cell.name, cell.epoch, epochs[cell.epoch].until_ms, epochs[cell.epoch].holder, cell.end,
                   cell.told_ms)
            for cell in self._state.cells.values()
        )  # fmt: skip

    def adopt(self, by: Epoch, epoch: int) -> Adoption:
        """See Store."""
        self._check(by)
        rules.check_adoption(by, epoch)
        other = self._state.epochs.get(epoch)
        if other is None:
            return Adoption(0)
        if other.holder != epoch:
            return Adoption(other.holder)
        if other.until_ms > self._clock_ms():
            return Adoption(epoch, other.until_ms)
        self._state.take_over(epoch, by.number)
        return Adoption(by.number)

    def leave(self, by: Epoch) -> None:
        """See Store."""
        own = self._check_epoch(by)
        own.is_over, own.until_ms = True, 0

    def held(self, by: Epoch, after: bytes, limit: int) -> tuple[Kept, ...]:
        """See Store."""
        self._check(by)
        rules.check_limit(limit)
        open_ones = (one.kept for one in self._state.payments.values() if one.kept.outcome is None)
        mine = (kept for kept in map(self._shown, open_ones) if kept.holder == by.number and kept.id > after)
        return tuple(sorted(mine)[:limit])

    # Payments.

    def accept(self, by: Epoch, offers: Sequence[Offer]) -> tuple[Row, ...]:
        """See Store."""
        self._check(by)
        rules.check_offers(offers)
        return tuple(self._accept(by, offer) for offer in offers)

    def _accept(self, by: Epoch, offer: Offer) -> Row:
        payment = self._state.payments.get(offer.id)
        if payment is None:
            kept = Kept(offer.id, offer.cents, offer.accepted_ms, by.number, by.number)
            self._state.payments[offer.id] = PaymentState(kept)
            return Row(Verdict.NEW)
        return Row(Verdict.SAME if payment.kept.cents == offer.cents else Verdict.CONFLICT, self._shown(payment.kept))

    def pin(self, by: Epoch, pins: Sequence[Pin]) -> tuple[Row, ...]:
        """See Store."""
        self._check(by)
        rules.check_pins(pins)
        return tuple(self._pin(by, pin) for pin in pins)

    def _pin(self, by: Epoch, pin: Pin) -> Row:
        payment = self._state.payments.get(pin.id)
        if payment is None:
            return Row(Verdict.ABSENT)
        kept = self._shown(payment.kept)
        verdict = rules.judge_pin(by, pin, kept)
        if verdict != Verdict.NEW:
            return Row(verdict, kept)
        payment.kept = kept._replace(pins=pin.number, pin=pin, pin_epoch=by.number)
        return Row(Verdict.NEW)

    def conclude(self, by: Epoch, outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
        """See Store."""
        self._check(by)
        rules.check_outcomes(outcomes)
        return tuple(self._conclude(by, outcome) for outcome in outcomes)

    def _conclude(self, by: Epoch, outcome: Outcome) -> Row:
        payment = self._state.payments.get(outcome.id)
        if payment is None:
            return Row(Verdict.ABSENT)
        kept = self._shown(payment.kept)
        verdict = rules.judge_outcome(by, outcome, kept)
        if verdict == Verdict.DISCREPANCY:
            self._keep_discrepancy(by, outcome, kept.outcome)
        if verdict != Verdict.NEW:
            return Row(verdict, kept)
        payment.kept = kept._replace(outcome=outcome)
        payment.at = (by.cell, self._state.cells[by.cell].tell(kept.cents, outcome, self._clock_ms()))
        return Row(Verdict.NEW)

    def _keep_discrepancy(self, by: Epoch, outcome: Outcome, first: Outcome | None) -> None:
        assert first is not None
        state = self._state
        if any(rules.is_same(one.outcome, outcome) for one, _ in state.discrepancies):
            return
        state.discrepancy += 1
        state.discrepancies.append((Discrepancy(state.discrepancy, by.number, outcome, first), self._clock_ms()))

    def reopen(self, by: Epoch, identity: bytes, act: bytes) -> Row:
        """See Store."""
        self._check(by)
        rules.check_id(identity)
        rules.check_id(act)
        payment = self._state.payments.get(identity)
        if payment is None:
            return Row(Verdict.ABSENT)
        kept = self._shown(payment.kept)
        if act in payment.acts:
            return Row(Verdict.SAME, kept)
        if kept.holder != by.number:
            return Row(Verdict.NOT_HELD, kept)
        if kept.outcome is None or kept.outcome.kind != Kind.GIVEN_UP:
            return Row(Verdict.NOT_GIVEN_UP, kept)
        entry = kept.outcome._replace(kind=Kind.REOPENED)
        self._state.cells[by.cell].tell(kept.cents, entry, self._clock_ms())
        payment.acts.add(act)
        payment.kept = kept._replace(pins=kept.pins + 1, pin=None, pin_epoch=0, outcome=None)
        payment.at = None
        return Row(Verdict.NEW, payment.kept)

    def find(self, by: Epoch, ids: Sequence[bytes]) -> tuple[Kept | None, ...]:
        """See Store."""
        self._check(by)
        rules.check_ids(ids)
        found = (self._state.payments.get(identity) for identity in ids)
        return tuple(None if one is None else self._shown(one.kept) for one in found)

    def _shown(self, kept: Kept) -> Kept:
        return kept._replace(holder=self._state.epochs[kept.epoch].holder)

    # What others have done.

    def follow(self, by: Epoch, cell: int, since: int, limit: int) -> Page:
        """See Store."""
        self._check(by)
        rules.check_limit(limit)
        one = self._cell(cell)
        first = max(since, one.begin) - one.begin
        entries = tuple(entry for entry, _ in one.entries[first : first + limit])
        return Page(entries, one.begin, one.end)

    def folded(self, by: Epoch, cell: int) -> Folded:
        """See Store."""
        self._check(by)
        one = self._cell(cell)
        return Folded(one.begin, tuple(Sum(*key, *total) for key, total in sorted(one.sums.items())))

    def discrepancies(self, by: Epoch, since: int, limit: int) -> tuple[Discrepancy, ...]:
        """See Store."""
        self._check(by)
        rules.check_limit(limit)
        return tuple(one for one, _ in self._state.discrepancies if one.number > since)[:limit]

    def _cell(self, number: int) -> CellState:
        if number not in self._state.cells:
            raise ValueError(f"there is no cell {number}")
        return self._state.cells[number]

    # Questions, purging and forgetting.

    def ask(self, by: Epoch, subject: int, pause_ms: int) -> Question:
        """See Store."""
        self._check(by)
        rules.check_question(subject, pause_ms)
        now_ms = self._clock_ms()
        kept = self._state.questions.get(subject, Question(subject, 0, 0))
        asker = self._state.epochs.get(kept.asker)
        is_others = asker is not None and asker.number != by.number and not asker.is_over and asker.until_ms > now_ms
        if not is_others and now_ms >= kept.asked_ms + pause_ms:
            kept = kept._replace(asked_ms=now_ms, asker=by.number)
            self._state.questions[subject] = kept
        return kept

    def answer(self, by: Epoch, subject: int, asked_ms: int, status: int, body: bytes) -> None:
        """See Store."""
        self._check(by)
        rules.check_answer(subject, asked_ms, status, body)
        kept = self._state.questions.get(subject)
        if kept is not None and kept.answered_ms < asked_ms <= kept.asked_ms:
            self._state.questions[subject] = kept._replace(answered_ms=asked_ms, status=status, body=body)

    def questions(self, by: Epoch) -> tuple[Question, ...]:
        """See Store."""
        self._check(by)
        return tuple(question for _, question in sorted(self._state.questions.items()))

    def purge(self, by: Epoch) -> int:
        """See Store."""
        self._check(by)
        state = self._state
        state.era += 1
        state.payments, state.discrepancies = {}, []
        for cell in state.cells.values():
            cell.begin, cell.entries, cell.sums = cell.end, [], {}
        return state.era

    def forget(self, by: Epoch, cell: int, before_ms: int, limit: int) -> int:
        """See Store."""
        self._check(by)
        rules.check_limit(limit)
        one, state = self._cell(cell), self._state
        count = next((at for at, (_, came_ms) in enumerate(one.entries) if came_ms >= before_ms), len(one.entries))
        gone, one.entries = one.entries[: min(count, limit)], one.entries[min(count, limit) :]
        one.fold(entry for entry, _ in gone)
        for entry, _ in gone:
            payment = state.payments.get(entry.outcome.id)
            if payment is not None and payment.at == (cell, entry.sequence):
                del state.payments[entry.outcome.id]
        state.discrepancies = [(each, came_ms) for each, came_ms in state.discrepancies if came_ms >= before_ms]
        return len(gone)

    # What all of them begin with.

    def perform(self, calls: Sequence[Call]) -> tuple[Any, ...]:
        """See Store."""
        return tuple(self._perform(call) for call in calls)

    def _perform(self, call: Call) -> Any:
        try:
            return getattr(self, call.operation)(*call.arguments)
        except StoreError as error:
            return error

    def close(self) -> None:
        """See Store."""

    def _answers(self) -> None:
        if self.is_away:
            raise NoAnswerError("the store is away")

    def _check_epoch(self, by: Epoch) -> EpochState:
        self._answers()
        own = self._state.epochs.get(by.number)
        if own is None or own.is_over or own.cell != by.cell:
            raise StaleEpochError(f"epoch {by.number} of cell {by.cell} is over")
        return own

    def _check(self, by: Epoch) -> EpochState:
        own = self._check_epoch(by)
        if by.era != self._state.era:
            raise StaleEraError(self._state.era)
        return own
