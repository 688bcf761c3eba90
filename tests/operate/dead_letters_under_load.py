"""What acts on dead letters cost those who pay: ``python -m tests.operate.dead_letters_under_load [--letters 500]``.

A real engine has dead letters of all kinds, and payments come all the time, from a process of their own. In each round
one stretch goes by without acts and one with them: everything that is unsafe is put again and again, and what is not
charged is looked up again and again. Then everything that is safe is done. The exit status is 1 if a promise did not
hold. ``--cancel`` waits for the ten minutes after which letters may be cancelled, and cancels them.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from statistics import median

from engine.acts import rules
from engine.lab.contest.samples import percentile
from tests.operate.deciding import cancel, check_conservation, decide
from tests.operate.letters import ACTS, CONTRADICTION, NOT_CHARGED, Letters, letters
from tests.operate.paying import paying

DEAD_S = 15  # long enough for ten lookups


def main() -> None:
    """Plays the rounds."""
    parser = argparse.ArgumentParser()
    option = parser.add_argument
    option("--letters", type=int, default=500)
    option("--rounds", type=int, default=5)
    option("--seconds", type=float, default=10, help="of each stretch")
    option("--rate", type=float, default=300, help="payments a second")
    option("--cancel", action="store_true")
    options = parser.parse_args()
    with letters(options.letters, DEAD_S) as made:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(made.kinds.values()).items()))
        print(f"{len(made.kinds)} dead letters: {kinds}", flush=True)
        rounds = [_round(made, number, options.rate, options.seconds) for number in range(options.rounds)]
        if rounds:
            without, beside = (median(p99s) for p99s in zip(*rounds, strict=True))
            print(
                f"p99 of accepting, median: {without:.2f} ms without acts, {beside:.2f} ms with, {beside / without:.2f}"
            )
        with paying(made.engine.port, options.rate):
            decide(made)
        check_conservation(made)
        print("every unsafe act was refused with its reason, every safe one done once, as its dry run had said")
        if options.cancel:
            time.sleep(rules.UNDER_WAY_MS / 1000)
            cancel(made)
            print("and what is not charged was cancelled after its ten minutes, once")


def _round(made: Letters, number: int, rate: float, seconds: float) -> tuple[float, float]:
    """The p99 in ms of a stretch without acts, and of one with them; which comes first changes."""
    p99s = dict[bool, float]()
    for is_acting in (False, True) if number % 2 == 0 else (True, False):
        count = 0
        with paying(made.engine.port, rate) as times_ms:
            end_s = time.monotonic() + seconds
            while time.monotonic() < end_s:
                count += _act(made) if is_acting else 0
                time.sleep(0 if is_acting else seconds / 10)
        p99s[is_acting] = percentile(sorted(times_ms), 0.99)
        what = f"{count} commands" if is_acting else "no acts"
        print(f"round {number}: {len(times_ms)} payments, {what}: p99 {p99s[is_acting]:.2f} ms", flush=True)
    return p99s[False], p99s[True]


def _act(made: Letters) -> int:
    """Puts all that is unsafe, and looks up what is not charged; how many commands that were."""
    count = 0
    for act in ACTS:
        expected, became = made.forced(act)
        assert became == expected
        count += became.total()
    return count + made.command("ask", *made.of(NOT_CHARGED, CONTRADICTION)).results.total()


if __name__ == "__main__":
    main()
