"""What the dispatcher says of its processors: each change once, with what happens to payments now."""

from __future__ import annotations

import logging

from engine.dispatch import news
from engine.dispatch.news import GAP_LAST_MS, SETTLED_MS, Line, News, Sources
from engine.memory import layout
from engine.memory.status import StatusBlock
from engine.memory.words import zeros
from engine.processors import DEFAULT, FALLBACK
from engine.situation import Condition, Flow, condition_of_word, of_word
from tests.routing.test_router import World

NAMES = ("default", "fallback")
STEP_MS = 100
WAIT = "now payments wait for default, 5 s at most, and then go to fallback"


class Told(World):
    """A router whose news are read every 100 ms; ``said``: all of them."""

    def __init__(self, **changes: int) -> None:
        super().__init__(**changes)
        self.status = StatusBlock(zeros(layout.REDO_AT))
        self.troubles = [0, 0]
        self.charged = [0, 0]
        sources = Sources(
            self.troubles, lambda number, code: f"trouble {code} of {NAMES[number]}", self.charged.__getitem__
        )
        self.news = News(self.router, self.status, NAMES, sources)
        self.said: list[Line] = []

    def after(self, for_ms: int) -> list[str]:
        """Lets time pass; what is said in it."""
        before = len(self.said)
        for _ in range(0, for_ms, STEP_MS):
            self.said += self.news.look(self.now_ms)
            self.now_ms += STEP_MS
            for observed in self.router.observed:
                observed.observe(self.now_ms)
        return [line.text for line in self.said[before:]]

    def shown(self, processor: int) -> Condition:
        return condition_of_word(self.status.conditions, processor)

    def back(self, processor: int) -> None:
        """It answers again, quickly."""
        for _ in range(2):
            self.answer(processor, 1, times=1)


def test_where_all_is_well_nothing_is_said_and_it_is_shown_at_once() -> None:
    told = Told()
    assert told.after(10_000) == []
    assert told.shown(DEFAULT) is told.shown(FALLBACK) is Condition.HEALTHY
    assert of_word(told.status.situation, 2).flow is Flow.TO_FIRST


def test_a_change_is_said_once_with_what_happens_to_payments_and_so_is_its_end() -> None:
    told = Told()
    told.after(1_000)
    told.fail(DEFAULT)
    assert told.after(SETTLED_MS) == []
    assert told.after(1_000) == ["default fails: it answers with errors, or says so itself", WAIT]
    assert {line.level for line in told.said} == {logging.WARNING}
    assert told.shown(DEFAULT) is Condition.FAILING
    assert of_word(told.status.situation, 2).flow is Flow.WAIT
    assert told.after(2_500) == []
    told.back(DEFAULT)
    assert told.after(1_000) == ["default is healthy again, after 3.9 s", "now payments go to default"]
    assert told.said[-1].level == logging.INFO
    assert told.shown(DEFAULT) is Condition.HEALTHY


def test_a_wait_that_is_given_up_is_said_though_the_processor_is_as_it_was() -> None:
    told = Told()
    told.after(1_000)
    told.fail(DEFAULT)
    told.after(4_000)
    assert told.after(5_000) == ["now payments go to fallback and do not wait for default"]
    assert told.after(120_000) == []


def test_what_lasts_for_a_moment_is_neither_said_nor_shown() -> None:
    told = Told()
    told.after(1_000)
    for _ in range(20):
        ticket = told.hang(DEFAULT)
        assert told.after(200) == []
        assert told.shown(DEFAULT) is Condition.HEALTHY
        told.end(DEFAULT, ticket)
        told.back(DEFAULT)
        assert told.after(500) == []


def test_no_answer_is_said_before_any_payment_has_failed_and_not_again_when_payments_do() -> None:
    told = Told()
    told.troubles[:] = [7, 6]
    assert told.after(1_000) == [
        "default does not answer: trouble 7 of default",
        "fallback does not answer: trouble 6 of fallback",
        "now payments wait until a processor is back; none is lost",
    ]
    assert told.shown(DEFAULT) is Condition.SILENT
    told.fail(DEFAULT)
    told.fail(FALLBACK)
    assert told.after(5_000) == []
    told.troubles[DEFAULT] = 0  # its health was queried, and answered
    told.back(DEFAULT)
    assert told.after(1_000)[0].startswith("default is healthy again, after ")


def test_a_request_that_had_no_answer_is_no_news_where_payments_are_charged() -> None:
    told = Told()
    told.after(1_000)
    told.troubles[DEFAULT] = 56
    told.after(200)
    told.charged[DEFAULT] += 1
    assert told.after(5_000) == []
    assert told.troubles == [0, 0]
    told.troubles[DEFAULT] = 56
    assert told.after(5_000)[0] == "default does not answer: trouble 56 of default"


def test_what_changes_again_and_again_is_said_ever_more_rarely_and_shown_as_it_is() -> None:
    told = Told()
    told.after(1_000)
    lines = []
    for _ in range(300):  # ten minutes
        told.fail(DEFAULT)
        lines += told.after(1_000)
        assert told.shown(DEFAULT) is Condition.FAILING
        told.back(DEFAULT)
        lines += told.after(1_000)
        assert told.shown(DEFAULT) is Condition.HEALTHY
    assert 4 <= sum(line.startswith("default") for line in lines) <= 20
    told.fail(DEFAULT)
    told.after(2 * GAP_LAST_MS)
    told.back(DEFAULT)
    assert told.after(1_000)[0].startswith("default is healthy again"), "it has been quiet for long"


def test_where_the_other_one_becomes_the_better_one_it_is_said_though_both_are_healthy() -> None:
    told = Told(wait_cost_ppm=200_000)
    told.after(1_000)
    told.answer(FALLBACK, 1)
    assert told.after(1_000) == []
    told.answer(DEFAULT, 1_000)
    assert told.after(1_000) == ["now payments go to fallback"]
    assert told.shown(DEFAULT) is Condition.HEALTHY


def test_charges_of_a_calm_time_do_not_hide_a_trouble_after_it() -> None:
    told = Told()
    told.after(1_000)
    told.charged[DEFAULT] += 1
    told.after(1_000)
    told.troubles[DEFAULT] = 7
    assert told.after(1_000)[0] == "default does not answer: trouble 7 of default"


def test_a_slow_processor_is_said_with_its_time() -> None:
    told = Told()
    told.after(1_000)
    told.answer(DEFAULT, 2_000)
    assert told.after(1_000) == [
        "default is slow: an answer takes 2.0 s",
        "now most payments go to fallback, and few to default, which is cheaper and slow",
    ]
    assert told.shown(DEFAULT) is Condition.SLOW


def test_one_that_hangs_is_late() -> None:
    told = Told()
    told.after(1_000)
    told.hang(FALLBACK)
    assert told.after(1_000) == ["fallback is late: answers are overdue", "now payments go to default"]
    assert news.GAP_FIRST_MS >= SETTLED_MS


def test_since_when_payments_go_where_they_go_is_shown_and_outlives_a_restart() -> None:
    told = Told()
    told.after(1_000)
    since_ms = told.status.situation_ms
    assert since_ms
    told.fail(DEFAULT)
    failed_ms = told.now_ms
    told.after(2_000)
    assert since_ms < told.status.situation_ms == failed_ms, "they wait"
    told.after(2_000)
    assert told.status.situation_ms == failed_ms
    sources = Sources(told.troubles, lambda *_: "", told.charged.__getitem__)
    told.news = News(told.router, told.status, NAMES, sources)  # another dispatcher
    told.after(1_000)
    assert told.status.situation_ms == failed_ms
    told.after(5_000)
    assert of_word(told.status.situation, 2).flow is Flow.TO_OTHER and told.status.situation_ms > failed_ms


def test_a_change_of_routing_is_an_event_with_its_processors_and_its_reason() -> None:
    told = Told()
    told.after(1_000)
    told.fail(DEFAULT)
    told.after(2_000)
    processor, routing = told.said
    assert (processor.event, processor.fields["condition"]) == ("processor_changed", "failing")
    assert (routing.event, routing.fields["to"], routing.fields["why"]) == (
        "routing_changed",
        list(NAMES),
        "waits_for_cheaper",
    )
