"""What ends a long command before its time: Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Either raises KeyboardInterrupt within, so that what was started is ended in either case."""
    with _handled(_interrupt):
        yield


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Either is only noted within; yields a function that says whether there was one."""
    seen: list[int] = []
    with _handled(lambda number, _frame: seen.append(number)):
        yield lambda: bool(seen)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    # SIGINT too: a shell's background job starts with it ignored.
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
