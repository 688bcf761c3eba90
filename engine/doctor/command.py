"""``./engine.sh doctor``: looks at a deployment from inside and from outside, and says what is wrong."""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import time

from engine import settings as settings_module
from engine.doctor import finding, machine, processors, running
from engine.doctor import settings as settings_checks
from engine.doctor.finding import Finding, Grade, good, wrong
from engine.settings import Settings

HELP = "Say what is wrong with this deployment, and what to do. Nothing is changed, and nothing paid but with --pay."
LEDGER_SECONDS = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    option = parser.add_argument
    option("--pay", action="store_true", help=f"pay {running.PAY_AMOUNT}, really, and wait until it is charged")
    option("--host", default="127.0.0.1", help="where nginx is, if not on this machine (default: %(default)s)")
    option("--retry-hours", type=float, metavar="H", help="for how long shops send a payment again")
    option("--rate", type=float, metavar="N", help="payments a second, with --retry-hours")
    option("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; 0 if nothing is wrong, 1 if something is."""
    logging.basicConfig(level=logging.ERROR)
    found = look(arguments)
    print(json.dumps(finding.document(found), indent=2) if arguments.json else finding.text(found))
    return 0 if finding.is_well(found) else 1


def look(arguments: argparse.Namespace) -> list[Finding]:
    """All findings."""
    try:
        settings = settings_module.read(os.environ)
        settings_module.check_routable(settings)
    except settings_module.SettingsError as error:
        return [
            wrong(settings_checks.NAME, problem, "correct it: no process starts with it") for problem in error.problems
        ]
    found = settings_checks.look(settings)
    found.append(settings_checks.look_at_memory(settings, arguments.retry_hours, arguments.rate))
    found += machine.look(settings)
    inside = running.look_inside(settings, _wall_ms)
    found += inside
    is_asking = any(one.name == "dispatcher" and one.grade is Grade.GOOD for one in inside)
    found += processors.look(settings, is_asking)
    found += running.look_outside(settings, arguments.host, arguments.pay)
    if settings.ledger.is_on:
        found.append(ledger(settings))
    return found


def ledger(settings: Settings) -> Finding:
    """Whether the ledger can be read, and is this engine's."""
    name = "ledger"
    missing = [one for one in ("alembic", "sqlalchemy") if importlib.util.find_spec(one) is None]
    if missing:
        return wrong(name, f"{' and '.join(missing)} is not installed here", "install requirements-ops.lock")
    from engine.ledger.command import opened  # only with the packages of `ops`
    from engine.ledger.errors import LedgerError

    try:
        opened(settings, LEDGER_SECONDS).close()
    except LedgerError as error:
        return wrong(name, str(error), "see docs/ledger.md; payments are accepted and settled all the same")
    return good(name, "it can be read, and is this engine's")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
