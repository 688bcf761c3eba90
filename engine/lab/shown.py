"""What a console shows while something lasts."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class Shown:
    """A view of something that lasts. A context manager.

    On a terminal, what is drawn stays in its place until it is drawn anew, and is gone at the end. It is drawn only
    when told to: drawing takes CPU from what is measured. Elsewhere there is nothing to draw on, only lines.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()  # does nothing when it was not started

    def draw(self, content: RenderableType) -> None:
        """Draws ``content`` in the place of what was drawn before."""
        self._live.update(content, refresh=True)
