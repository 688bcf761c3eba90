"""How quick the dispatcher and audits are, as measured."""

from __future__ import annotations

from dataclasses import dataclass

from engine.intake import window
from engine.lab.replay.model import Spread

# What differs from audit to audit was measured with 576 of them: 24 of :class:`engine.lab.contest.timetable.Auditor`,
# each asking every 10 s, as in a contest, of `up` and `simulate` with 250 payments/s of k6. Copies of
# both noted the time in `engine/intake/server.py` (around BooksReader.window), `engine/lab/simulate/routes.py` (before
# PaymentStore.totals), `engine/lab/simulate/behaviour.py` (before PaymentStore.insert) and
# `engine/dispatch/dispatcher.py` (after BooksWriter.commit), each as time.monotonic_ns(). In 120 s with both healthy,
# and 130 s with a default that takes 2 s and a fallback that fails, so that the engine must listen for every answer; of
# the second's 300 audits 27 differed. The same scenario replayed (`./engine.sh replay FILE`, audit.every_s =
# 0.4167): 28 of 305, mean of eight.
ASKED_LATER = Spread(
    (
        (0.0, -4456), (0.01, -2002), (0.05, -1221), (0.1, -867), (0.25, -488), (0.5, 389),
        (0.75, 890), (0.9, 1459), (0.95, 1676), (0.99, 2393), (1.0, 3939),
    )
)  # fmt: skip
# By how much the measured times from an insertion to our books (0.53, 0.88, 1.75, 3.3 ms are the quantiles 10, 50, 90,
# 99 of 32,942 payments) are longer than the pace alone makes them (0.46 to 0.83 ms).
BOOKED_LATER = Spread(
    (
        (0.0, 0), (0.1, 20), (0.25, 80), (0.5, 300), (0.75, 640), (0.9, 1150),
        (0.95, 1500), (0.99, 2500), (0.999, 4700), (1.0, 13000),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """What the dispatcher takes, in µs, on the 2-core development machine that it shares with the processors and k6.

    Parameters:
      pass_us: of its CPU for a pass in which nothing happens.
      begin_us, end_us: for each attempt that is begun, that ends. With ``pass_us`` they give what was measured when the
        pause between two passes was always 4 ms: 180 µs a payment in the preview (one in each pass), and 7,000/s in a
        burst of 10,000 (64 in each).
      wake_us: from the event that it sleeps for until it is awake.
      asked_later: at an audit's "same moment", how much later than the engine's books a processor's are read, or how
        much earlier (a third of them); each processor has a value of its own at each audit.
      booked_later: the payments that a pass has settled are in the books so much later than all of this gives; at each
        audit it is another value.
      held_us: how much later the engine's books are read while it must listen; its timers are up to a millisecond late.
    """

    pass_us: int = 90
    begin_us: int = 45
    end_us: int = 35
    wake_us: int = 100
    asked_later: Spread = ASKED_LATER
    booked_later: Spread = BOOKED_LATER
    held_us: int = window.HELD_MS * 1000 + 500
