"""Customers: they send payments, again and again when they must, and hold the acceptor to what it has said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from engine.intake import acceptor
from engine.intake.acceptor import Place
from engine.lab.dst.account import Account
from engine.lab.dst.checks import Checks
from engine.lab.dst.locks import VirtualLocks
from engine.lab.dst.model import Model, ViolationError
from engine.lab.dst.processes import ApiProcess, Process, Waiting
from engine.lab.dst.punctual import Punctuality
from engine.lab.dst.scheduler import Scheduler
from engine.memory import layout

PATIENCE_MS = 1500  # of a customer without an answer
REPEATS_MAX = 6  # times that a customer sends one payment


class Customers:
    """All of them.

    Parameters:
      step: lets a process do something, see :class:`engine.lab.dst.world.World`.
      passes: how many passes the dispatcher has begun.
    """

    def __init__(
        self,
        apis: Sequence[ApiProcess],
        locks: VirtualLocks,
        model: Model,
        checks: Checks,
        scheduler: Scheduler,
        chance: Random,
        punctuality: Punctuality,
        *,
        step: Callable[[Process, Callable[[], object]], bool],
        passes: Callable[[], int],
    ) -> None:
        self._apis = apis
        self._locks = locks
        self._model = model
        self._checks = checks
        self._scheduler = scheduler
        self._chance = chance
        self._step = step
        self._punctuality = punctuality
        self._passes = passes
        # What is being accepted just now, with the ring's head before.
        self._accepting: list[tuple[ApiProcess, Account, int]] = []
        self.taken = 0  # payments that the fast path would have accepted too
        self._sent = [0] * len(model.accounts)

    def begin(self) -> None:
        """Each sends its payment at its time."""
        for order, account in zip(self._model.plan.orders, self._model.accounts, strict=True):
            self._scheduler.after(order.at_ms, self.send, account, account.cents)

    def disturb(self) -> None:
        """A customer sends just now: a payment that is being accepted, or any other."""
        chance = self._chance
        if not self._accepting or chance.random() < 0.5:
            account = chance.choice(self._model.accounts)
        else:
            account = self._accepting[-1][1]
        self.send(account, account.cents)

    def send(self, account: Account, cents: int) -> None:
        """A customer sends a payment to some API process; without an answer, or told to wait, it may do so again."""
        chance, model = self._chance, self._model
        number = account.number
        if self._sent[number] >= REPEATS_MAX or (account.position >= 0 and not model.remembers(account)):
            return  # a later sending begins another payment with the same id, an order of its own
        api = self._apis[int(chance.random() * len(self._apis))]
        is_held = api.alive and self._locks.is_held(account.id_high, account.id_low)
        if not api.alive or api.busy or (is_held and chance.random() < 0.5):
            self._scheduler.after(chance.random() * 120, self.send, account, cents)
            return
        self._sent[number] += 1
        self._accepting.append((api, account, self._model.rings[api.index].head))
        self._step(api, lambda: self._accept(api, account, cents))
        self.notice_published()
        self._accepting.pop()
        if chance.random() < self._model.plan.repeats or not account.promised:
            wrong = account.promised and chance.random() < 0.2
            again_ms = chance.choice((0, 2, 300, 3000)) * chance.random()
            self._scheduler.after(again_ms, self.send, account, account.cents * (3 if wrong else 1))

    def notice_published(self) -> None:
        """A payment counts as accepted from when its ring's head is stored, even if its customer is never told."""
        for api, account, head in self._accepting:
            ring = self._model.rings[api.index]
            if account.position < 0 and ring.head != head:
                is_seen = bool(ring.words[ring.offset(head) + layout.SLOT_ORIGIN] & layout.ORIGIN_SEEN)
                account.ring, account.position = api.index, head
                account.accepted_ms, account.is_seen = self._scheduler.mono_ms, is_seen
                self._model.note("is published", account.number, api.name, "position", head)
                if any(self._model.lives(account)):
                    self._model.note("is here again", account.number, "seen" if is_seen else "unseen")
                    if self._model.plan.id_memory and not is_seen:
                        raise ViolationError(f"the id of payment {account.number} was forgotten", account.number)

    def committed(self, api: ApiProcess) -> None:
        """A ring is on disk: who waited for that has a 202, or goes on waiting, or gives up."""
        passes = self._passes()
        api.ring_bell()
        is_unseen = passes == self._passes()  # else the dispatcher may have seen them while the bell was being rung
        waiting, api.waiting = api.waiting, []
        for one in waiting:
            if one.place is None or one.place.is_kept():
                if is_unseen and one.account.ring == api.index and not one.account.promised:
                    self._punctuality.rung(one.account)
                self._answered(api, one.account, one.place)
            elif self._scheduler.mono_ms < one.until_ms:
                api.waiting.append(one)
                self._gather(api)

    def _answer(self, api: ApiProcess, account: Account) -> None:
        """202, at once or when it is on disk."""
        if api.committer is None:
            account.promised = True
            return
        place = api.acceptor.place(account.id_high, account.id_low)
        if place is None or place.is_kept():
            self._answered(api, account, place)
        else:
            api.waiting.append(Waiting(account, place, self._scheduler.mono_ms + PATIENCE_MS))
            self._gather(api)

    def _gather(self, api: ApiProcess) -> None:
        assert api.committer is not None
        api.committer.gather()

    def _answered(self, api: ApiProcess, account: Account, place: Place | None) -> None:
        self._model.note("has its 202 from disk", account.number, api.name)
        account.promised = True
        if place is not None and not api.is_on_disk(account.ring, place):
            raise ViolationError(f"payment {account.number} has its 202 and is not on disk", account.number)

    def _accept(self, api: ApiProcess, account: Account, cents: int) -> None:
        number, model = account.number, self._model
        head = self._model.rings[api.index].head
        passes, final = self._passes(), account.final
        others = [other for other in model.lives(account) if not other.forgotten]
        try:
            verdict, is_taken = api.accept(account.id_high, account.id_low, cents, self._scheduler.now)
        except acceptor.StripeBusyError:
            model.note("finds its lock held", number, api.name)
            return
        model.note(verdict.name, number, api.name, cents)
        self.taken += is_taken
        if verdict is acceptor.Verdict.ACCEPTED:
            if account.position >= 0 and (account.ring, account.position) != (api.index, head):
                raise ViolationError(f"payment {number} is accepted a second time", number)
            self.notice_published()
            if account.position < 0:
                raise ViolationError(f"payment {number} is accepted and not published", number)
            if any(model.remembers(other) for other in others):
                raise ViolationError(f"payment {number} is accepted while another one has its id", number)
            self._answer(api, account)
            if api.committer is not None:
                return
            api.ring_bell()
            if self._passes() == passes:  # else the dispatcher may have seen it while the bell was being rung
                self._punctuality.rung(account)
        elif verdict is acceptor.Verdict.FULL:
            # Else the oldest may have been settled, or carried, since.
            if self._passes() == passes and not api.waits_for_ledger:
                self._checks.check_refusal(api.index)
        elif verdict is acceptor.Verdict.UNRECORDED:
            if not api.waits_for_ledger:
                raise ViolationError(f"payment {number} is refused for the sake of a ledger that nobody waits for")
        elif verdict is acceptor.Verdict.CONFLICT and others:
            pass
        elif account.position < 0:
            raise ViolationError(f"{verdict.name} for payment {number}, which is not there", number)
        elif (verdict is acceptor.Verdict.CONFLICT) != (cents != account.cents):
            raise ViolationError(f"{verdict.name} for payment {number} with {cents} cents", number)
        elif verdict is acceptor.Verdict.FAILED:
            held = model.held(account)
            if held is not None and held.state != layout.FAILED:
                raise ViolationError(f"payment {number} is said to have failed, and is {held}", number)
        elif verdict is acceptor.Verdict.SAME:
            held = model.held(account)  # an operator may have had it tried again meanwhile
            is_over = held is None or held.state == layout.FAILED
            if final is not None and final.state == layout.FAILED and is_over:
                raise ViolationError(f"payment {number} has failed, and is accepted as if it had not", number)
            self._answer(api, account)
