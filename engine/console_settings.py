"""The variables of what operators see and do; see :mod:`engine.settings` and :mod:`engine.console`."""

from __future__ import annotations

from dataclasses import dataclass

from engine.variables import variable


# fmt: off
@dataclass(frozen=True)
class ConsoleSettings:
    """What operators see, and where."""

    metrics: bool = variable(
        "ENGINE_METRICS", True, "", 0, 1,
        "1: every process counts what it does and how long it takes, in shared memory, for `/metrics` and the ledger.",
    )
    console: bool = variable(
        "ENGINE_CONSOLE", False, "", 0, 1,
        "1: `up` starts the console, which serves operators, and `/metrics`.",
    )
    host: str = variable(
        "ENGINE_CONSOLE_HOST", "127.0.0.1", "", 1, 255,
        "The address at which the console listens. Nobody needs a key for `/metrics`: keep it away from the public.",
        "printable",
    )
    port: int = variable(
        "ENGINE_CONSOLE_PORT", 9998, "TCP port", 1, 65_535,
        "Where the console listens.",
    )
    keys_file_set: str = variable(
        "ENGINE_CONSOLE_KEYS_FILE", "", "", 0, 200,
        "Who may sign in to the console; empty: `NAME-console-keys` in ENGINE_DATA_DIR, or else in ENGINE_RUN_DIR.",
    )
    origins: str = variable(
        "ENGINE_CONSOLE_ORIGINS", "", "", 0, 1000,
        "From which other origins pages may use the console's API, with a key and never with a session; empty: none.",
        "origins",
    )
    four_eyes_cents: int = variable(
        "ENGINE_FOUR_EYES_CENTS", 0, "cents", 0, 10**15,
        "A second treasurer must confirm an act of the console on more money than this; 0: on none.",
    )
# fmt: on
