"""How far a long run has come and how long it still takes: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from engine.lab.results import duration, say


class Steps:
    """Steps of known length. A context manager.

    Ctrl-C takes effect here and nowhere else, when a step begins or goes on: an exception at any other place could come
    after the start of a process and before the note that it must be ended.

    Parameters:
      total_s: how long all steps will take, as far as is known.
      is_asked_to_stop: whether there was a Ctrl-C; asked about once a second, and KeyboardInterrupt follows.
    """

    def __init__(self, console: Console, total_s: float, is_asked_to_stop: Callable[[], bool]) -> None:
        self._is_asked_to_stop = is_asked_to_stop
        self._console = console
        self._total_s = total_s
        self._done_s = 0.0
        # Redrawn only when told to: drawing takes CPU from what is measured.
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]} left"))
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=total_s, left=duration(total_s))

    def __enter__(self) -> Steps:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    @contextlib.contextmanager
    def step(self, text: str, planned_s: float) -> Iterator[Step]:
        """A step that was planned to take ``planned_s`` seconds; when it is over, that much of the whole is done.

        Raises KeyboardInterrupt if there was a Ctrl-C.
        """
        self.show(text, self._done_s)
        left = duration(self._total_s - self._done_s)
        if not self._console.is_terminal:
            say(self._console, f"{text} ({left} left)")
        begin_s, began_s = self._done_s, time.monotonic()
        yield Step(self, text, begin_s, planned_s)
        # A step that took longer than planned makes the whole longer.
        self._total_s += max(time.monotonic() - began_s - planned_s, 0.0)
        self._done_s = begin_s + max(time.monotonic() - began_s, planned_s)
        self.show(text, self._done_s)

    def show(self, text: str, done_s: float) -> None:
        """Draws the bar anew. Raises KeyboardInterrupt if there was a Ctrl-C."""
        if self._is_asked_to_stop():
            raise KeyboardInterrupt
        left = duration(self._total_s - done_s)
        self._progress.update(self._task, description=text, completed=done_s, total=self._total_s, left=left)
        if self._console.is_terminal:
            self._progress.refresh()


class Step:
    """The step under way."""

    def __init__(self, steps: Steps, text: str, begin_s: float, planned_s: float) -> None:
        self._steps = steps
        self._text = text
        self._begin_s = begin_s
        self._planned_s = planned_s
        self._passed_s = 0.0

    def advance(self, seconds: float) -> None:
        """So much more time has passed in it. Raises KeyboardInterrupt if there was a Ctrl-C."""
        self._passed_s = min(self._passed_s + seconds, self._planned_s)
        self._steps.show(self._text, self._begin_s + self._passed_s)
