"""What is noted of a run while it lasts: its series, how failures began, and how soon recoveries were found."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from engine.lab.replay.processor import ModelledProcessor
from engine.lab.replay.result import BIN_MS, Series
from engine.lab.replay.waiting import NEVER_US
from engine.lab.simulate.changes import SOON_MS, Onset, Recovery
from engine.routing.observed import ObservedProcessor

BIN_US = BIN_MS * 1000


class Notes:
    """Those of a run with ``processors`` that lasts until ``end_us``; answers take ``transit_us`` to arrive."""

    def __init__(self, processors: Sequence[ModelledProcessor], end_us: int, transit_us: int) -> None:
        self._courses = [processor.course for processor in processors]
        self._transit_us = transit_us
        self.settled = [0, 0]
        bins = end_us // BIN_US + 1
        self._begun_in = ([0] * bins, [0] * bins)
        self._settled_in = ([0] * bins, [0] * bins)
        self._waiting_at: list[int] = []
        self._in_flight_at: tuple[list[int], list[int]] = ([], [])
        self._sample_us = BIN_US
        self._onsets_us = [course.turns(to_failing=True) for course in self._courses]
        self._failures = [[[0, 0, 0] for _ in onsets] for onsets in self._onsets_us]  # caught, sent soon, sent later
        self._recoveries_us = [course.turns(to_failing=False) for course in self._courses]
        self._firsts_us: tuple[list[int | None], list[int | None]] = ([], [])
        self._recovery_us = [recoveries[0] if recoveries else NEVER_US for recoveries in self._recoveries_us]

    def sample(self, now_us: int, waiting: int, observed: Sequence[ObservedProcessor]) -> None:
        """Notes the state for every step of the series that is over."""
        while self._sample_us <= now_us:
            self._waiting_at.append(waiting)
            for processor, seen in enumerate(observed):
                self._in_flight_at[processor].append(seen.in_flight)
            self._sample_us += BIN_US

    def is_sample_due(self, now_us: int) -> bool:
        """Whether such a step is over."""
        return now_us >= self._sample_us

    def begun(self, now_us: int, processor: int) -> None:
        """A payment is sent to ``processor``."""
        self._begun_in[processor][now_us // BIN_US] += 1

    def settle(self, processor: int, inserted_us: int) -> None:
        """``processor`` had a payment at ``inserted_us``."""
        self.settled[processor] += 1
        self._settled_in[processor][inserted_us // BIN_US] += 1
        if inserted_us >= self._recovery_us[processor]:
            self._recovered(processor, inserted_us)

    def failed(self, processor: int, requested_us: int, answer_us: int, now_us: int) -> None:
        """An attempt has failed."""
        course = self._courses[processor]
        if not course.failing[course.index(answer_us - self._transit_us)]:
            return  # at random
        onsets_us = self._onsets_us[processor]
        onset = bisect_right(onsets_us, now_us - self._transit_us) - 1
        age_us = requested_us - onsets_us[onset]
        self._failures[processor][onset][0 if age_us < 0 else 1 if age_us < SOON_MS * 1000 else 2] += 1

    def _recovered(self, processor: int, inserted_us: int) -> None:
        recoveries_us, firsts_us = self._recoveries_us[processor], self._firsts_us[processor]
        newest = bisect_right(recoveries_us, inserted_us)
        firsts_us.extend([None] * (newest - 1 - len(firsts_us)))
        firsts_us.append(inserted_us)
        self._recovery_us[processor] = recoveries_us[newest] if newest < len(recoveries_us) else NEVER_US

    def series(self, accepted_us: Sequence[int]) -> Series:
        """The run in steps."""
        accepted_in = [0] * len(self._settled_in[0])
        for at_us in accepted_us:
            accepted_in[at_us // BIN_US] += 1
        return Series(accepted_in, self._begun_in, self._settled_in, self._waiting_at, self._in_flight_at)

    def onsets(self) -> list[Onset[int]]:
        """Each moment at which a processor began to fail, and what failed after it."""
        return [
            Onset(processor, at_us / 1_000_000, *counts)
            for processor, onsets_us in enumerate(self._onsets_us)
            for at_us, counts in zip(onsets_us, self._failures[processor], strict=True)
        ]

    def recoveries(self) -> list[Recovery[int]]:
        """Each moment at which a processor stopped failing, and how soon a payment was settled there."""
        recoveries = list[Recovery[int]]()
        for processor, recoveries_us in enumerate(self._recoveries_us):
            firsts_us = self._firsts_us[processor]
            for number, at_us in enumerate(recoveries_us):
                first_us = firsts_us[number] if number < len(firsts_us) else None
                first_ms = None if first_us is None else (first_us - at_us) / 1000
                recoveries.append(Recovery(processor, at_us / 1_000_000, first_ms))
        return recoveries
