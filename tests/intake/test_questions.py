"""What is asked in a thread is bounded, comes by its rank, and keeps nobody waiting beyond its time."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from engine.intake import questions as module
from engine.intake.questions import WAITING_MAX, Kind, Questions

LONG_SECONDS = 60.0


@pytest.fixture
def questions() -> Iterator[Questions]:
    made = Questions()
    yield made
    made.close()


def is_woken(questions: Questions, seconds: float) -> bool:
    """Whether the loop would be woken within so long."""
    poll = select.poll()  # other tests may have opened more than 1,024 descriptors
    poll.register(questions.descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def wait(questions: Questions) -> None:
    """Until the loop would be woken."""
    assert is_woken(questions, LONG_SECONDS)


class Gate:
    """A question that takes until it is let go."""

    def __init__(self) -> None:
        self.is_asked, self.may_go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.is_asked.set()
        assert self.may_go.wait(LONG_SECONDS)
        return "done"


def note(order: list[Kind], kind: Kind) -> bool:
    order.append(kind)
    return True


def test_an_answer_wakes_the_loop(questions: Questions) -> None:
    ticket = questions.ask(Kind.LOOK, LONG_SECONDS, lambda: 7)
    assert ticket is not None
    wait(questions)
    assert ticket.is_over and ticket.answer == 7
    questions.hush()
    assert not is_woken(questions, 0)


def test_so_many_of_a_kind_wait_and_no_more(questions: Questions) -> None:
    gate = Gate()
    assert questions.ask(Kind.LOOK, LONG_SECONDS, gate) is not None
    assert gate.is_asked.wait(LONG_SECONDS)
    for kind in Kind:
        tickets = [questions.ask(kind, LONG_SECONDS, lambda: 1) for _ in range(WAITING_MAX[kind] + 1)]
        assert [ticket is None for ticket in tickets] == [False] * WAITING_MAX[kind] + [True]
    gate.may_go.set()


def test_what_a_payment_waits_for_comes_first(questions: Questions) -> None:
    gate, order = Gate(), list[Kind]()
    questions.ask(Kind.SUM, LONG_SECONDS, gate)
    assert gate.is_asked.wait(LONG_SECONDS)
    last = questions.ask(Kind.SUM, LONG_SECONDS, partial(note, order, Kind.SUM))
    for kind in (Kind.LOOK, Kind.RECALL):
        assert questions.ask(kind, LONG_SECONDS, partial(note, order, kind)) is not None
    gate.may_go.set()
    assert last is not None
    while not last.is_over:
        wait(questions)
        questions.hush()
    assert order == [Kind.RECALL, Kind.LOOK, Kind.SUM]


def test_a_question_is_over_at_its_deadline_and_is_not_asked_later(questions: Questions) -> None:
    gate, asked = Gate(), list[Kind]()
    first = questions.ask(Kind.LOOK, 0.0, partial(note, asked, Kind.LOOK))
    assert first is not None and first.is_over and first.answer is None
    second = questions.ask(Kind.LOOK, LONG_SECONDS, gate)
    assert second is not None and not second.is_over
    assert gate.is_asked.wait(LONG_SECONDS)
    gate.may_go.set()
    assert asked == []


def test_while_the_thread_stands_still_nothing_is_asked(questions: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    questions.ask(Kind.SUM, LONG_SECONDS, gate)
    assert gate.is_asked.wait(LONG_SECONDS)
    monkeypatch.setattr(module, "STUCK_SECONDS", -1.0)
    assert questions.ask(Kind.RECALL, LONG_SECONDS, lambda: 1) is None
    gate.may_go.set()
    wait(questions)
    assert questions.ask(Kind.RECALL, LONG_SECONDS, lambda: 1) is not None


def test_a_question_that_raises_has_no_answer_and_the_next_one_has(
    questions: Questions, caplog: pytest.LogCaptureFixture
) -> None:
    broken = questions.ask(Kind.LOOK, LONG_SECONDS, lambda: 1 // 0)
    assert broken is not None
    wait(questions)
    assert broken.is_over and broken.answer is None and "could not be answered" in caplog.text
    questions.hush()
    after = questions.ask(Kind.LOOK, LONG_SECONDS, lambda: 1)
    wait(questions)
    assert after is not None and after.answer == 1
