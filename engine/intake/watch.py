"""Watches a descriptor in libuv's loop: how another thread, or a signal, gets the loop's attention."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from socketify.native import ffi
from socketify.uv import UVLoop

_UV_POLL = 8  # uv.h: enum uv_handle_type
_UV_READABLE = 1  # uv.h: enum uv_poll_event

_libuv = ctypes.CDLL("libuv.so.1")  # the very library that socketify runs on
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_libuv.uv_handle_size.restype = ctypes.c_size_t
_libuv.uv_poll_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
_libuv.uv_poll_start.argtypes = [ctypes.c_void_p, ctypes.c_int, _Callback]


class Watch:
    """Calls ``action`` in ``loop`` for as long as ``descriptor`` can be read. It must be kept as long as the loop.

    Raises OSError.
    """

    def __init__(self, loop: UVLoop, descriptor: int, action: Callable[[], None]) -> None:
        self._handle = ctypes.create_string_buffer(_libuv.uv_handle_size(_UV_POLL))
        self._callback = _Callback(lambda _handle, _status, _events: action())
        native = int(ffi.cast("uintptr_t", loop.get_native_loop()))
        code = _libuv.uv_poll_init(native, self._handle, descriptor)
        code = code or _libuv.uv_poll_start(self._handle, _UV_READABLE, self._callback)
        if code:
            raise OSError(-code, os.strerror(-code))
