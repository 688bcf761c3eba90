"""The connections of the console: nobody keeps others out by opening many and saying little.

A request must arrive within REQUEST_S, and a client must take something of its answer within SEND_S. Where all places
are taken, the one is closed that has kept the console waiting for longest: idle, in the middle of a request, or not
taking its answer. Only who is refused while every other one is being served is told so (503).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import h11
import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.console.guard import HEADERS, with_headers
from engine.console.problem import document, problem

CONNECTIONS_MAX: Final = 128  # the pages that are open among them
OF_ADDRESS_MAX: Final = 96  # a proxy on this machine has all of its clients under one address
REQUEST_S: Final = 10.0
SEND_S: Final = 20.0
IDLE_S: Final = 30  # before a connection's first request, and between two
STOP_S: Final = 1  # for pages that are open


def config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """How the console is served: plain HTTP/1.1, with these bounds, without a line for each request."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Door,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
    )


class Door(H11Protocol):
    """A connection. What it refuses itself has the headers that every answer has."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._since_s = self.loop.time()  # when it last began to wait for its client
        self._must_go = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come; another one may have to go."""
        super().connection_made(transport)
        if not self._make_room():
            self.app = _full
        # Browsers connect before they need it. No 408 for them: it would be taken for the answer to what comes then.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or all of it."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is over: the next request may begin."""
        self._since_s = self.loop.time()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._since_s = self.loop.time()
        self._stuck = self.loop.call_later(SEND_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        _cancel(self._stuck)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        _cancel(self._late)
        _cancel(self._stuck)

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as HTTP."""
        self._refuse(400, "The request is not valid HTTP, or its headers are too long.")

    @property
    def _is_arriving(self) -> bool:
        """Whether a part of a request is there, and not all of it."""
        begins = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        return begins or self.conn.their_state is h11.SEND_BODY

    def _watch(self) -> None:
        """What is not there whole has REQUEST_S, from its first byte."""
        if not self._is_arriving or self.transport.is_closing():
            _cancel(self._late)
            self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self._refuse, 408, "The request did not arrive in time.")

    def _make_room(self) -> bool:
        """Whether there is a place, or one was made: of the crowded address first, else of all."""
        others = [one for one in cast(set[Door], self.connections) if one is not self and not one._must_go]
        mine = [one for one in others if one._address == self._address]
        crowd = mine if len(mine) >= OF_ADDRESS_MAX else others if len(others) >= CONNECTIONS_MAX else []
        waiting = [one for one in crowd if one._waits_for_its_client]
        if waiting:
            longest = min(waiting, key=lambda one: one._since_s)
            longest._must_go = True  # the loop takes it out after all that have come with this one
            longest.transport.abort()
        return bool(waiting) or not crowd

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def _waits_for_its_client(self) -> bool:
        is_idle = self.cycle is None or self.cycle.response_complete  # or it was closed, and takes no more
        return is_idle or self.conn.their_state is h11.SEND_BODY or self.flow.write_paused

    def _refuse(self, status: int, detail: str) -> None:
        """An answer of the connection's own, and its end. An answer that was begun already is all there is."""
        is_over = self.cycle is None or (self.cycle.response_complete and self.conn.their_state is not h11.SEND_BODY)
        if (is_over or not self.cycle.response_started) and not self.transport.is_closing():
            self.transport.write(_answer(status, detail))
        if self.cycle is not None:
            self.cycle.disconnected = True  # whatever waits for the rest of the request writes nothing any more
            self.cycle.message_event.set()
        self.transport.close()


def _answer(status: int, detail: str) -> bytes:
    """A problem as it goes over the wire."""
    found = document(status, detail)
    body = orjson.dumps(found)
    headers = HEADERS | {
        "Cache-Control": "no-store", "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)), "Connection": "close",
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {found['title']}\r\n{lines}\r\n".encode() + body


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers who finds no place."""
    detail = "All connections of the console are in use. Come again."
    answer = problem(503, detail, Retry_After="1", Connection="close")
    await answer(scope, receive, with_headers(send, is_https=False))


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
