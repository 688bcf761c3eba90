"""The invariants of CONTRACT 4, held against the model at any moment, also in the middle of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from engine.books.levels import Shape
from engine.books.reader import BooksReader, Sum, Totals
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.starting import ASKING_MAX
from engine.dst.model import Account, Model, ViolationError
from engine.dst.processes import ApiProcess
from engine.dst.scheduler import Scheduler
from engine.memory import layout
from engine.memory.layout import COMPLETED, FAILED, PROCESSOR_NAMES, PROCESSORS
from engine.memory.words import Words
from engine.ring.ring import RingReader
from engine.routing.router import Router

LOOKED_UP = 3  # payments that are looked up by their id at each look
WINDOWS = 2  # windows that are asked at each look


Floors = Mapping[int, int]  # a level's word floor_at -> what it holds


class Masks(NamedTuple):
    """Sums of cents; payment k is bit k, so a sum is the set of the payments that were added up."""

    default: int
    fallback: int
    failed: int
    before: int


def masks_of(totals: Totals) -> Masks:
    """What was counted. Raises ViolationError when count and cents are not of one moment, or something is in twice."""
    for what, total in zip((*PROCESSOR_NAMES, "failed", "charged before"), totals, strict=True):
        check_sum(what, total)
    masks = Masks(*(total.cents for total in totals))
    if masks.default & masks.fallback or (masks.default | masks.fallback) & masks.failed:
        raise ViolationError(f"conservation: a payment is counted in two places: {totals}")
    return masks


def check_sum(what: str, total: Sum) -> None:
    """Raises ViolationError when a sum is not one of different payments."""
    if total.cents < 0 or total.cents.bit_count() != total.payments:
        raise ViolationError(f"count and cents of {what} do not belong together: {total}, {total.cents:#b}")


class Checks:
    """Looks at the engine through its own readers."""

    def __init__(
        self,
        books: Words,
        shape: Shape,
        rings: Sequence[Words],
        apis: Sequence[ApiProcess],
        model: Model,
        scheduler: Scheduler,
        chance: Random,
    ) -> None:
        self._words = books
        self._shape = shape
        self._books = BooksReader(books, shape)
        self._rings = [RingReader(words) for words in rings]
        self._apis = apis
        self._model = model
        self._scheduler = scheduler
        self._chance = chance
        self._seen = Masks(0, 0, 0, 0)

    def look(self) -> None:
        """All that must be true at any moment."""
        if self._model.is_purging():
            masks_of(self._books.totals())
            return
        self._model.mark_forgotten()
        masks = masks_of(self._books.totals())
        self._check_masks(masks)
        self._check_slots(masks)
        self._look_some_up()
        self._check_horizon(masks)
        for _ in range(WINDOWS):
            self._check_window(masks, *self.draw_window())

    def quiet(self) -> None:
        """All that must be true when nothing is left to do."""
        model = self._model
        model.mark_forgotten()
        self.look()
        masks = masks_of(self._books.totals())
        for processor in PROCESSORS:
            charged = model.charged_mask(processor)
            if masks[processor] != charged:
                raise _differ(
                    f"audit: the books of {PROCESSOR_NAMES[processor]} differ from the processor",
                    masks[processor],
                    charged,
                )
        for account in model.accounts:
            done = (masks.default | masks.fallback | masks.failed) & account.cents
            if account.position >= 0 and not account.forgotten and not done:
                raise ViolationError(f"conservation: payment {account.number} is lost", account.number)
            if account.position < 0 and done:
                raise ViolationError(f"payment {account.number} was never accepted", account.number)
        for _ in range(8 * WINDOWS):
            self._check_window(masks, *self.draw_window())

    def check_dispatcher(self, dispatcher: Dispatcher, router: Router, sent: int, in_flight_max: int) -> None:
        """What must be true of the dispatcher between two passes: nothing is lost, and nothing grows."""
        for lane in router.lanes:
            if lane.in_flight > in_flight_max:
                raise ViolationError(f"bounded: {lane.in_flight} requests in flight, the limit is {in_flight_max}")
        if dispatcher.asking > ASKING_MAX:
            raise ViolationError(f"bounded: {dispatcher.asking} questions, the limit is {ASKING_MAX}")
        if not dispatcher.in_flight == sum(lane.in_flight for lane in router.lanes) + dispatcher.asking == sent:
            raise ViolationError(f"in flight are {sent}, the dispatcher believes {dispatcher.in_flight}")
        handled = dispatcher.open_payments()
        pending = self._words[layout.BOOKS_ASIDE_KEPT_AT] + sum(
            not ring.is_done(position)
            for ring in self._rings
            for position in range(max(0, ring.head - ring.slots), ring.ready)
        )
        if handled != pending:
            raise ViolationError(f"conservation: {pending} payments are pending, the dispatcher knows of {handled}")

    def check_refusal(self, index: int) -> None:
        """A payment was refused by ring ``index``, which therefore must be full."""
        ring = self._rings[index]
        if ring.head < ring.slots or ring.is_done(ring.head - ring.slots):
            raise ViolationError(f"ring {index} refused a payment and is not full")

    def _check_window(self, masks: Masks, from_ms: int | None, to_ms: int | None) -> None:
        """The window holds what the processors have under those times, as far as the dispatcher was told."""
        sums = self._books.window(from_ms, to_ms)
        floors = {level.floor_at: self._words[level.floor_at] for level in self._shape.levels}
        for processor in PROCESSORS:
            check_sum(f"{PROCESSOR_NAMES[processor]} from {from_ms} to {to_ms}", sums[processor])
            expected = masks[processor] & self.window_mask(floors, processor, from_ms, to_ms)
            if sums[processor].cents != expected:
                raise _differ(
                    f"audit: {PROCESSOR_NAMES[processor]} from {from_ms} to {to_ms}", sums[processor].cents, expected
                )

    def window_mask(self, floors: Floors, processor: int, from_ms: int | None, to_ms: int | None) -> int:
        """What ``processor`` charged in a window, as exact as books with these floors promise to be."""
        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            return 0
        everything = self._model.since_mask(processor, 0)
        low = everything if from_ms is None else self._since_mask(floors, processor, from_ms)
        return low & ~(0 if to_ms is None else self._since_mask(floors, processor, to_ms + 1))

    def _since_mask(self, floors: Floors, processor: int, since_ms: int) -> int:
        for level in self._shape.levels:
            first = -(-since_ms // level.width_ms)
            if first >= floors[level.floor_at]:
                return self._model.since_mask(processor, first * level.width_ms)
        return self._model.since_mask(processor, 0)

    def _check_horizon(self, masks: Masks) -> None:
        """The books go back as far as they promise, or to where nothing was charged before."""
        words = self._words
        for level in self._shape.levels:
            floor = words[level.floor_at]
            first = self._scheduler.wall_ms_max // level.width_ms - (level.buckets - level.ahead) + 1
            if not first < floor <= words[level.head_at]:
                continue
            for processor in PROCESSORS:
                since_first = self._model.since_mask(processor, first * level.width_ms)
                lost = since_first & ~self._model.since_mask(processor, floor * level.width_ms) & masks[processor]
                if lost:
                    raise _differ(f"audit: the books by {level.width_ms} ms begin too late", 0, lost)

    def _check_masks(self, masks: Masks) -> None:
        model = self._model
        for processor in PROCESSORS:
            name, counted = PROCESSOR_NAMES[processor], masks[processor]
            charged = model.charged_mask(processor)
            if counted & ~charged:
                raise _differ(f"audit: counted at {name} and not charged", counted, charged & counted)
            told = model.told_mask(processor)
            if told & ~counted:
                raise _differ(f"audit: {name} said that it charged, and it is not counted", counted, counted | told)
            if masks.failed & charged:
                raise _differ(f"failed and charged at {name}", masks.failed, masks.failed & ~charged)
        forgotten = model.forgotten_mask()
        for before, after in zip(self._seen, masks, strict=True):
            if before & ~after & ~forgotten:
                raise _differ("what was counted is counted no more", after, before | after)
        self._seen = masks

    def _check_slots(self, masks: Masks) -> None:
        """Every accepted payment is in its slot or over; nothing is over that is not counted."""
        model = self._model
        applying = self._words[layout.BOOKS_VERSION_AT] & 1
        done = masks.default | masks.fallback | masks.failed
        for account in model.accounts:
            if account.position < 0 or account.forgotten:
                continue
            held = model.held(account)
            if held is None:
                if not done & account.cents:
                    raise ViolationError(f"accepted payment {account.number} is nowhere, and not over", account.number)
                continue
            model.saw(account, held)
            over = held.state in (COMPLETED, FAILED)
            counted = (masks[held.processor] if held.state == COMPLETED else masks.failed) & account.cents
            if over and not counted:
                raise ViolationError(f"payment {account.number} is over and not counted: {held}", account.number)
            if not over and not applying and done & account.cents:
                raise ViolationError(f"payment {account.number} is counted and not over: {held}", account.number)

    def _look_some_up(self) -> None:
        accounts, chance = self._model.accounts, self._chance
        for _ in range(LOOKED_UP):
            self._look_up(accounts[int(chance.random() * len(accounts))])

    def _look_up(self, account: Account) -> None:
        """A customer asks for a payment's status."""
        desk = next((api.desk for api in self._apis if api.alive), None)
        if desk is None:
            return
        known = desk.find(account.id_high, account.id_low)
        if account.position < 0 or account.forgotten:
            if known is not None:
                raise ViolationError(f"payment {account.number} is known and should not be: {known}", account.number)
        elif known is not None:
            self._model.saw(account, known)
        elif self._model.remembers(account):
            raise ViolationError(f"accepted payment {account.number} is not found", account.number)

    def draw_window(self) -> tuple[int | None, int | None]:
        """Bounds close to where something was charged, on seconds, as the contest's audit has them, or none."""
        chance, now_ms = self._chance, self._scheduler.now.wall_ms
        bounds: list[int | None] = []
        for _ in range(2):
            kind = chance.random()
            if kind < 0.1:
                bounds.append(None)
            elif kind < 0.3:
                bounds.append(now_ms - int(chance.random() * 15_000))
            else:
                account = self._model.accounts[int(chance.random() * len(self._model.accounts))]
                bound = max(account.charged_ms) + int(chance.random() * 3) - 1
                bounds.append(max(0, bound // 1000 * 1000 if kind < 0.5 else bound))
        if None not in bounds and chance.random() < 0.9:
            bounds.sort(key=lambda bound: bound or 0)
        return bounds[0], bounds[1]


def _differ(what: str, have: int, want: int) -> ViolationError:
    difference = have ^ want
    number = (difference & -difference).bit_length() - 1
    return ViolationError(f"{what}: has {have:#b}, should have {want:#b}", number)
