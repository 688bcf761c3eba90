"""Acts of people over the console: what one would come to, who may ask for it, who must confirm it, what became of it.

An act goes the way of the commands (:mod:`engine.operate`): its row in SQL first, with the name of the key, then the
command ring, and the dispatcher decides. Proposals that wait for a second person live in this process alone: a console
that was started again has forgotten them, and nothing was done.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NamedTuple

from engine.books.reader import BooksBusyError
from engine.console.keys import Key, Role
from engine.console.problem import BadRequestError, ConflictError, ForbiddenError
from engine.correlation import halves
from engine.ledger.acts import ActionRow, ItemRow
from engine.ledger.database import wall_ms
from engine.ledger.errors import LedgerError
from engine.ledger.report_text import amount
from engine.logs.logger import Logger
from engine.memory.acts_layout import Act, Command, Result
from engine.memory.errors import SegmentError
from engine.operate import memory
from engine.operate.carrying import SENTENCES, Outcome, commands, items
from engine.operate.command import RATE, performed
from engine.operate.selection import Plan, Selection, plan
from engine.operate.text import WORDS
from engine.settings import Settings

ACTS: Final = {word: act for act, word in WORDS.items()}
ON_PROCESSORS: Final = frozenset({Act.PAUSE, Act.RESUME})
WITH_EVIDENCE: Final = frozenset({Act.CHARGED, Act.CANCEL})
ON_MONEY: Final = frozenset({Act.RETRY, Act.CHARGED, Act.CANCEL})
WAITING: Final = "waiting for a second person"
UNDER_WAY: Final = "under way"
AT_ONCE: Final = 2  # acts that are carried out at the same time
PROPOSALS_MAX: Final = 100
KEPT_SECONDS: Final = 900.0  # for a second person to confirm it, and for its result to be read

log = Logger("engine.console")


class UnknownActError(Exception):
    """There is no such act in the last quarter of an hour."""


class Wish(NamedTuple):
    """What somebody asks for. ``selection``: which payments; ``processor``: of an act on one."""

    act: Act
    selection: Selection
    processor: str | None
    reason: str
    evidence: str


@dataclass
class Proposal:
    """An act that was asked for, and how far it is. ``ids``: the payments that it would be done for then."""

    id: bytes
    wish: Wish
    who: str
    cents: int
    payments: int
    at_s: float
    ids: frozenset[tuple[int, int]] = frozenset()
    state: str = WAITING
    confirmed_by: str = ""
    done: int = 0
    results: Counter[str] = field(default_factory=Counter)
    trouble: str = ""

    def document(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": str(uuid.UUID(bytes=self.id)),
            "act": WORDS[self.wish.act],
            "state": self.state,
            "who": self.who,
            "confirmedBy": self.confirmed_by or None,
            "payments": self.payments,
            "amount": amount(self.cents),
            "done": self.done,
            "results": [{"result": text, "payments": count} for text, count in sorted(self.results.items())],
            "trouble": self.trouble or None,
        }


class Acting:
    """The acts of one console.

    Parameters:
      perform: see :func:`engine.operate.command.performed`.
      now_s: never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        perform: Callable[..., Outcome] = performed,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._perform = perform
        self._now_s = now_s
        self._lock = Lock()
        self._proposals: dict[bytes, Proposal] = {}
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="act")
        # A processor is paused at once, however many payments are being decided.
        self._pausing = ThreadPoolExecutor(1, thread_name_prefix="pause")

    def dry_run(self, wish: Wish, key: Key) -> dict[str, Any]:
        """What it would come to now. Raises SegmentError, BooksBusyError, BadRequestError, ForbiddenError."""
        self.check_role(wish.act, key)
        if wish.act in ON_PROCESSORS:
            self._number(wish)
            return {"payments": 0, "amount": "0.00", "refused": [], "isCut": False, "needsSecond": False}
        found = self._plan(wish)
        return {
            "payments": len(found.eligible),
            "amount": amount(found.cents),
            "refused": [
                {"why": SENTENCES[result], "payments": count} for result, count in sorted(found.reasons().items())
            ],
            "isCut": found.is_cut,
            "needsSecond": self._needs_second(wish, found.cents),
        }

    def propose(self, wish: Wish, key: Key) -> Proposal:
        """Begins it, or keeps it until a second person confirms. Raises what ``dry_run`` raises, and
        ConflictError.
        """
        self.check_role(wish.act, key)
        if wish.act in ON_PROCESSORS:
            self._number(wish)
            cents, chosen = 0, frozenset[tuple[int, int]]()
        else:
            found = self._plan(wish)
            if not found.eligible:
                raise ConflictError("there is no payment that this may be done for: a dry run says why")
            cents, chosen = found.cents, frozenset((each.id_high, each.id_low) for each in found.eligible)
        one = Proposal(secrets.token_bytes(16), wish, key.name, cents, len(chosen), self._now_s(), chosen)
        needs_second = self._needs_second(wish, cents)
        one.state = WAITING if needs_second else UNDER_WAY
        with self._lock:
            self._forget_old()
            if len(self._proposals) >= PROPOSALS_MAX:
                raise ConflictError("too many acts are waiting or under way")
            self._proposals[one.id] = one
        if not needs_second:
            self._begin(one)
        return one

    def confirm(self, identity: uuid.UUID, key: Key) -> Proposal:
        """Begins what somebody else has asked for. Raises UnknownActError, ForbiddenError, ConflictError."""
        self.check_role(Act.RETRY, key)  # only acts on money wait for somebody
        one = self.get(identity)
        with self._lock:
            if one.state != WAITING:
                raise ConflictError(f"it is {one.state}")
            if one.who == key.name:
                raise ForbiddenError("somebody else must confirm it")
            one.confirmed_by = key.name
            one.state = UNDER_WAY
        self._begin(one)
        return one

    def get(self, identity: uuid.UUID) -> Proposal:
        """An act of the last quarter of an hour. Raises UnknownActError."""
        with self._lock:
            self._forget_old()
            if identity.bytes not in self._proposals:
                raise UnknownActError
            return self._proposals[identity.bytes]

    def waiting(self) -> list[Proposal]:
        """Those that a second person must confirm, the oldest first."""
        with self._lock:
            self._forget_old()
            return [one for one in self._proposals.values() if one.state == WAITING]

    def _begin(self, one: Proposal) -> None:
        workers = self._pausing if one.wish.act in ON_PROCESSORS else self._workers
        workers.submit(self._carry_out, one)

    def _carry_out(self, one: Proposal) -> None:
        wish = one.wish
        who = f"{one.who}, confirmed by {one.confirmed_by}" if one.confirmed_by else one.who
        try:
            number, rows, wanted = self._commands(one)
            selection = "console: " + _described(wish)
            action = ActionRow(one.id, wish.act, number, who, wish.reason, wish.evidence, selection)

            def told(done: int) -> None:
                one.done = done

            outcome = self._perform(self._settings, action, rows, wanted, RATE, told)
        except (LedgerError, SegmentError, BooksBusyError, OSError) as error:
            one.state, one.trouble = "not done", str(error)
        except Exception:
            log.exception("act_broke", act=WORDS[wish.act])
            one.state, one.trouble = "not done", "an error of the console; its log says more"
        else:
            one.results.update(SENTENCES[Result(carried.result)] for _, carried in outcome.done)
            if outcome.unheard:
                one.results["no result: what was put is done when a dispatcher is back"] += len(outcome.unheard)
            one.done, one.state = len(outcome.done), "over"
        log.info("acted", act=WORDS[wish.act], who=who, results=one.trouble or dict(one.results))

    def _commands(self, one: Proposal) -> tuple[int | None, list[ItemRow], list[Command]]:
        wish = one.wish
        if wish.act in ON_PROCESSORS:
            number = self._number(wish)
            return number, [], [Command(wish.act, *halves(one.id), processor=number)]
        # Planned anew: what has changed since it was asked for is left out, and nothing comes in that was not there.
        found = self._plan(wish._replace(selection=Selection(ids=one.ids), processor=None))
        one.payments = len(found.eligible)
        rows = items(found.eligible)
        return None, rows, commands(ActionRow(one.id, wish.act, None, "", "", "", ""), found)

    def _plan(self, wish: Wish) -> Plan:
        letters = memory.letters(self._settings)
        selection = wish.selection
        if wish.processor is not None:
            selection = selection._replace(processor=_number(wish.processor, letters.names))
        return plan(wish.act, letters.payments, selection, wall_ms())

    def _number(self, wish: Wish) -> int:
        return _number(wish.processor or "", memory.names(self._settings))

    def _needs_second(self, wish: Wish, cents: int) -> bool:
        limit = self._settings.console.four_eyes_cents
        return wish.act in ON_MONEY and 0 < limit < cents

    def check_role(self, act: Act, key: Key) -> None:
        """That this key may ask for such an act. Raises ForbiddenError."""
        needed = Role.TREASURER if act in ON_MONEY else Role.OPERATOR
        if key.role < needed:
            raise ForbiddenError(f"this needs the role {needed.name.lower()}; yours is {key.role.name.lower()}")

    def _forget_old(self) -> None:
        old = self._now_s() - KEPT_SECONDS
        for identity in [one.id for one in self._proposals.values() if one.at_s < old and one.state != UNDER_WAY]:
            del self._proposals[identity]


def _number(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise BadRequestError("processor", f"one of {', '.join(names)}")
    return names.index(name)


def _described(wish: Wish) -> str:
    """Which payments were chosen, for the audit trail."""
    chosen = wish.selection
    parts = [f"processor {wish.processor}" if wish.processor else "", chosen.state or ""]
    parts += [f"{len(chosen.ids)} by id" if chosen.ids else "" if wish.act in ON_PROCESSORS else "all that match"]
    return ", ".join(part for part in parts if part)
