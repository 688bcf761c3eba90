"""The fast path: POST /payments of a new payment in its plainest form, answered by ``fast_path.c`` without Python.

All other requests (with ENGINE_DURABILITY=sync all requests) go to the handlers in Python as if there were no fast
path. The C code has no rule of its own: tests/intake/test_fast_path.py compares it with the Python code that it
replaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from socketify.native import ffi, lib

from engine.books.levels import Shape
from engine.intake import build
from engine.intake.acceptor import Acceptor
from engine.memory.doorbell import Doorbell
from engine.memory.words import Words
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings

Pointer = Any


class NotBuiltError(Exception):
    """The library is missing or made of other sources."""


class FastPath:
    """The fast path of one API process.

    Its memory stays in use until :meth:`close`, which comes before the segments are closed.

    Parameters:
      settings: for its limits.
      rings: all rings in the order of their index; ``own`` is the index of the one that this process writes.
      books, shape: the books' words, and their shape, which says where the parking table is.
      acceptor: has the locks and the id memory that it uses.
      doorbell: the doorbell that it rings.
      times: where it counts how long accepting takes (``metrics_layout.API_ACCEPTING``); None: nowhere.
      leaves_seen: a payment that only the id memory may know is left to :meth:`Acceptor.accept`.

    Raises NotBuiltError.
    """

    def __init__(
        self,
        settings: Settings,
        rings: Sequence[RingReader],
        own: RingWriter,
        books: Words,
        shape: Shape,
        acceptor: Acceptor,
        doorbell: Doorbell,
        times: Words | None = None,
        *,
        leaves_seen: bool = False,
    ) -> None:
        self._library = _load()
        self._buffers = [ffi.from_buffer("uint64_t[]", words) for words in (*(ring.words for ring in rings), books)]
        *ring_words, books_words = self._buffers
        ids_words = ffi.NULL
        if acceptor.memory is not None:
            ids_words = ffi.from_buffer("uint64_t[]", acceptor.memory.words)
            self._buffers.append(ids_words)
        times_words = ffi.NULL
        if times is not None:
            times_words = ffi.from_buffer("uint64_t[]", times)
            self._buffers.append(times_words)
        self._rings = ffi.new("uint64_t *[]", ring_words)
        self._state = ffi.new(
            "struct fast_path *",
            {
                "rings": self._rings,
                "ring_count": len(rings),
                "own": rings.index(own),
                "books": books_words,
                "ids": ids_words,
                "times": times_words,
                "leaves_seen": leaves_seen,
                "parked_at": shape.parked_at,
                "waits_for_ledger": own.waits_for_ledger,
                "lock": acceptor.lock_descriptor,
                "doorbell": doorbell.descriptor,
                "cents_max": settings.intake.amount_cents_max,
                "body_bytes_max": settings.intake.body_bytes_max,
                "get_header": ffi.addressof(lib, "uws_req_get_header"),
                "write_status": ffi.addressof(lib, "uws_res_write_status"),
                "end": ffi.addressof(lib, "uws_res_end"),
                "on_data": ffi.addressof(lib, "uws_res_on_data"),
                "on_aborted": ffi.addressof(lib, "uws_res_on_aborted"),
            },
        )

    def serve(self, other_request: Pointer, other_data: Pointer) -> Pointer:
        """The native handler for the route.

        Parameters:
          other_request: the callback for a request that is not taken.
          other_data: the callback for each piece of a body whose request was taken, but is not plain. The first time,
            Python does not know the response yet: :meth:`hand_over` takes it out of ``waiting``. Its last argument says
            when the request began, see :meth:`began_us`.
        """
        self._state.other_request = other_request
        self._state.other_data = other_data
        self._library.fast_path_serve(self._state)
        return ffi.addressof(self._library, "fast_path_on_request")

    @property
    def waiting(self) -> int:
        """Requests on the fast path whose body has not come yet."""
        return int(self._state.waiting)

    def hand_over(self) -> None:
        """Says that Python has taken over a request: one less waits on the fast path."""
        assert self._state.waiting > 0
        self._state.waiting -= 1

    def traceparent(self, response: Pointer) -> bytes:
        """The header of a request that ``other_data`` gets a piece of.

        ``b""``: it has none, or another request has come since then.
        """
        return bytes(ffi.buffer(self._state.traceparent)) if self._state.traced == response else b""

    def began_us(self, packed: Pointer) -> int:
        """When the request began of which ``other_data`` gets a piece, as :func:`engine.intake.meter.now_us` says it;
        0 where nothing is counted."""
        return int(ffi.cast("uintptr_t", packed)) >> int(self._library.FAST_PATH_BEGAN_SHIFT)

    def stop(self) -> None:
        """From now on answers close their connection."""
        self._state.is_stopping = True

    def parse(self, body: bytes) -> tuple[int, int, int] | None:
        """(high and low half of the correlationId, cents) of a body in the plainest form, else None."""
        payment = ffi.new("struct fast_path_payment *")
        if not self._library.fast_path_parse(body, len(body), payment):
            return None
        return payment.id_high, payment.id_low, payment.cents

    def accept(self, id_high: int, id_low: int, cents: int, now_ms: int, clock_ms: int) -> bool:
        """Whether the payment was put into the ring; False leaves it to :meth:`Acceptor.accept`."""
        payment = ffi.new("struct fast_path_payment *", (id_high, id_low, cents))
        return bool(self._library.fast_path_accept(self._state, payment, now_ms, clock_ms))

    def close(self) -> None:
        """Releases the memory. No request may come to the fast path any more."""
        for buffer in self._buffers:
            ffi.release(buffer)


def _load() -> Any:
    """The library. Raises NotBuiltError."""
    if not build.is_built(build.LIBRARY):
        raise NotBuiltError(f"{build.LIBRARY} is not built of the present sources; `make setup` does it")
    return ffi.dlopen(str(build.LIBRARY))


ffi.cdef(build.SOURCES[1].read_text())
