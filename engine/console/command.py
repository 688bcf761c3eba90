"""``python -m engine console``: the operators' port."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import uvicorn

from engine import settings as settings_module
from engine.console import doors
from engine.console.app import Console
from engine.console.families import markdown
from engine.console.keys import Keys, KeysError, Role
from engine.logs import writing
from engine.logs.logger import Logger
from engine.settings import Settings

HELP = "Serves operators: the page, its API and /metrics, on ENGINE_CONSOLE_PORT, until SIGTERM or Ctrl-C."
NICE = 10  # behind what serves clients; the dispatcher and the ledger are behind it
FIRST_KEY = "owner"

log = Logger("engine.console")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/metrics.md instead")
    parser.add_argument("--first-key", action="store_true", help="make a key, and print it, while there is none")
    parser.set_defaults(act="serve")
    acts = parser.add_subparsers(dest="of", metavar="key")
    key = acts.add_parser("key", help="who may sign in").add_subparsers(dest="act", metavar="ACT", required=True)
    add = key.add_parser("add", help="make a key; it is printed once and kept nowhere")
    add.add_argument("name", help="whose it is")
    add.add_argument("--role", choices=[role.name.lower() for role in Role], required=True, help="what it may do")
    key.add_parser("remove", help="take a key away, and its sessions").add_argument("name", help="whose it is")
    key.add_parser("list", help="show names and roles")


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal, or does what the arguments say. Returns 0 after a clean end, 1 where it cannot go on, 2
    for bad settings.
    """
    if arguments.markdown:
        print(markdown())
        return 0
    writing.begin("console")
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return 2
    keys = Keys(settings.console_keys_file)
    try:
        if arguments.act != "serve":
            _manage(keys, arguments)
            return 0
        if arguments.first_key and not keys.all():
            text = keys.add(FIRST_KEY, Role.TREASURER)
            print(f"Console: {_address(settings)}, and its first key, which is shown this once: {text}\n", flush=True)
    except KeysError as error:
        writing.fail(error)
        return 1
    return _serve(settings)


def _manage(keys: Keys, arguments: argparse.Namespace) -> None:
    """Lists, adds or removes keys. Raises KeysError."""
    if arguments.act == "add":
        print(keys.add(arguments.name, Role[arguments.role.upper()]))
        print("That is the key. It is shown this once.", file=sys.stderr)
    elif arguments.act == "remove":
        keys.remove(arguments.name)
    else:
        for key in keys.all().values():
            print(f"{key.name:32}  {key.role.name.lower()}")


def _address(settings: Settings) -> str:
    host = settings.console.host
    return f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0', '::', '::1') else host}:{settings.console.port}"


def _serve(settings: Settings) -> int:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    os.nice(NICE)
    log.info("console_serves", url=_address(settings))
    server = uvicorn.Server(doors.config(Console(settings).app, settings.console.host, settings.console.port))
    try:
        server.run()
    except SystemExit:  # what it says when it cannot listen; the log has why
        return 1
    return 0
