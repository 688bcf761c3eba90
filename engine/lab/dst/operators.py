"""Operators: they write who and why, and then put commands into the ring, while everything around them dies.

What they declare is true: their evidence is the model's. They may see a payment long before they act on it, name any
payment, and ask for the same again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from engine.acts import rules
from engine.acts.ring import CommandWriter, lay_out_acts
from engine.books import parked
from engine.books.levels import Shape
from engine.correlation import halves
from engine.lab.dst.account import Account
from engine.lab.dst.memory import UNTOLD, Points, shared_words
from engine.lab.dst.model import Model, ViolationError
from engine.lab.dst.plan import PROCESSORS, Plan
from engine.lab.dst.processes import Process
from engine.lab.dst.scheduler import Scheduler
from engine.ledger.acts import ActionRow, ItemRow
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Carried, Command, Result
from engine.memory.words import Words
from engine.operate import carrying
from engine.payment import Payment

UNDER_WAY_MS = 20_000  # of the rules: no request of a simulation is under way for longer
LATE_MS = 40_000  # in some runs operators act for so long after everything has healed
ACTS_MAX = 30
ON_PAYMENTS = (Act.ASK, Act.RETRY, Act.RETRY, Act.CHARGED, Act.CANCEL)
RETRY_MS = 500  # until an operator whose command found no room, or who was killed, tries again


class Asked(NamedTuple):
    """A command that was put, and for which payment, if it was for one."""

    command: Command
    account: Account | None


class _LeftError(Exception):
    """An operator waits for no result."""


def _leave(_: float) -> None:
    raise _LeftError


class _WatchedRing:
    """The command ring, for an act on the payment ``account``."""

    def __init__(self, operators: Operators, account: Account | None) -> None:
        self._operators, self._account = operators, account

    def put(self, command: Command) -> int | None:
        """See the protocol."""
        return self._operators.put(command, self._account)

    def result(self, sequence: int) -> Carried | None:
        """See the protocol: it is looked at later."""
        return None


class Operators(Process):
    """All operators, who act one after the other.

    Parameters:
      step: lets a process do something, during which it may be killed; whether it survived.
    """

    name = "operator"

    def __init__(
        self,
        seed: int,
        plan: Plan,
        books: Words,
        shape: Shape,
        model: Model,
        scheduler: Scheduler,
        points: Points,
        step: Callable[[Process, Callable[[], object]], bool],
    ) -> None:
        super().__init__()
        self._chance = Random(f"operators {seed}")
        self._plan, self._books, self._shape = plan, books, shape
        self._model, self._scheduler, self._points, self._step = model, scheduler, points, step
        self.words = shared_words(UNTOLD, acts_layout.acts_words(acts_layout.SLOTS), points)
        lay_out_acts(self.words, 1, 1, 1, 0)
        self._ring = CommandWriter(self.words, books, layout.BOOKS_ACTS_AT)
        self.rows: dict[bytes, ActionRow] = {}  # what SQL has
        self._asked: dict[int, Asked] = {}  # by sequence: published
        self._results: dict[int, int] = {}  # by sequence: the result word that was seen
        self._seen: dict[tuple[int, int], Payment] = {}  # by id: as an operator saw it, perhaps long ago
        self.count = self._chance.randint(1, ACTS_MAX) if self._chance.random() < 0.5 else 0
        self._due = 0  # acts that are still to come
        self._has_healed = False

    def begin(self) -> None:
        """Draws when operators act."""
        self.alive = True
        within_ms = self._plan.length_ms + (LATE_MS if self._chance.random() < 0.25 else 0)
        for _ in range(self.count):
            self._due += 1
            self._scheduler.after(self._chance.randint(0, within_ms), self._act)

    def heal(self) -> None:
        """Whatever is paused is resumed, and nothing is paused any more."""
        self._has_healed = True
        for processor in PROCESSORS if self.count else ():
            self._due += 1
            self._put_soon(self._new(Act.RESUME, None, processor), None)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is asked for any more."""
        return not self._due and not self._ring.waiting and not self._books[layout.BOOKS_PAUSED_AT]

    # --- acts --------------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        chance = self._chance
        self._look()
        if chance.random() < 0.25:
            act = chance.choice((Act.PAUSE, Act.RESUME))
            self._put_soon(self._new(act, None, chance.choice(PROCESSORS)), None)
            return
        account = self._choose()
        act = chance.choice(ON_PAYMENTS)
        if account is None or (act in (Act.CHARGED, Act.CANCEL) and not self._is_proven(account)):
            self._due -= 1
            return
        self._put_soon(self._new(act, account, 0), account)

    def _look(self) -> None:
        """An operator looks at the list."""
        for payment in self._letters():
            self._seen.setdefault((payment.id_high, payment.id_low), payment)
            if self._chance.random() < 0.7:
                self._seen[payment.id_high, payment.id_low] = payment

    def _letters(self) -> Iterator[Payment]:
        get = self._books.__getitem__
        if self._books[layout.BOOKS_VERSION_AT] & 1:
            return
        for place in range(self._shape.parked_slots):
            payment = parked.read(get, self._shape, place)
            if payment is not None and rules.is_dead_letter(payment):
                yield payment

    def _choose(self) -> Account | None:
        """Mostly a dead letter that was seen, else any payment."""
        accounts = [one for one in self._model.accounts if one.position >= 0]
        seen = [one for one in accounts if one.key in self._seen and self._seen[one.key].cents == one.cents]
        if seen and self._chance.random() < 0.9:
            return self._chance.choice(seen)
        return self._chance.choice(accounts) if accounts else None

    def _is_proven(self, account: Account) -> bool:
        """Whether an operator can have proof: it is charged nowhere, and nothing that was sent is under way."""
        seen = self._seen.get(account.key)
        now_ms = self._scheduler.now.wall_ms
        return not account.charged_at and seen is not None and now_ms - seen.settled_ms >= UNDER_WAY_MS

    def _new(self, act: Act, account: Account | None, processor: int) -> Command:
        high, low = halves(self._chance.randbytes(16))
        if account is None:
            return Command(act, high, low, processor=processor)
        seen = self._seen.get(account.key)
        return Command(act, high, low, *account.key, 0 if seen is None else rules.seen(seen))

    def _put_soon(self, command: Command, account: Account | None) -> None:
        """Puts a command; an operator who dies on the way asks again, if nobody has seen his command."""
        if command.act == Act.PAUSE and self._has_healed:
            self._due -= 1
            return
        if not self.busy:
            self._step(self, lambda: self._put(command, account))
            self.alive = True
        if any(one.command == command for one in self._asked.values()):
            self._due -= 1
            return
        high, low = halves(self._chance.randbytes(16))
        again = command._replace(action_high=high, action_low=low)
        self._scheduler.after(RETRY_MS, self._put_soon, again, account)

    def _put(self, command: Command, account: Account | None) -> None:
        """The product's own code, but for waiting: an operator goes away, and results are looked at later."""
        action = ActionRow(action_of(command), command.act, command.processor, "somebody", "because", "proof", "")
        ring = _WatchedRing(self, account)
        world = carrying.World(self._record, ring, lambda: self._scheduler.mono_ms / 1000, _leave)
        with contextlib.suppress(_LeftError):
            carrying.carry_out(world, action, [], [command], 1, lambda _: None)
        number = None if account is None else account.number
        self._model.note(f"an operator asks to {Act(command.act).name}", number, command.processor)

    def _record(self, action: ActionRow, _: Sequence[ItemRow]) -> None:
        """The transaction in SQL."""
        self._points.reach()
        self.rows[action.id] = action
        self._points.reach()

    def put(self, command: Command, account: Account | None) -> int | None:
        """Publishes a command. It counts from the store that does, whatever becomes of the operator then."""
        sequence = self.words[acts_layout.HEAD_AT]
        if account is not None:
            account.acts.append((Act(command.act), self._scheduler.mono_ms))
        self._asked[sequence] = Asked(command, account)
        try:
            return self._ring.put(command)
        finally:
            if self.words[acts_layout.HEAD_AT] == sequence:
                self._unask(sequence, account)

    def _unask(self, sequence: int, account: Account | None) -> None:
        del self._asked[sequence]
        if account is not None:
            account.acts.pop()

    # --- what must be true -------------------------------------------------------------------------------------------

    def look(self) -> None:
        """At any moment: no command without its row, and a result that was told stays."""
        for sequence, asked in self._asked.items():
            if action_of(asked.command) not in self.rows:
                raise ViolationError(f"acts: command {asked.command} has no row in SQL")
            word = self.words[acts_layout.entry_offset(acts_layout.SLOTS, sequence) + acts_layout.ENTRY_RESULT]
            if self._results.get(sequence, word) != word:
                raise ViolationError(
                    f"acts: {asked.command} had the result {self._results[sequence]:#x}, now {word:#x}"
                )
            if word:
                self._results[sequence] = word

    def quiet(self) -> None:
        """At the end: every command has its result, and each payment's end is the act that was done."""
        self.look()
        if self._results.keys() != self._asked.keys():
            raise ViolationError(f"acts: {self._asked.keys() - self._results.keys()} have no result")
        done = [asked for sequence, asked in self._asked.items() if self._results[sequence] & 0xFF == Result.DONE]
        for account in self._model.accounts:
            if account.final is not None and account.final.reason in layout.DECLARED and not account.forgotten:
                acts = [Act(one.command.act) for one in done if one.account is account]
                if sum(act in (Act.CHARGED, Act.CANCEL) for act in acts) != 1:
                    raise ViolationError(f"acts: payment {account.number} is declared by {acts}", account.number)
        paused = [asked.command for asked in done if asked.command.act in (Act.PAUSE, Act.RESUME)]
        for processor in PROCESSORS:
            self._check_turns([one.act for one in paused if one.processor == processor])

    def reached(self) -> Counter[str]:
        """How often each act came to each result."""
        return Counter(
            f"{Act(asked.command.act).name} {Result(self._results[sequence] & 0xFF).name}"
            for sequence, asked in self._asked.items()
            if sequence in self._results
        )

    def sends(self, processor: int) -> None:
        """A request is about to be sent. Raises ViolationError when the processor is paused."""
        if self._books[layout.BOOKS_PAUSED_AT] >> processor & 1:
            raise ViolationError(f"acts: a request is sent to processor {processor}, which is paused")

    def _check_turns(self, acts: Sequence[int]) -> None:
        """Pausing and resuming take turns, if each that says so was done once."""
        for number, act in enumerate(acts):
            if act != (Act.RESUME if number % 2 else Act.PAUSE):
                raise ViolationError(f"acts: a processor was {[Act(one).name for one in acts]}")


def action_of(command: Command) -> bytes:
    """The id of a command's action."""
    return (command.action_high << 64 | command.action_low).to_bytes(16, "big")
