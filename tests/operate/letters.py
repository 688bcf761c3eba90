"""A real engine with dead letters of all kinds at two processors, and what operators may do about them."""

from __future__ import annotations

import random
import re
import secrets
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from engine import settings as settings_module
from engine.acts import rules
from engine.books.reader import BooksReader, Totals
from engine.correlation import format_id, halves
from engine.ledger.acts import ActionRow
from engine.ledger.database import wall_ms
from engine.ledger.errors import AwayError
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.operate import memory
from engine.operate.carrying import SENTENCES, commands, items
from engine.operate.command import performed
from engine.operate.selection import Selection, plan
from engine.payment import Payment as Parked
from engine.ring.ring import RingReader
from engine.settings import Settings
from engine.storage.viewing import seen
from tests.cost.counting import clean_environment
from tests.lab.simulate.processes import REPOSITORY
from tests.system.client import Payment, burst, client, new_payments, wait_until
from tests.system.running import Engine, engine_in, place
from tests.system.scripted import EXISTS, Behaviour, Request, Said, Scripted, charge, insert, scripted, show

TOO_OLD, REFUSED = "too old", "refused"
CHARGED, NOT_CHARGED, CONTRADICTION = "unknown, charged there", "unknown, not charged there", "already there, and not"
KINDS: Final = (TOO_OLD, REFUSED, CHARGED, NOT_CHARGED, CONTRADICTION)
ACTS: Final = (Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL)
RATE: Final = 1000
GROUP: Final = 20  # letters that are handed in at once
WAIT_S: Final = 300.0
AWAY: Final = "is away: database is locked"
_DRY: Final = re.compile(r"^\w+: ([\d,]+) payments?, ([\d,.]+) in all", re.MULTILINE)
_REFUSED: Final = re.compile(r"^  not for ([\d,]+): (.+)$", re.MULTILINE)
_BECAME: Final = re.compile(r"^  ([\d,]+): (.+)$", re.MULTILINE)
_BY_SENTENCE: Final = {sentence: result for result, sentence in SENTENCES.items()}


class Told(NamedTuple):
    """What a command said: how many payments and cents it is for, why not for others, and what became of them."""

    eligible: int
    cents: int
    refused: Counter[Result]
    results: Counter[Result]


class Letters:
    """The dead letters of ``engine``, each with its kind, by correlationId."""

    def __init__(self, engine: Engine, processors: Sequence[Scripted]) -> None:
        self.engine = engine
        self.processors = processors
        self._settings = settings_module.read(clean_environment(engine.place.settings))
        self.kinds = {name_of(one): self._kind(one) for one in self.known()}
        self._before = [len(one.requests) for one in processors]

    def of(self, *kinds: str) -> list[str]:
        """The ids of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def known(self) -> list[Parked]:
        """The dead letters that there are now."""
        return dead(self._settings)

    def cents(self, names: Sequence[str]) -> int:
        """Of these dead letters together."""
        wanted = set(names)
        return sum(one.cents for one in self.known() if name_of(one) in wanted)

    def sent(self) -> Counter[str]:
        """Requests for each of them since they are dead letters, at both processors."""
        new = (one.requests[begin:] for one, begin in zip(self.processors, self._before, strict=True))
        return Counter(name for some in new for name in some if name in self.kinds)

    def charged(self) -> Counter[str]:
        """How often each payment was charged, at both processors."""
        return Counter(name for one in self.processors for name in list(one.ledger))

    def totals(self) -> tuple[int, Totals]:
        """How many payments were accepted, and the books."""
        with seen(self._settings) as memory_:
            assert memory_.books is not None and memory_.shape is not None
            accepted = sum(RingReader(ring).head for ring in memory_.rings)
            return accepted, BooksReader(memory_.books, memory_.shape).totals()

    def command(self, act: str, *choice: str) -> Told:
        """What ``dead-letters ACT --yes`` says of the chosen ones."""
        words = [act, *choice, "--by", "Ada", "--reason", "a test", "--evidence", "seen", "--yes", "--rate", str(RATE)]
        done = self._run(words)
        while AWAY in done.stderr:  # then nothing was asked for
            done = self._run(words)
        dry = _DRY.search(done.stdout)
        assert dry is not None, (done.stdout, done.stderr)
        cents = int(re.sub("[,.]", "", dry[2]))
        return Told(_whole(dry[1]), cents, _results(_REFUSED, done.stdout), _results(_BECAME, done.stdout))

    def eligible(self, act: Act, names: Sequence[str]) -> int:
        """For how many of these payments an act would be done now."""
        ids = frozenset(halves(uuid.UUID(name).bytes) for name in names)
        return len(plan(act, memory.letters(self._settings).payments, Selection(ids=ids), wall_ms()).eligible)

    def forced(self, act: Act) -> tuple[Counter[Result], Counter[Result]]:
        """Puts an act into the command ring for all for which it is not safe, past the dry run.

        Returns what the dry run says of them, and what the dispatcher did.
        """
        dry = plan(act, self.known(), Selection(), wall_ms())
        unsafe = dry._replace(eligible=tuple(payment for payment, _ in dry.refused), refused=())
        action = ActionRow(secrets.token_bytes(16), act, None, "Ada", "a test", "seen", "all that is unsafe")
        while True:
            try:
                outcome = performed(self._settings, action, items(unsafe.eligible), commands(action, unsafe), RATE)
                break
            except AwayError:  # the ledger's process writes for long on a busy machine; nothing was asked for
                continue
        assert not outcome.unheard
        return dry.reasons(), Counter(Result(carried.result) for _, carried in outcome.done)

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine", "dead-letters", *words], cwd=REPOSITORY, timeout=WAIT_S,
            env=clean_environment(self.engine.place.settings), capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _kind(self, one: Parked) -> str:
        if one.state == layout.FAILED:
            return REFUSED if one.reason == layout.REASON_REFUSED else TOO_OLD
        if one.reason == layout.REASON_CONTRADICTION:
            return CONTRADICTION
        return CHARGED if name_of(one) in self.charged() else NOT_CHARGED


def name_of(one: Parked) -> str:
    """Its correlationId."""
    return format_id(one.id_high, one.id_low)


def dead(settings: Settings) -> list[Parked]:
    """The dead letters of an engine."""
    return [one for one in memory.letters(settings).payments if rules.is_dead_letter(one)]


@contextmanager
def letters(count: int, dead_s: int, kinds: Sequence[str] = KINDS) -> Iterator[Letters]:
    """An engine with ``count`` dead letters, of each kind as many, whose processors are healthy again.

    Parameters:
      kinds: without TOO_OLD the engine starts once less.
      dead_s: after so many seconds a payment is one; ten and more are enough for a contradiction to be noticed.
    """
    names = [str(uuid.uuid4()) for _ in range(count)]
    planned = {name: kinds[number % len(kinds)] for number, name in enumerate(names)}
    settings = {"ENGINE_LEDGER": "best", "ENGINE_REFUSALS_MAX": "1", "ENGINE_PARK_SECONDS": "1"}
    first, last = ([name for name in names if (planned[name] == TOO_OLD) is is_old] for is_old in (False, True))
    unknown = {"ENGINE_DEAD_LETTER_SECONDS": str(dead_s)}
    old = {"ENGINE_GIVE_UP_SECONDS": str(dead_s)}  # later: whatever is sent late would be too old before
    with scripted() as default, scripted() as fallback, place(default.url, fallback.url, **settings) as here:
        both = (default, fallback)
        for one in both:
            one.pay, one.look_up = _pay(planned), _look_up(planned, ())
        with engine_in(replace(here, settings=here.settings | unknown)) as engine:
            for begin in range(0, len(first), GROUP):
                _hand_in(engine, both, first[begin : begin + GROUP])
            _await_dead(engine, first)
        if last:
            with engine_in(replace(here, settings=here.settings | old)) as engine:
                assert set(burst(engine.port, [Payment(name, 1990) for name in last], connections=4).values()) == {202}
                _await_dead(engine, names)
        for one in both:
            one.pay = charge
        with engine_in(here) as engine:
            pay_one(engine)
            made = Letters(engine, both)
            assert set(names) <= made.kinds.keys(), "a letter was settled while it was made"
            for one in both:
                one.look_up = _look_up(made.kinds, ())
            yield made


def answer_lookups(made: Letters, names: Sequence[str]) -> None:
    """From now on the processors find these."""
    for one in made.processors:
        one.look_up = _look_up(made.kinds, names)


def pay_one(engine: Engine) -> None:
    """A payment is accepted and settled: its processors take payments again."""
    (payment,) = new_payments(1)
    with client(engine.port) as shop:
        assert shop.pay(payment).status == 202
        wait_until(lambda: shop.status(payment).json()["status"] == "completed", WAIT_S, "a payment is settled")


def _hand_in(engine: Engine, processors: Sequence[Scripted], names: Sequence[str]) -> None:
    """Hands payments in beside as many that are charged, and waits until all were sent."""
    chance = random.Random(names[0])
    payments = [*(Payment(name, chance.randrange(1, 10**6)) for name in names), *new_payments(len(names))]
    chance.shuffle(payments)
    assert set(burst(engine.port, payments, connections=4).values()) == {202}
    wanted = {one.correlation_id for one in payments}

    def are_sent() -> bool:
        return wanted <= {name for one in processors for name in list(one.requests)}

    wait_until(are_sent, WAIT_S, "all were sent")


def _await_dead(engine: Engine, names: Sequence[str]) -> None:
    settings = settings_module.read(clean_environment(engine.place.settings))
    wait_until(lambda: {*names} <= {*map(name_of, dead(settings))}, WAIT_S, "all are dead letters")


def _pay(planned: dict[str, str]) -> Behaviour:
    def pay(processor: Scripted, request: Request) -> Said | None:
        kind = planned.get(request.correlation_id)
        if kind == CHARGED:
            insert(processor, request)
        if kind in (CHARGED, NOT_CHARGED):
            return None
        said = {TOO_OLD: Said(500), REFUSED: Said(400), CONTRADICTION: Said(422, EXISTS)}
        return charge(processor, request) if kind is None else said[kind]

    return pay


def _look_up(kinds: dict[str, str], answered: Sequence[str]) -> Behaviour:
    """Nobody finds out about those that are charged, but for the ``answered`` ones."""

    def look_up(processor: Scripted, request: Request) -> Said | None:
        name = request.correlation_id
        return None if kinds.get(name) == CHARGED and name not in answered else show(processor, request)

    return look_up


def _whole(word: str) -> int:
    return int(word.replace(",", ""))


def _results(pattern: re.Pattern[str], text: str) -> Counter[Result]:
    return Counter({_BY_SENTENCE[sentence]: _whole(count) for count, sentence in pattern.findall(text)})
