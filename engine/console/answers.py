"""Answers of the API that are JSON, with an ETag by which a caller learns that nothing has changed."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

TAG_BYTES: Final = 16


def as_json(document: Any, status: int = 200) -> Response:
    """A document."""
    return Response(orjson.dumps(document), status, media_type="application/json")


def tagged(request: Request, document: Any) -> Response:
    """A document that was asked for, or 304 without it where ``If-None-Match`` has its tag (RFC 9110, 13.1.2)."""
    body = orjson.dumps(document)
    tag = f'"{hashlib.blake2b(body, digest_size=TAG_BYTES).hexdigest()}"'
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag}, media_type="application/json")
