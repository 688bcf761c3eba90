"""The answers of the API: answers prepared as bytes, and RFC 9457 problems that reveal nothing of the inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from engine.memory import layout

JSON_HEADER: Final = (b"Content-Type", b"application/json")
PROBLEM_HEADER: Final = (b"Content-Type", b"application/problem+json")

STATUS_LINES: Final = {
    200: b"200 OK",
    202: b"202 Accepted",
    400: b"400 Bad Request",
    403: b"403 Forbidden",
    404: b"404 Not Found",
    405: b"405 Method Not Allowed",
    409: b"409 Conflict",
    413: b"413 Content Too Large",
    415: b"415 Unsupported Media Type",
    500: b"500 Internal Server Error",
    503: b"503 Service Unavailable",
}


class Answer(NamedTuple):
    """A response: the status line's end, the headers beside those of the connection, the body."""

    status: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def json_answer(body: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """200 with JSON."""
    return Answer(STATUS_LINES[200], (JSON_HEADER, *headers), body)


def problem(
    status: int, detail: str, field: str = "", *headers: tuple[bytes, bytes], certain: bool | None = None
) -> Answer:
    """A problem of type ``about:blank``: its title is the status's own. ``field``: the wrong field, if any.

    ``certain``: of a 404, whether there never was such a payment; None: nothing is said about it.
    """
    line = STATUS_LINES[status]
    document: dict[str, str | int | bool] = {
        "type": "about:blank",
        "title": line[4:].decode(),
        "status": status,
        "detail": detail,
    }
    if field:
        document["field"] = field
    if certain is not None:
        document["certain"] = certain
    return Answer(line, (PROBLEM_HEADER, *headers), orjson.dumps(document))


def bad_request(field: str, reason: str) -> Answer:
    """400: ``field`` (``""``: the body as a whole) ``reason``."""
    return problem(400, f"{field or 'The body'} {reason}.", field)


def not_ready(reasons: Sequence[str]) -> Answer:
    """503: why this process accepts nothing just now, or nobody settles what it accepts."""
    return problem(503, f"Not ready: {'; '.join(reasons)}.", "", (b"Retry-After", b"1"))


def has_failed(reason: int) -> Answer:
    """409: the payment has failed, for a ``reason`` of ``layout.REASON_NAMES``."""
    return HAS_FAILED.get(reason, HAS_FAILED[layout.REASON_NONE])


def _method_not_allowed(allowed: str) -> Answer:
    return problem(405, f"This resource answers to {allowed}.", "", (b"Allow", allowed.encode()))


ACCEPTED: Final = Answer(STATUS_LINES[202])
ALIVE: Final = Answer(STATUS_LINES[200])
CONFLICT: Final = problem(409, "This correlationId was accepted with another amount.", "correlationId")
HAS_FAILED: Final = {
    reason: problem(409, f"The payment with this correlationId has failed: {text}.", "correlationId")
    for reason, text in (
        (layout.REASON_NONE, "it was given up"),
        (layout.REASON_TOO_OLD, "no processor has taken it in time"),
        (layout.REASON_REFUSED, "every processor has refused it"),
        (layout.REASON_CANCELLED, "it was cancelled, and certainly not charged"),
    )
}
FULL: Final = problem(503, "Too many payments are waiting; none that was accepted is lost.", "", (b"Retry-After", b"1"))
UNRECORDED: Final = problem(
    503, "The ledger is behind; none of the payments that were accepted is lost.", "", (b"Retry-After", b"1")
)
BUSY: Final = problem(503, "The books are busy.", "", (b"Retry-After", b"1"))
STORE_AWAY: Final = problem(
    503, "The store of the cells does not answer: it is not known whether this payment is accepted. Send it again.", "",
    (b"Retry-After", b"1"),
)  # fmt: skip
STORE_UNREAD: Final = problem(
    503, "The store of the cells does not answer, and this cell does not remember the payment.", "",
    (b"Retry-After", b"1"),
)  # fmt: skip
STUCK: Final = problem(503, "Another process stands still with this correlationId.", "", (b"Retry-After", b"1"))
LOST: Final = problem(503, "The disk has refused what it should keep.", "", (b"Retry-After", b"1"))
READY: Final = json_answer(b'{"status":"ready"}')
READ_ONLY: Final = _method_not_allowed("GET, HEAD")
POST_ONLY: Final = _method_not_allowed("POST")
NOT_FOUND: Final = problem(404, "There is nothing here: /openapi.json describes what there is.")
UNKNOWN_PAYMENT: Final = problem(404, "No payment with this correlationId is known.", "correlationId")
NEVER_ACCEPTED: Final = problem(
    404, "No payment with this correlationId was accepted since the last purge.", "correlationId", certain=True
)
NOT_RECORDED: Final = problem(
    404,
    "No payment with this correlationId is known. It may have been accepted: not every payment was recorded, or it is "
    "not kept for so long.",
    "correlationId",
    certain=False,
)
NO_LEDGER: Final = problem(404, "Attempts are kept by a ledger, and this engine has none (ENGINE_LEDGER is off).")
LEDGER_AWAY: Final = problem(
    503, "The ledger, which would know, cannot be asked at the moment.", "", (b"Retry-After", b"1")
)
LEDGER_BEHIND: Final = problem(
    503, "The ledger has not recorded all payments of this time yet.", "", (b"Retry-After", b"1")
)
TOO_LARGE: Final = problem(413, "The request body is too large.")
NOT_JSON: Final = problem(415, "The Content-Type must be application/json.")
FORBIDDEN: Final = problem(403, "Purging needs ENGINE_PURGE=1, or the token of ENGINE_ADMIN_TOKEN in X-Engine-Token.")
PURGED: Final = json_answer(b'{"message":"All payments purged."}')
NOT_YET_PURGED: Final = problem(
    503, "The purge is asked for and will be done when the dispatcher is back.", "", (b"Retry-After", b"1")
)
PURGE_REFUSED: Final = problem(
    503, "The ledger does not have everything yet, so nothing was purged.", "", (b"Retry-After", b"1")
)
PURGE_WITHDRAWN: Final = problem(
    503, "No dispatcher has answered, so the purge was called off.", "", (b"Retry-After", b"1")
)
STOPPING: Final = problem(503, "This process is stopping.", "", (b"Retry-After", b"1"))
BROKEN: Final = problem(500, "The request could not be handled.")
