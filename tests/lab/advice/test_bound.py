"""The oracle of a recorded window is that of the replay where both can be asked, and the best of all choices else."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import settings as settings_module
from engine.lab.advice.bound import _heaviest, most
from engine.lab.advice.played import Window
from engine.lab.advice.record import Pause, read
from engine.lab.replay.oracle import best
from tests.lab.advice.recording import opened, record
from tests.lab.replay.scenes import WELL, failing, scenario, slow
from tests.ledger.making import NOW_MS

SLOTS = 4
tasks = st.lists(st.tuples(st.integers(0, 5), st.integers(0, SLOTS + 1)), max_size=7)


@settings(max_examples=150, deadline=None)
@given(tasks, st.lists(st.integers(0, 2), min_size=SLOTS, max_size=SLOTS))
def test_the_greatest_sum_of_weights_that_fits_is_found(weighed: list[tuple[int, int]], room: list[int]) -> None:
    left = [sum(room[slot:]) for slot in range(SLOTS)]
    weights, ready = [weight for weight, _ in weighed], [slot for _, slot in weighed]

    def fits(numbers: tuple[int, ...]) -> bool:
        return all(
            sum(ready[number] >= slot for number in numbers) <= (left[slot] if slot < SLOTS else 0)
            for slot in range(SLOTS + 2)
        )

    sets = [some for size in range(len(weights) + 1) for some in combinations(range(len(weights)), size) if fits(some)]
    taken = _heaviest(weights, ready, left)
    assert fits(tuple(taken)) and len(set(taken)) == len(taken)
    assert sum(weights[number] for number in taken) == max(sum(weights[number] for number in some) for some in sets)


def test_it_is_the_replays_oracle_where_all_payments_are_alike(tmp_path: Path) -> None:
    # Both fail in the end, so that some cannot be settled; default is too slow to be in time for the last before.
    scene = scenario((2.0, failing(), WELL), (4.0, WELL, WELL), (6.0, slow(500), WELL), (8.0, failing(), failing()),
                     users=40, seconds=10.0)  # fmt: skip
    database = opened(f"sqlite:///{tmp_path}/ledger.db")
    _, end_ms = record(database, scene, settings_module.read({}))
    window = Window(read(database, NOW_MS, end_ms))
    database.close()
    earned = most(window)
    ideal = best(scene, [one.accepted_ms - NOW_MS for one in window.counted], window.model, end_ms - NOW_MS)
    cents = window.counted[0].cents
    assert ideal.left > 0
    # The recorded changes are known to some hundredths of a second.
    assert abs(window.requested_cents - earned.earned_cents - earned.fee_cents - ideal.left * cents) <= 4 * cents
    assert abs(Decimal(earned.earned_cents) / 100 - ideal.net) <= ideal.net / 100

    # A processor that is paused all the time earns nothing, whatever the oracle knows.
    paused = window.record._replace(pauses=(Pause(window.record.begin_ms, 0, True),))
    dear = most(Window(paused))
    assert dear.fee_cents == round((dear.earned_cents + dear.fee_cents) * 0.15)
    assert dear.earned_cents < earned.earned_cents
