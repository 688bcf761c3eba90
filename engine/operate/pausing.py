"""``./engine.sh processors``: which of them are paused; pause one, or resume it."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from engine import settings as settings_module
from engine.correlation import halves
from engine.memory.acts_layout import Act, Command, Result
from engine.operate import memory
from engine.operate.carrying import SENTENCES
from engine.operate.command import add_reasons, new_action, number_of, performed, reporting, shown
from engine.settings import Settings

HELP = "Which processors are paused. A paused one gets no new payments; what is in flight there is finished."
ACTS = {"pause": Act.PAUSE, "resume": Act.RESUME}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    dos = parser.add_subparsers(dest="do", metavar="ACT", required=True)
    dos.add_parser("list", help="show them")
    for word, meaning in (("pause", "no new payments go there"), ("resume", "they go there again")):
        one = dos.add_parser(word, help=meaning, description=meaning)
        one.add_argument("name", metavar="PROCESSOR", help="its name")
        add_reasons(one)


def run(arguments: argparse.Namespace) -> int:
    """Shows or acts. Returns 0 when it was done, 1 when not, 2 for bad settings."""
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    return reporting(partial(_list if arguments.do == "list" else _act, settings, arguments))


def _list(settings: Settings, _: argparse.Namespace) -> int:
    paused = memory.paused(settings)
    for number, name in enumerate(memory.names(settings)):
        print(f"{name:20} {'paused' if paused >> number & 1 else 'takes payments'}")
    return 0


def _act(settings: Settings, arguments: argparse.Namespace) -> int:
    act, number = ACTS[arguments.do], number_of(arguments.name, memory.names(settings))
    action = new_action(arguments, act, number, "")
    outcome = performed(settings, action, [], [Command(act, *halves(action.id), processor=number)], 1)
    print(f"action {shown(action)}")
    if outcome.unheard:
        print("  no result. Is the dispatcher up? It is done when it is back")
        return 1
    ((_, carried),) = outcome.done
    print(f"  {arguments.name}: {SENTENCES[Result(carried.result)]}")
    return 0 if carried.result == Result.DONE else 1
