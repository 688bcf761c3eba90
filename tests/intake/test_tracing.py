"""The id of a request: that of its trace where it has a valid one, else a new one. On the answer, and in a problem."""

from __future__ import annotations

import json
import re

import pytest

from engine.intake import problem, tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header", [f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00", f"cc-{TRACE}-{PARENT}-01-more"]
)
def test_a_valid_traceparent_gives_its_trace_id(header: str) -> None:
    assert tracing.identity(header.encode()) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "junk",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01\x00",
        f" 00-{TRACE}-{PARENT}-01",
    ],
)
def test_all_else_gets_an_id_of_its_own_of_the_same_shape(header: str) -> None:
    first, second = (tracing.identity(header.encode("latin-1")) for _ in range(2))
    assert first != second and TRACE not in (first, second)
    assert re.fullmatch("[0-9a-f]{32}", first) and re.fullmatch("[0-9a-f]{32}", second)


def test_a_problem_has_the_id_as_header_and_member_and_other_answers_as_header() -> None:
    refused = tracing.named(problem.CONFLICT, TRACE)
    assert (tracing.HEADER, TRACE.encode()) in refused.headers and refused.status == problem.CONFLICT.status
    assert json.loads(refused.body) == json.loads(problem.CONFLICT.body) | {"requestId": TRACE}
    ready = tracing.named(problem.READY, TRACE)
    assert (tracing.HEADER, TRACE.encode()) in ready.headers and ready.body == problem.READY.body
    assert problem.CONFLICT.headers == (problem.PROBLEM_HEADER,), "an answer that is prepared stays as it is"


def test_a_refusal_is_logged_with_its_route_its_status_and_why() -> None:
    assert tracing.refusal("/payments", problem.FULL) == {
        "path": "/payments",
        "status": 503,
        "detail": "Too many payments are waiting; none that was accepted is lost.",
    }
