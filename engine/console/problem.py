"""What the console answers when it does not do what it is asked: RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response


def problem(status: int, detail: str, field: str = "", **headers: str) -> Response:
    """A problem of type ``about:blank``. ``field``: the wrong parameter; ``headers``: with _ for -."""
    body = orjson.dumps(document(status, detail) | ({"field": field} if field else {}))
    return Response(
        body, status, {name.replace("_", "-"): value for name, value in headers.items()}, "application/problem+json"
    )


def document(status: int, detail: str) -> dict[str, Any]:
    """The fields that every problem has."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


class ForbiddenError(Exception):
    """Who asks may not do that; the text says who may."""


class ConflictError(Exception):
    """It cannot be done as things are."""


class BadRequestError(Exception):
    """A parameter is wrong. ``field``: which one."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
