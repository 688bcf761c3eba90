"""What k6 wrote about each request: the client's side of the story. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.lab.contest.samples import ACCEPTED


@dataclass(frozen=True, slots=True)
class Sent:
    """A payment that was handed in.

    Parameters:
      correlation_id: its id.
      at_ms: when the answer came or was given up, epoch ms.
      status: of the answer, 0 when there was none.
      error: k6's code for what went wrong.
    """

    correlation_id: str
    at_ms: int
    status: int
    error: int

    @property
    def is_accepted(self) -> bool:
        """Whether the client was told that it is accepted."""
        return self.status in ACCEPTED

    @property
    def complaint(self) -> str:
        """What the client saw instead of an acceptance."""
        return f"status {self.status}" if self.status else f"k6 error {self.error}"


def read(lines: Iterable[str]) -> list[Sent]:
    """The requests among the lines that ``load.js`` writes."""
    words = (line.split() for line in lines)
    return [
        Sent(correlation_id, int(at_ms), int(status), int(error))
        for kind, at_ms, status, _, error, correlation_id in (line for line in words if len(line) == 6)
        if kind == "s"
    ]
