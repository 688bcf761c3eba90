"""What the stub keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from engine.cluster.values import Discrepancy, Entry, Kept, Kind, Outcome, Question

MINUTE_MS: Final = 60_000


@dataclass
class CellState:
    """A cell."""

    number: int
    name: str
    place: bytes
    life: bytes
    epoch: int
    begin: int = 0
    end: int = 0
    told_ms: int = 0
    entries: list[tuple[Entry, int]] = field(default_factory=list)  # each with the store's clock when it came
    sums: dict[tuple[Kind, int, int], tuple[int, int]] = field(default_factory=dict)

    def tell(self, cents: int, outcome: Outcome, now_ms: int) -> int:
        """Puts an outcome into the sequence; returns its place there."""
        self.end += 1
        self.entries.append((Entry(self.end, cents, outcome), now_ms))
        return self.end

    def fold(self, entries: Iterable[Entry]) -> None:
        """Adds entries to the sums."""
        for entry in entries:
            outcome = entry.outcome
            key = (outcome.kind, outcome.processor, outcome.requested_ms // MINUTE_MS * MINUTE_MS)
            payments, cents = self.sums.get(key, (0, 0))
            self.sums[key] = (payments + 1, cents + entry.cents)
            self.begin = entry.sequence


@dataclass
class EpochState:
    """One life of a cell."""

    number: int
    cell: int
    until_ms: int
    holder: int
    is_over: bool = False


@dataclass
class PaymentState:
    """A payment, where its outcome is (cell and sequence), and the acts that have reopened it."""

    kept: Kept
    at: tuple[int, int] | None = None
    acts: set[bytes] = field(default_factory=set)


@dataclass
class State:
    """All that the store keeps."""

    era: int = 1
    cells: dict[int, CellState] = field(default_factory=dict)
    epochs: dict[int, EpochState] = field(default_factory=dict)
    payments: dict[bytes, PaymentState] = field(default_factory=dict)
    discrepancies: list[tuple[Discrepancy, int]] = field(default_factory=list)
    discrepancy: int = 0  # the newest number
    questions: dict[int, Question] = field(default_factory=dict)

    def take_over(self, epoch: int, holder: int) -> None:
        """An epoch is over, and another one holds what it held."""
        self.epochs[epoch].is_over = True
        for one in self.epochs.values():
            if one.holder == epoch:
                one.holder = holder
