"""``python -m engine settings``: shows all settings, their values and their effects."""

from __future__ import annotations

import argparse
import os
import sys

from engine import settings as settings_module
from engine.logs.masking import mask_of
from engine.settings import VARIABLES, Settings
from engine.variables import Variable

HELP = "Show the settings in force; a * marks what differs from its default."
SECRETS = ("ENGINE_ADMIN_TOKEN", "ENGINE_PROCESSOR_TOKEN", "ENGINE_LEDGER_URL")
_mask = mask_of({})


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--markdown", action="store_true", help="print the table of tuning.md instead: all variables")


def run(arguments: argparse.Namespace) -> int:
    """Prints the settings; returns 2 if they cannot be used."""
    if arguments.markdown:
        print(markdown())
        return 0
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    print("\n".join(in_force(settings)))
    return 0


def in_force(settings: Settings) -> list[str]:
    """A line for each variable: its value, unit and effect, with a ``*`` before it if it is not the default, which
    stands at the end then. The last line says how many differ."""
    shown = {variable: _shown(variable, settings.value(variable)) for variable in VARIABLES}
    widths = max(len(variable.name) for variable in VARIABLES), max(map(len, shown.values()))
    changed = {variable for variable in VARIABLES if settings.value(variable) != variable.default}
    lines = [
        f"{'*' if variable in changed else ' '} {variable.name:{widths[0]}}  {text:{widths[1]}}  {variable.effect}"
        + (f" (default: {_shown(variable, variable.default)})" if variable in changed else "")
        for variable, text in shown.items()
    ]
    return [*lines, f"{len(changed)} of {len(VARIABLES)} differ from their defaults" + (": see *" if changed else "")]


def listed(settings: Settings) -> list[dict[str, str | bool]]:
    """Each variable as the console shows it; of a secret only whether it is set."""
    return [
        {
            "name": variable.name,
            "group": variable.group,
            "value": _shown(variable, settings.value(variable)),
            "default": _shown(variable, variable.default),
            "isChanged": settings.value(variable) != variable.default,
            "unit": variable.unit,
            "bounds": variable.bounds,
            "effect": variable.effect,
        }
        for variable in VARIABLES
    ]


def markdown() -> str:
    """All variables as a table in Markdown."""
    rows = ["| Variable | Default | Unit | Bounds | Effect |", "|---|---|---|---|---|"]
    for variable in VARIABLES:
        default = _text(variable.default)
        default = f"`{default}`" if default else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.unit} | {variable.bounds} | {variable.effect} |")
    return "\n".join(rows)


def _shown(variable: Variable, value: int | str | bool) -> str:
    if variable.name in SECRETS and value:
        return "(set)"
    value = _mask(value) if isinstance(value, str) else value  # an address may have a password
    return f"{_text(value)} {variable.unit}".strip() if _text(value) else "-"


def _text(value: int | str | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
