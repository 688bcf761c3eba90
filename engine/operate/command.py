"""``./engine.sh dead-letters``: payments that a person must decide."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final

from engine import settings as settings_module
from engine.books.reader import BooksBusyError
from engine.correlation import format_id, halves
from engine.ledger import acts as ledger_acts
from engine.ledger import queries
from engine.ledger.acts import ActionRow, ItemRow
from engine.ledger.command import opened, opened_to_add
from engine.ledger.database import Database, wall_ms
from engine.ledger.errors import LedgerError
from engine.memory.acts_layout import Act, Command, Result
from engine.memory.errors import SegmentError
from engine.operate import memory, text
from engine.operate.carrying import Outcome, World, carry_out, commands, items
from engine.operate.selection import FAILED, REASONS, UNKNOWN, Selection, dead_letters, plan
from engine.settings import Settings
from engine.wording import money

HELP = "Payments that a person must decide: failed ones, and those whose outcome nobody can tell."
ACTS: Final = {text.WORDS[act]: act for act in (Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL)}
WITH_EVIDENCE: Final = (Act.CHARGED, Act.CANCEL)
WHYS: Final = {word.replace(" ", "-"): reason for reason, word in REASONS.items()}
RATE: Final = 100
RATE_MAX: Final = 1000
CENTS_MAX: Final = (1 << 63) - 1
WORDS_MAX: Final = 2000  # of who, why and evidence, in characters
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_HELP: Final = {
    "list": "show them",
    "show": "all that is known of one payment",
    "ask": "look them up at their processors now",
    "retry": "send them again: only what is certainly not charged",
    "charged": "declare that their processor has charged them: needs proof",
    "cancel": "declare that they were not charged, and end them: needs proof",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.set_defaults(do="list")
    dos = parser.add_subparsers(dest="do", metavar="ACT", required=True)
    for word, meaning in _HELP.items():
        one = dos.add_parser(word, help=meaning, description=meaning)
        if word == "show":
            one.add_argument("ids", metavar="ID", type=_identity, nargs=1, help="the payment's correlationId")
            continue
        _add_choices(one)
        if word != "list":
            add_reasons(one)
            one.add_argument("--evidence", type=_words, metavar="TEXT", help="what proves it")
            one.add_argument("--rate", type=_rate, default=RATE, metavar="N", help="payments a second (100)")
            one.add_argument("--yes", action="store_true", help="do it; without, only say what it would come to")


def add_reasons(parser: argparse.ArgumentParser) -> None:
    """Who asks for an act, and why."""
    parser.add_argument("--by", type=_words, required=True, metavar="NAME", help="who asks for it")
    parser.add_argument("--reason", type=_words, required=True, metavar="TEXT", help="why")


def run(arguments: argparse.Namespace) -> int:
    """Shows or acts. Returns 0 when all was done, 1 when not, 2 for bad settings or options."""
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    do: Callable[[Settings, argparse.Namespace], int] = {"list": _list, "show": _show}.get(arguments.do, _act)
    return reporting(partial(do, settings, arguments))


def reporting(do: Callable[[], int]) -> int:
    """What ``do`` returns; 1, and a sentence, when memory or ledger cannot be used."""
    try:
        return do()
    except (SegmentError, LedgerError, BooksBusyError, OSError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1


def performed(
    settings: Settings,
    action: ActionRow,
    rows: list[ItemRow],
    wanted: list[Command],
    rate: int,
    told: Callable[[int], None] | None = None,
) -> Outcome:
    """Records an action and carries it out. Raises LedgerError before anything is asked for, SegmentError, OSError.

    Parameters:
      told: called with the number of commands that have a result; None: a terminal is told.
    """
    database = opened_to_add(settings)
    try:
        with memory.opened_ring(settings) as ring:
            world = World(partial(ledger_acts.record, database), ring, time.monotonic, time.sleep)
            return carry_out(world, action, rows, wanted, rate, told or partial(_progress, len(wanted)))
    finally:
        database.close()


def new_action(arguments: argparse.Namespace, act: Act, processor: int | None, evidence: str) -> ActionRow:
    """The row of an action that is asked for by a command line."""
    selection = " ".join(sys.argv[1:])[:WORDS_MAX]
    return ActionRow(secrets.token_bytes(16), act, processor, arguments.by, arguments.reason, evidence, selection)


def shown(action: ActionRow) -> str:
    """An action's id, for people."""
    return format_id(*halves(action.id))


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    letters = memory.letters(settings)
    selection = _selection(arguments, letters.names)
    found = dead_letters(letters.payments, selection)
    if found:
        print("\n".join(text.table(found, letters.names, wall_ms())))
    print(f"{len(found):,} dead letters, {money(sum(one.cents for one in found))} in all")
    if letters.dropped:
        print(f"{letters.dropped:,} more have failed and hold no parking place: the ledger has them")
    return 0


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    (wanted,) = arguments.ids
    letters = memory.letters(settings)
    identity = (wanted[0] << 64 | wanted[1]).to_bytes(16, "big")
    found = [one for one in letters.payments if (one.id_high, one.id_low) == wanted]
    lines = text.described(found[0], letters.names, wall_ms()) if found else []
    database = _readable(settings, lines)
    if database is not None:
        try:
            lines += _from_ledger(database, identity, letters.names, is_known=bool(lines))
        finally:
            database.close()
    if not lines:
        print(f"engine: no parked payment, and none of the ledger, is {format_id(*wanted)}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _readable(settings: Settings, lines: list[str]) -> Database | None:
    """The ledger; None when it is away and ``lines``, what memory says, is all that can be shown."""
    try:
        return opened(settings)
    except LedgerError as error:
        if not lines:
            raise
        print(f"engine: {error}", file=sys.stderr)
        return None


def _from_ledger(database: Database, identity: bytes, names: tuple[str, ...], *, is_known: bool) -> list[str]:
    row = queries.find(database, identity)
    if row is None:
        return []
    lines = [] if is_known else text.recorded(row)
    lines += text.attempts(queries.attempts(database, identity, row.era), names)
    return lines + text.acts(ledger_acts.of_payment(database, identity))


def _act(settings: Settings, arguments: argparse.Namespace) -> int:
    act = ACTS[arguments.do]
    if act in WITH_EVIDENCE and not arguments.evidence:
        print(f"engine: {arguments.do} needs --evidence: what proves it?", file=sys.stderr)
        return 2
    letters = memory.letters(settings)
    found = plan(act, letters.payments, _selection(arguments, letters.names), wall_ms())
    print("\n".join(text.dry_run(found)))
    if not arguments.yes:
        print("nothing was done: --yes does it")
        return 0
    if not found.eligible:
        return 1
    action = new_action(arguments, act, None, arguments.evidence or "")
    outcome = performed(settings, action, items(found.eligible), commands(action, found), arguments.rate)
    print("\n".join([f"action {shown(action)}", *text.results(*outcome)]))
    is_all_done = all(carried.result == Result.DONE for _, carried in outcome.done)
    return 0 if is_all_done and not outcome.unheard else 1


def _progress(wanted: int, done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {wanted:,}", end="\n" if done == wanted else "", file=sys.stderr, flush=True)


def _selection(arguments: argparse.Namespace, names: tuple[str, ...]) -> Selection:
    """What the options choose. Raises SegmentError for a processor that the engine does not have."""
    processor = None if arguments.processor is None else number_of(arguments.processor, names)
    older_ms = arguments.older_than
    return Selection(
        arguments.state,
        processor,
        None if arguments.why is None else WHYS[arguments.why],
        None if older_ms is None else wall_ms() - older_ms,
        arguments.amount,
        frozenset(arguments.ids),
    )


def number_of(name: str, names: tuple[str, ...]) -> int:
    """The number of a processor. Raises SegmentError."""
    if name not in names:
        raise SegmentError(f"the engine has no processor called {name}, but {', '.join(names)}")
    return names.index(name)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", type=_identity, nargs="*", help="correlationIds (all dead letters)")
    parser.add_argument("--state", choices=(UNKNOWN, FAILED), help="only these")
    parser.add_argument("--processor", metavar="NAME", help="only those that were last sent there")
    parser.add_argument("--why", choices=WHYS, metavar="REASON", help=f"only with this reason: {', '.join(WHYS)}")
    parser.add_argument("--older-than", type=_duration_ms, metavar="AGE", help="dead for longer: 90s, 10m, 2h, 3d")
    parser.add_argument("--amount", type=_amounts, metavar="A[..B]", help="of this amount, or from A to B")


def _identity(word: str) -> tuple[int, int]:
    try:
        return halves(uuid.UUID(word).bytes)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word!r} is no correlationId") from error


def _duration_ms(word: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", word)
    if found is None:
        raise argparse.ArgumentTypeError(f"{word!r} is no age like 90s, 10m, 2h or 3d")
    return int(found[1]) * _UNITS_MS[found[2]]


def _amounts(word: str) -> tuple[int, int]:
    low, dots, high = word.partition("..")
    return (_cents(low) if low else 0), (_cents(high) if high else CENTS_MAX if dots else _cents(low))


def _cents(word: str) -> int:
    try:
        cents = Decimal(word) * 100
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{word!r} is no amount like 19.90") from error
    if not cents.is_finite() or cents != int(cents) or not 0 <= cents <= CENTS_MAX:
        raise argparse.ArgumentTypeError(f"{word!r} is no amount like 19.90")
    return int(cents)


def _words(word: str) -> str:
    if not word.strip() or len(word) > WORDS_MAX:
        raise argparse.ArgumentTypeError(f"write something, and {WORDS_MAX} characters at most")
    return word


def _rate(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= RATE_MAX:
        raise argparse.ArgumentTypeError(f"from 1 to {RATE_MAX} payments a second")
    return int(word)
