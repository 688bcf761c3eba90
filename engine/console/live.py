"""The live first screen: one producer makes a document each second, and all viewers get the same bytes.

It makes none while nobody looks. A viewer who is too slow misses documents, and never gets an old one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool

from engine.logs.logger import Logger

EVERY_S: Final = 1.0
HEARTBEAT_S: Final = 10.0  # a proxy or a browser notices that nobody speaks any more
VIEWERS_MAX: Final = 40
OF_KEY_MAX: Final = 20  # of one key, so that nobody keeps all others from looking
RETRY_MS: Final = 1000  # how soon a browser comes again

log = Logger("engine.console")


class FullError(Exception):
    """VIEWERS_MAX are looking already, or OF_KEY_MAX with this key."""


class Live:
    """Documents, made by ``make`` in a thread, for any number of viewers of one event loop."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._event = b""
        self._number = 0
        self._viewers = Counter[str]()
        self._task: asyncio.Task[None] | None = None
        self._changed: asyncio.Condition | None = None

    @property
    def viewers(self) -> int:
        """How many look."""
        return self._viewers.total()

    async def events(self, who: str = "") -> AsyncIterator[bytes]:
        """What one viewer gets: server-sent events, until the viewer hangs up. Raises FullError.

        ``who``: the name of the viewer's key.
        """
        if self.viewers >= VIEWERS_MAX or self._viewers[who] >= OF_KEY_MAX:
            raise FullError
        if self._changed is None:
            self._changed = asyncio.Condition()
        self._viewers[who] += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._produce(), name="live")
            yield b"retry: %d\n\n" % RETRY_MS
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S), self._changed:
                        await self._changed.wait()
                        event = self._event
                    yield event
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._viewers[who] -= 1
            self._viewers += Counter()  # names that nobody looks under are forgotten

    async def _produce(self) -> None:
        """Makes documents as long as anybody looks."""
        assert self._changed is not None
        while self.viewers:
            begun_s = time.monotonic()
            try:
                document = await run_in_threadpool(self._make)
            except Exception:
                # The page says that it hears nothing; whatever it was, the next look may be better.
                log.exception("overview_broke")
            else:
                async with self._changed:
                    self._number += 1
                    self._event = b"id: %d\nevent: overview\ndata: %b\n\n" % (self._number, orjson.dumps(document))
                    self._changed.notify_all()
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - begun_s)))
        self._task = None
