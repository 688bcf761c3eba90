"""As many payments as one side takes, once, without limits; and for the engine, how fast it settles what it took.

The loader is wrk (Debian's package of that name), which takes 8 us of CPU for a request with the kernel's part; k6
takes 57, and would leave the engine less than a core at 20,000 a second. Each connection sends its next payment when
the last one is answered.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.lab.bench.account import Account
from engine.lab.bench.books import Books
from engine.lab.bench.figures import SaturationRound, rates
from engine.lab.bench.ramp import Advance
from engine.lab.bench.sides import Side
from engine.lab.contest.samples import LoadError

SCRIPT = Path(__file__).with_name("wrk.lua")
# The floor answers 125,000/s to one thread of wrk and 94,000/s to two, which take the second core from each other.
THREADS = 1
OVERTIME_S_MAX = 15.0
LOOK_S = 1.0
POLL_S = 0.25
PEAK_WINDOW_S = 1.0
# The time limit of a drain: so much for every payment that was left, and the minimum on top of that.
DRAIN_S_PER_PAYMENT = 1 / 1500
DRAIN_S_MIN = 15.0
# Ring slots for this many payments a second while the load lasts, whichever ring they fall into.
PER_S_MAX = 60_000
RING_SLOTS_MAX = 4_194_304


@dataclass(frozen=True)
class Answers:
    """What wrk counted. ``broken``: connections that were lost with a request on them."""

    seconds: float
    answers: int
    refused: int
    broken: int
    latency_ms: dict[str, float]


def find_wrk() -> str:
    """Path of wrk. Raises LoadError."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk is missing: `make setup` (or apt-get install wrk); --saturation-seconds 0 does without")
    return found


def ring_slots(seconds: float, api_processes: int) -> int:
    """ENGINE_RING_SLOTS that hold all that can come in ``seconds``: a power of two, within the variable's bounds."""
    slots = 65_536
    while slots * api_processes < seconds * PER_S_MAX and slots < RING_SLOTS_MAX:
        slots *= 2
    return slots


def parse(text: str) -> Answers:
    """The last line of wrk's output, which is our script's. Raises LoadError."""
    try:
        said = json.loads(text.strip().rsplit("\n", 1)[-1])
        return Answers(
            seconds=float(said["seconds"]),
            answers=int(said["answers"]),
            refused=int(said["refused"]),
            broken=int(said["connect"] + said["read"] + said["write"]),
            latency_ms={name: float(said[f"{name}_ms"]) for name in ("p50", "p99", "max")},
        )
    except (ValueError, KeyError, TypeError):
        raise LoadError(f"wrk did not do its work; it said: {text[-500:]!r}") from None


def hold(
    side: Side, seconds: float, connections: int, books: Books | None, others: Mapping[str, int], advance: Advance
) -> SaturationRound:
    """One round: the load, and the drain after it.

    Parameters:
      side: runs, and has nothing to do.
      seconds: how long the load is on.
      connections: how many requests wrk has open at once.
      books: the engine's and the processors', both empty; None for the floor, which has none.
      others: as for ``ramp.hold``.
      advance: called now and then with the seconds since the last call.

    Raises LoadError, ServiceError.
    """
    before = Account(side, None, others)
    answers = _load(f"{side.origin}/payments", seconds, connections, advance)
    accepted = answers.answers - answers.refused
    unanswered = connections + answers.broken
    problems = [] if accepted else ["nothing was accepted"]
    if books is None:
        return SaturationRound(
            seconds=answers.seconds,
            accepted=accepted,
            refused=answers.refused,
            unanswered=unanswered,
            latency_ms=answers.latency_ms,
            others_cores=Account(side, None, others).others_cores_since(before),
            problems=tuple(problems),
        )
    began_s = time.monotonic()
    seen = [(0.0, books.processors.totals().count)]
    drain_s_max = DRAIN_S_MIN + max(accepted - seen[0][1], 0) * DRAIN_S_PER_PAYMENT
    # Until nothing is pending, and not until as many as were accepted are settled: some of the unanswered ones were
    # accepted too.
    while seen[-1][1] < accepted or books.engine.queues()[0]:
        if seen[-1][0] > drain_s_max:
            break
        time.sleep(POLL_S)
        seen.append((time.monotonic() - began_s, books.processors.totals().count))
        advance(seen[-1][0] - seen[-2][0])
    after = Account(side, None, others)
    problems += after.problems_since(before)
    problems += books.problems(accepted, accepted + unanswered, DRAIN_S_MIN)
    settled = books.processors.totals().count
    left, drain_s = seen[-1][1] - seen[0][1], seen[-1][0]
    return SaturationRound(
        seconds=answers.seconds,
        accepted=accepted,
        refused=answers.refused,
        unanswered=unanswered,
        latency_ms=answers.latency_ms,
        others_cores=after.others_cores_since(before),
        settled_while=seen[0][1],
        settled=settled,
        drain_s=drain_s,
        drain_per_s=left / drain_s if drain_s else 0.0,
        drain_peak_per_s=max(rates(seen, PEAK_WINDOW_S), default=0.0),
        problems=tuple(problems),
    )


def _load(url: str, seconds: float, connections: int, advance: Advance) -> Answers:
    command = [find_wrk(), "--threads", str(THREADS), "--connections", str(connections)]
    command += ["--duration", f"{round(seconds)}s", "--timeout", "10s", "--script", str(SCRIPT), url]
    command += ["--", secrets.token_hex(4)]
    deadline_s = time.monotonic() + seconds + OVERTIME_S_MAX
    # A session of its own, so that Ctrl-C reaches only this process.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            while True:
                try:
                    return parse(process.communicate(timeout=LOOK_S)[0])
                except subprocess.TimeoutExpired:
                    advance(LOOK_S)
                if time.monotonic() > deadline_s:
                    raise LoadError("wrk does not end")
        finally:
            process.kill()  # does nothing to one that has ended
