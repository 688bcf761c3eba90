"""The door of the console: who is asking, whether they may, and the headers that every answer has.

A request of a script has ``Authorization: Bearer KEY``, one of the page has the cookie of its session. A page of
another site can make a browser send neither: the cookie is SameSite=Strict, and what changes anything must also come
from a page of this host (Sec-Fetch-Site, or Origin where a browser does not send that).

Pages of the origins that are listed may use the API with a key (CORS). No answer allows credentials, so a browser shows
them nothing of a session.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.console.keys import Key, Keys, KeysError, name_of
from engine.console.problem import problem
from engine.console.sessions import LOOPBACK_COOKIE, SECURE_COOKIE, Sessions
from engine.console.throttle import Throttle
from engine.logs.logger import Logger

SESSION: Final = "/api/v1/session"
# Without a key: what machines ask on this port, the page (which shows nothing by itself), signing in, the description.
OPEN: Final = frozenset({"/", "/metrics", "/healthz", SESSION, "/api/v1/openapi.json"})
OPEN_BELOW: Final = "/static/"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
TRIES_MAX: Final = 16  # keys that wait to be looked at, 30 ms each
BODY_BYTES_MAX: Final = 64 << 10
HEADERS: Final = {
    # uPlot and the page set styles through the DOM, which a policy without 'unsafe-inline' allows.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match",
    "Access-Control-Max-Age": "600",
}
HSTS: Final = "max-age=31536000"

log = Logger("engine.console")
Verify = Callable[[str], Awaitable[Key | None]]


class Guard:
    """ASGI middleware around ``app``. Whose request it is stands in ``scope["state"]["key"]``.

    Parameters:
      origins: of pages that may use the API though they are not this host's.
    """

    def __init__(self, app: ASGIApp, keys: Keys, origins: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._origins = origins
        self.keys = keys
        self.sessions = Sessions(keys)
        self.throttle = Throttle()
        self._one_try = asyncio.Lock()
        self._trying = 0
        # Each hash takes 19 MiB, which the C library keeps for the thread: one thread, and one hash after the other.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="keys")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        sending = with_headers(send, is_https=is_https(request), more=self._cross(request) if self._origins else {})
        if self._is_listed(request) and request.method == "OPTIONS":
            await Response(status_code=204)(scope, receive, sending)
            return
        refused = await self._refused(request)
        await (self._app if refused is None else refused)(scope, receive, sending)

    def still(self, request: HTTPConnection) -> bool:
        """Whether the key of this request is one still: it was not taken away, and its session is not over."""
        key: Key = request.scope["state"]["key"]
        try:
            if _bearer(request):
                found = self.keys.get(key.name)
                return found is not None and found.mark == key.mark
            return self.sessions.key(_cookie(request)) == key
        except KeysError:
            return False

    async def verified(self, request: HTTPConnection, text: str) -> Key | Response:
        """Whose key this is, or the answer to one that is wrong or comes too soon. Raises KeysError."""
        known = self.keys.known(text)
        if known is not None:
            return known
        if self._trying >= TRIES_MAX:
            self.throttle.slowed += 1
            return problem(429, "Too many keys are being looked at. Wait.", Retry_After="1")
        self._trying += 1
        try:
            async with self._one_try:  # what was found wrong is counted before the next one is looked at
                return await self._tried(request, text)
        finally:
            self._trying -= 1

    async def _tried(self, request: HTTPConnection, text: str) -> Key | Response:
        address, now_s = _address(request), time.monotonic()
        who = address, name_of(text)
        wait_s = self.throttle.wait_s(who, now_s)
        if wait_s:
            self.throttle.slowed += 1
            return problem(429, "There were too many wrong keys. Wait.", Retry_After=str(int(wait_s) + 1))
        key = await asyncio.get_running_loop().run_in_executor(self._hashing, self.keys.verify, text)
        if key is None:
            self.throttle.note_wrong(who, now_s)
            log.warning("wrong_key", address=address, wrong=self.throttle.wrong)
            return problem(401, "This is no key of this console.", WWW_Authenticate='Bearer realm="console"')
        return key

    async def _refused(self, request: Request) -> Response | None:
        """Why this request is not served; None: it is."""
        if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            return problem(413, "The body is too long.")
        if _has_key(request) and not (is_https(request) or is_loopback(request)):
            return problem(403, "A key is taken over HTTPS, or on the machine of the console itself.")
        is_open = request.url.path in OPEN or request.url.path.startswith(OPEN_BELOW)
        try:
            found = await self._key(request)
        except KeysError as error:
            log.error("keys_unreadable", reason=str(error))
            return None if is_open else problem(503, "The keys of this console cannot be read; its log says why.")
        if isinstance(found, Response):
            return None if is_open and request.method in SAFE else found
        request.scope.setdefault("state", {})["key"] = found
        if found is None and not is_open:
            return problem(401, "Sign in, or send a key.", WWW_Authenticate='Bearer realm="console"')
        if request.method not in SAFE and not (is_of_this_site(request.headers) or self._may_cross(request)):
            return problem(403, "This came from a page of another site.")
        return None

    def _is_listed(self, request: HTTPConnection) -> bool:
        return request.headers.get("origin") in self._origins

    def _cross(self, request: HTTPConnection) -> dict[str, str]:
        """The headers that let a page of a listed origin read the answer."""
        if not self._is_listed(request):
            return {"Vary": "Origin"}
        origin = {"Access-Control-Allow-Origin": request.headers["origin"], "Vary": "Origin"}
        is_asked = request.scope["method"] == "OPTIONS"
        return origin | (PREFLIGHT if is_asked else {"Access-Control-Expose-Headers": "ETag, Retry-After"})

    def _may_cross(self, request: HTTPConnection) -> bool:
        """Whether it may change something from another origin: with a key. A session is for this host's own page."""
        return self._is_listed(request) and bool(_bearer(request)) and request.url.path != SESSION

    async def _key(self, request: Request) -> Key | Response | None:
        text = _bearer(request)
        if text:
            return await self.verified(request, text)
        return self.sessions.key(_cookie(request))


def _bearer(request: HTTPConnection) -> str:
    """The key that a script sends; "": none, and then its cookie counts."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _cookie(request: HTTPConnection) -> str:
    return request.cookies.get(SECURE_COOKIE if is_https(request) else LOOPBACK_COOKIE, "")


def _has_key(request: HTTPConnection) -> bool:
    return "authorization" in request.headers or bool(_cookie(request))


def is_https(request: HTTPConnection) -> bool:
    """Whether it came over TLS, to a proxy on this machine that says so."""
    return request.url.scheme == "https"


def is_loopback(request: HTTPConnection) -> bool:
    """Whether the browser speaks to its own machine, so that nobody is in between."""
    host = request.url.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_of_this_site(headers: Headers) -> bool:
    """Whether what changes something came from a page of this host, or from no browser."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.partition("://")[2] == headers.get("host", "")


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else "?"


def with_headers(send: Send, *, is_https: bool, more: Mapping[str, str] | None = None) -> Send:
    """``send`` with the headers that every answer of the console has, and ``more``."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **(more or {})}.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if is_https:
                headers["Strict-Transport-Security"] = HSTS
        await send(message)

    return sending
