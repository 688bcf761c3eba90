"""``python -m engine ledger``: what is done with the ledger's database."""

from __future__ import annotations

import argparse
import os
import sys

from engine import settings as settings_module
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError
from engine.settings import Settings

HELP = "The ledger's database."
LIMIT_SECONDS = 3600.0  # a backup may take long


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    commands = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    backup = commands.add_parser("backup", help="write a copy of the ledger to a new file, while the engine runs")
    backup.add_argument("file", help="the new file")


def run(arguments: argparse.Namespace) -> int:
    """Carries out the act; 1 if it could not be done."""
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        database = opened(settings)
        try:
            database.backup(os.path.abspath(arguments.file))
        finally:
            database.close()
    except LedgerError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    print(f"the ledger is in {arguments.file}")
    return 0


def opened(settings: Settings, limit_s: float = LIMIT_SECONDS) -> Database:
    """The ledger of these settings, to read. Raises LedgerError."""
    return open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True, limit_s=limit_s)
