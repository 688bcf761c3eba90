"""Faults on demand: which payment goes wrong, in which way, the same again for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum

from engine.lab.simulate.wire import BadRequestError

COUNT_MAX = 1_000_000_000
WAIT_MS_MAX = 600_000
HANG_MS = 5_000
LATE_MS = 2_000


class Fault(StrEnum):
    """What can be made to go wrong with a payment. "After the insert" holds for a duplicate as well."""

    REJECT = "reject"  # 429 at once, as when too many are being handled
    RESET_BEFORE_INSERT = "reset_before_insert"  # connection reset, not charged
    RESET_AFTER_INSERT = "reset_after_insert"  # connection reset, charged
    HANG_BEFORE_INSERT = "hang_before_insert"  # silent for hang_ms, then closed, not charged
    HANG_AFTER_INSERT = "hang_after_insert"  # charged at once, silent for hang_ms, then closed
    LATE_INSERT = "late_insert"  # charged and answered late_ms later than it should be
    LATE_ANSWER = "late_answer"  # charged at once, answered late_ms later
    ERROR_BEFORE_INSERT = "error_before_insert"  # 500, not charged
    ERROR_AFTER_INSERT = "error_after_insert"  # 500, yet charged: no real processor does this
    NONSENSE = "nonsense"  # charged, 200 with a body that is broken JSON
    NONSENSE_HTML = "nonsense_html"  # charged, 200 with a page of HTML


class Faults:
    """Decides for each payment in turn: first the counts are used up, in the order given, then it is chance.

    Parameters:
        next_counts: how many of the next payments get each fault.
        probabilities: the chance of each fault for every payment after that; together at most 1.
        seed: of the random numbers.
        hang_ms, late_ms: how long a hang lasts, and how late is late.
    """

    def __init__(
        self,
        next_counts: Mapping[Fault, int] | None = None,
        probabilities: Mapping[Fault, float] | None = None,
        seed: int = 0,
        hang_ms: int = HANG_MS,
        late_ms: int = LATE_MS,
    ) -> None:
        self.next_counts = dict(next_counts or {})
        self.probabilities = dict(probabilities or {})
        self.seed = seed
        self.hang_ms = hang_ms
        self.late_ms = late_ms
        self._random = random.Random(seed)
        self._later: list[Fault] = [fault for fault in Fault if fault is not Fault.REJECT]

    def draw_reject(self) -> bool:
        """Whether the payment that just arrived is turned away."""
        return self._draw([Fault.REJECT]) is not None

    def draw(self) -> Fault | None:
        """What goes wrong with a payment whose delay is over; never `Fault.REJECT`."""
        return self._draw(self._later)

    def _draw(self, among: list[Fault]) -> Fault | None:
        for fault, count in self.next_counts.items():
            if fault in among and count > 0:
                self.next_counts[fault] = count - 1
                return fault
        chances = [(fault, self.probabilities[fault]) for fault in among if fault in self.probabilities]
        if chances:
            point = self._random.random()
            for fault, chance in chances:
                point -= chance
                if point < 0:
                    return fault
        return None


def parse_faults(fields: Mapping[str, object]) -> Faults | None:
    """Reads ``{"next": {fault: count}, "probability": {fault: 0..1}, "seed", "hang_ms", "late_ms"}``.

    Each part may be left out; with neither counts nor chances there are no faults: None. Raises
    `BadRequestError`.
    """
    unknown = fields.keys() - {"next", "probability", "seed", "hang_ms", "late_ms"}
    if unknown:
        raise BadRequestError(f"unknown: {', '.join(sorted(unknown))}")
    counts = {fault: _whole(count, fault, COUNT_MAX) for fault, count in _by_fault(fields, "next")}
    chances = {fault: _chance(chance, fault) for fault, chance in _by_fault(fields, "probability")}
    if sum(chances.values()) > 1.000001:
        raise BadRequestError("the probabilities are more than 1 together")
    faults = Faults(
        counts,
        chances,
        _whole(fields.get("seed", 0), "seed", 2**63 - 1),
        _whole(fields.get("hang_ms", HANG_MS), "hang_ms", WAIT_MS_MAX),
        _whole(fields.get("late_ms", LATE_MS), "late_ms", WAIT_MS_MAX),
    )
    return faults if counts or chances else None


def _by_fault(fields: Mapping[str, object], name: str) -> list[tuple[Fault, object]]:
    values = fields.get(name, {})
    if not isinstance(values, dict):
        raise BadRequestError(f"{name} is not an object")
    try:
        return [(Fault(fault), value) for fault, value in values.items()]
    except ValueError as error:
        raise BadRequestError(f"{error}; there are {', '.join(Fault)}") from None


def _whole(value: object, name: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadRequestError(f"{name} is not a whole number from 0 to {most}")
    return value


def _chance(value: object, name: str) -> float:
    if (type(value) is not float and type(value) is not int) or not 0 <= value <= 1:
        raise BadRequestError(f"{name} is not a number from 0 to 1")
    return value
