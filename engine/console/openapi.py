"""The description of the console's API: OpenAPI 3.1, made from the same lists as the API itself. Pure."""

from __future__ import annotations

from typing import Any, Final

from engine.console.acting import ACTS
from engine.console.parameters import BY, TEXT_MAX
from engine.console.recorded import PAGE, PAGE_MAX, STATES
from engine.console.wishes import IDS_MAX, SECONDS_MAX
from engine.ledger.reports import REPORTS
from engine.operate.command import WHYS, WORDS_MAX
from engine.operate.selection import FAILED, UNKNOWN
from engine.version import VERSION

Schema = dict[str, Any]
UUID: Final[Schema] = {"type": "string", "format": "uuid"}
TEXT: Final[Schema] = {"type": "string"}
MONEY: Final[Schema] = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2}$", "description": "An amount, exact"}
AMOUNT: Final[Schema] = {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,2})?$"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
MOMENT: Final = "A moment like 2026-11-27T14:30Z, or how long ago, like 90m"


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _page(name: str) -> Schema:
    return _object(items=_list(_ref(name)), next={"type": ["string", "null"], "description": "The next page's cursor"})


def _query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


_TIMES: Final = _object(count=COUNT, p50Ms=_or_null(NUMBER), p99Ms=_or_null(NUMBER))
_ATTEMPT: Final = _object(
    number=_or_null({"type": "integer"}), processor=TEXT, isLookup=FLAG, beganAt=_or_null(TIME),
    endedAt=_or_null(TIME), outcome=_or_null(TEXT), status=_or_null({"type": "integer"}), error=_or_null(TEXT),
    latencyMs=_or_null(NUMBER),
)  # fmt: skip
_PAYMENT: Final = _object(
    id=UUID, state=TEXT, reason=_or_null(TEXT), processor=_or_null(TEXT), attemptCount=COUNT, amount=MONEY,
    acceptedAt=TIME, requestedAt=_or_null(TIME), settledAt=_or_null(TIME), feePpm=_or_null({"type": "integer"}),
)  # fmt: skip
_ACT_DONE: Final = _object(
    action=UUID, act=TEXT, who=TEXT, why=TEXT, evidence=TEXT, at=TIME, result=_or_null(TEXT)
)  # fmt: skip
_OFFERED: Final = _object(act=TEXT, isOffered=FLAG, why=TEXT)
SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        "type": "object",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "field": {**TEXT, "description": "The parameter or field that is wrong"},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "Payment": _PAYMENT,
    "PaymentLife": {
        **_object(
            **_PAYMENT["properties"], attempts=_list(_ATTEMPT), acts=_list(_ACT_DONE), offered=_list(_OFFERED)
        ),
    },
    "DeadLetter": _object(
        id=UUID, state=TEXT, why=TEXT, processor=_or_null(TEXT), attemptCount=COUNT, amount=MONEY, acceptedAt=TIME,
        since=TIME,
    ),
    "Exception": _object(
        number=COUNT, version=COUNT, state=TEXT, isOpen=FLAG, against=TEXT, processor=TEXT, **{"from": TIME}, to=TIME,
        payments={"type": "integer"}, amount=MONEY, id=_or_null(UUID), evidence=TEXT, decidedBy=_or_null(TEXT), at=TIME,
    ),
    "Action": _object(
        id=UUID, act=TEXT, processor=_or_null(TEXT), who=TEXT, why=TEXT, evidence=TEXT, selection=TEXT, payments=COUNT,
        amount=MONEY, at=TIME,
    ),
    "Progress": _object(
        id=UUID, act=TEXT, state=TEXT, who=TEXT, confirmedBy=_or_null(TEXT), payments=COUNT, amount=MONEY, done=COUNT,
        results=_list(_object(result=TEXT, payments=COUNT)), trouble=_or_null(TEXT),
    ),
    "DryRun": _object(
        payments=COUNT, amount=MONEY, refused=_list(_object(why=TEXT, payments=COUNT)), isCut=FLAG, needsSecond=FLAG
    ),
    "Report": _object(
        columns=_list(_object(name=TEXT, title=TEXT, kind=TEXT)), rows={"type": "array", "items": {"type": "array"}}
    ),
    "Setting": _object(
        name=TEXT, group=TEXT, value=TEXT, default=TEXT, isChanged=FLAG, unit=TEXT, bounds=TEXT, effect=TEXT
    ),
    "Reconciliation": _object(
        number=COUNT, **{"from": TIME}, to=TIME, isDeep=FLAG, windows=COUNT, summaries=COUNT, lookups=COUNT,
        found=COUNT, failure=_or_null(TEXT), beganAt=TIME, endedAt=TIME,
    ),
    "Comparing": _object(processor=TEXT, **{"from": TIME}, to=TIME, runFrom=TIME, runTo=TIME, isHalf=FLAG),
    "ProcessorState": _object(
        at=TIME, processor=TEXT, state=TEXT, failingPercent=_or_null(NUMBER)
    ),
    "ProcessorHealth": _object(
        **{"from": TIME}, to=TIME, processor=TEXT, isFailing=_or_null(FLAG), minResponseMs=_or_null(COUNT),
        status=_or_null({"type": "integer"}), answers=COUNT,
    ),
    "ProcessorFee": _object(processor=TEXT, validFrom=TIME, percent=NUMBER),
    "Session": _object(name=_or_null(TEXT), role=_or_null(TEXT)),
    "Overview": _object(
        at=COUNT, isUp=FLAG, payments={"type": "object"}, money={"type": "object"}, unknown={"type": "object"},
        times=_object(accepting=_TIMES, settling=_TIMES), backlog={"type": "object"}, ring={"type": "object"},
        ledger={"type": "object"}, now=TEXT, processors={"type": "array", "items": {"type": "object"}},
    ),
}  # fmt: skip
WISH: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["act"],
    "properties": {
        "act": {"enum": list(ACTS)},
        "ids": {"type": "array", "items": UUID, "minItems": 1, "maxItems": IDS_MAX},
        "state": {"enum": [UNKNOWN, FAILED]},
        "processor": {**TEXT, "minLength": 1},
        "why": {"enum": list(WHYS)},
        "olderThanSeconds": {**COUNT, "maximum": SECONDS_MAX},
        "reason": {**TEXT, "minLength": 1, "maxLength": WORDS_MAX},
        "evidence": {**TEXT, "minLength": 1, "maxLength": WORDS_MAX},
        "isDryRun": FLAG,
    },
}
CURSOR: Final = _query("cursor", "`next` of the page before", {**TEXT, "minLength": 1, "maxLength": TEXT_MAX})
LIMIT: Final = _query("limit", "Of a page", {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE})
FROM, TO = _query("from", MOMENT, TEXT), _query("to", MOMENT, TEXT)


def document() -> dict[str, Any]:
    """The whole description."""
    paths = {
        "/overview": {"get": _operation("How the engine is just now", "Overview")},
        "/events": {"get": _events()},
        "/payments": {"get": _operation("Payments, the newest first", _page("Payment"), _payment_filters(), bad=True)},
        "/payments/{id}": {
            "get": _operation("A payment's life", "PaymentLife", [_path("id", UUID)], bad=True, missing=True)
        },
        "/dead-letters": {
            "get": _operation(
                "What a person must decide",
                _object(count=COUNT, amount=MONEY, inLedgerOnly=COUNT, items=_list(_ref("DeadLetter"))),
                [LIMIT],
                bad=True,
            )
        },
        "/exceptions": {
            "get": _operation(
                "What reconciliation has found",
                _object(reconciledUntil=_or_null(TIME), items=_list(_ref("Exception"))),
                [_query("open", "1: only what is open", {"enum": ["0", "1"]})],
                bad=True,
            )
        },
        "/reconciliations": {
            "get": _operation(
                "What reconciliation compares just now, and its last runs",
                _object(now={"anyOf": [_ref("Comparing"), {"type": "null"}]}, items=_list(_ref("Reconciliation"))),
                [LIMIT],
                bad=True,
            )
        },
        "/processors/history": {
            "get": _operation(
                "States, health and fees of processors, the newest first",
                _object(
                    states=_list(_ref("ProcessorState")),
                    health=_list(_ref("ProcessorHealth")),
                    fees=_list(_ref("ProcessorFee")),
                ),
                [FROM, TO, LIMIT],
                bad=True,
            )
        },
        "/actions": {
            "get": _operation("The audit trail, the newest first", _page("Action"), [CURSOR, LIMIT], bad=True),
            "post": _act(),
        },
        "/actions/waiting": {
            "get": _operation("What a second person must confirm", _object(items=_list(_ref("Progress"))))
        },
        "/actions/{id}": {
            "get": _operation("How far an act is", "Progress", [_path("id", UUID)], bad=True, missing=True)
        },
        "/actions/{id}/confirm": {"post": _confirm()},
        "/reports/{report}": {
            "get": _operation(
                "A report of the ledger",
                "Report",
                [_path("report", {"enum": list(REPORTS)}), FROM, TO, _query("by", "Its steps", {"enum": list(BY)})],
                bad=True,
                missing=True,
            )
        },
        "/settings": {"get": _operation("The settings in force", _object(items=_list(_ref("Setting"))))},
        "/session": {
            "get": {**_operation("Who is signed in", "Session"), "security": [{}, *_SECURITY]},
            "post": _sign_in(),
            "delete": {
                "summary": "Sign out",
                "security": [{}],
                "responses": {
                    "204": {"description": "Done"},
                    **dict.fromkeys(("401", "403", "429", "503"), _PROBLEM),
                },
            },
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Payment engine, console",
            "version": VERSION,
            "description": "What operators see and decide.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": _SECURITY,
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {"Problem": _answer("It was not done", "Problem", "application/problem+json")},
        },
    }


_SECURITY: Final[list[dict[str, list[str]]]] = [{"key": []}]
UNCHANGED: Final = {"description": "It is as the ETag in If-None-Match says"}
_PROBLEM: Final = {"$ref": "#/components/responses/Problem"}


def _answer(text: str, schema: str | Schema, kind: str = "application/json") -> Schema:
    return {"description": text, "content": {kind: {"schema": _ref(schema) if isinstance(schema, str) else schema}}}


def _operation(
    summary: str,
    schema: str | Schema,
    parameters: list[Schema] | None = None,
    *,
    bad: bool = False,
    missing: bool = False,
) -> Schema:
    problems = ["401", "429", "503", *(["400"] if bad or not parameters else []), *(["404"] if missing else [])]
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {"200": _answer(summary, schema), "304": UNCHANGED, **dict.fromkeys(sorted(problems), _PROBLEM)},
    }


def _payment_filters() -> list[Schema]:
    return [
        _query("state", "Only these", {"enum": list(STATES)}),
        _query("processor", "Only those that it has", {**TEXT, "minLength": 1, "maxLength": TEXT_MAX}),
        FROM, TO,
        _query("amountFrom", "The least amount; without `from` it goes back a day", AMOUNT),
        _query("amountTo", "The highest amount", AMOUNT),
        CURSOR, LIMIT,
    ]  # fmt: skip


def _events() -> Schema:
    stream = {"description": "An `overview` each second", "content": {"text/event-stream": {"schema": TEXT}}}
    return {
        "summary": "The first screen, live: server-sent events",
        "responses": {"200": stream, "401": _PROBLEM, "429": _PROBLEM, "503": _PROBLEM},
    }


def _act() -> Schema:
    answers = {
        "200": _answer("What it would come to", "DryRun"),
        "202": _answer("It is under way, or a second person must confirm it", "Progress"),
    }
    problems = dict.fromkeys(("400", "401", "403", "409", "413", "429", "503"), _PROBLEM)
    return {
        "summary": "Act on dead letters or on a processor; `isDryRun` says what it would come to",
        "requestBody": {"required": True, "content": {"application/json": {"schema": WISH}}},
        "responses": answers | problems,
    }


def _confirm() -> Schema:
    problems = dict.fromkeys(("400", "401", "403", "404", "409", "429", "503"), _PROBLEM)
    return {
        "summary": "Confirm what somebody else has asked for",
        "parameters": [_path("id", UUID)],
        "responses": {"202": _answer("It is under way", "Progress")} | problems,
    }


def _sign_in() -> Schema:
    body = {"type": "object", "required": ["key"], "properties": {"key": {**TEXT, "minLength": 1}}}
    problems = dict.fromkeys(("400", "401", "403", "413", "429", "503"), _PROBLEM)
    return {
        "summary": "Sign in: the answer has a cookie",
        "security": [{}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _answer("Who that is", "Session")} | problems,
    }
