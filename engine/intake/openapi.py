"""The API as an OpenAPI 3.1 document, served at ``/openapi.json``. Tests compare it with the routes and with answers.

It also has the answers that nginx gives by itself: a client sees one API, whichever process answers.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from engine.intake import openapi_health, payment, problem, shown, window
from engine.intake.openapi_types import (
    ALLOW,
    BOOLEAN,
    INSTANT,
    INSTANT_OR_NONE,
    INTEGER,
    MONEY,
    REQUEST_ID,
    RETRY_AFTER,
    Json,
    object_of,
    problem_schema,
)
from engine.memory import layout
from engine.settings import Settings
from engine.version import VERSION

ID: Json = {
    "type": "string",
    "format": "uuid",
    "pattern": f"^{payment.ID_PATTERN.pattern}$",
    "description": "A UUID of any version, in upper or lower case.",
    "examples": ["4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"],
}
BOUND: Json = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"format": "date"}, {"maxLength": 0}],
    "description": "ISO 8601: a date, which is its midnight, or a date and time to the minute, the second or any "
    "fraction. Without an offset it is UTC. Inclusive; empty or absent: no bound.",
}
RESOLUTION: Json = {
    window.RESOLUTION_HEADER: {
        "description": "Absent when the answer is exact. Else a bound is too old for milliseconds and was moved to the "
        "next multiple of this: the window begins at the first one that is not before `from`, and ends before the "
        f"first one that is after `to`. `{window.RESOLUTION_NONE}`: a bound lies in a time of which only the total is "
        "known, and counts as the beginning of all time.",
        "schema": {"enum": ["1s", "60s", window.RESOLUTION_NONE]},
    }
}
# The errors that any request can get. Status: why.
COMMON: Mapping[int, str] = {
    400: "The request is not valid HTTP, or its headers are too long.",
    413: "The body is too long.",
    414: "The path and query are too long.",
    429: "Too many requests of this address, or with a body in chunks, are open.",
    500: "The request could not be handled.",
    501: "The request needs another version or transfer coding of HTTP than 1.1 and chunked.",
    503: "There is no room or no process at the moment. The same request may be sent again.",
    504: "No process answered in time. The same request may be sent again.",
}


def prepared(settings: Settings) -> problem.Answer:
    """The answer to ``GET /openapi.json``."""
    return problem.json_answer(orjson.dumps(document(settings)))


def document(settings: Settings) -> Json:
    """The whole document. The bounds in it are those of ``settings``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Payment engine",
            "version": VERSION,
            "description": "Accepts payments at once and settles each exactly once at one of its processors. A method "
            "that a path does not serve is answered with 405 and `Allow`, any other path with 404; every error is an "
            "`application/problem+json` (RFC 9457).",
        },
        "paths": {
            "/payments": {"post": _pay(settings)},
            "/payments-summary": _reading(_summary(settings)),
            "/payments/{correlationId}/status": _reading(_status(settings)),
            "/payments/{correlationId}/attempts": _reading(_attempts(settings)),
            "/health": _reading(_health(settings)),
            "/healthcheck": _reading(
                _operation("isAlive", "Whether this process answers.", {200: {"description": "It does."}})
            ),
            "/readyz": _reading(
                _operation(
                    "isReady",
                    "Whether this process can accept payments: memory whole, ring not full, dispatcher alive.",
                    {
                        200: _json("It can.", object_of({"status": {"const": "ready"}})),
                        503: _problem(f"`detail` has the reasons. Or: {COMMON[503]}")
                        | {"headers": REQUEST_ID | RETRY_AFTER},
                    },
                )
            ),
            "/openapi.json": _reading(
                _operation("describe", "This document.", {200: _json("OpenAPI 3.1.", {"type": "object"})})
            ),
            "/purge-payments": {"post": _purge(settings)},
        },
        "components": {
            "schemas": {"Problem": problem_schema()},
            "responses": _common_responses(),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Engine-Token"}},
        },
    }


def _pay(settings: Settings) -> Json:
    body = object_of(
        {
            "correlationId": ID,
            "amount": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": orjson.Fragment(payment.format_cents(settings.intake.amount_cents_max)),
                "multipleOf": 0.01,
                "examples": [19.9],
            },
        }
    )
    operation = _operation(
        "pay",
        "Accepts a payment. 202 means that it is kept, whatever process dies; the same again is charged once.",
        {
            202: {"description": "Accepted, now or before."},
            400: _problem(f"The body is no payment; `field` says what is wrong. Or: {COMMON[400]}"),
            409: _problem("This correlationId was accepted with another amount, or its payment has failed."),
            413: _problem(f"The body is longer than {settings.intake.body_bytes_max} bytes."),
            415: _problem("The Content-Type is not JSON. A body without one is taken for JSON."),
        },
    )
    return operation | {
        "requestBody": {
            "required": True,
            "description": f"At most {settings.intake.body_bytes_max} bytes. Other fields are ignored.",
            # Further fields are allowed, unlike in answers: a shop may send more.
            "content": {"application/json": {"schema": body | {"additionalProperties": True}}},
        }
    }


def _summary(settings: Settings) -> Json:
    processor = object_of({"totalRequests": INTEGER, "totalAmount": MONEY})
    schema = object_of(dict.fromkeys(settings.processors.names, processor))
    operation = _operation(
        "summarize",
        "What was settled where, by the time at which it was sent to its processor.",
        {
            200: _json("Counts and sums.", schema) | {"headers": REQUEST_ID | RESOLUTION},
            400: _problem(f"A bound cannot be read, or a query field is neither of the two. Or: {COMMON[400]}"),
        },
    )
    return operation | {"parameters": [{"name": name, "in": "query", "schema": BOUND} for name in ("from", "to")]}


def _status(settings: Settings) -> Json:
    schema = object_of(
        {
            "correlationId": ID,
            "status": {"enum": [*sorted(set(layout.STATE_NAMES)), shown.UNKNOWN]},
            "amount": {"anyOf": [MONEY, {"type": "null"}], "description": "null: only settledAmount is recorded."},
            "processor": {"enum": [*settings.processors.names, None]},
            "attempts": INTEGER,
            "acceptedAt": INSTANT,
            "requestedAt": INSTANT_OR_NONE,
            "settledAt": INSTANT_OR_NONE,
            "reason": {
                "enum": list(layout.REASON_NAMES),
                "description": "Why it has failed, or what a person should know of it; null for nearly all.",
            },
            "chargedBefore": BOOLEAN
            | {"description": "The processor had this id before: nothing was charged now, the summary leaves it out."},
            "settledAmount": {
                "anyOf": [MONEY, {"type": "null"}],
                "description": "What the processor has stored, and the summary counts, where that is another amount.",
            },
        }
    )
    return _of_payment("statusOf", "What became of one payment, true from the moment of its 202.", schema)


def _attempts(settings: Settings) -> Json:
    attempt = object_of(
        {
            "number": {"type": ["integer", "null"], "minimum": 0},
            "processor": {"enum": [*settings.processors.names, None]},
            "kind": {"enum": ["request", "lookup"]},
            "beganAt": INSTANT,
            "endedAt": INSTANT_OR_NONE,
            "outcome": {"type": ["string", "null"], "description": "null: it has no answer (yet)."},
            "status": {"type": ["integer", "null"], "description": "HTTP's; null: none came."},
            "error": {"type": ["string", "null"]},
            "latencyMs": {"type": ["number", "null"], "minimum": 0},
        }
    )
    schema = object_of(
        {
            "correlationId": ID,
            "attempts": {"type": "array", "items": attempt, "description": "In their order, the last ones."},
            "completeUntil": INSTANT_OR_NONE | {"description": "What ended until then is here; null: not known."},
            "whole": {"type": "boolean", "description": "Whether none was left out, and none is known to be missing."},
        }
    )
    return _of_payment("attemptsOf", "What was sent for one payment, from the ledger; 404 without a ledger.", schema)


def _of_payment(name: str, summary: str, schema: Json) -> Json:
    responses = {
        200: _json("The payment.", schema),
        400: _problem(f"The correlationId is not a UUID. Or: {COMMON[400]}"),
        404: _problem(
            "No payment with this correlationId is known (any more). `certain`: whether there never was one."
        ),
        503: _problem(f"The ledger, which would know, is away or behind. Or: {COMMON[503]}")
        | {"headers": REQUEST_ID | RETRY_AFTER},
    }
    parameter = {"name": "correlationId", "in": "path", "required": True, "schema": ID}
    return _operation(name, summary, responses) | {"parameters": [parameter]}


def _health(settings: Settings) -> Json:
    return _operation(
        "health",
        "How the engine is. Payments are accepted also when it is degraded, except into a ring that is full.",
        {200: _json("The state of processors, routing, queues and limits.", openapi_health.schema(settings))},
    )


def _purge(settings: Settings) -> Json:
    operation = _operation(
        "purge",
        "Forgets every payment: the ones that wait as well as what was settled.",
        {
            200: _json("Done.", object_of({"message": {"type": "string"}})),
            403: _problem("It is switched off, or the token is wrong."),
            503: _problem(
                "Without a ledger that is required: no dispatcher has answered, and the purge will be done when one is "
                "back. With ENGINE_LEDGER=require: nothing was purged, because the ledger does not have everything, "
                f"or because no dispatcher has answered. Or: {COMMON[503]}"
            )
            | {"headers": REQUEST_ID | RETRY_AFTER},
        },
    )
    return operation | {"security": [{"token": []}, {}] if settings.intake.purge else [{"token": []}]}


def _reading(operation: Json) -> Json:
    """GET, and HEAD which answers the same without its body."""
    return {"get": operation, "head": operation | {"operationId": f"{operation['operationId']}Head"}}


def _operation(name: str, summary: str, responses: Mapping[int, Json]) -> Json:
    everything: dict[int, Json] = {status: {"$ref": f"#/components/responses/{status}"} for status in COMMON}
    everything |= responses
    return {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): everything[status] for status in sorted(everything)},
    }


def _common_responses() -> Json:
    common = {str(status): _problem(why) for status, why in COMMON.items()}
    for status in ("429", "503", "504"):
        common[status]["headers"] = REQUEST_ID | RETRY_AFTER
    return common | {"405": _problem("This path does not serve this method.") | {"headers": REQUEST_ID | ALLOW}}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "headers": REQUEST_ID, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> Json:
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": reference}}
    return {"description": description, "headers": REQUEST_ID, "content": content}
