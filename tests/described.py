"""Answers held against an OpenAPI document, operation by operation.

schemathesis makes the cases of all operations when tests are collected, in each process that collects them; here those
of an operation are made when its test runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests


def names_of(document: dict[str, Any]) -> list[str]:
    """The names of all operations: "GET /health"."""
    return [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]


def settings(examples_max: int) -> hypothesis.settings:
    """So many examples at most for each operation, the same ones each time."""
    return hypothesis.settings(
        max_examples=examples_max, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip


def check(document: dict[str, Any], operation: str, examples_max: int, answers: Callable[..., None]) -> None:
    """Calls ``answers(case)`` with each case of an operation; what it raises comes through."""
    schema = schemathesis.openapi.from_dict(document).include(name=operation)
    (made,) = get_all_tests(schema=schema, test_func=answers, settings=settings(examples_max), given_kwargs=None)
    assert isinstance(made, Ok), made.err()
    _, run = made.ok()
    run()
