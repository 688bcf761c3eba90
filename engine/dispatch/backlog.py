"""Payments that wait and may be sent anywhere. Pure.

The rings are the only queue: a payment that waits is a position between a cursor and the ring's head, and costs nothing
more. Payments leave the queue from the cursor on, the oldest first. Only a probe takes the newest payment: a probe may
take long to fail, and the newest payment still has time to wait again then. So a few positions between cursor and head
are noted as taken. Payments below the cursor that wait are in a heap: those that were sent and put back, because they
are certainly not charged, and those that an earlier dispatcher has left and that are not next to the cursor.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from engine.memory import layout
from engine.ring.ring import RingReader

TAKEN_MAX = 256  # at most this many payments that an earlier dispatcher took may be among those that wait
NONE_NEW = (1 << 63, -1, 0)  # later than any payment


class Backlog:
    """The payments of ``rings`` that wait, each identified by its ring and position. Times are the engine's clock."""

    def __init__(self, rings: Sequence[RingReader]) -> None:
        self._rings = rings
        self._cursors = [0] * len(rings)
        self._taken: list[set[int]] = [set() for _ in rings]  # positions taken before the cursor has reached them
        # Those that wait below the cursors, a heap of (clock_ms, ring, first position, end), and how many they are.
        self._again: list[tuple[int, int, int, int]] = []
        self._waiting_again = 0

    @property
    def waiting(self) -> int:
        """How many payments wait."""
        waiting = self._waiting_again
        for index, ring in enumerate(self._rings):
            waiting += ring.words[layout.RING_READY_AT] - self._cursors[index] - len(self._taken[index])
        return waiting

    @property
    def objects(self) -> int:
        """How many of them take memory beside their slot."""
        return len(self._again)

    def recover(self, index: int) -> range:
        """Begins ring ``index`` with what is new. Returns the older positions, of which nothing is known yet."""
        ring = self._rings[index]
        self._cursors[index] = ready = ring.ready
        return range(max(0, ready - ring.slots, ring.forgotten_below), ready)

    def add(self, index: int, waiting: range, is_joined: bool) -> None:
        """Adds payments that an earlier dispatcher has left waiting. They are below the cursor.

        Parameters:
          is_joined: everything between them and the cursor is known. Then they keep their places in the queue, where
            they cost nothing, if few others are between. Probes are among them.
        """
        cursor, taken = self._cursors[index], self._taken[index]
        assert waiting.stop <= cursor
        if is_joined and cursor - waiting.stop + len(taken) <= TAKEN_MAX:
            taken.update(range(waiting.stop, cursor))
            self._cursors[index] = waiting.start
        else:
            self._push(index, waiting)

    def oldest_ms(self) -> int:
        """When the payment that :meth:`take` would take was accepted. At least one must wait."""
        return self._front()[0]

    def newest_ms(self) -> int:
        """When the payment that :meth:`take_newest` would take was accepted. At least one must wait."""
        newest = self._newest()
        return self._front()[0] if newest == NONE_NEW else newest[0]

    def take(self) -> tuple[int, int]:
        """Takes the oldest payment, to send it next. Returns its ring and position. At least one must wait."""
        front = self._front()
        _, ring, position = front
        if self._again and self._again[0][:3] == front:
            self._take_again()
        else:
            self._cursors[ring] = position + 1
        return ring, position

    def take_many(self, count: int) -> list[tuple[int, int]]:
        """Takes the ``count`` oldest payments, as so many calls of :meth:`take` would. At least so many must wait."""
        if self._again or any(self._taken):  # seldom
            return [self.take() for _ in range(count)]
        taken: list[tuple[int, int]] = []
        fronts = [(self._clock_ms(i, first), i, first) for i, first in enumerate(self._cursors) if self._has_new(i)]
        heapq.heapify(fronts)
        while len(fronts) > 1 and len(taken) < count:
            _, ring, position = fronts[0]
            taken.append((ring, position))
            self._cursors[ring] = position = position + 1
            if self._has_new(ring):
                heapq.heapreplace(fronts, (self._clock_ms(ring, position), ring, position))
            else:
                heapq.heappop(fronts)
        left = count - len(taken)
        if left:  # only one ring has any
            _, ring, position = fronts[0]
            taken += [(ring, position) for position in range(position, position + left)]
            self._cursors[ring] = position + left
            assert self._cursors[ring] <= self._rings[ring].ready, "fewer wait"
        return taken

    def take_newest(self) -> tuple[int, int]:
        """Takes the newest payment, for a probe. Returns its ring and position. At least one must wait."""
        newest = self._newest()
        if newest == NONE_NEW:
            return self.take()
        _, ring, position = newest
        self._taken[ring].add(position)
        return ring, position

    def put_back(self, ring: int, position: int) -> None:
        """A payment that was taken waits again, in its place by age."""
        if position >= self._cursors[ring]:  # a probe: it still has its place in the queue
            self._taken[ring].remove(position)
            return
        reader = self._rings[ring]
        assert reader.forgotten_below <= position < reader.ready, "nobody has accepted it, or it was purged"
        self._push(ring, range(position, position + 1))

    def forget(self) -> list[int]:
        """Forgets all that wait. Returns for each ring the position below which nothing is remembered."""
        self._again.clear()
        self._waiting_again = 0
        for index, ring in enumerate(self._rings):
            self._cursors[index] = ring.ready
            self._taken[index].clear()
        return list(self._cursors)

    def _front(self) -> tuple[int, int, int]:
        """The payment to send next: when it was accepted, its ring and position. At least one must wait."""
        new = self._oldest_new()
        return min(self._again[0][:3], new) if self._again else new

    def _oldest_new(self) -> tuple[int, int, int]:
        """The oldest payment that no cursor has passed, in the same form; ``NONE_NEW`` if there is none."""
        front, oldest_ms = -1, 0
        for index, ring in enumerate(self._rings):
            taken = self._taken[index]
            if taken:
                self._pass_taken(index, taken)
            position, words = self._cursors[index], ring.words
            if position < words[layout.RING_READY_AT]:
                clock_ms = words[ring.offset(position) + layout.SLOT_ORIGIN] & layout.ORIGIN_CLOCK_MASK
                if front < 0 or clock_ms < oldest_ms:
                    front, oldest_ms = index, clock_ms
        return (oldest_ms, front, self._cursors[front]) if front >= 0 else NONE_NEW

    def _newest(self) -> tuple[int, int, int]:
        """The newest payment that no cursor has passed and no probe has taken, in the same form; ``NONE_NEW`` if there
        is none.
        """
        newest, at, newest_ms = -1, 0, 0
        for index, ring in enumerate(self._rings):
            position, taken = ring.words[layout.RING_READY_AT] - 1, self._taken[index]
            while position in taken:
                position -= 1
            if position >= self._cursors[index]:
                clock_ms = ring.words[ring.offset(position) + layout.SLOT_ORIGIN] & layout.ORIGIN_CLOCK_MASK
                if newest < 0 or clock_ms > newest_ms:
                    newest, at, newest_ms = index, position, clock_ms
        return (newest_ms, newest, at) if newest >= 0 else NONE_NEW

    def _push(self, ring: int, waiting: range) -> None:
        self._waiting_again += len(waiting)
        heapq.heappush(self._again, (self._clock_ms(ring, waiting.start), ring, waiting.start, waiting.stop))

    def _take_again(self) -> None:
        """Takes the oldest payment of the heap."""
        self._waiting_again -= 1
        _, ring, position, stop = heapq.heappop(self._again)
        if position + 1 < stop:
            heapq.heappush(self._again, (self._clock_ms(ring, position + 1), ring, position + 1, stop))

    def _has_new(self, index: int) -> bool:
        """Whether a payment of ring ``index`` waits that its cursor has not passed."""
        return self._cursors[index] < self._rings[index].words[layout.RING_READY_AT]

    def _clock_ms(self, ring: int, position: int) -> int:
        reader = self._rings[ring]
        return reader.words[reader.offset(position) + layout.SLOT_ORIGIN] & layout.ORIGIN_CLOCK_MASK

    def _pass_taken(self, index: int, taken: set[int]) -> None:
        """Moves a cursor past the positions that were taken before it reached them."""
        while self._cursors[index] in taken:
            taken.remove(self._cursors[index])
            self._cursors[index] += 1
