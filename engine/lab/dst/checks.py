"""The invariants of CONTRACT 4, held against the model at any moment, also in the middle of a step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import NamedTuple

from engine.books.levels import Shape
from engine.books.reader import UNBOUNDED_MS, BooksReader, Sum, Totals
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.starting import ASKING_MAX
from engine.lab.dst.account import Account
from engine.lab.dst.model import BASE, EVER, Model, ViolationError
from engine.lab.dst.plan import DAY_STEP_MS, PROCESSORS
from engine.lab.dst.processes import ApiProcess
from engine.lab.dst.scheduler import Scheduler
from engine.memory import layout
from engine.memory.layout import CHARGED_BEFORE, COMPLETED, FAILED
from engine.memory.words import Words
from engine.payment import Payment
from engine.processors import CONTEST_NAMES
from engine.ring.ring import DONE, RingReader

LOOKED_UP = 3  # payments that are looked up by their id at each look
WINDOWS = 2  # windows that are asked for at each look
# No payment has more refusals by one processor, or more lookups, than this. Each start of a dispatcher allows some
# more, because a new dispatcher forgets how long a payment has waited.
REFUSALS_BOUND = 16
REFUSALS_A_START = 6
LOOKUPS_BOUND = 150
LOOKUPS_A_START = 30


Floors = Mapping[int, int]  # a level's word floor_at -> what it holds


class Masks(NamedTuple):
    """Sums of cents; payment k is bit k, so a sum is the set of the payments that were added up. What a sum began with
    is the bit BASE.
    """

    default: int
    fallback: int
    failed: int
    before: int

    @property
    def done(self) -> int:
        """All that is over."""
        return self.default | self.fallback | self.failed | self.before


def masks_of(totals: Totals, base: int) -> Masks:
    """What was counted, beside ``base``, the cents that each sum began with.

    Raises ViolationError when count and cents are not of one moment, or something is in twice.
    """
    names = (*CONTEST_NAMES, "failed", "charged before")
    sums = (*totals.settled, totals.failed, totals.before)
    masks = Masks(*(mask_of(what, total, base) for what, total in zip(names, sums, strict=True)))
    if (masks.done & ~BASE).bit_count() != sum((mask & ~BASE).bit_count() for mask in masks):
        raise ViolationError(f"conservation: a payment is counted in two places: {totals}")
    return masks


def mask_of(what: str, total: Sum, base: int) -> int:
    """The payments of a sum. Raises ViolationError when it is not a sum of different payments."""
    mask = total.cents - base | BASE if base and total.cents >= base else total.cents
    if mask < 0 or mask.bit_count() != total.payments:
        raise ViolationError(f"count and cents of {what} do not belong together: {total}, {mask:#b}")
    return mask


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
        self.base = model.plan.sums
        self._failed = books[layout.BOOKS_FAILED_AT]
        # A step back of the wall clock that is longer than the books reach takes away what they held by time.
        self.is_coarse = any(by_ms <= -DAY_STEP_MS // 2 for _, by_ms in model.plan.clock_steps)
        self._seen = Masks(0, 0, 0, 0)

    def carried_over(self, rings: Sequence[RingReader]) -> None:
        """Memory of other sizes has taken the place of the old one."""
        self._rings[:] = rings

    def masks(self) -> Masks:
        """What the books have. Raises ViolationError."""
        return masks_of(self._books.totals(), self.base)

    def look(self) -> None:
        """All that must be true at any moment."""
        if self._model.is_purging():
            self.masks()
            return
        self._model.mark_forgotten()
        masks = self.masks()
        self._check_masks(masks)
        self._check_slots(masks)
        self._look_some_up()
        self._check_horizon(masks)
        for _ in range(WINDOWS):
            self._check_window(masks, *self.draw_window())

    def quiet(self) -> None:
        """All that must be true when nothing is left to do but what may last for ever."""
        model = self._model
        model.mark_forgotten()
        self.look()
        masks = self.masks()
        lasting = 0
        for account in model.accounts:
            done = masks.done & account.bits
            if account.position < 0 and done:
                raise ViolationError(f"payment {account.number} was never accepted", account.number)
            if account.position < 0 or account.forgotten or done:
                continue
            if not model.may_last(account):
                raise ViolationError(f"conservation: payment {account.number} is lost", account.number)
            lasting |= account.bits
        for processor in PROCESSORS:
            charged = model.charged_mask(processor) & ~lasting
            if masks[processor] != charged:
                raise _differ(
                    f"audit: the books of {CONTEST_NAMES[processor]} differ from the processor",
                    masks[processor],
                    charged,
                )
        altered = (masks.default | masks.fallback) & ~BASE & ~sum(account.cents for account in model.accounts)
        if self._words[layout.BOOKS_DISCREPANCIES_AT] != altered.bit_count():
            raise ViolationError(f"{altered.bit_count()} payments have another amount, and are not counted as such")
        for _ in range(8 * WINDOWS):
            self._check_window(masks, *self.draw_window())

    def is_quiet(self) -> bool:
        """Whether every payment is over, but for those that may stay open for ever."""
        done = self.masks().done
        return all(
            account.position < 0 or account.forgotten or done & account.bits or self._model.may_last(account)
            for account in self._model.accounts
        )

    def check_account(self, account: Account, starts: int) -> None:
        """What must be true of a payment that is sent once more; the dispatcher was started ``starts`` times."""
        if max(account.refusals) > REFUSALS_BOUND + starts * REFUSALS_A_START:
            raise ViolationError(f"bounded: payment {account.number} is refused again and again", account.number)
        if account.lookups > LOOKUPS_BOUND + starts * LOOKUPS_A_START:
            raise ViolationError(f"bounded: payment {account.number} is looked up again and again", account.number)

    def check_fees(self, dispatcher: Dispatcher, told: Collection[int]) -> None:
        """The router believes the right fee of each processor whose fee is known or was told."""
        plan = self._model.plan
        for processor, observed in enumerate(dispatcher.work.router.observed):
            is_known = plan.known_fees[processor] or processor in told
            if is_known and observed.fee_ppm != plan.fees_ppm[processor]:
                name, kept_ppm = CONTEST_NAMES[processor], plan.fees_ppm[processor]
                raise ViolationError(f"{name} keeps {kept_ppm} ppm, and {observed.fee_ppm} are believed")

    def check_dispatcher(self, dispatcher: Dispatcher, sent: int, in_flight_max: int) -> None:
        """What must be true of the dispatcher between two passes: nothing is lost, and nothing grows."""
        router = dispatcher.work.router
        for observed in router.observed:
            if observed.in_flight > in_flight_max:
                raise ViolationError(f"bounded: {observed.in_flight} requests in flight, the limit is {in_flight_max}")
        if dispatcher.asking > ASKING_MAX:
            raise ViolationError(f"bounded: {dispatcher.asking} lookups, the limit is {ASKING_MAX}")
        if (
            not dispatcher.in_flight
            == sum(observed.in_flight for observed in router.observed) + dispatcher.asking
            == sent
        ):
            raise ViolationError(f"in flight are {sent}, the dispatcher believes {dispatcher.in_flight}")
        handled = dispatcher.open_payments()
        pending = self._words[layout.BOOKS_PARKED_KEPT_AT] + sum(map(_pending, self._rings))
        if handled != pending:
            raise ViolationError(f"conservation: {pending} payments are pending, the dispatcher knows of {handled}")

    def check_move(self, processor: int, told: str) -> None:
        """``told`` is what an engine says that is started with another address of ``processor``; "" when it starts."""
        self._model.mark_forgotten()
        done = self.masks().done
        for account in self._model.accounts:
            is_open = account.position >= 0 and not account.forgotten and not account.bits & done
            if is_open and account.unsure[processor] and not told:
                raise ViolationError(f"another address is taken while payment {account.number} is open", account.number)

    def check_counted(self, account: Account, processor: int) -> None:
        """The books must have a payment that ``processor`` has charged, unless a purge has forgotten it."""
        self._model.mark_forgotten()
        if not account.forgotten and not self._model.is_purging() and not self.masks()[processor] & account.bits:
            name = CONTEST_NAMES[processor]
            raise ViolationError(
                f"audit: {name} has charged payment {account.number}, and was not asked", account.number
            )

    def check_refusal(self, index: int) -> None:
        """A payment was refused by ring ``index``, which therefore must be full."""
        ring = self._rings[index]
        if not ring.is_full:
            raise ViolationError(f"ring {index} refused a payment and is not full")

    def _check_window(self, masks: Masks, from_ms: int | None, to_ms: int | None) -> None:
        """The window holds what the processors have under those times, as far as the dispatcher was told."""
        if self.is_coarse:
            from_ms = to_ms = None
        window = self._books.resolved(from_ms, to_ms)
        floors = {level.floor_at: self._words[level.floor_at] for level in self._shape.levels}
        for processor in PROCESSORS:
            what = f"{CONTEST_NAMES[processor]} from {from_ms} to {to_ms}"
            seen = mask_of(what, window.sums[processor], self.base)
            expected = masks[processor] & self.window_mask(floors, processor, from_ms, to_ms)
            if seen != expected:
                raise _differ(f"audit: {what}", seen, expected)
            if seen == masks[processor] & self._exact_mask(processor, from_ms, to_ms):
                continue
            if seen not in self._told_windows(processor, masks[processor], from_ms, to_ms, window.resolution_ms):
                raise _differ(f"audit: {what} is said to be exact to {window.resolution_ms} ms", seen, expected)

    def _exact_mask(self, processor: int, from_ms: int | None, to_ms: int | None) -> int:
        """What ``processor`` charged in a window, to the millisecond."""
        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            return 0
        low = self._model.since_mask(processor, EVER if from_ms is None else from_ms)
        return low & ~(0 if to_ms is None else self._model.since_mask(processor, to_ms + 1))

    def _told_windows(
        self, processor: int, counted: int, from_ms: int | None, to_ms: int | None, resolution_ms: int
    ) -> set[int]:
        """What a window may hold by what is said of it: each bound is as it was asked for, or at the start of the next
        bucket of a level that is no coarser than ``resolution_ms``. UNBOUNDED_MS: or at the beginning of all time.
        """
        everything = {self._model.since_mask(processor, EVER)}
        lows = everything if from_ms is None else self._told_since(processor, from_ms, resolution_ms)
        highs = {0} if to_ms is None else self._told_since(processor, to_ms + 1, resolution_ms)
        return {counted & low & ~high for low in lows for high in highs}

    def _told_since(self, processor: int, since_ms: int, resolution_ms: int) -> set[int]:
        widths_ms = [level.width_ms for level in self._shape.levels]
        if resolution_ms == UNBOUNDED_MS:
            bounds_ms = {EVER}
        else:
            widths_ms = [width_ms for width_ms in widths_ms if width_ms <= resolution_ms]
            bounds_ms = set()
        bounds_ms |= {-(-since_ms // width_ms) * width_ms for width_ms in widths_ms}
        return {self._model.since_mask(processor, bound_ms) for bound_ms in bounds_ms}

    def window_mask(self, floors: Floors, processor: int, from_ms: int | None, to_ms: int | None) -> int:
        """What ``processor`` charged in a window, as exact as books with these floors promise to be."""
        if from_ms is not None and to_ms is not None and from_ms > to_ms:
            return 0
        everything = self._model.since_mask(processor, EVER)
        low = everything if from_ms is None else self._since_mask(floors, processor, from_ms)
        return low & ~(0 if to_ms is None else self._since_mask(floors, processor, to_ms + 1))

    def _since_mask(self, floors: Floors, processor: int, since_ms: int) -> int:
        for level in self._shape.levels:
            first = -(-since_ms // level.width_ms)
            if first >= floors[level.floor_at]:
                return self._model.since_mask(processor, first * level.width_ms)
        return self._model.since_mask(processor, EVER)

    def _check_horizon(self, masks: Masks) -> None:
        """The books go back as far as they promise, or to where nothing was charged before."""
        words = self._words
        for level in () if self.is_coarse else self._shape.levels:
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
            name, counted = CONTEST_NAMES[processor], masks[processor]
            if counted & ~model.charged_mask(processor):
                model.take_unconfirmed(processor, counted & ~model.charged_mask(processor))
            charged = model.charged_mask(processor)
            if counted & ~charged:
                raise _differ(f"audit: counted at {name} and not charged", counted, charged & counted)
            told = model.told_mask(processor)
            if told & ~counted:
                raise _differ(f"audit: {name} said that it charged, and it is not counted", counted, counted | told)
            for what, beside in (("failed", masks.failed), ("charged before", masks.before)):
                if beside & charged & ~BASE:
                    raise _differ(f"{what} and charged at {name}", beside, beside & ~charged)
        forgotten = model.forgotten_mask()
        for before, after in zip(self._seen, masks, strict=True):
            if before & ~after & ~forgotten:
                raise _differ("what was counted is counted no more", after, before | after)
        self._seen = masks

    def _check_slots(self, masks: Masks) -> None:
        """Every accepted payment is in its slot or over; nothing is over that is not counted."""
        model = self._model
        applying = self._words[layout.BOOKS_VERSION_AT] & 1
        for account in model.accounts:
            if account.position < 0 or account.forgotten:
                continue
            done = masks.done & account.bits
            held = model.held(account)
            if held is None:
                if not done:
                    raise ViolationError(f"accepted payment {account.number} is nowhere, and not over", account.number)
                continue
            model.saw(account, held)
            over = held.state in (COMPLETED, FAILED, CHARGED_BEFORE)
            if over and not self._counted(masks, held) & account.bits:
                raise ViolationError(f"payment {account.number} is over and not counted: {held}", account.number)
            if not over and not applying and done:
                raise ViolationError(f"payment {account.number} is counted and not over: {held}", account.number)

    def _counted(self, masks: Masks, held: Payment) -> int:
        """Where a payment that is over must be counted."""
        if held.state == COMPLETED:
            return masks[held.processor]
        return masks.failed if held.state == FAILED else masks.before

    def check_given_up(self) -> None:
        """Looks at payments that have failed, while it is known how old they were then."""
        failed = self._words[layout.BOOKS_FAILED_AT]
        if failed == self._failed:
            return
        self._failed = failed
        for account in self._model.accounts:
            if account.position >= 0 and account.final is None and not account.forgotten:
                held = self._model.held(account)
                if held is not None:
                    self._model.saw(account, held)

    def _look_some_up(self) -> None:
        accounts, chance = self._model.accounts, self._chance
        for _ in range(LOOKED_UP):
            self._look_up(accounts[int(chance.random() * len(accounts))])

    def _look_up(self, account: Account) -> None:
        """A customer asks for a payment's status."""
        acceptor = next((api.acceptor for api in self._apis if api.alive), None)
        if acceptor is None:
            return
        known = acceptor.find(account.id_high, account.id_low)
        lives = [one for one in (account, *self._model.lives(account)) if one.position >= 0 and not one.forgotten]
        if known is not None:
            for life in lives:
                if life.cents == known.cents:
                    self._model.saw(life, known)
                    return
            raise ViolationError(f"payment {account.number} is known and should not be: {known}", account.number)
        if account in lives and self._model.remembers(account):
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


def _pending(ring: RingReader) -> int:
    """How many payments of a ring hold a slot and are not done. It is called after each pass, so it must be quick."""
    words, mask, pending = ring.words, ring.slots - 1, 0
    first = ring.offset(0) + layout.SLOT_PROGRESS
    for position in range(max(0, ring.head - ring.slots, ring.forgotten_below), ring.ready):
        word = words[first + (position & mask) * layout.SLOT_WORDS]
        pending += word >> 32 != position or word & 0xFF not in DONE
    return pending
