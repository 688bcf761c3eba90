"""``python -m engine dst``: seeds of the simulation, one or many."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from engine.invocation import command
from engine.lab.dst import mutants, reach, seed
from engine.lab.dst.cells import mutants as cells_mutants
from engine.lab.dst.cells import reach as cells_reach
from engine.lab.dst.cells import seed as cells_seed
from engine.lab.dst.outcome import Result

HELP = "Deterministic simulation: the engine's deciding code through crashes and faults that follow from a seed."
FAILURES_MAX = 10  # failing seeds after which a range is given up
PROGRESS_S = 2.0
CELLS_MAX = 8


class Simulation(NamedTuple):
    """One of the two: of an engine, or of cells and their store. ``options``: of the command, to run it again."""

    run_seed: Callable[[int], Result[Any]]
    mutated: Callable[[str], contextlib.AbstractContextManager[None]]
    reached: Callable[[Any], Counter[str]]
    options: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run one seed, and tell what happened if it fails")
    which.add_argument("--seeds", type=_range, metavar="A:B", help="run the seeds from A to before B")
    parser.add_argument(
        "--trace", action="store_true", help="with --seed: print everything that happened, and its hash"
    )
    parser.add_argument("--reached", action="store_true", help="with --seeds: count how often each thing has happened")
    parser.add_argument(
        "--cells",
        type=_cells,
        metavar="N",
        help="cells and their store instead of one engine: N cells, 0: as many as the seed draws",
    )
    all_mutants = mutants.MUTANTS | cells_mutants.MUTANTS
    texts = "; ".join(f"{name}: {mutant.text}" for name, mutant in all_mutants.items())
    parser.add_argument("--mutant", choices=sorted(all_mutants), metavar="NAME", help=f"with a bug put in ({texts})")


def run(arguments: argparse.Namespace) -> int:
    """Runs the seeds; 1 when one has failed, 2 when the mutant is none of this simulation."""
    known = mutants.MUTANTS if arguments.cells is None else cells_mutants.MUTANTS
    if arguments.mutant is not None and arguments.mutant not in known:
        print(f"{arguments.mutant} is a mutant of the other simulation, with or without --cells", file=sys.stderr)
        return 2
    simulation = _simulation(arguments.cells)
    with simulation.mutated(arguments.mutant) if arguments.mutant else contextlib.nullcontext():
        if arguments.seed is None:
            return _run_many(simulation, arguments.seeds, arguments.mutant, arguments.reached)
        result = simulation.run_seed(arguments.seed)
    if arguments.trace:
        print("\n".join(result.world.trace.lines(result.world.plan.start_ms)))
    if result.failure is not None:
        _tell(simulation, result, arguments.mutant)
    else:
        print(f"seed {arguments.seed} passed")
    print(f"trace {result.world.trace.digest()}")
    return int(result.failure is not None)


def _simulation(cells: int | None) -> Simulation:
    if cells is None:
        return Simulation(seed.run_seed, mutants.mutated, reach.reached)
    run_seed = partial(cells_seed.run_seed, cells=cells or None)
    return Simulation(run_seed, cells_mutants.mutated, cells_reach.reached, f" --cells {cells}")


def _run_many(simulation: Simulation, seeds: range, mutant: str | None, is_counted: bool) -> int:
    begun_s = shown_s = time.monotonic()
    failed = 0
    done = 0
    counts: Counter[str] = Counter()
    for done, number in enumerate(seeds, 1):
        result = simulation.run_seed(number)
        if result.failure is not None:
            failed += 1
            if failed == 1:
                _tell(simulation, result, mutant)
            else:
                print(f"seed {number} FAILED: {result.failure}\n  {_again(simulation, number, mutant)}", flush=True)
        if is_counted:
            counts += simulation.reached(result.world)
        now_s = time.monotonic()
        if now_s - shown_s >= PROGRESS_S:
            shown_s = now_s
            print(_progress(done, len(seeds), failed, now_s - begun_s), file=sys.stderr)
        if failed == FAILURES_MAX:
            print(f"{FAILURES_MAX} seeds have failed: given up at seed {number}")
            break
    for what, count in sorted(counts.items()):
        print(f"{count:>8}  {what}")
    print(_progress(done, len(seeds), failed, time.monotonic() - begun_s))
    return int(failed > 0)


def _tell(simulation: Simulation, result: Result[Any], mutant: str | None) -> None:
    again = _again(simulation, result.seed, mutant)
    print(f"seed {result.seed} FAILED: {result.failure}\n{result.account}\nagain: {again}", flush=True)


def _again(simulation: Simulation, number: int, mutant: str | None) -> str:
    return f"{command('dst')}{simulation.options} --seed {number}" + (f" --mutant {mutant}" if mutant else "")


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


def _cells(text: str) -> int:
    if not text.isdigit() or int(text) > CELLS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of cells from 0 to {CELLS_MAX}")
    return int(text)
