"""A TCP proxy on the way to a processor: it makes the way bad, and never touches what the processor has charged.

It runs in a thread with a loop of its own, and knows of HTTP only that a request comes before its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from engine.lab.chaos.plan import Trouble

CHUNK_BYTES = 65_536
DELAY_S = 0.2  # for each piece, either way
RESET_SHARE = 0.25  # of the requests, while the trouble is RESET
CALL_S_MAX = 5.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Link:
    """A connection from the engine, and the one to the processor that belongs to it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.answer_is_lost = False

    def reset(self) -> None:
        """Both ends see a reset; what is still on its way is lost."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Listens on ``port`` of 127.0.0.1 and passes everything on to ``target_port`` there. A context manager.

    Parameters:
      seed: of the random numbers, which choose the requests that are reset.

    Raises OSError from ``with`` when the port is taken.
    """

    def __init__(self, port: int, target_port: int, seed: int) -> None:
        self._port = port
        self._target_port = target_port
        self._chance = random.Random(seed)
        self._trouble = Trouble.NONE
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {port}", daemon=True)
        self.resets = 0  # connections that were reset so far

    def __enter__(self) -> Proxy:
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self._end()
            raise
        self._flowing.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._set(Trouble.REFUSE))
        self._end()

    def set(self, trouble: Trouble) -> None:
        """Puts the way into this trouble; a CUT is over at once. Raises OSError when it cannot listen again."""
        self._call(self._set(trouble))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S_MAX)

    def _end(self) -> None:
        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._call(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)

    async def _set(self, trouble: Trouble) -> None:
        self._trouble = trouble
        if trouble is Trouble.STALL:
            self._flowing.clear()
        else:
            self._flowing.set()
        if trouble is Trouble.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        if trouble in (Trouble.CUT, Trouble.REFUSE):
            for link in list(self._links):
                self._reset(link)
        if trouble is not Trouble.REFUSE and self._server is None:
            await self._listen()

    def _reset(self, link: _Link) -> None:
        self.resets += 1
        link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _Link(writer).reset()
            return
        link = _Link(writer, to_writer)
        if self._server is None:  # it has begun to refuse since this connection came
            link.reset()
            return
        self._links.add(link)
        pumps = (
            asyncio.create_task(self._requests(reader, to_writer, link)),
            asyncio.create_task(self._answers(to_reader, writer, link)),
        )
        try:
            # When one side ends, the other has nothing more to say: HTTP has no half-open connections.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, to_writer):
                end.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        while chunk := await self._read(reader):
            if self._trouble is Trouble.RESET and self._chance.random() < RESET_SHARE:
                if self._chance.random() < 0.5:
                    writer.write(chunk[: len(chunk) // 2])  # the processor has half a request and cannot charge it
                    await writer.drain()
                    self._reset(link)
                    return
                link.answer_is_lost = True
            writer.write(chunk)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        while chunk := await self._read(reader):
            if link.answer_is_lost:
                self._reset(link)
                return
            writer.write(chunk)
            await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """The next piece once it may move on; empty at the end."""
        chunk = await reader.read(CHUNK_BYTES)
        if self._trouble is Trouble.DELAY:
            await asyncio.sleep(DELAY_S)
        await self._flowing.wait()
        return chunk
