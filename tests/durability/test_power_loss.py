"""What ENGINE_DURABILITY=sync promises if power is lost between any two stores or syncs, again and again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engine.books import writer
from engine.intake.committer import Committer
from engine.memory import layout
from engine.memory.words import Words
from engine.storage import durability
from engine.storage.durability import Keeping, Syncing
from engine.storage.segment import Segment
from tests.durability.machine import Machine, Mutant, small_settings

SEEDS = range(130)
STEPS = 120
LOSSES = 5
REFUSED_SEEDS = range(200, 270)
MUTANT_SEEDS = range(600)  # the mutant must be found within this many
TORN_SEED = 39  # shows a torn log that is trusted; when a seed draws something else by now, all are searched


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the life of a machine."""
    settings = small_settings(tmp_path)

    def run(seed: int, mutant: Mutant | None = None, *, refuses: bool = False) -> None:
        machine = Machine(seed, settings, mutant, refuses=refuses)
        machine.take_the_place(monkeypatch)
        machine.live(STEPS, LOSSES)

    return run


def test_nothing_promised_is_lost_torn_or_charged_twice_wherever_the_power_goes(live: Callable[..., None]) -> None:
    for seed in SEEDS:
        try:
            live(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.timeout(300)
def test_nothing_promised_is_lost_when_the_disk_refuses_a_ring_and_the_machine_goes_on(
    live: Callable[..., None],
) -> None:
    for seed in REFUSED_SEEDS:
        try:
            live(seed, refuses=True)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_ring_that_is_taken_as_it_is_after_that_is_found(
    live: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability.Sync, "api_takes", lambda *_: None)
    assert find_seed(lambda seed: live(seed, refuses=True)) is not None


class SendsBeforeSync(Syncing):
    """Sends before it is on disk where each payment goes."""

    def __init__(self, books: Segment, rings: Sequence[Segment]) -> None:
        super().__init__(books, rings)
        self.before_books = super().before_sends

    def before_sends(self) -> None:
        """Leaves it out."""


class LeavesOut(Syncing):
    """Leaves out a sync of the books' writer.

    ``is_skipped``: told by the length of the log and whether it is being applied.
    """

    def __init__(self, books: Segment, rings: Sequence[Segment], is_skipped: Callable[[int, bool], bool]) -> None:
        super().__init__(books, rings)
        self.before_books = lambda: self._sync_partly(books.words, is_skipped)

    def _sync_partly(self, words: Words, is_skipped: Callable[[int, bool], bool]) -> None:
        if not is_skipped(words[layout.BOOKS_REDO_COUNT_AT], bool(words[layout.BOOKS_VERSION_AT] & 1)):
            self.before_sends()


def send_before_sync(books: Segment, rings: Sequence[Segment]) -> Keeping:
    return SendsBeforeSync(books, rings)


def apply_before_the_log_is_synced(books: Segment, rings: Sequence[Segment]) -> Keeping:
    return LeavesOut(books, rings, lambda count, is_odd: count > 0 and not is_odd)


def give_the_log_up_before_it_is_done_on_disk(books: Segment, rings: Sequence[Segment]) -> Keeping:
    return LeavesOut(books, rings, lambda count, is_odd: count > 0 and is_odd)


@pytest.mark.parametrize(
    "mutant",
    [
        send_before_sync,
        apply_before_the_log_is_synced,
        give_the_log_up_before_it_is_done_on_disk,
    ],
)
def test_a_sync_that_the_dispatcher_leaves_out_is_found(live: Callable[..., None], mutant: Mutant) -> None:
    assert find_seed(lambda seed: live(seed, mutant)) is not None


def answer_before_sync(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Committer) -> None:
        self._ring.release(self._ring.head)

    patch.setattr(Committer, "commit", commit)


def trust_any_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writer, "is_log_whole", lambda _: True)


@pytest.mark.timeout(600)  # it takes a minute and a half until a log is torn just so, and more beside other work
@pytest.mark.parametrize(
    "mutant",
    [
        answer_before_sync,
        trust_any_log,
    ],
)
def test_what_the_repair_relies_on_is_found_when_it_is_missing(
    live: Callable[..., None], monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    assert find_seed(live) is not None


def find_seed(run: Callable[[int], None]) -> int | None:
    """A seed that shows a fault."""
    for seed in itertools.chain([TORN_SEED], MUTANT_SEEDS):
        try:
            run(seed)
        except Exception:  # a broken promise, or an assertion of the engine itself
            return seed
    return None
