"""What must hold over all cells, whatever happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from engine.cluster.values import Kind
from engine.lab.dst.cells.machine import Machine
from engine.lab.dst.cells.processors import Charge, Processor
from engine.lab.dst.cells.store import Watched
from engine.lab.dst.model import ViolationError
from engine.lab.dst.scheduler import Scheduler

HEALTH_MS = 5000

_Settled = tuple[bytes, int, int, int]


class Checks:
    """See the module. ``numbers``: of the payments, by id, for what is told of a failure."""

    def __init__(self, scheduler: Scheduler, store: Watched, numbers: Mapping[bytes, int]) -> None:
        self._scheduler = scheduler
        self._store = store
        self._numbers = numbers
        self._charges: dict[bytes, int] = {}
        self._asked_ms: dict[int, int] = {}
        self._promised: dict[bytes, tuple[int, int]] = {}  # cents, and the era in which it was promised
        self.complete = 0  # looks at books that were complete for at least one charge

    def _fail(self, what: str, payment: bytes | None = None) -> None:
        number = None if payment is None else self._numbers[payment]
        raise ViolationError(what if number is None else f"{what}: payment {number}", number)

    # --- at each moment ----------------------------------------------------------------------------------------------

    def charged(self, processor: int, payment: bytes, charge: Charge) -> None:
        """Once: no payment is charged at two processors, and none that nobody has accepted, or for another amount."""
        if self._charges.setdefault(payment, processor) != processor:
            self._fail("charged at both", payment)
        kept = self._store.kept(payment)
        if kept is None:
            if self._store.era == 1:
                self._fail("charged, and never accepted", payment)
        elif kept.cents != charge.cents:
            self._fail("charged with another amount", payment)
        elif kept.outcome is not None and kept.outcome.kind is Kind.GIVEN_UP:
            self._fail("charged after it was given up", payment)

    def promised(self, payment: bytes, cents: int, era: int) -> None:
        """Honest 202: it is told of what the store has, once for each id over all cells. ``era``: the cell's."""
        kept = self._store.kept(payment)
        if kept is None and self._store.era == 1:
            self._fail("202 for what the store does not have", payment)
        if kept is not None and kept.cents != cents:
            self._fail("202 for another amount", payment)
        self._promised.setdefault(payment, (cents, era))

    def asked_health(self, processor: int) -> None:
        """A processor is asked for its health by one cell for all."""
        before_ms, now_ms = self._asked_ms.get(processor), self._scheduler.mono_ms
        if before_ms is not None and now_ms - before_ms < HEALTH_MS:
            self._fail(f"processor {processor} was asked for its health twice in {now_ms - before_ms} ms")
        self._asked_ms[processor] = now_ms

    def books(self, machines: Iterable[Machine], processors: Sequence[Processor]) -> None:
        """Every cell's books have nothing twice, and as far as they are complete what the processors have."""
        for machine in machines:
            if not machine.is_alive:
                continue
            settled = machine.counted.settled()
            twice = [payment for payment, times in Counter(one[0] for one in settled).items() if times > 1]
            if twice:
                self._fail(f"{machine.name} has counted it twice", twice[0])
            until_ms = machine.cell.following.complete_ms
            ours = {one for one in settled if one[2] < until_ms}
            theirs = set(self._at(processors, until_ms))
            if not self._is_of_this_era(machine):
                continue
            self.complete += bool(theirs)
            for one in ours ^ theirs:
                self._fail(f"{machine.name} {'has' if one in ours else 'lacks'} what it counts complete", one[0])

    def _is_of_this_era(self, machine: Machine) -> bool:
        by = machine.cell.membership.by
        return self._store.era == 1 or (by is not None and by.era == self._store.era)

    def _at(self, processors: Sequence[Processor], until_ms: int) -> Iterable[_Settled]:
        """What the processors have of this era's payments, before a moment."""
        for processor in processors:
            for payment, charge in processor.charges.items():
                if charge.requested_ms < until_ms and self._store.kept(payment) is not None:
                    yield payment, processor.number, *charge

    # --- at the end --------------------------------------------------------------------------------------------------

    def is_at_rest(self, machines: Sequence[Machine], processors: Sequence[Processor]) -> bool:
        """Whether nothing more will happen: each payment has ended, or is a dead letter, and all books have that."""
        return not self._complaint(machines, processors)

    def at_the_end(self, machines: Sequence[Machine], processors: Sequence[Processor]) -> None:
        """After everything has healed, each payment has ended, or is a dead letter that cannot be helped."""
        self.books(machines, processors)
        complaint, payment = self._complaint(machines, processors) or ("", None)
        if complaint:
            self._fail(complaint, payment)
        if self._store.discrepancies_kept():
            self._fail("two outcomes that differ")
        for payment, (_, era) in self._promised.items():
            if self._store.kept(payment) is None and era == self._store.era:
                self._fail("accepted, and gone", payment)

    def _complaint(
        self, machines: Sequence[Machine], processors: Sequence[Processor]
    ) -> tuple[str, bytes | None] | None:
        holders = {machine.cell.membership.by.number: machine for machine in machines if machine.cell.membership.by}
        for kept in self._store.all_kept():
            if kept.outcome is not None:
                continue
            holder = holders.get(kept.holder)
            held = None if holder is None else holder.cell.held.get(kept.id)
            if held is None:
                return "nobody holds it", kept.id
            if not held.is_dead:
                return "it is open for ever", kept.id
        theirs = set(self._at(processors, 1 << 62))
        for machine in machines:
            if set(machine.counted.settled()) != theirs:
                return f"{machine.name} has other books than the processors", None
        return None
