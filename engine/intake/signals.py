"""Lets Python's signal handlers run while libuv's loop waits.

CPython only notes a signal, and runs its handler when a thread is back in Python. In the loop that may be never. A
timer that checks several times a second wakes two idle processes for nothing: at the contest's load that was a tenth of
the API's CPU. But CPython also writes a byte to a descriptor (``signal.set_wakeup_fd``), and the loop watches that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

from socketify.native import ffi
from socketify.uv import UVLoop

_UV_POLL = 8  # uv.h: enum uv_handle_type
_UV_READABLE = 1  # uv.h: enum uv_poll_event
_BYTES = 4096

_libuv = ctypes.CDLL("libuv.so.1")  # the very library that socketify runs on
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_libuv.uv_handle_size.restype = ctypes.c_size_t
_libuv.uv_poll_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
_libuv.uv_poll_start.argtypes = [ctypes.c_void_p, ctypes.c_int, _Callback]


class SignalWatch:
    """From now on a signal wakes ``loop``. It must be made in the main thread, and kept as long as the loop.

    Raises OSError.
    """

    def __init__(self, loop: UVLoop) -> None:
        self._reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._handle = ctypes.create_string_buffer(_libuv.uv_handle_size(_UV_POLL))
        self._callback = _Callback(self._wake)
        native = int(ffi.cast("uintptr_t", loop.get_native_loop()))
        code = _libuv.uv_poll_init(native, self._handle, self._reading)
        code = code or _libuv.uv_poll_start(self._handle, _UV_READABLE, self._callback)
        if code:
            raise OSError(-code, os.strerror(-code))

    def _wake(self, _handle: int, _status: int, _events: int) -> None:
        """Being in Python is enough: here the interpreter runs the handlers."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading, _BYTES)
