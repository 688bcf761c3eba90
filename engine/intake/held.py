"""What is known of a request that is not answered yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from engine.intake.problem import Answer

Later = Callable[[], Answer | None]  # called at each tick until it returns an answer


class Held(NamedTuple):
    """A Later that is called after ``ms`` milliseconds, or up to one more; for a body sooner if others wait too."""

    later: Later
    ms: int


class Named(NamedTuple):
    """A request: its id (:mod:`engine.intake.tracing`) and the path of its route."""

    id: str
    path: str


class ForHead:
    """A Later of a HEAD request: its answer comes without its body."""

    def __init__(self, later: Later) -> None:
        self.later = later

    def __call__(self) -> Answer | None:
        return self.later()
