"""Each check holds when its promise was kept, and says what is wrong when it was not."""

from __future__ import annotations

import pytest

from engine.lab.chaos import checks
from engine.lab.chaos.checks import Check, Queues
from engine.lab.chaos.faults import Bout, Fault, Served
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent, read
from engine.lab.contest.audit import Answers, compare
from engine.lab.contest.books import NOTHING, Total, Totals
from engine.lab.services.processor import Charged

BEGIN_EPOCH_S = 1_700_000_000.0
APIS = ("api 0", "api 1")
WHEN = "2026-01-01T00:00:00.000Z"


def accepted(name: str) -> Sent:
    return Sent(name, 0, 202, 0)


def unanswered(name: str, at_s: float = 0.0) -> Sent:
    return Sent(name, round((BEGIN_EPOCH_S + at_s) * 1000), 0, 1050)


def charges(default: str = "", fallback: str = "", cents: int = 1990) -> dict[str, list[Charged]]:
    return {
        "default": [Charged(name, cents, WHEN) for name in default.split()],
        "fallback": [Charged(name, cents, WHEN) for name in fallback.split()],
    }


def broken(found: list[Check]) -> list[str]:
    return [check.name for check in found if not check.holds]


def test_the_lines_of_k6_are_read_and_its_complaints_are_not() -> None:
    lines = ["begin 1", "s 5 202 1.5 0 abc", "level=warning msg=x a b c d", "s 6 0 0 1220 def", "end 9"]
    assert read(lines) == [Sent("abc", 5, 202, 0), Sent("def", 6, 0, 1220)]


def test_a_request_without_a_line_is_missed() -> None:
    assert checks.all_told([accepted("a")], 1).holds
    assert not checks.all_told([accepted("a")], 2).holds
    assert not checks.all_told([accepted("a")], None).holds


def test_payments_that_were_all_charged_once_are_fine() -> None:
    sent = [accepted("a"), accepted("b"), unanswered("c"), unanswered("d")]
    assert broken(checks.payments(sent, charges("a c", "b"), 1990)) == []


@pytest.mark.parametrize(
    ("made", "promise"),
    [
        (charges("a"), "every accepted payment is charged"),
        (charges("a b b"), "nothing is charged twice"),
        (charges("a b", "b"), "nothing is charged twice"),
        (charges("a b x"), "nothing is charged that nobody sent"),
        (charges("a b", cents=1991), "every amount is what was sent"),
    ],
)
def test_a_charge_too_few_too_many_or_wrong_is_told(made: dict[str, list[Charged]], promise: str) -> None:
    found = checks.payments([accepted("a"), accepted("b")], made, 1990)
    assert broken(found) == [promise]


def test_a_run_in_which_nothing_was_accepted_proves_nothing() -> None:
    assert broken(checks.payments([], charges(), 1990)) == ["every accepted payment is charged"]


def test_the_engine_must_know_where_a_payment_was_charged_and_nothing_of_one_that_was_not() -> None:
    told = {"a": ("completed", "default"), "b": ("completed", "fallback")}
    made = charges("a", "b")
    assert checks.statuses(["a", "b", "c"], told, made).holds
    assert not checks.statuses(["a", "b"], told | {"b": ("completed", "default")}, made).holds
    assert not checks.statuses(["a", "b"], told | {"b": ("processing", "fallback")}, made).holds
    assert not checks.statuses(["a", "b"], {"a": ("completed", "default")}, made).holds
    assert not checks.statuses(["c"], {"c": ("queued", None)}, made).holds


def test_an_error_is_explained_by_a_kill_around_it_and_by_nothing_else() -> None:
    kills = [Kill("supervisor", 1, at_s=10.0, back_s=11.0), Kill("nginx", 2, at_s=10.5, back_s=10.7)]
    errors = [unanswered(str(at_s), at_s) for at_s in (9.8, 10.2, 10.6, 12.0, 12.4, 12.7, 99.0)]
    blamed = checks.blame([accepted("fine"), *errors], kills, APIS, BEGIN_EPOCH_S, timeout_s=1.5)
    explained = {sent.correlation_id: kill.role for sent, kill in blamed.by_kill if kill is not None}
    assert explained == {"10.2": "supervisor", "10.6": "nginx", "12.0": "nginx", "12.4": "supervisor"}
    assert [sent.correlation_id for sent in blamed.unexplained] == ["9.8", "12.7", "99.0"]
    assert not checks.errors(blamed).holds
    assert checks.errors(checks.blame(errors[1:5], kills, APIS, BEGIN_EPOCH_S, 1.5)).holds


def test_one_killed_api_process_or_the_dispatcher_explains_no_error_and_all_api_processes_do() -> None:
    error = unanswered("e", 10.2)
    dispatcher, zero, one = (Kill(role, 1, 10.0, 10.5) for role in ("dispatcher", *APIS))
    for kills in ([dispatcher], [zero], [one, dispatcher], [zero, Kill("api 1", 1, 20.0, 20.5)]):
        assert checks.blame([error], kills, APIS, BEGIN_EPOCH_S, 1.5).unexplained == [error]
    assert checks.blame([error], [zero, one], APIS, BEGIN_EPOCH_S, 1.5).by_role().total() == 1


def test_a_process_that_never_came_back_explains_all_that_follows_and_is_told() -> None:
    away = [Kill("nginx", 1, at_s=10.0)]
    assert checks.blame([unanswered("late", 500.0)], away, APIS, BEGIN_EPOCH_S, 1.5).unexplained == []
    assert not checks.carried_out(1, 1, away).holds
    assert checks.carried_out(1, 1, [Kill("dispatcher", 1, 10.0, 10.4)]).holds
    assert not checks.carried_out(2, 1, []).holds


def test_one_window_that_differs_breaks_the_books_and_so_do_none() -> None:
    one, two = Total(1, 1990), Total(2, 3980)
    engine = Totals(default=one, fallback=NOTHING)
    same = compare(0.0, "slice", None, Answers(engine, {"default": one, "fallback": NOTHING}))
    other = compare(0.0, "slice", None, Answers(engine, {"default": two, "fallback": NOTHING}))
    assert checks.books([same]).holds
    assert not checks.books([same, other]).holds
    assert "engine 1 payments" in checks.books([same, other]).detail
    assert not checks.books([]).holds


@pytest.mark.parametrize(
    ("queues", "after_s", "count"),
    [
        (Queues(0, 0, 0, 0), 3.0, 0),
        (Queues(0, 0, 0, 0), 121.0, 1),
        (Queues(1, 0, 0, 0), 3.0, 1),
        (Queues(0, 0, 1, 0), 3.0, 1),
        (Queues(0, 0, 0, 1), 3.0, 1),
        (Queues(0, 1, 0, 0), 3.0, 1),
        (None, 3.0, 1),
    ],
)
def test_all_must_be_settled_in_time_and_nothing_given_up(queues: Queues | None, after_s: float, count: int) -> None:
    assert len(broken(checks.settled(queues, after_s, 120.0))) == count


def test_a_process_that_ends_without_us_is_told() -> None:
    def line(code: int) -> str:
        return f"2026-01-01 00:00:00,000 engine.up WARNING dispatcher ended with {code}; starts again in 50 ms\n"

    assert checks.own_deaths(line(-9) * 3, may_collide=False).holds
    assert not checks.own_deaths(line(-9) + line(1), may_collide=True).holds
    assert not checks.own_deaths(line(2), may_collide=False).holds
    assert checks.own_deaths(line(2), may_collide=True).holds
    assert not checks.own_deaths("Traceback (most recent call last):\n", may_collide=False).holds


def test_one_that_is_started_anew_may_end_in_its_own_way_once_where_that_is_expected() -> None:
    anew = "2026-01-01 00:00:00,000 engine.up WARNING api 0 is stopped; starts anew\n"
    ended = "2026-01-01 00:00:01,000 engine.up WARNING api 0 ended with 0; starts again in 50 ms\n"
    assert checks.own_deaths(anew + ended, may_collide=False, may_start_anew=True).holds
    assert not checks.own_deaths(anew + ended, may_collide=False).holds
    assert not checks.own_deaths(anew + ended + ended, may_collide=False, may_start_anew=True).holds
    assert not checks.own_deaths(anew + ended.replace("api 0", "api 1"), may_collide=False, may_start_anew=True).holds


def after(after_s: float | None, fault: Fault = Fault.APIS_STOPPED) -> Served:
    return Served(Bout(fault, "", 10.0, 12.0), after_s, ("away",) if after_s else ())


def test_each_fault_is_served_after_in_time_and_none_is_left_out() -> None:
    assert checks.serving([after(0.0), after(5.0)], 2, within_s=5.0).holds
    assert "5,000 ms" in checks.serving([after(5.0)], 1, within_s=5.0).detail
    for found in ([after(5.1), after(0.0)], [after(None), after(0.0)], [after(0.0)], []):
        assert not checks.serving(found, 2, within_s=5.0).holds


def test_a_fault_explains_errors_up_to_a_client_s_time_out_after_it_and_only_one_that_can() -> None:
    late, later = unanswered("late", 14.4), unanswered("later", 14.7)
    kills = checks.as_kills([after(3.0)])
    assert checks.blame([late, later], kills, APIS, BEGIN_EPOCH_S, 1.5).unexplained == [later]
    assert checks.as_kills([after(3.0, Fault.DISPATCHER_STOPPED), after(3.0, Fault.SOCKET_REMOVED)]) == []
    assert checks.as_kills([after(0.5)])[0].back_s == 12.0, "it lasted longer than the engine was away"


def test_an_id_that_was_accepted_with_two_amounts_is_told() -> None:
    assert checks.one_amount([], 10).holds
    assert not checks.one_amount(["a"], 10).holds


@pytest.mark.parametrize("role", ["dispatcher", "ledger", "database", "database backend"])
def test_a_kill_of_what_no_client_waits_for_explains_no_error(role: str) -> None:
    error = unanswered("e", 10.2)
    assert checks.blame([error], [Kill(role, 1, 10.0, 10.5)], APIS, BEGIN_EPOCH_S, 1.5).unexplained == [error]
