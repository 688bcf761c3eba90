"""Cells, store, processors and customers, from a seed to the end."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from engine.cluster.actions import AskHealth, Reply, ReplyTo, Request, Say
from engine.cluster.values import Kind
from engine.connectors.answers import Outcome
from engine.lab.dst.cells.checks import Checks
from engine.lab.dst.cells.machine import Machine
from engine.lab.dst.cells.network import STORE, Network
from engine.lab.dst.cells.plan import CALM_MS, CENTS, START_MS, TROUBLE_MS, Event, Order, Trouble, draw
from engine.lab.dst.cells.processors import MOODS, PROCESSORS, Charge, Processor
from engine.lab.dst.cells.store import StoreHost
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.trace import Trace

START_WALL_MS = 1_795_000_000_000
MOOD_MS = (800, 5000)
AGAIN_MS = (300, 1500)  # after a reply that was no 202, or none, a customer tries another cell
TRIES_MAX = 6
LOOK_MS = 500  # between two looks at the books


class World:
    """See the module. :meth:`run` raises ViolationError, or whatever the cells' code raises."""

    def __init__(self, seed: int, cells: int | None = None) -> None:
        self._chance = chance = Random(seed)
        self.plan = plan = draw(chance, cells)
        self.trace = Trace()
        self.scheduler = Scheduler(chance, START_MS, START_WALL_MS)
        self.network = Network(self.scheduler, chance, *plan.fickle_ppm)
        self.store = StoreHost(self.scheduler, chance, self.network, self.trace, self._number)
        self.ids = [chance.randbytes(16) for _ in plan.orders]
        self._numbers = {payment: number for number, payment in enumerate(self.ids)}
        self.checks = Checks(self.scheduler, self.store.stub, self._numbers)
        self.processors = [
            Processor(number, self.scheduler, chance, self._charged, frozenset(self.ids[one] for one in unwanted))
            for number, unwanted in zip(PROCESSORS, plan.unwanted, strict=True)
        ]
        self.machines = [Machine(number, plan, self.scheduler, chance, self) for number in range(plan.cells)]
        self._told: dict[int, ReplyTo] = {}  # by order: what its customer was told last

    def run(self) -> None:
        """From the beginning to the end."""
        for order in self.plan.orders:
            self.scheduler.after(order.at_ms, self._offer, order, 0)
        for event in self.plan.events:
            self.scheduler.after(event.at_ms, self._happen, event)
        for processor in self.processors:
            self._change_mood(processor)
        self._run_until(START_MS + TROUBLE_MS)
        self._heal()
        end_ms = START_MS + TROUBLE_MS + CALM_MS
        while self.scheduler.mono_ms < end_ms and not self.checks.is_at_rest(self.machines, self.processors):
            self._run_until(self.scheduler.mono_ms + LOOK_MS)
        self.checks.at_the_end(self.machines, self.processors)

    def _run_until(self, until_ms: int) -> None:
        while self.scheduler.mono_ms < until_ms:
            look_ms = min(self.scheduler.mono_ms + LOOK_MS, until_ms)
            while self.scheduler.run_next(look_ms):
                pass
            self.checks.books(self.machines, self.processors)

    def _add(self, what: str, payment: bytes | None, *details: Any) -> None:
        number = None if payment is None else self._number(payment)
        self.trace.add(self.scheduler.mono_ms, what, number, *details)

    def _number(self, payment: bytes) -> int:
        return self._numbers[payment]

    # --- customers ---------------------------------------------------------------------------------------------------

    def _offer(self, order: Order, tries: int, era: int | None = None) -> None:
        """A customer offers a payment, again if need be; an id of before a purge is not used after it."""
        era = self.store.stub.era if era is None else era
        if tries == TRIES_MAX or self._told.get(order.number) in (ReplyTo.ACCEPTED, ReplyTo.CONFLICT):
            return
        cell = order.cell if tries == 0 else self._chance.randrange(len(self.machines))
        offers = [(cell, CENTS), *(order.also if tries == 0 else ())]
        for at, cents in offers:
            machine = self.machines[at]
            machine.hear(machine.life, self._arrive, machine, self.ids[order.number], cents, era)
        self.scheduler.after(self._chance.randint(*AGAIN_MS), self._offer, order, tries + 1, era)

    def _arrive(self, machine: Machine, payment: bytes, cents: int, era: int) -> None:
        if era == self.store.stub.era:
            machine.offer(payment, cents)

    def reply(self, machine: Machine, reply: Reply) -> None:
        """See Surroundings."""
        self._add(f"{machine.name} replies to", reply.id, reply.cents, reply.to)
        self._told[self._number(reply.id)] = reply.to
        if reply.to is ReplyTo.ACCEPTED:
            by = machine.cell.membership.by
            self.checks.promised(reply.id, reply.cents, 0 if by is None else by.era)

    # --- the network -------------------------------------------------------------------------------------------------

    def say(self, machine: Machine, say: Say) -> None:
        """See Surroundings."""
        answer = partial(machine.hear, machine.life, machine.answered, say.number)
        self.network.carry(machine.name, STORE, self.store.arrive, machine.name, say.call, answer)

    def request(self, machine: Machine, request: Request, ticket: int) -> None:
        """See Surroundings."""
        self._add(f"{machine.name} sends to {request.processor}", request.id, request.number, request.requested_ms)
        processor = self.processors[request.processor]
        charge = Charge(request.requested_ms, request.cents)
        self._carry(machine, processor, processor.pay, request.id, charge, self._way_back(machine, processor, ticket))

    def look(self, machine: Machine, ticket: int, payment: bytes, processor: int) -> None:
        """See Surroundings."""
        asked = self.processors[processor]
        self._carry(machine, asked, asked.look, payment, self._way_back(machine, asked, ticket))

    def ask_health(self, machine: Machine, asked: AskHealth, is_late: bool) -> None:
        """See Surroundings. The one late question of a cell that stood still is exempt."""
        self._add(f"{machine.name} asks for the health of {asked.processor}", None)
        if not is_late:
            self.checks.asked_health(asked.processor)
        processor, life = self.processors[asked.processor], machine.life

        def answer() -> None:
            name = f"processor-{asked.processor}"
            share = machine.agent.share_health
            self.network.carry(name, machine.name, machine.hear, life, share, asked, 200, b"{}")

        self._carry(machine, processor, processor.ask_health, answer)

    def _carry(self, machine: Machine, processor: Processor, arrive: Any, *what: Any) -> None:
        self.network.carry(machine.name, f"processor-{processor.number}", arrive, *what)

    def _way_back(self, machine: Machine, processor: Processor, ticket: int) -> Any:
        life, name = machine.life, f"processor-{processor.number}"

        def answer(outcome: Outcome) -> None:
            self.network.carry(name, machine.name, machine.hear, life, machine.ended, ticket, outcome)

        return answer

    def _charged(self, processor: int, payment: bytes, charge: Charge) -> None:
        self._add(f"processor {processor} charges", payment, *charge)
        self.checks.charged(processor, payment, charge)

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def _change_mood(self, processor: Processor) -> None:
        if not self.network.is_calm:
            processor.mood = self._chance.choice(MOODS)
            self.scheduler.after(self._chance.randint(*MOOD_MS), self._change_mood, processor)

    def _happen(self, event: Event) -> None:
        machine, for_ms = self.machines[event.cell], event.for_ms
        self._add(f"{machine.name} {event.trouble.value}", None, for_ms)
        if event.trouble is Trouble.KILL:
            machine.kill()
            self.scheduler.after(for_ms, machine.start)
        elif event.trouble is Trouble.STAND:
            machine.stand(for_ms)
        elif event.trouble is Trouble.STAND_SENDING:
            machine.stands_next_ms = for_ms
        elif event.trouble is Trouble.CUT_STORE:
            self._cut(machine.name, STORE, event)
        elif event.trouble is Trouble.CUT_PROCESSORS:
            self._cut(machine.name, f"processor-{event.chance // 4 % 2}", event)
        elif event.trouble is Trouble.STORE_RESTART:
            self.store.is_down = True
            self.scheduler.after(for_ms, self._store_is_back)
        elif event.trouble is Trouble.SKEW:
            machine.skew_ms = event.chance % 9000 - 4500 if event.chance % 3 else event.chance % 600 - 300
        elif event.trouble is Trouble.RETRY:
            self._retry(machine, event.chance)
        elif event.trouble is Trouble.PURGE:
            machine.hear(machine.life, machine.agent.purge)
        else:
            machine.hear(machine.life, machine.agent.leave)
            self.scheduler.after(for_ms, self._start_again, machine, machine.life)

    def _retry(self, machine: Machine, act: int) -> None:
        """A person wants everything to be tried again that this cell has given up."""
        by = machine.cell.membership.by
        for kept in self.store.stub.all_kept():
            is_given_up = kept.outcome is not None and kept.outcome.kind is Kind.GIVEN_UP
            if is_given_up and by is not None and kept.holder == by.number:
                machine.hear(machine.life, machine.agent.reopen, kept.id, act.to_bytes(16, "big"))

    def _cut(self, here: str, there: str, event: Event) -> None:
        """One way, the other, or both."""
        ways = ((here, there), (there, here))
        for way in ways if event.chance % 4 < 2 else (ways[event.chance % 2],):
            self.network.cut(*way)
            self.scheduler.after(event.for_ms, self.network.mend, *way)

    def _store_is_back(self) -> None:
        self.store.is_down = False

    def _start_again(self, machine: Machine, life: int) -> None:
        if machine.life == life:
            machine.kill()
            machine.start()

    def _heal(self) -> None:
        self._add("everything heals", None)
        self.network.calm()
        self.store.is_down = False
        for processor in self.processors:
            processor.mood = MOODS[0]
        for machine in self.machines:
            machine.skew_ms = 0
            machine.wake()
            machine.start()
            if machine.agent.has_left:
                self._start_again(machine, machine.life)
