"""The agent's sessions: a store that stands still holds up nobody but those who wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from engine.cluster.actions import Say
from engine.cluster.calls import Operation
from engine.cluster.sessions import Sessions
from engine.cluster.stub import Stub
from engine.cluster.values import Call, NoAnswerError, Offer, Verdict
from tests.system.client import wait_until

SECONDS_MAX = 30.0


class Slow(Stub):
    """A store that does not answer calls of one kind before ``may_go``."""

    def __init__(self, operation: str, may_go: threading.Event) -> None:
        super().__init__(lambda: 1_784_203_200_000)
        self._operation, self._may_go = operation, may_go

    def perform(self, calls: Sequence[Call]) -> tuple[Any, ...]:
        if any(call.operation == self._operation for call in calls):
            self._may_go.wait(SECONDS_MAX)
        return super().perform(calls)


class Broken(Stub):
    """A store whose program has a bug."""

    def perform(self, calls: Sequence[Call]) -> tuple[Any, ...]:
        raise KeyError("a bug")


def heard(sessions: Sessions, found: dict[int, Any], number: int) -> Callable[[], bool]:
    def is_there() -> bool:
        found.update(sessions.answers())
        return number in found

    return is_there


def test_a_call_that_is_not_answered_holds_up_no_other_kind() -> None:
    may_go, woken, found = threading.Event(), threading.Event(), dict[int, Any]()
    store = Slow(Operation.ACCEPT, may_go)
    by = store.join("north", bytes(16), bytes(16), 0, 5000)
    sessions = Sessions(lambda: store, woken.set)
    sessions.say(Say(1, Call(Operation.ACCEPT, (by, [Offer(bytes(16), 1990, 1)]))))
    sessions.say(Say(2, Call(Operation.LEASE, (by, 5000, 0))))
    wait_until(heard(sessions, found, 2), SECONDS_MAX, "the other answer")
    assert 1 not in found and woken.is_set()
    may_go.set()
    wait_until(heard(sessions, found, 1), SECONDS_MAX, "the late answer")
    assert [row.verdict for row in found[1]] == [Verdict.NEW]
    sessions.close(SECONDS_MAX)


def test_what_breaks_in_a_thread_is_no_answer_and_the_thread_goes_on() -> None:
    sessions, found = Sessions(lambda: Broken(lambda: 1), lambda: None), dict[int, Any]()
    for number in (1, 2):
        sessions.say(Say(number, Call(Operation.MEMBERS, ())))
        wait_until(heard(sessions, found, number), SECONDS_MAX, "that there is no answer")
        assert isinstance(found[number], NoAnswerError)
    sessions.close(SECONDS_MAX)
