"""``python -m engine dst``: seeds of the simulation, one or many."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter

from engine.invocation import command
from engine.lab.dst.mutants import MUTANTS, mutated
from engine.lab.dst.reach import reached
from engine.lab.dst.seed import Result, run_seed

HELP = "Deterministic simulation: the engine's deciding code through crashes and faults that follow from a seed."
FAILURES_MAX = 10  # failing seeds after which a range is given up
PROGRESS_S = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run one seed, and tell what happened if it fails")
    which.add_argument("--seeds", type=_range, metavar="A:B", help="run the seeds from A to before B")
    parser.add_argument(
        "--trace", action="store_true", help="with --seed: print everything that happened, and its hash"
    )
    parser.add_argument("--reached", action="store_true", help="with --seeds: count how often each thing has happened")
    mutants = "; ".join(f"{name}: {mutant.text}" for name, mutant in MUTANTS.items())
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help=f"with a bug put in ({mutants})")


def run(arguments: argparse.Namespace) -> int:
    """Runs the seeds; 1 when one has failed."""
    with mutated(arguments.mutant) if arguments.mutant else contextlib.nullcontext():
        if arguments.seed is None:
            return _run_many(arguments.seeds, arguments.mutant, arguments.reached)
        result = run_seed(arguments.seed)
    if arguments.trace:
        print("\n".join(result.world.trace.lines(result.world.plan.start_ms)))
    if result.failure is not None:
        _tell(result, arguments.mutant)
    else:
        print(f"seed {arguments.seed} passed")
    print(f"trace {result.world.trace.digest()}")
    return int(result.failure is not None)


def _run_many(seeds: range, mutant: str | None, is_counted: bool) -> int:
    begun_s = shown_s = time.monotonic()
    failed = 0
    done = 0
    counts: Counter[str] = Counter()
    for done, seed in enumerate(seeds, 1):
        result = run_seed(seed)
        if result.failure is not None:
            failed += 1
            if failed == 1:
                _tell(result, mutant)
            else:
                print(f"seed {seed} FAILED: {result.failure}\n  {_again(seed, mutant)}", flush=True)
        if is_counted:
            counts += reached(result.world)
        now_s = time.monotonic()
        if now_s - shown_s >= PROGRESS_S:
            shown_s = now_s
            print(_progress(done, len(seeds), failed, now_s - begun_s), file=sys.stderr)
        if failed == FAILURES_MAX:
            print(f"{FAILURES_MAX} seeds have failed: given up at seed {seed}")
            break
    for what, count in sorted(counts.items()):
        print(f"{count:>8}  {what}")
    print(_progress(done, len(seeds), failed, time.monotonic() - begun_s))
    return int(failed > 0)


def _tell(result: Result, mutant: str | None) -> None:
    print(
        f"seed {result.seed} FAILED: {result.failure}\n{result.account}\nagain: {_again(result.seed, mutant)}",
        flush=True,
    )


def _again(seed: int, mutant: str | None) -> str:
    return f"{command('dst')} --seed {seed}" + (f" --mutant {mutant}" if mutant else "")


def _progress(done: int, of: int, failed: int, took_s: float) -> str:
    return f"{done} of {of} seeds, {failed} failed, {took_s:.1f} s, {done / max(took_s, 0.001):.0f} seeds/s"


def _range(text: str) -> range:
    begin, _, end = text.partition(":")
    try:
        seeds = range(int(begin), int(end))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0:1000") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed")
    return seeds
