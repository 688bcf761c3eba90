"""``./engine.sh <command>`` (``python -m engine <command>`` in the image): the one entry point.

A command is a module with ``HELP``, ``configure(parser)`` and ``run(arguments) -> exit code``. Only the module of the
command that was asked for is imported, so that an API process does not carry what only the contest needs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

from engine.invocation import command
from engine.version import VERSION

PYTHON_MIN = (3, 11)
# What pip installs for the product (pyproject.toml).
PACKAGES = ("socketify", "orjson", "pycurl")
WITHOUT_PACKAGES = ("build",)

# By name: the module, and what it does.
PRODUCT = {
    "build": ("engine.intake.build", "compile the part of the intake that is not Python (`make setup` does it)"),
    "settings": ("engine.settings_table", "show all settings: their values, and what each of them does"),
    "up": ("engine.supervise.up", "start API processes, dispatcher and nginx on this machine"),
    "doctor": ("engine.doctor.command", "say what is wrong with a deployment, and what to do; run it after each one"),
    "status": ("engine.client.status", "say how the engine is, in words"),
    "pay": ("engine.client.pay", "pay as a shop would, and say where the payments were settled"),
    "api": ("engine.intake.command", "one API process (what `up` and the containers start)"),
    "dispatch": ("engine.dispatch.command", "the dispatcher (what `up` and the containers start)"),
    "agent": ("engine.cluster.command", "a cell's agent (what `up` starts with ENGINE_DURABILITY=cluster)"),
    "reset": ("engine.storage.command", "remove the memory of an engine that is not running, and what it holds"),
    "ledger": ("engine.ledger.command", "record every payment and attempt in SQL; `backup FILE` copies it"),
    "report": ("engine.ledger.report_command", "what the ledger knows: payments, attempts, latency, failures, by time"),
    "dead-letters": ("engine.operate.command", "payments that a person must decide: list, show, ask, retry, declare"),
    "processors": ("engine.operate.pausing", "pause a processor, which then gets no new payments, or resume it"),
    "reconcile": ("engine.reconcile.command", "hold the ledger against the processors' sums, down to the payment"),
    "console": ("engine.console.command", "serve /metrics to Prometheus, on a port for operators"),
    "nginx-log": ("engine.supervise.nginx_beside", "write and count what nginx refuses by itself (containers)"),
    "moved": ("engine.storage.moved", "say that a processor has a new address"),
}
OPS = (
    "alembic",
    "prometheus_client",
    "psycopg",
    "pysqlite3",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)  # packages that only some commands of the product need
LABORATORY = {
    "simulate": ("engine.lab.simulate.command", "simulated payment processors"),
    "contest": ("engine.lab.contest.command", "the contest, against port 9999"),
    "chaos": ("engine.lab.chaos.command", "a contest during which processes are killed and processors fail"),
    "dst": ("engine.lab.dst.command", "seeded simulations in virtual time, with crashes between any two stores"),
    "replay": (
        "engine.lab.replay.command",
        "a contest in virtual time: the routing, and others, against the best that was possible",
    ),
    "bench": (
        "engine.lab.bench.command",
        "the engine beside nginx that answers by itself: latency, CPU, memory, saturation",
    ),
    "tune": ("engine.lab.tune.command", "contests with different settings: which of them serve best"),
    "soak": (
        "engine.lab.soak.command",
        "pays for minutes or hours as fast as it is settled: memory, descriptors, latency and books stay flat",
    ),
}


def usage() -> str:
    """All commands."""
    lines = [f"usage: {command()} COMMAND [options]"]
    for title, commands in (("the engine", PRODUCT), ("the laboratory, which tries it", LABORATORY)):
        lines += ["", f"{title}:", *(f"  {name:12} {text}" for name, (_, text) in commands.items())]
    return "\n".join([*lines, "", f"`{command()} COMMAND --help` lists a command's options."])


def main(words: list[str]) -> int:
    """Runs the command named by ``words[0]`` with the rest as its options; returns the exit code."""
    if sys.version_info < PYTHON_MIN:
        print(
            f"engine: this Python ({sys.executable}) is older than 3.11. `{command(*words)}` takes the one in .venv, "
            "which `make setup` makes",
            file=sys.stderr,
        )
        return 2
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"engine {VERSION}")
        return 0
    name, options = words[0], words[1:]
    commands = PRODUCT | LABORATORY
    if name not in commands:
        print(f"engine: unknown command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    path = commands[name][0]
    absent = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if absent and name not in WITHOUT_PACKAGES:
        print(
            f"engine: this Python ({sys.executable}) has no {', '.join(absent)}. `{command(*words)}` takes the one in "
            ".venv, which `make setup` makes",
            file=sys.stderr,
        )
        return 2
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name in OPS:
            print(
                f"engine: {name} needs {error.name}: `make setup` installs it (requirements-ops.lock names all)",
                file=sys.stderr,
            )
            return 2
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        print(f"engine: {name} is not in this installation, such as the image: run it from a checkout", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog=command(name), description=module.HELP)
    module.configure(parser)
    result: int = module.run(parser.parse_args(options))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
