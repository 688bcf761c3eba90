"""HTTP over a Unix socket: socketify's native functions under the smallest interface that the API needs.

Its ``App`` listens, but requests do not go through ``AppRequest`` and ``AppResponse``. These cost as much as everything
else for a payment. And while a body is on its way, only a reference cycle keeps them alive, so the collector may free
memory that the native code still points to. Here a request is a pointer; a handler makes an Answer of it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from socketify import App, AppListenOptions
from socketify.native import ffi, lib

from engine import run_dir
from engine.intake import paths, tracing
from engine.intake.alarm import Alarm
from engine.intake.fast_path import FastPath
from engine.intake.held import ForHead, Held, Later, Named
from engine.intake.meter import Meter, now_us
from engine.intake.problem import BROKEN, STOPPING, TOO_LARGE, Answer
from engine.intake.request import Pointer, Request
from engine.intake.signals import SignalWatch
from engine.intake.watch import Watch
from engine.logs.logger import Logger, request_id

PLAIN = 0  # the native functions' first argument: no TLS
ON_REQUEST = "void(uws_res_t*, uws_req_t*, void*)"
ON_DATA = "void(uws_res_t*, const char*, size_t, bool, void*)"
ON_ABORTED = "void(uws_res_t*, void*)"
METHODS = {"GET": lib.uws_app_get, "HEAD": lib.uws_app_head, "POST": lib.uws_app_post, "*": lib.uws_app_any}

TICK_MS = 100
LINGER_SECONDS = 0.3  # a stop waits this long for requests that clients sent before they saw that the server stops
STOP_SECONDS = 1.0

T = TypeVar("T")
R = TypeVar("R")


OnRequest = Callable[[Pointer, Pointer, Pointer], None]

log = Logger(__name__)


class Http:
    """Routes, the socket and the loop.

    A handler that raises is answered with 500, and one line is logged; the loop goes on.
    """

    def __init__(self) -> None:
        self._app = App(lifespan=False)
        self._request = Request()
        # Every request that is not answered yet: the part of its body that has come, or a Later. The number of
        # connections bounds it, because each has one request at a time.
        self._open: dict[Pointer, bytes | Later] = {}
        self._meter: Meter | None = None
        self._named: dict[Pointer, Named] = {}  # what each of those is that Python answers, until then
        self._began_us: dict[Pointer, int] = {}  # when each of those began that the meter counts
        self._routes: list[tuple[str, re.Pattern[str], OnRequest]] = []
        self._native: list[object] = []  # callbacks and timers must live as long as they can be called
        self._stop_at: float | None = None
        self._aborted = self._callback(ON_ABORTED, self._forget)
        self._fast_path: FastPath | None = None
        self._ticks = self.alarm(self._tick)
        self._ticking = False
        self._tick_at = 0.0

    def route(self, method: str, path: str, handler: Callable[[Request], Answer | Later | Held]) -> None:
        """``handler`` answers ``method`` on ``path``; ``*`` is every method that has no route of its own."""

        def on_request(response: Pointer, request: Pointer, _: Pointer) -> None:
            self._begin(response, request, path)
            answer = self._guarded(response, handler, self._request)
            if isinstance(answer, Held):
                self._hold(response, answer.later)
                self._tick_in(answer.ms)
            elif not isinstance(answer, Answer):
                later: Later = ForHead(answer) if self._request.is_head() else answer
                self._hold(response, later)
                self._tick_soon()
            elif self._request.is_head():
                self._answer_head(response, answer)
            else:
                self._answer(response, answer)

        self._add(method, path, on_request)

    def route_body(
        self,
        path: str,
        bytes_max: int,
        check: Callable[[Request], Answer | None],
        handler: Callable[[bytes], Answer | Later | Held],
        fast_path: FastPath | None = None,
        meter: Meter | None = None,
    ) -> None:
        """``handler`` answers POST on ``path`` from the body; a body of more than ``bytes_max`` bytes gets 413.

        ``check`` sees the headers first and may refuse. The body of a refused request is not kept, and its connection
        stays usable: the native code skips the rest. A request that ``fast_path`` takes comes neither to ``check`` nor
        to ``handler``. ``meter`` counts the answers. Only one route may have a fast path, and a meter.
        """
        digits_max = len(str(bytes_max))
        self._meter = meter or self._meter

        def on_request(response: Pointer, request: Pointer, _: Pointer) -> None:
            self._begin(response, request, path)
            if meter is not None:
                self._began_us[response] = now_us()
            # The parser has refused everything that is not a number before.
            length = self._request.header(b"content-length").lstrip(b"0")
            too_large = len(length) > digits_max or (length.isdigit() and int(length) > bytes_max)
            refusal = TOO_LARGE if too_large else self._guarded(response, check, self._request)
            if refusal is not None:
                self._answer(response, refusal)
                return
            self._hold(response, b"")
            lib.uws_res_on_data(PLAIN, response, on_data, ffi.NULL)

        def receive(response: Pointer, chunk: Pointer, length: int, is_end: bool, _: Pointer) -> None:
            body = self._open.get(response)
            if body is None:
                return  # the rest of a body that was refused as too large
            assert isinstance(body, bytes)
            if length:
                body += ffi.unpack(chunk, length)
            if len(body) > bytes_max:
                del self._open[response]
                self._answer(response, TOO_LARGE)
            elif is_end:
                answer = self._guarded(response, handler, body)
                if isinstance(answer, Answer):
                    del self._open[response]
                    self._answer(response, answer)
                elif isinstance(answer, Held):
                    self._open[response] = answer.later
                    self._tick_within(answer.ms)
                else:
                    self._open[response] = answer
                    self._tick_soon()
            else:
                self._open[response] = body

        def receive_other(response: Pointer, chunk: Pointer, length: int, is_end: bool, packed: Pointer) -> None:
            """A piece of a body that began on the fast path."""
            assert fast_path is not None
            if response not in self._open:
                fast_path.hand_over()
                self._named[response] = Named(tracing.identity(fast_path.traceparent(response)), path)
                self._hold(response, b"")
                if meter is not None:
                    self._began_us[response] = fast_path.began_us(packed)
            receive(response, chunk, length, is_end, packed)

        on_data = self._callback(ON_DATA, receive)
        self._routes.append(("POST", paths.pattern(path), on_request))
        native = self._callback(ON_REQUEST, on_request)
        if fast_path is not None:
            self._fast_path = fast_path
            native = fast_path.serve(native, self._callback(ON_DATA, receive_other))
        METHODS["POST"](PLAIN, self._app.app, path.encode(), native, ffi.NULL)

    def route_rest(self, answer: Answer) -> None:
        """Every path without a route gets ``answer``, unless it is that of one when it is written plainly."""

        def on_request(response: Pointer, request: Pointer, unused: Pointer) -> None:
            self._begin(response, request, "")
            path, method = paths.plain(self._request.path()), self._request.method()
            for known, pattern, taken in self._routes:
                match = pattern.fullmatch(path)
                if match is not None and known in (method, "*"):
                    self._request.parameters = match.groups()
                    taken(response, request, unused)
                    self._request.parameters = ()
                    return
            (self._answer_head if method == "HEAD" else self._answer)(response, answer)

        METHODS["*"](PLAIN, self._app.app, b"/*", self._callback(ON_REQUEST, on_request), ffi.NULL)

    def serve(self, path: str, mode: int, group: str = "") -> None:
        """Listens on the Unix socket ``path`` with access ``mode`` and serves until :meth:`stop`. Raises OSError.

        ``group``: whose the socket is; "": the process's own.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # a killed process may have left it
        self._app.listen(AppListenOptions(domain=path), lambda _: None)
        if not hasattr(self._app, "socket"):
            raise OSError(f"cannot listen on {path}")
        run_dir.give(path, group)
        os.chmod(path, mode)
        loop = self._app.loop
        self._native.append(SignalWatch(loop.uv_loop))
        # All objects made until now stay: the collector need not look at them again.
        gc.collect()
        gc.freeze()
        loop.started = True
        loop.uv_loop.run()

    def alarm(self, action: Callable[[], None]) -> Alarm:
        """An alarm that calls ``action``."""
        alarm = Alarm(self._app.loop.uv_loop, action)
        self._native.append(alarm)
        return alarm

    def watch(self, descriptor: int, action: Callable[[], None]) -> None:
        """Has ``action`` called for as long as ``descriptor`` can be read. Raises OSError."""
        self._native.append(Watch(self._app.loop.uv_loop, descriptor, action))

    def ask_later(self) -> None:
        """Answers every request whose Later returns an answer now."""
        for response, later in list(self._open.items()):
            if not isinstance(later, bytes):
                answer = self._guarded(response, _ask, later)
                if answer is None and self._stopping_seconds() > LINGER_SECONDS:
                    answer = STOPPING
                if answer is not None:
                    del self._open[response]
                    (self._answer_head if isinstance(later, ForHead) else self._answer)(response, answer)

    def stop(self) -> None:
        """Stops listening and ends :meth:`serve` within :data:`STOP_SECONDS`. May be called from a signal handler.

        A request that is under way still gets its answer, with ``Connection: close``. A connection on which nothing
        comes during :data:`LINGER_SECONDS` is closed.
        """
        if self._stop_at is None:
            self._stop_at = time.monotonic()
            lib.us_listen_socket_close(PLAIN, self._app.socket)
            self._app.socket = ffi.NULL
            if self._fast_path is not None:
                self._fast_path.stop()
            self._tick_soon()

    def _tick_soon(self) -> None:
        """Ticks only while a client waits for something: an idle process sleeps."""
        if not self._ticking:
            self._tick_in(TICK_MS)

    def _tick_within(self, ms: int) -> None:
        """Never moves a tick that is due sooner: many that wait would move it on for ever."""
        if not self._ticking or time.monotonic() + ms / 1000 < self._tick_at:
            self._tick_in(ms)

    def _tick_in(self, ms: int) -> None:
        self._ticking = True
        self._tick_at = time.monotonic() + ms / 1000
        self._ticks.set(ms)

    def _tick(self) -> None:
        self._ticking = False
        self.ask_later()
        stopping_seconds = self._stopping_seconds()
        if stopping_seconds > STOP_SECONDS or (stopping_seconds > LINGER_SECONDS and not self._is_busy()):
            self._app.loop.uv_loop.stop()
        elif self._stop_at is not None or any(callable(what) for what in self._open.values()):
            self._tick_soon()

    def _is_busy(self) -> bool:
        """Whether any request is under way."""
        return bool(self._open) or (self._fast_path is not None and self._fast_path.waiting > 0)

    def _stopping_seconds(self) -> float:
        """How long ago :meth:`stop` was called; 0 when it was not."""
        return 0.0 if self._stop_at is None else time.monotonic() - self._stop_at

    def _begin(self, response: Pointer, request: Pointer, path: str) -> None:
        self._request.pointer = request
        self._named[response] = Named(tracing.identity(self._request.header(b"traceparent")), path)

    def _guarded(self, response: Pointer, handler: Callable[[T], R], argument: T) -> R | Answer:
        named = self._named[response]
        token = request_id.set(named.id)
        try:
            return handler(argument)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "request_broke", path=named.path, error=repr(error), place=f"{place.filename}:{place.lineno or 0}"
            )
            return BROKEN
        finally:
            request_id.reset(token)

    def _hold(self, response: Pointer, what: bytes | Later) -> None:
        self._open[response] = what
        lib.uws_res_on_aborted(PLAIN, response, self._aborted, ffi.NULL)

    def _forget(self, response: Pointer, _: Pointer) -> None:
        self._open.pop(response, None)
        self._named.pop(response, None)
        self._began_us.pop(response, None)

    def _answer(self, response: Pointer, answer: Answer) -> None:
        body = self._write_headers(response, answer)
        lib.uws_res_end(PLAIN, response, body, len(body), self._stop_at is not None)
        began_us = self._began_us.pop(response, None)
        if began_us is not None and self._meter is not None:
            self._meter.answered(answer, began_us)

    def _answer_head(self, response: Pointer, answer: Answer) -> None:
        """The headers that a GET would get, with its length."""
        length = str(len(self._write_headers(response, answer))).encode()
        lib.uws_res_write_header(PLAIN, response, b"Content-Length", len(b"Content-Length"), length, len(length))
        lib.uws_res_end_without_body(PLAIN, response, self._stop_at is not None)

    def _write_headers(self, response: Pointer, answer: Answer) -> bytes:
        """Writes status and headers; the body that belongs to them."""
        request = self._named.pop(response)
        if answer.status >= b"5" and answer is not BROKEN:  # of which there is a line already
            log.warning("request_refused", request_id=request.id, **tracing.refusal(request.path, answer))
        answer = tracing.named(answer, request.id)
        lib.uws_res_write_status(PLAIN, response, answer.status, len(answer.status))
        for name, value in answer.headers:
            lib.uws_res_write_header(PLAIN, response, name, len(name), value, len(value))
        return answer.body

    def _add(self, method: str, path: str, on_request: OnRequest) -> None:
        self._routes.append((method, paths.pattern(path), on_request))
        METHODS[method](PLAIN, self._app.app, path.encode(), self._callback(ON_REQUEST, on_request), ffi.NULL)

    def _callback(self, kind: str, function: Callable[..., object]) -> Pointer:
        callback = ffi.callback(kind, function)
        self._native.append(callback)
        return callback


def _ask(later: Later) -> Answer | None:
    return later()
