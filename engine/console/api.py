"""``/api/v1``: all that the page shows, for scripts too. Answers are JSON, refusals RFC 9457 problems.

Handlers are plain functions, which Starlette calls in threads, but for the live events and what checks a key.
"""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable
from typing import Any, Final, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from engine.console import letters, openapi, wishes
from engine.console.acting import Acting, UnknownActError
from engine.console.answers import as_json, tagged
from engine.console.guard import BODY_BYTES_MAX, Guard, is_https, is_loopback
from engine.console.keys import Key, KeysError, Role
from engine.console.live import FullError, Live
from engine.console.looking import Looking
from engine.console.parameters import BY, between, cents, number, one_of, only, text
from engine.console.problem import BadRequestError, ConflictError, ForbiddenError, problem
from engine.console.recorded import PAGE, PAGE_MAX, STATES, Recorded
from engine.console.sessions import HOURS, LOOPBACK_COOKIE, SECURE_COOKIE
from engine.ledger.errors import LedgerError
from engine.ledger.reports import REPORTS
from engine.memory.acts_layout import Act
from engine.settings import Settings
from engine.settings_table import listed

Handler = Callable[[Request], Any]
PREFIX: Final = "/api/v1"
AMOUNTS_BACK_MS: Final = BY["hour"]  # how far back amounts are looked for without a time: no index has them
NOBODY: Final = Key("", Role.VIEWER, "")


class Api:
    """The routes of an engine's console."""

    def __init__(self, settings: Settings, looking: Looking, recorded: Recorded, guard: Callable[[], Guard]) -> None:
        self._settings = settings
        self._acting = Acting(settings)
        self._looking = looking
        self._recorded = recorded
        self._guard = guard
        self.live = Live(looking.document)

    def routes(self) -> list[Route]:
        """All of them."""
        reading: dict[str, Handler] = {
            "/overview": self.overview,
            "/payments": self.payments,
            "/payments/{id}": self.payment,
            "/dead-letters": self.dead_letters,
            "/exceptions": self.exceptions,
            "/reconciliations": self.reconciliations,
            "/processors/history": self.history,
            "/reports/{report}": self.report,
            "/settings": self.settings,
        }
        return [
            *(Route(PREFIX + path, _answering(handler), methods=["GET"]) for path, handler in reading.items()),
            Route(PREFIX + "/actions/waiting", _answering(self.waiting), methods=["GET"]),
            Route(PREFIX + "/actions/{id}", _answering(self.action), methods=["GET"]),
            Route(PREFIX + "/actions/{id}/confirm", _answering(self.confirm), methods=["POST"]),
            Route(PREFIX + "/events", self.events, methods=["GET"]),
            Route(PREFIX + "/openapi.json", self.described, methods=["GET"]),
            _several("/actions", GET=self.actions, POST=self.act),
            _several("/session", GET=self.who, POST=self.sign_in, DELETE=self.sign_out),
        ]

    def described(self, request: Request) -> Response:
        """GET /openapi.json: this API."""
        return tagged(request, openapi.document())

    # --- who is there ------------------------------------------------------------------------------------------------

    async def who(self, request: Request) -> Response:
        """GET /session: who has signed in; ``{"name": null}``: nobody."""
        key: Key | None = request.state.key if hasattr(request.state, "key") else None
        return as_json({"name": key and key.name, "role": key and key.role.name.lower()})

    async def sign_in(self, request: Request) -> Response:
        """POST /session ``{"key": ...}``: a cookie for the page."""
        if not (is_https(request) or is_loopback(request)):
            return problem(403, "A key is taken over HTTPS, or on the machine of the console itself.")
        try:
            text_of_key = _key_of(await _body(request))
            found = await self._guard().verified(request, text_of_key)
            if isinstance(found, Response):
                return found
            value = self._guard().sessions.made(found)
        except BadRequestError as error:
            return problem(400, str(error), error.field)
        except KeysError:
            return problem(503, "The keys of this console cannot be read; its log says why.")
        response = as_json({"name": found.name, "role": found.role.name.lower()})
        is_secure = is_https(request)
        response.set_cookie(
            SECURE_COOKIE if is_secure else LOOPBACK_COOKIE,
            value,
            max_age=HOURS * 3600,
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        """DELETE /session."""
        response = Response(status_code=204)
        is_secure = is_https(request)
        response.delete_cookie(
            SECURE_COOKIE if is_secure else LOOPBACK_COOKIE, secure=is_secure, httponly=True, samesite="strict"
        )
        return response

    # --- how it is now -----------------------------------------------------------------------------------------------

    def overview(self, request: Request) -> dict[str, Any]:
        """GET /overview: the first screen. Rates need a look before this one: the live events have them."""
        only(request)
        return self._looking.document()

    async def events(self, request: Request) -> Response:
        """GET /events: the first screen each second, as server-sent events."""
        events = self.live.events(request.state.key.name)
        try:
            first = await anext(events)
        except FullError:
            return problem(503, "Too many pages are open.", Retry_After="10")

        async def all_of_them() -> Any:
            yield first
            async for event in events:
                if not self._guard().still(request):
                    return
                yield event

        return StreamingResponse(all_of_them(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def dead_letters(self, request: Request) -> dict[str, Any]:
        """GET /dead-letters: those that memory holds."""
        only(request, "limit")
        return letters.letters(self._settings, number(request, "limit", PAGE_MAX, PAGE_MAX))

    def settings(self, request: Request) -> dict[str, Any]:
        """GET /settings: every variable, its value, default, unit and effect; secrets are not told."""
        only(request)
        return {"items": listed(self._settings)}

    # --- what was ----------------------------------------------------------------------------------------------------

    def payments(self, request: Request) -> dict[str, Any]:
        """GET /payments: a page, the newest first."""
        only(request, "state", "processor", "from", "to", "amountFrom", "amountTo", "cursor", "limit")
        amounts = cents(request)
        from_ms, to_ms = between(request, back_ms=None if amounts is None else AMOUNTS_BACK_MS)
        return self._recorded.payments(
            state=one_of(request, "state", STATES),
            processor=text(request, "processor"),
            from_ms=from_ms,
            to_ms=to_ms,
            cents=amounts,
            cursor=text(request, "cursor"),
            limit=number(request, "limit", PAGE, PAGE_MAX),
        )

    def payment(self, request: Request) -> dict[str, Any] | Response:
        """GET /payments/{id}: its life, every attempt, and what people did."""
        only(request)
        identity = _id_of(request)
        found = self._recorded.payment(identity)
        if found is None:
            return problem(404, "The ledger has no such payment.")
        try:
            offered = letters.offered(self._settings, identity)
        except letters.UNREADABLE:
            offered = []  # without memory nothing can be done
        return found | {"offered": offered}

    def actions(self, request: Request) -> dict[str, Any]:
        """GET /actions: the audit trail, the newest first."""
        only(request, "cursor", "limit")
        return self._recorded.actions(text(request, "cursor"), number(request, "limit", PAGE, PAGE_MAX))

    def exceptions(self, request: Request) -> dict[str, Any]:
        """GET /exceptions: what reconciliation has found."""
        only(request, "open")
        return self._recorded.exceptions(only_open=one_of(request, "open", ("0", "1")) == "1")

    def reconciliations(self, request: Request) -> dict[str, Any]:
        """GET /reconciliations: what is compared just now, and the last runs."""
        only(request, "limit")
        items = self._recorded.reconciliations(number(request, "limit", PAGE, PAGE_MAX))
        return {"now": self._looking.comparing(), "items": items}

    def history(self, request: Request) -> dict[str, Any]:
        """GET /processors/history: states, health and fees of processors, the newest first."""
        only(request, "from", "to", "limit")
        from_ms, to_ms = between(request, back_ms=BY["minute"])
        return self._recorded.history(from_ms, to_ms, number(request, "limit", PAGE_MAX, PAGE_MAX))

    def report(self, request: Request) -> dict[str, Any] | Response:
        """GET /reports/{report}: as ``report`` prints it, with the kind of every column."""
        only(request, "from", "to", "by")
        name = request.path_params["report"]
        if name not in REPORTS:
            return problem(404, f"The reports are {', '.join(REPORTS)}.")
        by = one_of(request, "by", BY) or "minute"
        from_ms, to_ms = between(request, back_ms=BY[by])
        return self._recorded.report(name, from_ms, to_ms, by)

    # --- what people do ----------------------------------------------------------------------------------------------

    async def act(self, request: Request) -> Response:
        """POST /actions: does something, or with ``isDryRun`` says what it would come to."""
        try:
            body = await _body(request)
        except BadRequestError as error:
            return problem(413, str(error))

        def begin(_: Request) -> Response:
            wish, is_dry = wishes.wish(body)
            if is_dry:
                return as_json(self._acting.dry_run(wish, request.state.key))
            return as_json(self._acting.propose(wish, request.state.key).document(), 202)

        return await run_in_threadpool(_answering(begin), request)

    def action(self, request: Request) -> dict[str, Any]:
        """GET /actions/{id}: how far one of the last quarter of an hour is."""
        return self._acting.get(_id_of(request)).document()

    def confirm(self, request: Request) -> Response:
        """POST /actions/{id}/confirm: a second person agrees."""
        self._acting.check_role(Act.RETRY, request.state.key)  # only acts on money wait for somebody
        asked = self._acting.get(_id_of(request))
        keys = self._guard().keys
        if (keys.get(asked.who) or NOBODY).role < Role.TREASURER:
            raise ConflictError(f"{asked.who}, who has asked for it, may not do so any more")
        return as_json(self._acting.confirm(_id_of(request), request.state.key).document(), 202)

    def waiting(self, request: Request) -> dict[str, Any]:
        """GET /actions/waiting: those that a second person must confirm."""
        only(request)
        return {
            "items": [
                one.document() | {"reason": one.wish.reason, "evidence": one.wish.evidence}
                for one in self._acting.waiting()
            ]
        }


def _several(path: str, **handlers: Handler) -> Route:
    """A path with several methods: one route, so that a refusal tells all of them."""

    async def answer(request: Request) -> Response:
        handler = handlers["GET" if request.method == "HEAD" else request.method]
        if inspect.iscoroutinefunction(handler):
            return cast(Response, await handler(request))
        return await run_in_threadpool(_answering(handler), request)

    return Route(PREFIX + path, answer, methods=list(handlers))


def _answering(handler: Handler) -> Handler:
    @functools.wraps(handler)
    def answer(request: Request) -> Response:
        try:
            found = handler(request)
        except BadRequestError as error:
            return problem(400, f"{error.field}: {error}", error.field)
        except ForbiddenError as error:
            return problem(403, str(error))
        except ConflictError as error:
            return problem(409, str(error))
        except UnknownActError:
            return problem(404, "There is no such act in the last quarter of an hour.")
        except LedgerError as error:
            return problem(503, f"The ledger cannot be read: {error}", Retry_After="1")
        except letters.UNREADABLE as error:
            return problem(503, f"The engine's memory cannot be read: {error}", Retry_After="1")
        return found if isinstance(found, Response) else tagged(request, found)

    return answer


def _id_of(request: Request) -> uuid.UUID:
    try:
        return uuid.UUID(request.path_params["id"])
    except ValueError as error:
        raise BadRequestError("id", "it is no id like 0ce90854-8cef-417c-b8ac-fb67ccd36dab") from error


async def _body(request: Request) -> bytes:
    """The body, which may come in chunks and have no length. Raises BadRequestError when it is too long, or is cut."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise BadRequestError("", "the body is too long")
    except ClientDisconnect as error:  # nobody hears the answer, and the log is for errors of ours
        raise BadRequestError("", "the body has not come whole") from error
    return body


def _key_of(body: bytes) -> str:
    key = wishes.document(body).get("key")
    if not isinstance(key, str) or not key:
        raise BadRequestError("key", "a key is text like owner.4f...")
    return key
