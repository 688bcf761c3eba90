"""The loop that puts a `Processor` on a port: bytes in, bytes out, and the time. It decides nothing."""

from __future__ import annotations

import errno
import functools
import gc
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn, ParamSpec

from socketify import App
from socketify.native import ffi, lib
from socketify.socketify import AppRequest, AppResponse

from engine.intake.alarm import Alarm
from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.heard import Heard
from engine.lab.simulate.kept import KeptStore
from engine.lab.simulate.replies import Cut, Ending, reply_message
from engine.lab.simulate.routes import Request, answer
from engine.lab.simulate.store import PaymentStore
from engine.wording import counted

Arguments = ParamSpec("Arguments")

BODY_BYTES_MAX = 65_536
SIGNAL_TICK_MS = 100
_EXCLUSIVE = 1  # without it two processors could share a port through SO_REUSEPORT
_ON_LISTENING = "void(struct us_listen_socket_t *, uws_app_listen_config_t, void *)"
_TOO_LARGE = reply_message(413, "the body is too large")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def serve(settings: ProcessorSettings, host: str, port: int, keep: str = "", log_requests: int = 0) -> NoReturn:
    """Serves one processor until SIGTERM or SIGINT, which end the process with code 0.

    Port 0 takes a free one; the line that is printed says which, once connections are really accepted.
    What it charges is kept in the file ``keep``, and read from there at the start; "": it begins empty, and forgets.
    The first ``log_requests`` requests are remembered.
    Raises `OSError` when it cannot listen, and `KeptError` when the file cannot be used.
    """
    _check_free(host, port)
    store = KeptStore(keep) if keep else PaymentStore()
    heard = Heard(log_requests, time.time_ns() // 1000 - _now_us())
    server = _Server(settings, store, heard)
    shown = f"[{host}]" if ":" in host else host
    where = f"http://{shown}:{server.listen(host, port)}"
    # In one write: print's end of line comes in a second one, after what the other processor says meanwhile.
    sys.stdout.write(f"{settings.name} processor on {where} (fee {settings.fee * 100:.2f} %{_known(store)})\n")
    sys.stdout.flush()
    server.run()


def _known(store: PaymentStore) -> str:
    return f", remembers {counted(len(store), 'payment')}" if len(store) else ""


def _check_free(host: str, port: int) -> None:
    """socketify cannot say why it does not listen, so a plain socket tries first."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def _fatal(callback: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Ends the process on an error: socketify would log it and leave the request without an answer for ever."""

    @functools.wraps(callback)
    def guarded(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            traceback.print_exc()
            os._exit(1)

    return guarded


class _Server:
    def __init__(self, settings: ProcessorSettings, store: PaymentStore, heard: Heard) -> None:
        self._processor: Processor[AppResponse] = Processor(settings, store, heard)
        self._app = App()
        self._loop = self._app.loop.uv_loop
        self._alarm = Alarm(self._loop, self._settle_due)
        self._alarm_us: int | None = None
        # What has arrived of each body. It also keeps the response alive until the body is whole: socketify
        # holds only a bare pointer, and aborts the process when the garbage collector was quicker than the caller.
        self._bodies: dict[AppResponse, bytes] = {}
        # For the calls other than payments; their request object is gone when the body is whole.
        self._requests: dict[AppResponse, tuple[str, str, str, str | None]] = {}
        self._app.post("/payments", self._take_payment)
        self._app.any("/*", self._take_other)

    def listen(self, host: str, port: int) -> int:
        """Listens, and returns the port. Raises `OSError`."""
        # Not by `App.listen`: it frees the text of the host before libuv has read it.
        host_text = ffi.new("char[]", host.encode())
        wanted = {"port": port, "host": host_text, "options": _EXCLUSIVE}
        config = ffi.new("uws_app_listen_config_t *", wanted)
        ports: list[int] = []

        def note_port(listen_socket: Any, _config: Any, _: Any) -> None:
            if listen_socket != ffi.NULL:
                ports.append(lib.us_socket_local_port(self._app.SSL, listen_socket))

        listening = ffi.callback(_ON_LISTENING, note_port)
        lib.uws_app_listen_with_config(self._app.SSL, self._app.app, config[0], listening, ffi.NULL)
        if not ports:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return ports[0]

    def run(self) -> NoReturn:
        """Runs libuv's own loop until a signal stops it; then the process ends with code 0."""
        # Python runs a signal's handler only when some callback runs; this timer sees to it that one does.
        _tick = self._loop.create_timer(SIGNAL_TICK_MS, SIGNAL_TICK_MS, lambda _: None, None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._loop.stop())
        self._app.loop.started = True
        gc.freeze()
        self._loop.run()
        # Taken apart in order, socketify would free timers that libuv still has in its list.
        os._exit(0)

    def _take_payment(self, response: AppResponse, _request: AppRequest) -> None:
        self._bodies[response] = b""
        response.on_aborted(self._forget)
        response.on_data(self._payment_data)

    def _take_other(self, response: AppResponse, request: AppRequest) -> None:
        path, _, query = request.get_full_url().partition("?")
        method = request.get_method().upper()
        self._requests[response] = (method, path, query, request.get_header("x-rinha-token"))
        self._bodies[response] = b""
        response.on_aborted(self._forget)
        response.on_data(self._other_data)

    def _forget(self, response: AppResponse) -> None:
        """The caller has hung up. A payment whose body was whole goes on all the same."""
        self._bodies.pop(response, None)
        self._requests.pop(response, None)

    @_fatal
    def _payment_data(self, response: AppResponse, chunk: bytes | None, is_end: bool) -> None:
        body = self._body(response, chunk, is_end)
        if body is None:
            return
        if len(body) > BODY_BYTES_MAX:
            self._finish(response, _TOO_LARGE)
            return
        ending = self._processor.pay(response, body, _now_us())
        if ending is None:
            self._set_alarm()
        else:
            self._finish(response, ending)

    @_fatal
    def _other_data(self, response: AppResponse, chunk: bytes | None, is_end: bool) -> None:
        body = self._body(response, chunk, is_end)
        if body is None:
            return
        request = Request(*self._requests.pop(response), body)
        if len(body) > BODY_BYTES_MAX:
            self._finish(response, _TOO_LARGE)
        else:
            self._finish(response, answer(self._processor, request, _now_us()))

    def _body(self, response: AppResponse, chunk: bytes | None, is_end: bool) -> bytes | None:
        """The whole body once it is there; of one that is too large, just enough to see that."""
        body = self._bodies[response]
        if chunk and len(body) <= BODY_BYTES_MAX:
            body += chunk
        if is_end:
            del self._bodies[response]
            return body
        self._bodies[response] = body
        return None

    @_fatal
    def _settle_due(self) -> None:
        self._alarm_us = None
        for response, ending in self._processor.due(_now_us()):
            if not response.aborted:
                # A cork sends the parts of an answer as one packet. A request's own callback is corked anyway.
                response.cork(lambda corked, ending=ending: self._finish(corked, ending))
        self._set_alarm()

    def _set_alarm(self) -> None:
        due_us = self._processor.next_due_us()
        if due_us is not None and (self._alarm_us is None or due_us < self._alarm_us):
            self._alarm_us = due_us
            self._alarm.set(max(1, -((_now_us() - due_us) // 1000)))

    @_fatal
    def _finish(self, response: AppResponse, ending: Ending) -> None:
        if response.aborted:
            return
        if isinstance(ending, Cut):
            self._cut(response, ending)
            return
        response.write_status(_STATUS_LINES[ending.status])
        response.write_header(b"Content-Type", ending.content_type)
        for name, value in ending.headers:
            response.write_header(name, value)
        response.end(ending.body)

    def _cut(self, response: AppResponse, cut: Cut) -> None:
        if cut is Cut.RESET:
            handle = lib.uws_res_get_native_handle(self._app.SSL, response.res)
            with socket.socket(fileno=os.dup(int(ffi.cast("uintptr_t", handle)))) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        response.close()


def _now_us() -> int:
    return time.monotonic_ns() // 1000
