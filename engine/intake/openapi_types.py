"""What the parts of the OpenAPI document are made of: types, headers, an object, the schema of a problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.intake import window

Json = dict[str, Any]

INTEGER: Json = {"type": "integer", "minimum": 0}
BOOLEAN: Json = {"type": "boolean"}
AGE_MS: Json = {"type": ["integer", "null"], "minimum": 0}
MONEY: Json = {"type": "number", "minimum": 0, "description": "A decimal with 2 places, exact however large it is."}
INSTANT: Json = {"type": "string", "format": "date-time", "description": "UTC with milliseconds."}
RETRY_AFTER: Json = {"Retry-After": {"required": True, "description": "Seconds.", "schema": INTEGER}}
INSTANT_OR_NONE: Json = INSTANT | {"type": ["string", "null"]}
ALLOW: Json = {"Allow": {"required": True, "description": "The methods it serves.", "schema": {"type": "string"}}}
ID_OF_REQUEST: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
REQUEST_ID: Json = {
    "Request-Id": {
        "description": "Names the request in the engine's logs: the trace id of its `traceparent`, or a new one.",
        "schema": ID_OF_REQUEST,
    }
}


def object_of(properties: Mapping[str, Any]) -> Json:
    """An object that has all of ``properties`` and no others."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        "additionalProperties": False,
    }


def problem_schema() -> Json:
    text = {"type": "string", "minLength": 1}
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    schema = object_of(
        {
            "type": {"const": "about:blank"},
            "title": text,
            "status": status,
            "detail": text,
            "requestId": ID_OF_REQUEST,
        }
    )
    field = {
        "type": "string",
        "minLength": 1,
        "maxLength": window.NAME_SHOWN_MAX,
        "description": "What of the request is wrong: correlationId, amount, from, to, or an unknown query field.",
    }
    schema["properties"] |= {"field": field, "certain": BOOLEAN}
    return schema
