"""Every call of a processor's API but ``POST /payments``, answered at once. No socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN
from typing import Any
from urllib.parse import parse_qs

from engine.lab.simulate.behaviour import DELAY_MS_MAX, Processor
from engine.lab.simulate.changes import Onset, Recovery
from engine.lab.simulate.faults import parse_faults
from engine.lab.simulate.heard import LOOKUP
from engine.lab.simulate.replies import Reply, reply_json, reply_message
from engine.lab.simulate.wire import (
    BadRequestError,
    Payment,
    format_cents,
    format_instant,
    format_key,
    parse_instant_us,
    parse_key,
    parse_object,
)
from engine.metrics import times

PAGE_ROWS_MAX = 1_000  # about 2 ms to write; payments wait while it is written
PAGE_IDS_MAX = 50_000
PAGE_HEARD_MAX = 10_000
NEXT_HEADER = b"X-Next-After"
LEFT_OUT_HEADER = b"X-Left-Out"
_LINES = b"application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: ``path`` without the query, ``token`` the header X-Rinha-Token or None."""

    method: str
    path: str
    query: str
    token: str | None
    body: bytes


AnyProcessor = Processor[Any]
Handler = Callable[[AnyProcessor, Request, int], Reply]


def answer(processor: AnyProcessor, request: Request, now_us: int) -> Reply:
    """The answer to any request but ``POST /payments``, at ``now_us`` of the processor's clock."""
    path = request.path
    if path.startswith("/admin/") and request.token != processor.token:
        return reply_message(401, "the header X-Rinha-Token is missing or wrong")
    methods = _ROUTES.get(path)
    if methods is None:
        if not path.startswith("/payments/"):
            return reply_message(404, "there is nothing here")
        methods = {"GET": _payment}
    if request.method not in methods:
        allow = ", ".join(methods) or "POST"
        return Reply(405, b'{"message":"method not allowed"}', headers=((b"Allow", allow.encode()),))
    try:
        return methods[request.method](processor, request, now_us)
    except BadRequestError as error:
        return reply_message(400, str(error))


def _payment(processor: AnyProcessor, request: Request, now_us: int) -> Reply:
    key = parse_key(request.path.removeprefix("/payments/"))
    processor.heard.note(key, now_us, LOOKUP)
    payment = processor.store.find(key)
    return reply_message(404, "no such payment") if payment is None else Reply(200, _payment_json(payment))


def _payment_json(payment: Payment) -> bytes:
    return (
        f'{{"correlationId":"{format_key(payment.key)}","amount":{format_cents(payment.amount_cents)},'
        f'"requestedAt":"{format_instant(payment.requested_at_ms)}"}}'
    ).encode()


def _health(processor: AnyProcessor, _request: Request, now_us: int) -> Reply:
    return processor.health(now_us)


def _summary(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    """The bounds are inclusive; one finer than ms is narrowed to the ms that lie inside."""
    query = parse_qs(request.query, keep_blank_values=True)
    from_ms = to_ms = None
    if "from" in query:
        from_ms = -(-_bound_us(query, "from") // 1000)
    if "to" in query:
        to_ms = _bound_us(query, "to") // 1000
    totals = processor.store.totals(from_ms, to_ms)
    fee = processor.settings.fee
    fee_cents = int((totals.amount_cents * fee).to_integral_value(ROUND_HALF_EVEN))
    # Written by hand: as floats, large sums would lose cents.
    return Reply(
        200,
        f'{{"totalRequests":{totals.count},"totalAmount":{format_cents(totals.amount_cents)},'
        f'"totalFee":{format_cents(fee_cents)},"feePerTransaction":{fee:f}}}'.encode(),
    )


def _bound_us(query: dict[str, list[str]], name: str) -> int:
    # A "+" of an offset that was not escaped arrives as a blank.
    return parse_instant_us(query[name][-1].replace(" ", "+"), name)


def _set_token(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    token = parse_object(request.body).get("token")
    if not isinstance(token, str) or not token:
        raise BadRequestError("token is not a text")
    processor.token = token
    return reply_message(200, "token set")


def _set_delay(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    delay_ms = parse_object(request.body).get("delay")
    if type(delay_ms) is not int or not 0 <= delay_ms <= DELAY_MS_MAX:
        raise BadRequestError(f"delay is not a whole number of ms from 0 to {DELAY_MS_MAX}")
    processor.delay_ms = delay_ms
    return reply_message(200, "delay set")


def _set_failure(processor: AnyProcessor, request: Request, now_us: int) -> Reply:
    failing = parse_object(request.body).get("failure")
    if not isinstance(failing, bool):
        raise BadRequestError("failure is not true or false")
    processor.set_failing(failing, now_us)
    return reply_message(200, "failure set")


def _set_faults(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    processor.faults = parse_faults(parse_object(request.body))
    return reply_message(200, "faults set")


def _faults(processor: AnyProcessor, _request: Request, _now_us: int) -> Reply:
    faults = processor.faults
    pending = (
        {}
        if faults is None
        else {
            "next": faults.next_counts,
            "probability": faults.probabilities,
            "seed": faults.seed,
            "hang_ms": faults.hang_ms,
            "late_ms": faults.late_ms,
        }
    )
    return reply_json(200, {"configured": pending, "done": dict(processor.faults_done)})


def _stats(processor: AnyProcessor, _request: Request, _now_us: int) -> Reply:
    return reply_json(200, processor.stats_now())


def _times(processor: AnyProcessor, _request: Request, _now_us: int) -> Reply:
    return reply_json(200, {"took_us": times.copy(processor.took, 0)})


def _changes(processor: AnyProcessor, _request: Request, now_us: int) -> Reply:
    return reply_json(200, {"changes": [_change(change, now_us) for change in processor.changes.kept]})


def _change(change: Onset[str] | Recovery[str], now_us: int) -> dict[str, object]:
    """``ago_ms`` instead of a time: the processor's clock means nothing to the caller."""
    ago_ms = round(now_us / 1000 - change.at_s * 1000, 3)
    if isinstance(change, Recovery):
        return {"kind": "recovery", "ago_ms": ago_ms, "first_ms": change.first_ms}
    counts = {"caught": change.caught, "sent_soon": change.sent_soon, "sent_later": change.sent_later}
    return {"kind": "onset", "ago_ms": ago_ms, **counts}


def _purge(processor: AnyProcessor, _request: Request, _now_us: int) -> Reply:
    processor.purge()
    return reply_message(200, "all payments purged")


def _page(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    after, limit = _page_bounds(request.query, PAGE_ROWS_MAX)
    page = processor.store.page(after, limit)
    lines = b"".join(_payment_json(payment) + b"\n" for payment in page)
    return Reply(200, lines, _LINES, _next_header(len(processor.store), after + limit))


def _page_of_ids(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    after, limit = _page_bounds(request.query, PAGE_IDS_MAX)
    lines = processor.store.page_of_ids(after, limit)
    return Reply(200, lines.encode(), b"text/plain", _next_header(len(processor.store), after + limit))


def _page_of_heard(processor: AnyProcessor, request: Request, _now_us: int) -> Reply:
    after, limit = _page_bounds(request.query, PAGE_HEARD_MAX)
    heard = processor.heard
    left_out = (LEFT_OUT_HEADER, str(heard.left_out).encode())
    headers = (left_out, *_next_header(len(heard), after + limit))
    return Reply(200, heard.lines(after, limit).encode(), b"text/plain", headers)


def _page_bounds(query: str, limit_max: int) -> tuple[int, int]:
    values = parse_qs(query)
    after, limit = values.get("after", ["0"])[-1], values.get("limit", [str(limit_max)])[-1]
    if not after.isdecimal() or not limit.isdecimal() or not 1 <= int(limit) <= limit_max:
        raise BadRequestError(f"after is a row, limit is from 1 to {limit_max}")
    return int(after), int(limit)


def _next_header(rows: int, after: int) -> tuple[tuple[bytes, bytes], ...]:
    """What to ask for next; there is none on the last page."""
    return ((NEXT_HEADER, str(after).encode()),) if after < rows else ()


_ROUTES: dict[str, dict[str, Handler]] = {
    "/payments": {},  # POST is `Processor.pay`
    "/payments/service-health": {"GET": _health},
    "/admin/payments-summary": {"GET": _summary},
    "/admin/payments": {"GET": _page},
    "/admin/payments/ids": {"GET": _page_of_ids},
    "/admin/requests": {"GET": _page_of_heard},
    "/admin/stats": {"GET": _stats},
    "/admin/times": {"GET": _times},
    "/admin/changes": {"GET": _changes},
    "/admin/faults": {"GET": _faults},
    "/admin/configurations/token": {"PUT": _set_token},
    "/admin/configurations/delay": {"PUT": _set_delay},
    "/admin/configurations/failure": {"PUT": _set_failure},
    "/admin/configurations/faults": {"PUT": _set_faults},
    "/admin/purge-payments": {"POST": _purge},
}
