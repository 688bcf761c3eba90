"""What the console is asked to do, read from JSON. Raises BadRequestError for what it does not understand."""

from __future__ import annotations

import uuid
from typing import Any, Final

import orjson

from engine.console.acting import ACTS, ON_PROCESSORS, WITH_EVIDENCE, Wish
from engine.console.problem import BadRequestError
from engine.correlation import halves
from engine.ledger.database import wall_ms
from engine.operate.command import WHYS, WORDS_MAX
from engine.operate.selection import FAILED, UNKNOWN, Selection

FIELDS: Final = frozenset(
    {"act", "ids", "state", "processor", "why", "olderThanSeconds", "reason", "evidence", "isDryRun"}
)
IDS_MAX: Final = 1000  # that are named; all that match may be more
SECONDS_MAX: Final = 10**9


def document(body: bytes) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError("", "the body is no JSON") from error
    if not isinstance(found, dict):
        raise BadRequestError("", "the body is no JSON object")
    return found


def wish(body: bytes) -> tuple[Wish, bool]:
    """What is asked for, and whether only a dry run is."""
    asked = document(body)
    for name in asked.keys() - FIELDS:
        raise BadRequestError(name[:100], f"it is no field: {', '.join(sorted(FIELDS))}")
    act = ACTS.get(_text(asked, "act") or "")
    if act is None:
        raise BadRequestError("act", f"one of {', '.join(ACTS)}")
    is_dry = asked.get("isDryRun", False)
    if not isinstance(is_dry, bool):
        raise BadRequestError("isDryRun", "true or false")
    processor = _text(asked, "processor")
    reason, evidence = _text(asked, "reason") or "", _text(asked, "evidence") or ""
    if act in ON_PROCESSORS and processor is None:
        raise BadRequestError("processor", "which one?")
    if not is_dry and not reason:
        raise BadRequestError("reason", "why? It is kept")
    if not is_dry and act in WITH_EVIDENCE and not evidence:
        raise BadRequestError("evidence", "what proves it? It is kept")
    selection = Selection() if act in ON_PROCESSORS else _selection(asked)
    return Wish(act, selection, processor, reason, evidence), is_dry


def _selection(asked: dict[str, Any]) -> Selection:
    state, why = _text(asked, "state"), _text(asked, "why")
    if state not in (None, UNKNOWN, FAILED):
        raise BadRequestError("state", f"{UNKNOWN} or {FAILED}")
    if why is not None and why not in WHYS:
        raise BadRequestError("why", f"one of {', '.join(WHYS)}")
    seconds = asked.get("olderThanSeconds")
    if seconds is not None and (
        isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= SECONDS_MAX
    ):
        raise BadRequestError("olderThanSeconds", f"a whole number up to {SECONDS_MAX}")
    before_ms = None if seconds is None else wall_ms() - 1000 * seconds
    return Selection(state, None, None if why is None else WHYS[why], before_ms, None, _ids(asked))


def _ids(asked: dict[str, Any]) -> frozenset[tuple[int, int]]:
    found = asked.get("ids", [])
    if not isinstance(found, list) or len(found) > IDS_MAX or ("ids" in asked and not found):
        raise BadRequestError("ids", f"a list of 1 to {IDS_MAX} correlationIds; without it, all that match")
    try:
        return frozenset(halves(uuid.UUID(one).bytes) for one in found)
    except (ValueError, AttributeError, TypeError) as error:
        raise BadRequestError("ids", "one of them is no correlationId") from error


def _text(asked: dict[str, Any], name: str) -> str | None:
    found = asked.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not 0 < len(found.strip()) <= WORDS_MAX:
        raise BadRequestError(name, f"text of 1 to {WORDS_MAX} characters")
    return found.strip()
