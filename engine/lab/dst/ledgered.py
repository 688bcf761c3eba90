"""The ledger beside the engine: the real journal, and the real carrier over the same memory, into a model of SQL.

What it draws comes from a Random of its own, so that a seed without a ledger is what it was before there was one.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple, cast
from unittest import mock

from engine.books.levels import Shape
from engine.books.reader import BooksBusyError
from engine.journal import writer
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter, lay_out_journal
from engine.lab.dst.memory import NEVER, KilledError, Points, shared_words
from engine.lab.dst.model import Model
from engine.lab.dst.plan import PAYMENTS_MAX, Plan
from engine.lab.dst.processes import Process
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.sql import Sql
from engine.ledger import carrier as carrier_module
from engine.ledger import follow, view
from engine.ledger.carrier import Carrier
from engine.ledger.errors import AwayError
from engine.ledger.marks import Marks
from engine.ledger.rows import Batch
from engine.ledger.view import View
from engine.memory import journal_layout, layout
from engine.memory.words import WORD_BYTES, Words

SALT = 1 << 40  # makes the ledger's Random another one than the world's
OFF, BEST, REQUIRE = "off", "best", "require"
PARK_SOON_MS = 50
JOURNAL_MADE, LEDGER_LOOKED = "the journal is made anew", "the ledger looks"
REOPENS_MS = 1000  # between two checks of a ledger process that this is still the engine's memory
TRIES_MAX = 3  # readings of the books that change each time: the real 10,000 take as long as a short pass
KILLED = 0.12  # chance that a ledger process that stands between two loads, or two steps, dies there
LONG_MS = 1000  # from one of the last looks to the next: everything is looked at each time
REST_LOOKS = 400  # looks within which a ledger must come to rest when nothing happens any more
ANCESTORS_AT = (layout.BOOKS_REPLACED_AT, *layout.BOOKS_ANCESTORS_AT)
_RECORD = journal_layout.RECORD


class LedgerPlan(NamedTuple):
    """What is drawn of the ledger; times are ms, and count from the beginning of the run."""

    mode: str
    journal_slots: int
    part: int  # records that are claimed at once
    payments_max: int
    records_max: int
    looked_at: int
    every_ms: int  # from one look to the next
    begins_ms: int
    away: tuple[tuple[int, int], ...]  # from when to when SQL is away
    refuses: float  # chance that SQL refuses a batch ...
    forgets: float  # ... that it takes one, and the answer is lost
    anew: float  # chance that a dispatcher finds a journal that it cannot go on with
    loads_mean: int  # loads of shared memory from one interruption to the next
    kills_max: int


def draw_ledger(chance: Random, length_ms: int) -> LedgerPlan:
    """The ledger of a seed."""
    pick = chance.choice
    mode = pick((OFF, OFF, BEST, REQUIRE))
    slots = pick((32, 128, 512, 2048))
    spans = sorted(chance.randint(0, length_ms) for _ in range(pick((0, 0, 2, 4))))
    return LedgerPlan(
        mode=mode,
        journal_slots=slots,
        part=pick((3, 7, 15)),
        payments_max=pick((2, 5, 4000)),
        records_max=pick((5, 30, 10_000)),
        looked_at=pick((1, 4, 1000)),
        every_ms=pick((20, 100, 250, 250, 1500)),
        begins_ms=pick((0, 0, chance.randint(0, length_ms))),
        away=tuple(zip(spans[::2], spans[1::2], strict=True)),
        refuses=pick((0.0, 0.1)),
        forgets=pick((0.0, 0.1)),
        anew=pick((0.0, 0.0, 0.2)),
        loads_mean=pick((50, 200, 800)),
        kills_max=pick((0, 3, 8)),
    )


class Memory(NamedTuple):
    """What the ledger process has mapped."""

    view: View
    marks: Marks


def pressed(seed: int, plan: Plan) -> Plan:
    """The plan of a seed; in half of those with a required ledger payments are parked soon, so that places run out."""
    is_required = draw_ledger(Random(seed + SALT), plan.length_ms).mode == REQUIRE
    return replace(plan, park_ms=PARK_SOON_MS, parked_slots=layout.PARKED_WAYS) if is_required and seed % 2 else plan


class Stands:
    """Counts down the loads of a reader, to the next one at which something happens."""

    def __init__(self) -> None:
        self.left = NEVER
        self.interrupt: Callable[[], None] = lambda: None

    def reach(self) -> None:
        """One load more."""
        self.left -= 1
        if self.left <= 0:
            self.interrupt()

    def several(self, most: int) -> int:
        """How many loads, ``most`` at the most and at least one, come before the next at which something happens; they
        count from now on.
        """
        self.reach()
        count = max(1, min(most, self.left))
        self.left -= count - 1
        return count


class ReadWords:
    """A segment as the ledger has it: before any load, other processes may run, or it may die."""

    def __init__(self, words: Words, stands: Stands) -> None:
        self._words = words
        self._get = words.__getitem__
        self._stands = stands

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ReadSlice(self._words, range(*index.indices(len(self._words))), self._stands)
        stands = self._stands
        stands.left -= 1
        if stands.left <= 0:
            stands.interrupt()
        return self._get(index)

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value

    def __len__(self) -> int:
        return len(self._words)


class ReadSlice:
    """A slice of such a segment: as with a memoryview, each word is loaded by itself, and when it is asked for."""

    def __init__(self, words: Words, places: range, stands: Stands) -> None:
        self._words = words
        self._places = places
        self._stands = stands

    def tolist(self) -> list[int]:
        """Loads the words one after the other."""
        return list(self._loaded(self._places))

    def tobytes(self) -> bytes:
        """Loads the words as C's memcpy may do it: the end first."""
        middle = len(self._places) // 2
        end = self._loaded(self._places[middle:])
        return (self._loaded(self._places[:middle]) + end).tobytes()

    def _loaded(self, places: range) -> array[int]:
        found = array("Q")
        while places:
            count = self._stands.several(len(places))
            found += cast("array[int]", self._words[places.start : places[count - 1] + 1 : places.step])
            places = places[count:]
        return found


class TornRecord:
    """In the place of the journal's RECORD: a writer may die when half of a record is there."""

    size = _RECORD.size
    iter_unpack = staticmethod(_RECORD.iter_unpack)

    def __init__(self, points: Points) -> None:
        self._points = points

    def pack_into(self, words: array[int], at: int, *fields: int) -> None:
        """See :meth:`struct.Struct.pack_into`."""
        record, half = _RECORD.pack(*fields), self.size // 2
        memory = memoryview(words).cast("B")
        self._points.reach()
        memory[at : at + half] = record[:half]
        self._points.reach()
        memory[at + half : at + self.size] = record[half:]


class LedgerProcess(Process):
    """Does what :class:`engine.ledger.process.Process` does, one look after the other.

    Parameters:
      open_memory: the engine's memory as it is now.
      stands: called between two steps.
    """

    name = "ledger"

    def __init__(
        self, sql: Sql, open_memory: Callable[[], Memory], now_ms: Callable[[], int], stands: Callable[[], None]
    ) -> None:
        super().__init__()
        self._sql = sql
        self._open_memory = open_memory
        self._now_ms = now_ms
        self._stands = stands
        self.life = 0
        self.carrier: Carrier | None = None
        self.memory: Memory | None = None
        self.is_hurried = False  # there is more to do at once
        self.idle_looks = 0  # the last ones, which have found nothing but a second more for the samples

    def boot(self) -> None:
        self.life += 1
        self.reopen()

    def reopen(self) -> None:
        """The memory that it has mapped is not the engine's any more."""
        self.carrier = self.memory = None
        self.idle_looks = 0

    def look(self) -> None:
        """Begins, if need be; looks, and carries what it has found."""
        idle_looks, self.idle_looks, self.is_hurried = self.idle_looks, 0, False
        try:
            if self.memory is None:
                self.memory = self._open_memory()
            view, marks = self.memory
            if self.carrier is None:
                cursor = self._sql.read_cursor()
                marks.begin(cursor)
                self._stands()
                rows = self._sql.open_payments()
                self.carrier = Carrier(view, cursor, [50_000, None], self._now_ms(), rows)
            asked = marks.asked()
            batch = self.carrier.look(self._now_ms(), is_whole=marks.is_purge_waiting)
            if batch.cursor != batch.expected or any(batch[2:]):
                self._sql.carry(batch)
                self._stands()
            self.carrier.carried()
            marks.set(self.carrier.cursor)
            if self.carrier.is_whole:
                marks.cover(asked)
            self.is_hurried = self.carrier.is_behind or (marks.is_purge_waiting and not self.carrier.is_whole)
            is_idle = batch._replace(samples=()) == Batch(batch.expected, batch.expected)
            self.idle_looks = idle_looks + 1 if is_idle else 0
        except (BooksBusyError, AwayError):
            self.carrier = None


class Unsure(Sql):
    """SQL that is away at times, refuses, and says nothing after it has done what it was asked for."""

    def __init__(self, plan: LedgerPlan, chance: Random) -> None:
        super().__init__()
        self._plan = plan
        self._chance = chance
        self.is_troubled = True

    def carry(self, batch: Batch) -> None:
        """See the base class."""
        if self.is_troubled and self._chance.random() < self._plan.refuses:
            raise AwayError("it refuses")
        super().carry(batch)
        if self.is_troubled and self._chance.random() < self._plan.forgets:
            raise AwayError("the connection has broken during the commit")


class Ledgered:
    """All of it: the journal's segment, the ledger process, and SQL.

    Parameters:
      books, shape, rings: the engine's memory; ``rings`` is changed in place when it gets other sizes.
      step: lets a process do something, see :class:`engine.lab.dst.world.World`; disturb: others run meanwhile.
      boot: starts a process that is not alive.
    """

    def __init__(
        self,
        seed: int,
        plan: Plan,
        memory: tuple[Words, Shape, Sequence[Words]],
        model: Model,
        scheduler: Scheduler,
        points: Points,
        *,
        step: Callable[[Process, Callable[[], object]], bool],
        disturb: Callable[[], None],
        boot: Callable[[Process], None],
    ) -> None:
        self._chance = chance = Random(seed + SALT)
        self.plan = draw_ledger(chance, plan.length_ms)
        self._books, self._shape, self._rings = memory
        self._model = model
        self._scheduler = scheduler
        self._points = points
        self._step = step
        self._disturb = disturb
        self._boot = boot
        self._stands = Stands()
        self._stands.interrupt = self._interrupt
        self._kills_left = self.plan.kills_max
        self._troubled = True
        self._rested_ms = 0  # that have gone by for a ledger that comes to rest
        self._opened_at_ms = 0  # when the ledger process has checked last which memory it has
        self.is_on = self.plan.mode != OFF
        self.is_required = self.plan.mode == REQUIRE
        self._ancestors: list[int] = []  # generations of memory that was replaced, the latest first
        self.journals: dict[int, int] = {}  # for each journal that there was: records that were published
        self.sql = Unsure(self.plan, chance)
        self.sql.stands = self._stand
        self.process = LedgerProcess(self.sql, self._open, self._wall_ms, self._stand)
        if self.is_on:
            self._books[layout.BOOKS_GENERATION_AT] = chance.getrandbits(63) | 1
            self._make_journal()

    @property
    def processes(self) -> list[Process]:
        """The ledger process, if there is one."""
        return [self.process] if self.is_on else []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The limits of this seed, and a journal whose writer may die in the middle of a record."""
        if not self.is_on:
            yield
            return
        plan = self.plan
        with (
            mock.patch.object(journal_layout, "RECORD", TornRecord(self._points)),
            mock.patch.object(writer, "PART", plan.part),
            mock.patch.object(view, "TRIES_MAX", TRIES_MAX),
            mock.patch.object(carrier_module, "PAYMENTS_MAX", plan.payments_max),
            mock.patch.object(carrier_module, "RECORDS_MAX", plan.records_max),
            mock.patch.object(follow, "OPEN_LOOKED_AT", plan.looked_at),
        ):
            yield

    def begin(self) -> None:
        """The ledger process starts at its time, and SQL goes away at its times."""
        if not self.is_on:
            return
        after = self._scheduler.after
        after(self.plan.begins_ms, self.start)
        for from_ms, to_ms in self.plan.away:
            after(from_ms, self._set_away, True)
            after(to_ms, self._set_away, False)

    def start(self) -> None:
        """It starts, and looks from now on."""
        self._boot(self.process)

    def started(self) -> None:
        """The process has begun a life."""
        self._stands.left = self._draw_loads()
        self._turn(self.process.life)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._troubled = self.sql.is_troubled = self.sql.is_away = False
        self._stands.left = NEVER

    def history_journal(self) -> JournalWriter | None:
        """The journal that a dispatcher opens that starts now; None where nothing is recorded."""
        if not self.is_on:
            return None
        if self._troubled and self._chance.random() < self.plan.anew:
            self._make_journal()
        return JournalWriter(self._journal)

    def resized(self) -> None:
        """Memory of other sizes has taken the place of the old one."""
        if not self.is_on:
            return
        self._ancestors.insert(0, self._generation)
        for at, generation in zip(ANCESTORS_AT, self._ancestors, strict=False):
            self._books[at] = generation
        self._books[layout.BOOKS_GENERATION_AT] = self._chance.getrandbits(63) | 1
        self._make_journal()
        self.process.reopen()

    def look_now(self) -> None:
        """The ledger looks while others stand still, or because its time has come."""
        process = self.process
        if process.alive and not process.busy:
            self._model.note(LEDGER_LOOKED, None)
            self._step(process, self._look)

    def looks_beside(self) -> bool:
        """Whether the ledger looks while another process stands in the middle of a step; if so, it has."""
        process = self.process
        if not self.is_on or not process.alive or process.busy or self._chance.random() < 0.7:
            return False
        self.look_now()
        return True

    def come_to_rest(self) -> bool:
        """Looks until nothing is found; whether it came to that."""
        for _ in range(REST_LOOKS):
            self._rested_ms += LONG_MS
            self.look_now()
            if self.process.idle_looks > PAYMENTS_MAX // self.plan.looked_at + 1:
                return True
        return False

    def _wall_ms(self) -> int:
        return self._scheduler.now.wall_ms + self._rested_ms

    def _make_journal(self) -> None:
        if self.journals:
            self.note_journal()
            self._model.note(JOURNAL_MADE, None)
        self._generation = self._books[layout.BOOKS_GENERATION_AT]
        slots = self.plan.journal_slots
        self._journal = shared_words(-1, journal_layout.journal_words(slots), self._points)
        self._number = self._chance.getrandbits(63) | 1
        self.journals[self._number] = 0
        troubled, self._points.left = self._points.left, NEVER  # it is made beside, and renamed when it is whole
        lay_out_journal(self._journal, slots, self._number, 1, self._generation)
        self._points.left = troubled

    def note_journal(self) -> None:
        """How many records the journal has."""
        self.journals[self._number] = self._journal[journal_layout.PUBLISHED_AT]

    def _open(self) -> Memory:
        def read(words: Words) -> Words:
            return cast(Words, ReadWords(words, self._stands))

        self._opened_at_ms = self._scheduler.mono_ms
        self._opened = self._number
        rings, journal = list(self._rings), JournalReader(read(self._journal))
        view = View(read(self._books), self._shape, [read(words) for words in rings], journal)
        return Memory(view, Marks(read(self._books), [read(words) for words in rings]))

    def _look(self) -> None:
        is_due = self._scheduler.mono_ms - self._opened_at_ms >= REOPENS_MS or not self._troubled
        if self.process.memory is not None and is_due:
            self._opened_at_ms = self._scheduler.mono_ms
            if self._opened != self._number:
                self.process.reopen()
        self.process.look()

    def _turn(self, life: int) -> None:
        if self.process.alive and self.process.life == life:
            self.look_now()
            self._scheduler.after(1 if self.process.is_hurried else self.plan.every_ms, self._turn, life)

    def _set_away(self, is_away: bool) -> None:
        self.sql.is_away = is_away and self._troubled
        self._model.note("SQL is away" if is_away else "SQL is back", None)

    def _draw_loads(self) -> int:
        return 1 + int(self._chance.random() * 2 * self.plan.loads_mean) if self._troubled else NEVER

    def _stand(self) -> None:
        """Between two steps."""
        if self._troubled and self._chance.random() < 0.2:
            self._interrupt()

    def _interrupt(self) -> None:
        """The ledger process stands between two loads of shared memory, or between two steps."""
        if not self._troubled:
            self._stands.left = NEVER
            return
        if self._kills_left > 0 and self._chance.random() < KILLED:
            self._kills_left -= 1
            self._stands.left = self._draw_loads()
            raise KilledError
        self._stands.left = NEVER  # until the others have run
        self._disturb()
        self._stands.left = self._draw_loads()


assert TornRecord.size == WORD_BYTES * journal_layout.RECORD_WORDS
