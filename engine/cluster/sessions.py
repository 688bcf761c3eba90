"""The agent's sessions of the store, a thread each: a store that is slow holds up nobody but those who wait for it.

What is said goes to one of a few lanes by what it is. A lane says everything that waits in one round trip. So what
waits for a 202, the pins and the outcomes are on their way at once, and none of them waits behind a page of history.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine.cluster.actions import Say
from engine.cluster.calls import ANSWER_MS_MAX, Operation
from engine.cluster.store import Store
from engine.cluster.values import NoAnswerError, StoreError, TakenError, UnusableError
from engine.logs.logger import Logger

_LANES: Final = (
    frozenset({Operation.ACCEPT}),
    frozenset({Operation.PIN}),
    frozenset({Operation.CONCLUDE, Operation.REOPEN}),
    frozenset({Operation.FOLLOW, Operation.FOLDED, Operation.HELD, Operation.ASK, Operation.ANSWER}),
    frozenset({Operation.FORGET}),
    frozenset({Operation.MEMBERS, Operation.JOIN, Operation.LEASE, Operation.LEAVE, Operation.ADOPT, Operation.PURGE}),
)
TROUBLE_S: Final = 5.0  # between two lines about a store that does not answer

log = Logger("engine.agent")


class _Waiting(NamedTuple):
    say: Say
    given_up_s: float  # time.monotonic(): nobody waits for its answer any more


class Sessions:
    """See the module.

    Parameters:
      connect: makes a session of the store, which connects when it is first used.
      wake: called from any thread when there is an answer.
    """

    def __init__(self, connect: Callable[[], Store], wake: Callable[[], None]) -> None:
        self._connect, self._wake = connect, wake
        self._answers = deque[tuple[int, Any]]()
        self._queues = [queue.SimpleQueue[_Waiting | None]() for _ in _LANES]
        self._lane_of = {
            operation: queue_ for lane, queue_ in zip(_LANES, self._queues, strict=True) for operation in lane
        }
        assert self._lane_of.keys() == set(Operation)
        self._threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in self._queues]
        self._said_s = 0.0
        for thread in self._threads:
            thread.start()

    def say(self, say: Say) -> None:
        """Says it soon. Its answer is in a later :meth:`answers`, if there is one."""
        lane = self._lane_of[Operation(say.call.operation)]
        lane.put(_Waiting(say, time.monotonic() + ANSWER_MS_MAX / 1000))

    def answers(self) -> list[tuple[int, Any]]:
        """The answers since the last call: the number of the call, and what it returned, or its StoreError."""
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def close(self, seconds: float) -> None:
        """Ends the sessions; waits for what is under way for so long at most."""
        for one in self._queues:
            one.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, lane: queue.SimpleQueue[_Waiting | None]) -> None:
        store = self._connect()
        while True:
            batch = [lane.get()]
            while not lane.empty():
                batch.append(lane.get())
            # A call that was given up is said again in another one by then.
            calls = [one.say for one in batch if one is not None and time.monotonic() < one.given_up_s]
            if calls:
                self._answers.extend(zip([one.number for one in calls], self._perform(store, calls), strict=True))
                self._wake()
            if None in batch:
                store.close()
                return

    def _perform(self, store: Store, calls: list[Say]) -> tuple[Any, ...]:
        try:
            results = store.perform([one.call for one in calls])
        except StoreError as error:
            results = (error,) * len(calls)
        except Exception as error:  # a thread that ends would leave its lane without answers for ever
            log.exception("store_broke")
            results = (NoAnswerError(str(error)),) * len(calls)
        for result in results:
            if isinstance(result, NoAnswerError | TakenError | UnusableError):
                self._tell(result)
        return results

    def _tell(self, error: StoreError) -> None:
        """Logs that there was no answer, or that another host has the name of this cell, now and then."""
        now_s = time.monotonic()
        if now_s >= self._said_s:
            self._said_s = now_s + TROUBLE_S
            log.warning("store_away", reason=str(error))
