"""Each second has its row: sums, and percentiles that are those of its own payments."""

from __future__ import annotations

from engine.ledger.rows import SampleRow
from engine.ledger.samples import Samples
from engine.memory import metrics_layout as layout
from engine.memory.words import zeros
from engine.metrics import times
from engine.metrics.accepting import accepting
from tests.ledger import making


class Pages:
    """What two API processes have counted."""

    def __init__(self) -> None:
        self._words = zeros(layout.METRICS_WORDS)

    def accept(self, index: int, *took_us: int) -> list[int]:
        for us in took_us:
            times.note(self._words, layout.api_at(index) + layout.API_ACCEPTING, us)
        return accepting(self._words, 2)


def test_accepting_is_that_of_the_second_and_of_all_processes_together() -> None:
    samples, pages = Samples(), Pages()
    pages.accept(0, *[9_000_000] * 5)  # long before
    assert samples.look(1000, 5, 0, 5, [], pages.accept(0)) == ()
    assert samples.look(1500, 55, 0, 55, [], pages.accept(0, *[200] * 50)) == ()
    assert samples.look(1900, 105, 0, 105, [], pages.accept(1, *[5000] * 50)) == ()
    (row,) = samples.look(2000, 105, 0, 105, [], pages.accept(1))
    assert (row.accepted, row.accept_p50_us, row.accept_p99_us) == (100, 208, 5120)
    samples.look(2100, 106, 0, 106, [], pages.accept(0, 1000))
    (row,) = samples.look(3000, 106, 0, 106, [], pages.accept(0))
    assert (row.accepted, row.accept_p50_us, row.accept_p99_us) == (1, 1024, 1024)


def test_a_second_in_which_nothing_was_accepted_has_no_percentiles() -> None:
    samples, pages = Samples(), Pages()
    samples.look(1000, 1, 0, 1, [], pages.accept(0, 300))
    (row,) = samples.look(2000, 1, 0, 1, [], pages.accept(0))
    assert (row.accept_p50_us, row.accept_p99_us) == (None, None)


def test_without_metrics_and_after_they_were_made_anew_the_percentiles_of_accepting_are_missing() -> None:
    samples = Samples()
    samples.look(1000, 0, 0, 0, [])
    (row,) = samples.look(2000, 3, 0, 3, [])
    assert row == SampleRow(1000, 1, 0, 0, None, None, None, None, 3)
    samples.look(2100, 4, 0, 4, [], Pages().accept(0, *[300] * 9))
    samples.look(2900, 5, 0, 5, [], Pages().accept(0, 300))
    (row,) = samples.look(3000, 5, 0, 5, [], Pages().accept(0, 300))
    assert row.accept_p99_us is None


def test_settling_is_that_of_the_payments_that_were_carried() -> None:
    samples, begin_ms = Samples(), making.NOW_MS
    samples.look(begin_ms, 0, 0, 0, [])
    samples.look(begin_ms + 500, 10, 10, 0, [making.payment(number) for number in range(10)])
    (row,) = samples.look(begin_ms + 1000, 10, 10, 0, [])
    assert (row.settle_p50_us, row.settle_p99_us) == (20_000, 20_000)


def test_seconds_of_which_only_the_counters_were_looked_at_have_their_payments_when_those_are_carried() -> None:
    samples, begin_ms = Samples(), making.NOW_MS
    payments = [making.payment(1000 * second + number) for second in range(3) for number in range(10 + second)]
    samples.look(begin_ms, 2, 0, 2, [])  # two wait, and go on to wait
    samples.count(begin_ms + 1000, 12, 10)
    samples.count(begin_ms + 2000, 23, 21)
    made = samples.look(begin_ms + 3000, 35, 33, 2, payments)
    assert [(row.at_ms - begin_ms, row.accepted, row.settled, row.backlog) for row in made] == [
        (0, 0, 0, 2), (1000, 10, 10, 2), (2000, 11, 11, 2),
    ]  # fmt: skip
    assert {(row.settle_p50_us, row.settle_p99_us) for row in made} == {(20_000, 20_000)}
    assert samples.look(begin_ms + 3500, 35, 33, 2, []) == ()
