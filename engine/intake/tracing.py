"""Each request that is not plain has an id: the trace id of its ``traceparent``, or one that is made. Pure.

``traceparent`` is W3C's (https://www.w3.org/TR/trace-context/). That recommendation has no header for answers. So the
id comes back as ``Request-Id``, the name that other payment interfaces use (RFC 6648 deprecates an ``X-``), and as a
member of a problem. A plain payment, which the fast path answers, has none: who has sent it knows its correlationId.
"""

from __future__ import annotations

import itertools
import os
import re

import orjson

from engine.intake.problem import PROBLEM_HEADER, Answer

HEADER = b"Request-Id"
NAMED_BYTES_MAX = 256  # of a traceparent; one of a later version may be longer than 55
# A version (not ff), trace and parent (not all zeros), flags; what a later version appends is not looked at.
_TRACEPARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_PROCESS = os.urandom(8).hex()
_numbers = itertools.count(int.from_bytes(os.urandom(4)))


def identity(traceparent: bytes) -> str:
    """32 hexadecimal digits that name a request with this header; ``b""``: it has none."""
    if traceparent:
        match = _TRACEPARENT.fullmatch(traceparent[:NAMED_BYTES_MAX])
        if match is not None and (match["version"] != b"00" or match["more"] is None):
            return match["trace"].decode()
    return f"{_PROCESS}{next(_numbers) & (1 << 64) - 1:016x}"


def named(answer: Answer, request: str) -> Answer:
    """``answer`` with the id of its request."""
    headers = (*answer.headers, (HEADER, request.encode()))
    body = answer.body
    if PROBLEM_HEADER in answer.headers:
        body = b'%s,"requestId":"%s"}' % (body[:-1], request.encode())
    return Answer(answer.status, headers, body)


def refusal(path: str, answer: Answer) -> dict[str, str | int]:
    """What is logged of a refusal with a problem; ``path``: of its route."""
    detail = orjson.loads(answer.body)["detail"] if PROBLEM_HEADER in answer.headers else ""
    return {"path": path, "status": int(answer.status[:3]), "detail": detail}
