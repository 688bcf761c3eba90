"""Several calls at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

BARRIER_TIMEOUT_S = 5.0

Result = TypeVar("Result")


class Together(Generic[Result]):
    """Runs ``parties`` calls at once: each has a kept thread, which waits at a barrier until all are there."""

    def __init__(self, parties: int) -> None:
        self._pool = ThreadPoolExecutor(parties)
        self._barrier = threading.Barrier(parties)

    def run(self, *calls: Callable[[], Result]) -> list[Result]:
        """The results, in order of the calls. An exception of a call is raised once all have ended."""
        assert len(calls) == self._barrier.parties, "the barrier waits for every one of them"

        def at_once(call: Callable[[], Result]) -> Result:
            self._barrier.wait(BARRIER_TIMEOUT_S)
            return call()

        futures = [self._pool.submit(at_once, call) for call in calls]
        results, errors = [], []
        for future in futures:
            try:
                results.append(future.result())
            except Exception as error:  # raised below, when no call is on its way any more
                errors.append(error)
        if errors:
            raise errors[0]
        return results

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()
