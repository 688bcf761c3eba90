"""The OpenAPI document is true: its paths are the routes, and the running engine answers as it says."""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

import orjson
import pytest
import schemathesis

from engine import settings as engine_settings
from engine.intake import openapi
from engine.intake.http import Http
from engine.intake.server import Server
from tests.described import check, names_of
from tests.hostile.running import Engine
from tests.hostile.wire import ask
from tests.test_nginx_conf import ON_EVERY_ANSWER

DEFAULTS = engine_settings.read({})
EXAMPLES_MAX = 60  # for each operation
DOCUMENT = orjson.loads(openapi.prepared(DEFAULTS).body)


class Recorder:
    """Takes routes as :class:`Http` does, and keeps their methods and paths."""

    def __init__(self) -> None:
        self.routes: set[tuple[str, str]] = set()

    def route(self, method: str, path: str, _: object) -> None:
        self.routes.add((method, path))

    def route_body(self, path: str, *_: object) -> None:
        self.routes.add(("POST", path))

    def route_rest(self, _: object) -> None:
        pass  # every other path


def served() -> set[tuple[str, str]]:
    """Method and path of every route that answers something else than 404 and 405."""
    recorder = Recorder()
    others = [cast(Any, None)] * (len(inspect.signature(Server).parameters) - 1)
    Server(DEFAULTS, *others).add_routes(cast(Http, recorder))
    return {(method, path) for method, path in recorder.routes if method != "*"}


def described() -> set[tuple[str, str]]:
    """Method and path of every operation of the document, as the routes write them."""
    paths = openapi.document(DEFAULTS)["paths"]
    return {
        (method.upper(), re.sub(r"\{\w+\}", ":id", path)) for path, operations in paths.items() for method in operations
    }


def test_every_route_is_described() -> None:
    assert served() - described() == set()


def test_every_described_operation_is_a_route() -> None:
    assert described() - served() == set()


def test_the_document_is_served_as_it_is(nginx: tuple[str, int]) -> None:
    reply = ask(nginx, b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.body == openapi.prepared(DEFAULTS).body


@pytest.mark.parametrize("operation", names_of(DOCUMENT))
def test_every_answer_is_as_described(hostile_engine: Engine, operation: str) -> None:
    def answers(case: schemathesis.Case[Any]) -> None:
        answer = case.call_and_validate(base_url=hostile_engine.url)
        for name, value in ON_EVERY_ANSWER.items():
            assert answer.headers[name.lower()] == [value]

    check(DOCUMENT, operation, EXAMPLES_MAX, answers)
