"""The world of the dispatcher process: the real clock, and the wait for sockets and for the doorbell."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from engine.dispatch.attempt import Now
from engine.dispatch.transport import Transport
from engine.memory import clock
from engine.memory.doorbell import Doorbell
from engine.memory.words import Words


class RealClock:
    """The engine's clock, whose offset is in the books, and UTC."""

    def __init__(self, books: Words) -> None:
        self._books = books

    def now(self) -> Now:
        """This moment."""
        return Now(clock.read_ms(self._books), time.time_ns() // 1_000_000)


class EpollWaker:
    """Waits on an epoll with libcurl's sockets and the doorbell; see :class:`engine.dispatch.ports.Waker`."""

    def __init__(self, epoll: select.epoll, doorbell: Doorbell, transport: Transport, clock: RealClock) -> None:
        self._epoll = epoll
        self._doorbell = doorbell
        self._transport = transport
        self._clock = clock
        self.hear_doorbell()

    def hear_doorbell(self) -> None:
        """Waits for the doorbell from now on: at the beginning, and when its pipe has become another one."""
        self._epoll.register(self._doorbell.descriptor, select.EPOLLIN)

    def pause(self, for_ms: int) -> None:
        """See the port."""
        time.sleep(for_ms / 1000)
        self.listen(0)

    def listen(self, for_ms: float) -> None:
        """See the port."""
        sockets, has_rung = self._poll(for_ms)
        if has_rung:
            self._doorbell.hush()  # it was rung for a sleep that had already ended
        self._transport.act(sockets)

    def sleep(self, for_ms: int, until_ms: float, may_sleep: Callable[[], bool]) -> None:
        """See the port."""
        if for_ms:
            time.sleep(for_ms / 1000)
        wait_ms = until_ms - self._clock.now().mono_ms if may_sleep() else 0
        sockets, _ = self._poll(max(0.0, wait_ms))
        self._doorbell.wake_up()
        self._transport.act(sockets)

    def _poll(self, for_ms: float) -> tuple[list[tuple[int, int]], bool]:
        """Waits at most ``for_ms``. Returns the events of the sockets, and whether the doorbell has rung."""
        events = self._epoll.poll(for_ms / 1000)
        bell = self._doorbell.descriptor
        sockets = [event for event in events if event[0] != bell]
        return sockets, len(sockets) < len(events)
