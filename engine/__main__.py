"""``python -m engine <command>``: the one entry point.

A command is a module with ``HELP``, ``configure(parser)`` and ``run(arguments) -> exit code``. Only the module of the
command that was asked for is imported, so that an API process does not carry what only the contest needs.
"""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "build": "engine.intake.build",
    "settings": "engine.settings_table",
    "up": "engine.supervise.up",
    "api": "engine.intake.command",
    "dispatch": "engine.dispatch.command",
    "reset": "engine.storage.command",
    "moved": "engine.storage.moved",
    "simulate": "engine.lab.simulate.command",
    "contest": "engine.lab.contest.command",
    "chaos": "engine.lab.chaos.command",
    "dst": "engine.lab.dst.command",
    "replay": "engine.lab.replay.command",
    "bench": "engine.lab.bench.command",
    "tune": "engine.lab.tune.command",
    "soak": "engine.lab.soak.command",
}
USAGE = """usage: python -m engine COMMAND [options]

commands:
  build      compile the part of the intake that is not Python (`make setup` does it)
  settings   what is set, and what everything that can be set does
  up         start API processes, dispatcher and nginx on this machine
  api        one API process (what `up` and the containers start)
  dispatch   the dispatcher (what `up` and the containers start)
  reset      remove the memory of an engine that is not running, and what it holds
  moved      say that a processor is the same under another address
  simulate   the two simulated payment processors
  contest    the contest, against port 9999
  chaos      a contest during which processes are killed and processors go wrong
  dst        seeded simulations in virtual time, with crashes between any two stores
  replay     a contest in virtual time: the routing, and others, against the best that was possible
  bench      the engine beside nginx that answers by itself: latency, CPU, memory, saturation
  tune       contests with different settings: which of them serve best
  soak       pays for minutes or hours as fast as it is settled: memory, descriptors, latency and books stay flat

`python -m engine COMMAND --help` lists a command's options."""


def main(words: list[str]) -> int:
    """Runs the command named by ``words[0]`` with the rest as its options; returns the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"engine: unknown command {words[0]!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    module = importlib.import_module(COMMANDS[words[0]])
    parser = argparse.ArgumentParser(prog=f"python -m engine {words[0]}", description=module.HELP)
    module.configure(parser)
    result: int = module.run(parser.parse_args(words[1:]))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
